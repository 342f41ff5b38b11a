"""From a gathered configuration to a running environment: check and compile, configure, resolve."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from piped.catalog.catalog import Catalog, ProviderEntry
from piped.catalog.discovery import discover
from piped.config.document import Document
from piped.config.gathering import Gathered
from piped.config.nodes import Node
from piped.ground.errors import ConfigurationError, Problem, ResourceError, did_you_mean, in_order
from piped.ground.units import Located, PipelineName, ResourcePath, Seconds
from piped.pipelines.compiling import compile_pipelines
from piped.pipelines.graph import Graph
from piped.runtime.environment import RuntimeEnvironment
from piped.spec.checking import Checker

logger = logging.getLogger(__name__)

#: Top-level keys that are read by the framework itself and not by a provider.
FRAMEWORK_KEYS: dict[str, Any] = {
    "drain": Seconds,
    "includes": Any,
    "pipelines": Any,
    "plugins": Plugins,
    "runmodes": Any,
    "service_name": str,
}
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


@dataclass(slots=True, eq=False)
class Assembly:
    """A configuration that was checked and compiled; nothing of it has been started."""

    document: Document
    catalog: Catalog
    graphs: dict[str, Graph] = field(default_factory=dict)
    #: The checked section of each provider that the configuration uses.
    options: dict[ProviderEntry, Any] = field(default_factory=dict)
    #: What a stop waits for; None where nothing is written.
    drain: float | None = None
    #: Every mistake and warning, sorted by place.
    problems: list[Problem] = field(default_factory=list)

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if not problem.is_warning]


def check(gathered: Gathered, environ: Mapping[str, str]) -> Assembly:
    """Check every section, make every processor, verify every name: all mistakes of a configuration at once.

    Imports the bundles that the configuration names; configures, opens and starts nothing.
    """
    document = Document(gathered.root, environ=environ, used=gathered.used)
    sections = gathered.root.value
    catalog, problems = discover(document.node("plugins.bundles"), document.node("plugins.disabled"), sections)
    assembly = Assembly(document, catalog)
    checker = Checker(environ)
    for entry in catalog.providers:
        node = document.node(entry.section) if entry.section and entry.section != PIPELINES else None
        if node is not None:
            assembly.options[entry] = checker.value(entry.shape, node, owner=str(entry.section))
    for key in ("plugins", "service_name", "drain"):
        if (node := document.node(key)) is not None:
            value = checker.value(FRAMEWORK_KEYS[key], node, owner=key)
            if key == "drain":
                assembly.drain = value
    assembly.graphs = compile_pipelines(document.node(PIPELINES), catalog, checker)
    for entry in catalog.providers:
        if entry.section == PIPELINES:
            assembly.options[entry] = assembly.graphs
    found = [*gathered.problems, *problems, *checker.problems]
    found += _unknown_sections(gathered, catalog)
    found += _unknown_resources(assembly, checker.references)
    assembly.problems = in_order(found)
    return assembly


def _unknown_sections(gathered: Gathered, catalog: Catalog) -> Iterator[Problem]:
    """Keys that nobody reads: a Problem when it looks like a slip, else a warning."""
    known = {entry.section for entry in catalog.providers if entry.section} | set(FRAMEWORK_KEYS)
    closed = {section: house for house in catalog.closed for section in house.sections}
    # A provider that declares no section may read any.
    someone_else_reads = any(entry.section is None for entry in catalog.providers)
    for key, node in gathered.root.value.items():
        if key in closed:
            house = closed[key]
            yield Problem(f"the section {key!r} needs {', '.join(house.needs)}", node.key_where, house.install)
        elif key.startswith("x-") or key in gathered.used:
            continue
        elif key in {section.split(".")[0] for section in known}:
            yield from _unknown_parts(key, node, known)
        elif (advice := did_you_mean(key, known)).startswith("did you mean"):
            yield Problem(f"unknown section {key!r}", node.key_where, advice)
        elif not someone_else_reads:
            fix = "remove it, or call it x-… if it is your own"
            yield Problem(f"nothing reads the section {key!r}", node.key_where, fix, is_warning=True)


def _unknown_parts(path: str, node: Node, known: set[str]) -> Iterator[Problem]:
    """Keys between a top-level section and the sections that providers read below it."""
    if path in known or not node.is_mapping:
        return
    parts = {section[len(path) + 1 :].split(".")[0] for section in known if section.startswith(path + ".")}
    for key, member in node.value.items():
        if key in parts:
            yield from _unknown_parts(f"{path}.{key}", member, known)
        else:
            yield Problem(f"{path} has no section {key!r}", member.key_where, did_you_mean(key, parts))


def _unknown_resources(assembly: Assembly, references: list[Located]) -> Iterator[Problem]:
    """Resource paths that nobody will provide, as far as providers say what they offer."""
    offered: set[str] = set()
    spoken_for: set[str] = set()
    is_everything_said = True
    for entry in assembly.catalog.providers:
        offers = getattr(entry.factory, "offers", None)
        if offers is None:
            is_everything_said &= entry not in assembly.options and entry.section is not None
            continue
        if (options := assembly.options.get(entry)) is not None:
            offered.update(offers(options))
        spoken_for.update(getattr(entry.factory, "prefixes", ()))
    for reference in references:
        if not isinstance(reference, ResourcePath) or isinstance(reference, PipelineName):
            continue
        path = reference.prefix + reference
        if path in offered or _pipeline_meant(path, assembly.graphs):
            continue
        if is_everything_said or any(path.startswith(prefix) for prefix in spoken_for):
            candidates = {known.removeprefix(reference.prefix) for known in offered if known.startswith(reference.prefix)}
            if "." not in reference:
                candidates |= set(assembly.graphs)
            yield Problem(f"there is no {path!r}", reference.where, did_you_mean(reference, candidates))


def _pipeline_meant(path: str, graphs: Mapping[str, Graph]) -> bool:
    name = path.removeprefix("pipeline.")
    return name in graphs or name.replace("-", "_") in graphs


def configure(assembly: Assembly, environment: RuntimeEnvironment) -> list[Problem]:
    """Make and configure every provider, then resolve all dependencies; gives what could not be done.

    Providers are configured in the order of their sections in the configuration; those without one come last.
    """
    environment.configuration_manager = assembly.document
    environment.catalog = assembly.catalog
    environment.graphs = assembly.graphs
    problems: list[Problem] = []
    for entry in _in_order_of_writing(assembly):
        where = _place_of(entry, assembly.document)
        try:
            provider = entry.factory()
            environment.options[type(provider)] = assembly.options.get(entry)
            provider.configure(environment)
        except ConfigurationError as error:
            problems += error.problems or [Problem(error.msg, where, error.hint)]
        except ResourceError as error:
            problems.append(Problem(f"{entry.name}: {error.msg}", where, error.hint))
    if not problems:
        problems += _resolve(environment)
    return in_order(problems)


def _in_order_of_writing(assembly: Assembly) -> list[ProviderEntry]:
    order = {section: position for position, section in enumerate(assembly.document.root.value)}
    used = [entry for entry in assembly.catalog.providers if entry in assembly.options or entry.section is None]
    return sorted(used, key=lambda entry: order.get((entry.section or "").split(".")[0], len(order)))


def _place_of(entry: ProviderEntry, document: Document) -> Any:
    node = document.node(entry.section) if entry.section else None
    return node.named_at if node is not None else None


def _resolve(environment: RuntimeEnvironment) -> list[Problem]:
    try:
        environment.dependency_manager.resolve_initial_states()
    except ConfigurationError as error:
        return error.problems or [Problem(error.msg, None, error.hint)]
    except ResourceError as error:
        return [Problem(error.msg, None, error.hint or error.detail)]
    return []
