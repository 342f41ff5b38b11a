"""From a gathered configuration to a running environment: check and compile, configure, resolve."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.application.service import IService

from piped.catalog.catalog import Catalog, ProviderEntry
from piped.catalog.discovery import discover
from piped.config.document import Document
from piped.config.gathering import Gathered
from piped.config.nodes import shown
from piped.ground.errors import ConfigurationError, Mark, Problem, ResourceError, in_order
from piped.ground.units import Seconds
from piped.pipelines.compiling import compile_pipelines
from piped.pipelines.graph import Graph
from piped.runtime.environment import RuntimeEnvironment
from piped.runtime.unknown import offered_resources, unknown_resources, unknown_sections
from piped.spec.checking import Checker

PIPELINES = "pipelines"


@dataclass(frozen=True)
class Plugins:
    """Where processors and providers are looked for besides the built-in ones.

    Args:
        bundles: lists of importable packages or modules, each under a name of your choice.
        disabled: regular expressions for the beginnings of module names that are not searched.
    """

    bundles: dict[str, list[str]] = field(default_factory=dict)
    disabled: list[str] = field(default_factory=list)


#: The top-level keys that the framework itself reads, with their shapes.
FRAMEWORK: dict[str, Any] = {
    "drain": Seconds,
    "includes": list[Any],
    "plugins": Plugins,
    "runmodes": dict[str, Any],
    "service_name": str,
}
#: The top-level key that `piped test` reads: what is wrong there keeps no service from running.
TESTS = "tests"


@dataclass(slots=True, eq=False)
class Assembly:
    """A configuration that was checked and compiled; nothing of it has been started."""

    document: Document
    catalog: Catalog
    graphs: dict[str, Graph]
    #: The checked section of each provider that the configuration uses.
    options: dict[ProviderEntry, Any]
    #: The resource paths that there will be, as far as it is said before providers are configured.
    offered: set[str]
    #: The checked values of FRAMEWORK that are written.
    framework: dict[str, Any]
    #: Every mistake and warning, sorted by place.
    problems: list[Problem]

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if not problem.is_warning]


def check(
    gathered: Gathered,
    environ: Mapping[str, str],
    plugins: Sequence[Callable[..., Any]] = (),
    resources: Collection[str] = (),
) -> Assembly:
    """Check every section, make every processor, verify every name: all mistakes of a configuration at once.

    Imports the bundles that the configuration names; configures, opens and starts nothing.

    Args:
        plugins: functions and classes that the configuration may use besides what is found.
        resources: paths that somebody will register besides the providers of the configuration.
    """
    document = Document(gathered.root, environ=environ, used=gathered.used)
    node = document.node
    catalog, problems = discover(
        node("plugins.bundles"), node("plugins.disabled"), gathered.root.value, plugins=plugins
    )
    checker = Checker(environ)
    framework = {
        key: checker.value(shape, value, owner=key) for key, shape in FRAMEWORK.items() if (value := node(key))
    }
    graphs = compile_pipelines(node(PIPELINES), catalog, checker)
    options: dict[ProviderEntry, Any] = {}
    for entry in catalog.providers:
        if entry.section == PIPELINES:
            options[entry] = graphs
        elif entry.section and (section := node(entry.section)):
            options[entry] = checker.value(entry.shape, section, owner=entry.section)
    offered = {*resources, *offered_resources(options)}
    found = [*gathered.problems, *problems, *_not_told(checker.problems, problems)]
    found += unknown_sections(gathered.root, catalog, [*FRAMEWORK, TESTS], gathered.used)
    found += unknown_resources(checker.references, options, offered, catalog, graphs)
    return Assembly(document, catalog, graphs, options, offered, framework, in_order(found))


def _not_told(problems: Sequence[Problem], told: Sequence[Problem]) -> list[Problem]:
    """Those at other places: what is no list of bundles is wrong to who looks for them, and to who checks the shape."""
    places = {problem.where for problem in told if problem.where is not None}
    return [problem for problem in problems if problem.where not in places]


def configure(assembly: Assembly, environment: RuntimeEnvironment) -> list[Problem]:
    """Make and configure every provider, then resolve all dependencies; gives what could not be done.

    Providers are configured in the order of their sections in the configuration; those without one come last, services
    that nobody has marked among them. A service that says it is enabled starts and stops with the process, unless it
    has found a parent.
    """
    environment.configuration_manager = assembly.document
    environment.catalog = assembly.catalog
    environment.graphs = assembly.graphs
    environment.offered = assembly.offered
    problems: list[Problem] = []
    for entry in _in_order_of_writing(assembly):
        try:
            provider = entry.factory()
            environment.options[entry.factory] = assembly.options.get(entry)
            provider.configure(environment)
            if _is_to_be_started(provider):
                provider.setServiceParent(environment.application)
        except (ConfigurationError, ResourceError) as error:
            problems += _told(error, _place_of(entry, assembly.document))
        except Exception as error:
            error.add_note(f"while configuring {entry.name} ({_place_of(entry, assembly.document) or entry.origin})")
            raise
    if not problems:
        try:
            environment.dependency_manager.resolve_initial_states()
        except (ConfigurationError, ResourceError) as error:
            problems += _told(error)
    return in_order(problems)


def _is_to_be_started(provider: Any) -> bool:
    """Whether it is a service that asks to be started, and that nobody starts yet."""
    is_free = IService.providedBy(provider) and provider.parent is None
    return is_free and hasattr(provider, "is_enabled") and provider.is_enabled()


def _in_order_of_writing(assembly: Assembly) -> list[ProviderEntry]:
    order = {section: position for position, section in enumerate(assembly.document.root.value)}
    used = [entry for entry in assembly.catalog.providers if entry in assembly.options or entry.section is None]
    return sorted(used, key=lambda entry: order.get((entry.section or "").split(".")[0], len(order)))


def _place_of(entry: ProviderEntry, document: Document) -> Mark | None:
    """Where the section of a provider is written; of one that has none, the class."""
    node = document.node(entry.section) if entry.section else None
    if node is not None:
        return node.named_at
    try:
        file, (_, line) = inspect.getfile(entry.factory), inspect.getsourcelines(entry.factory)
    except (OSError, TypeError):  # made in a prompt, or where there are no sources
        return None
    return Mark(shown(file), line, 1)


def _told(error: ConfigurationError | ResourceError, where: Mark | None = None) -> list[Problem]:
    problems = error.problems if isinstance(error, ConfigurationError) else []
    detail = f" ({error.detail})" if error.detail else ""
    return problems or [Problem(f"{error.msg}{detail}", where, error.hint)]
