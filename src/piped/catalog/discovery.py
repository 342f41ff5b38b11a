"""Discovery: search packages, entry points and bundles for processors, providers and services."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Container, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from types import FunctionType
from typing import Any, Final

from piped.catalog.catalog import Catalog, ProcessorEntry, ProviderEntry, origin_of
from piped.catalog.houses import Closed, House, Unopened, install_command
from piped.catalog.marking import ProcessorMark, ProviderMark, mark_of
from piped.config.nodes import Node
from piped.ground.errors import Mark, Problem
from piped.spec.imports import import_problem
from piped.spec.spec import Spec

#: Where Piped's own processors and providers live.
BUILT_IN: Final = (
    "piped.mail.processors",
    "piped.mail.send_email",
    "piped.processors",
    "piped.providers",
    "piped.spread",
    "piped.web",
    "piped.web_client",
)


def discover(
    bundles: Node | None,
    disabled: Node | None,
    sections: Container[str],
    *,
    built_in: Sequence[str] = BUILT_IN,
    plugins: Sequence[Callable[..., Any]] = (),
) -> tuple[Catalog, list[Problem]]:
    """Everything that a configuration can use, and what was wrong while looking for it.

    Args:
        bundles: lists of importable packages and modules, each under a name of its own.
        disabled: a list of regular expressions; modules whose full names begin like one are not searched.
        sections: the top-level names of the configuration: houses that read one of them are opened at once.
        plugins: functions and classes that are there besides what is found.
    """
    discovery = Discovery(disabled)
    problems = discovery.catalog.problems
    for package in built_in:
        problems += discovery.search(package)
    houses = {entry_point.value: entry_point for entry_point in entry_points(group="piped")}
    for _, entry_point in sorted(houses.items()):  # once each, though an editable distribution may be there twice
        discovery.visit(entry_point, sections)
    for item in discovery.bundled(bundles):
        problems += discovery.search(item.value, item.where)
    for plugin in plugins:
        discovery.consider(plugin)
    return discovery.catalog, problems


class Discovery:
    """Fills a Catalog; every module is searched once, and every object found once."""

    def __init__(self, disabled: Node | None = None) -> None:
        self.catalog = Catalog()
        self._problems = self.catalog.problems
        self._disabled = tuple(self._patterns(disabled))
        self._searched: set[str] = set()
        self._found: set[int] = set()

    def search(self, name: str, where: Mark | None = None) -> list[Problem]:
        """Search a module, and if it is a package all modules below it; gives what could not be imported.

        Args:
            where: the place in the configuration that names it.
        """
        if self._is_disabled(name) or name in self._searched:
            return []
        self._searched.add(name)
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:
            return [_import_problem(name, where, error)]
        for value in list(vars(module).values()):
            self.consider(value, module.__name__, where)
        problems = []
        for _, below, _ in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{name}."):
            if not below.endswith(".__main__"):  # importing that one would run it
                problems += self.search(below, where)
        return problems

    def visit(self, entry_point: EntryPoint, sections: Container[str]) -> None:
        """Note the house that an entry point names as closed, unopened, or open: then it is searched."""
        name = entry_point.module
        if self._is_disabled(name):
            return
        try:
            declared = getattr(importlib.import_module(name), "HOUSE", None)
        except (Exception, SystemExit) as error:
            self.catalog.closed.append(Closed(name, reason=str(_import_problem(name, None, error))))
            return
        house = declared if isinstance(declared, House) else House()
        if missing := house.missing():
            distribution = entry_point.dist.name if entry_point.dist else "piped"
            install = install_command(distribution, house, missing)
            self.catalog.closed.append(Closed(name, house.sections, missing, install))
        elif declared is None or any(section in sections for section in house.sections):
            self._open(name, house)
        else:
            self.catalog.unopened.append(Unopened(name, house.sections, lambda: self._open(name, house)))

    def bundled(self, bundles: Node | None) -> Iterator[Node]:
        """The names of packages and modules in all bundles."""
        if bundles is None or bundles.value is None:
            return
        if not bundles.is_mapping:
            what = "plugins.bundles must be a mapping of lists of packages and modules"
            self._problems.append(Problem(what, bundles.where, "write for example `mine: [my_package]` below it"))
            return
        for key, listed in bundles.value.items():
            for item in self._texts_in(listed, f"the bundle {key!r}"):
                if all(part.isidentifier() for part in item.value.split(".")):
                    yield item
                else:
                    fix = "write it as in an import: my_package.my_module"
                    self._problems.append(Problem(f"{item.value!r} is no name of a package or module", item.where, fix))

    def _open(self, name: str, house: House) -> None:
        if problems := self.search(name):
            self.catalog.closed.append(Closed(name, house.sections, reason=str(problems[0])))

    def consider(self, value: Any, module: str | None = None, where: Mark | None = None) -> None:
        """Add what stands in a module if it is marked, or built like a plugin of Piped 0.7.

        Args:
            module: the full name of where it stands; None for what is given by itself.
        """
        # type(), as there are objects in modules whose __class__ is an opinion
        if not issubclass(type(value), FunctionType | type) or id(value) in self._found:
            return
        if self._is_disabled(value.__module__):
            return
        mark = mark_of(value)
        if isinstance(mark, ProcessorMark):
            self._add_processor(mark.name, value, where)
        elif isinstance(mark, ProviderMark):
            self._add_provider(mark.section, mark.shape, value)
        elif isinstance(value, type) and _is_processor(value):
            self._add_processor(vars(value)["name"], value, where)
        elif isinstance(value, type) and value.__module__ == (module or value.__module__) and _is_provider(value):
            self._add_provider(None, Any, value)

    def _add_processor(self, name: str, factory: Callable[..., Any], where: Mark | None) -> None:
        self._found.add(id(factory))
        if (known := self.catalog.processors.get(name)) is None:
            self.catalog.processors[name] = ProcessorEntry(name, factory)
            return
        what = f"two processors are called {name!r}: {known.origin} and {origin_of(factory)}"
        self._problems.append(Problem(what, where, "rename one, or name its module in plugins.disabled"))

    def _add_provider(self, section: str | None, shape: Any, factory: type) -> None:
        self._found.add(id(factory))
        self.catalog.providers.append(ProviderEntry(section, shape, factory))

    def _is_disabled(self, module: str) -> bool:
        return any(pattern.match(module) for pattern in self._disabled)

    def _patterns(self, disabled: Node | None) -> Iterator[re.Pattern[str]]:
        for item in self._texts_in(disabled, "plugins.disabled"):
            try:
                yield re.compile(item.value)
            except re.error as error:
                what = f"{item.value!r} in plugins.disabled is no regular expression: {error.msg}"
                self._problems.append(Problem(what, item.where))

    def _texts_in(self, listed: Node | None, what: str) -> Iterator[Node]:
        """The texts of a list; what is no list of texts is a Problem."""
        if listed is None or listed.value is None:
            return
        if not listed.is_list:
            fix = f"write [{listed.value}]" if isinstance(listed.value, str) else ""
            self._problems.append(Problem(f"{what} must be a list, not {listed.value!r}", listed.where, fix))
            return
        for item in listed.value:
            if isinstance(item.value, str):
                yield item
            else:
                self._problems.append(Problem(f"{what} must be a list of texts", item.where))


def _is_processor(cls: type) -> bool:
    """Whether a class has what Piped 0.7 asked of a processor, and a name of its own."""
    name = vars(cls).get("name")
    return isinstance(name, str) and name != "" and hasattr(cls, "process") and hasattr(cls, "get_consumers")


def _is_provider(cls: type) -> bool:
    """Whether a class has what Piped 0.7 asked of a provider or of a service, and can be made without arguments."""
    if cls.__name__.startswith("_") or inspect.isabstract(cls) or not hasattr(cls, "configure"):
        return False
    is_service = hasattr(cls, "is_enabled") and hasattr(cls, "startService")
    return (is_service or hasattr(cls, "add_consumer")) and not Spec.of(cls).required


def _import_problem(name: str, where: Mark | None, error: BaseException) -> Problem:
    """Why a module cannot be imported: it is not there, or something in it fails at a line of its own."""
    if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
        fix = "is it installed, or beside the configuration, or in the run directory? These are on sys.path"
        return Problem(f"there is no package or module {name!r}", where, fix)
    return import_problem(name, error, where, "the bundle" if where else name)
