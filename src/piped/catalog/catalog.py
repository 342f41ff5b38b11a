"""Catalog: the processors and providers that exist, by name, and the houses they may come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from piped.catalog.houses import Closed, Unopened
from piped.ground.errors import Problem, did_you_mean
from piped.spec.spec import Spec

#: Processors of Piped 0.7 that are not carried over, with what to use.
GONE: Final = {
    "validate-with-formencode": "FormEncode ended with Python 2: check in a processor of your own",
    "wrap-coroutine": "not needed any more: a processor may be an `async def`",
}


@dataclass(frozen=True, slots=True, eq=False)
class ProcessorEntry:
    """A processor: `factory` is a function that processes a baton, or a class that makes the step."""

    name: str
    factory: Callable[..., Any]

    @property
    def spec(self) -> Spec:
        """Its options; not `node_name`, which every step takes, where a class does not pass it on."""
        return Spec.of(self.factory)

    @property
    def is_function(self) -> bool:
        return not isinstance(self.factory, type)

    @property
    def origin(self) -> str:
        """The full name of the function or class."""
        return origin_of(self.factory)


@dataclass(frozen=True, slots=True, eq=False)
class ProviderEntry:
    """A provider: the class, the section it reads (None: it may read any), and the shape of that section."""

    section: str | None
    shape: Any
    factory: type

    @property
    def name(self) -> str:
        return self.factory.__name__

    @property
    def spec(self) -> Spec:
        """What its docstring says; a provider takes no arguments."""
        return Spec.of(self.factory)

    @property
    def origin(self) -> str:
        """The full name of the class."""
        return origin_of(self.factory)


class Catalog:
    """What a configuration can use. Houses are opened when a name is looked for that is not there without them."""

    def __init__(self) -> None:
        self.processors: dict[str, ProcessorEntry] = {}
        self.providers: list[ProviderEntry] = []
        self.closed: list[Closed] = []
        self.unopened: list[Unopened] = []
        #: What was wrong with what was searched; grows when a house is opened later.
        self.problems: list[Problem] = []

    def readers(self) -> dict[str, ProviderEntry]:
        """The provider that tells of each section: of several that read it, the first."""
        return {entry.section: entry for entry in reversed(self.providers) if entry.section}

    def find_processor(self, name: str) -> ProcessorEntry | None:
        """The processor of that name; None where no house has it either."""
        while name not in self.processors and self.unopened:
            self.unopened.pop(0).open()
        return self.processors.get(name)

    def open_houses(self) -> None:
        """Open every house, so that what exists can be listed."""
        while self.unopened:
            self.unopened.pop(0).open()

    def sections(self) -> set[str]:
        """The top-level sections that some provider reads, or would read if its house were open."""
        read = {entry.section.split(".")[0] for entry in self.providers if entry.section}
        read.update(section for house in self.closed for section in house.sections)
        read.update(section for house in self.unopened for section in house.sections)
        return read

    def advice(self, name: str) -> str:
        """What to do about a processor that does not exist."""
        if name in GONE:
            return GONE[name]
        self.open_houses()
        advice = [did_you_mean(name, self.processors), *map(str, self.closed)]
        return "; ".join(filter(None, advice)) or "piped list processors tells what there is"


def origin_of(factory: Callable[..., Any]) -> str:
    return f"{factory.__module__}.{factory.__qualname__}"
