"""MappingProcessor: the base of steps that do the same with several values of a baton."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from piped.ground.batons import getter, setter
from piped.ground.errors import ConfigurationError, did_you_mean
from piped.ground.units import Path
from piped.pipelines.input_output import is_awaitable
from piped.pipelines.processor import Baton, Processor
from piped.pipelines.runs import PLAIN

_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Entry:
    """One value to work on: where it is read, where its result goes (None: nowhere), and what was written besides."""

    input_path: Path
    output_path: Path | None
    extras: dict[str, Any] = field(default_factory=dict)


Put = Callable[[Baton, Any], Baton]


@dataclass(frozen=True, slots=True)
class _Move:
    """An entry, with how its value is read and how its result is put into the baton."""

    entry: Entry
    get: Callable[[Baton, Any], Any]
    put: Put


class MappingProcessor(Processor):
    """A step that makes values of a baton from others, one after the other: a subclass says how in `process_mapping`.

    What an entry may carry besides its paths are the keyword-only parameters of `process_mapping`.

    Args:
        mapping: what to read and where to put it: a list of paths and of mappings `from: to`, or one such mapping.
            `to` is a path, '' for the whole baton, null to discard the result, or a mapping with `output_path` and
            further options; `{input_path: from, output_path: to}` says the same.
        input_path_prefix: put in front of each input path as it is: end it with a dot.
        output_path_prefix: the same for the output paths.
        skip_if_nonexistent: leave out what the baton does not have.
        input_fallback: what to take instead, when nothing is left out.
    """

    def __init__(
        self,
        mapping: list[Any] | dict[str, Any],
        input_path_prefix: Path = "",
        output_path_prefix: Path = "",
        skip_if_nonexistent: bool = True,
        input_fallback: Any = None,
        node_name: str | None = None,
    ) -> None:
        super().__init__(node_name)
        self.skip_if_nonexistent = skip_if_nonexistent
        self.input_fallback = input_fallback
        self.entries = tuple(_prefixed(entry, input_path_prefix, output_path_prefix) for entry in entries_of(mapping))
        for entry in self.entries:
            self.validate_entry(entry)
        self._moves = [_Move(entry, getter(entry.input_path), setter(entry.output_path)) for entry in self.entries]

    def validate_entry(self, entry: Entry) -> None:
        """Called for each entry when the step is made; a subclass may refuse more than unknown options.

        Raises:
            ConfigurationError: the entry cannot be used.
        """
        parameters = inspect.signature(self.process_mapping).parameters.values()
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return
        known = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
        for name in entry.extras:
            if name not in known:
                advice = did_you_mean(name, {"output_path", *known})
                raise ConfigurationError(f"{entry.input_path!r} has no option {name!r}", hint=advice)

    # `*args: Any, **extras: Any` is what lets mypy accept a subclass that names its extras in the signature.
    def process_mapping(
        self, input: Any, input_path: Path, output_path: Path | None, baton: Baton, *args: Any, **extras: Any
    ) -> Any:
        """The result for one entry; it may have to be awaited. Also called when the result is discarded."""
        raise NotImplementedError(f"{type(self).__name__} has no process_mapping()")

    def process(self, baton: Baton) -> Any:
        return self.process_from(0, baton)

    def process_from(self, position: int, baton: Baton) -> Any:
        """As `process`, but leaves out the entries before a position."""
        moves = iter(self._moves[position:])
        for move in moves:
            produced = self._produced(move, baton)
            if type(produced) not in PLAIN and is_awaitable(produced):
                return self._go_on(produced, move.put, moves, baton)
            if produced is not _MISSING:
                baton = move.put(baton, produced)
        return baton

    async def _go_on(self, produced: Awaitable[Any], put: Put, moves: Iterator[_Move], baton: Baton) -> Baton:
        """The rest, from the first entry that has to be awaited: only then is a coroutine worth its price."""
        baton = put(baton, await produced)
        for move in moves:
            following = self._produced(move, baton)
            if is_awaitable(following):
                following = await following
            if following is not _MISSING:
                baton = move.put(baton, following)
        return baton

    def _produced(self, move: _Move, baton: Baton) -> Any:
        value = move.get(baton, _MISSING)
        if value is _MISSING:
            if self.skip_if_nonexistent:
                return _MISSING
            value = self.input_fallback
        entry = move.entry
        return self.process_mapping(value, entry.input_path, entry.output_path, baton, **entry.extras)


def entries_of(mapping: Sequence[Any] | Mapping[str, Any]) -> list[Entry]:
    """The entries of a mapping in any of its spellings, in the order they are written.

    Raises:
        ConfigurationError: an element names no path to read, or two that differ.

    Example:
        >>> entries_of(["a", {"b": "c"}, {"d": {"output_path": None, "loud": True}}])[2]
        Entry(input_path='d', output_path=None, extras={'loud': True})
        >>> entries_of({"a": {}}) == entries_of(["a"]) == entries_of([{"input_path": "a"}])
        True
    """
    if isinstance(mapping, Mapping):
        return [_entry(path, target) for path, target in mapping.items()]
    return [_element(element) for element in mapping]


def _element(element: Any) -> Entry:
    if isinstance(element, str):
        return Entry(element, element)
    if not isinstance(element, Mapping):
        raise ConfigurationError(f"{element!r} is no entry of a mapping", hint="write a path, or `from: to`")
    if "input_path" in element:
        return _entry(element["input_path"], {name: value for name, value in element.items() if name != "input_path"})
    if len(element) == 1 and "output_path" not in element:
        [(path, target)] = element.items()
        return _entry(path, target)
    raise ConfigurationError(
        f"nothing says which path the entry {dict(element)!r} reads",
        hint="write `- from: to` for each value, or add `input_path`",
    )


def _entry(path: Any, target: Any) -> Entry:
    if not isinstance(path, str):
        raise ConfigurationError(f"the input path {path!r} is no text", hint="put it in quotes")
    if target is None or isinstance(target, str):
        return Entry(path, target)
    if not isinstance(target, Mapping):
        raise ConfigurationError(f"{target!r} is no place for what {path!r} gives", hint="write a path")
    extras = dict(target)
    if extras.pop("input_path", path) != path:
        raise ConfigurationError(
            f"the entry {path!r} reads {target['input_path']!r} too", hint="remove one of the two input paths"
        )
    output_path = extras.pop("output_path", path)
    if output_path is not None and not isinstance(output_path, str):
        raise ConfigurationError(f"the output path {output_path!r} of {path!r} is no text", hint="put it in quotes")
    return Entry(path, output_path, extras)


def _prefixed(entry: Entry, input_prefix: str, output_prefix: str) -> Entry:
    input_path = input_prefix + entry.input_path
    output_path = None if entry.output_path is None else output_prefix + entry.output_path
    for path in (input_path, output_path):
        if path is not None and path.endswith(".") and not path.endswith("\\."):
            raise ConfigurationError(f"the path {path!r} ends with a dot", hint="remove the dot from the prefix")
    return Entry(input_path, output_path, entry.extras)
