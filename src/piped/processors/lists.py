"""Steps that rearrange lists: flatten them, group what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from piped import InputOutputProcessor, Path, Processor, get_path
from piped.pipelines.input_output import SAME_AS_INPUT
from piped.pipelines.processor import Baton


def items_of(value: Any, path: str) -> Iterable[Any]:
    """The items of what lies at a path of the baton.

    Raises:
        TypeError: it is no list, nor anything else that has items one after another.
    """
    if not isinstance(value, Iterable) or isinstance(value, Mapping | str | bytes):
        raise TypeError(f"what lies at {path!r} is no list but {type(value).__name__}")
    return value


class FlattenListOfDictionaries(InputOutputProcessor):
    """Make a list of mappings a list of the values that they have at one path.

    Empty values are left out: 0 and '' as well as what is missing.

    Args:
        key_path: where the value lies in each mapping.
        uniquify: keep only the first of equal values.
        sort: sort the values; if off, they keep the order of the mappings.

    Example:
        - set-value: {path: users, value: [{name: Bo}, {name: Ada}, {}]}
        - flatten-list-of-dictionaries:
            input_path: users
            output_path: names
            key_path: name
    """

    name = "flatten-list-of-dictionaries"

    def __init__(self, key_path: Path, uniquify: bool = False, sort: bool = True, **io: Any) -> None:
        super().__init__(**io)
        self._key_path, self._uniquify, self._sort = key_path, uniquify, sort

    def process_input(self, input: Any, baton: Baton) -> list[Any]:
        values = [found for item in items_of(input, self.input_path) if (found := get_path(item, self._key_path))]
        if self._uniquify:
            values = _each_once(values)
        if self._sort:
            try:
                values.sort()
            except TypeError as error:
                what = f"what lies at {self._key_path!r} has no order"
                raise TypeError(f"{what} ({error}): say `sort: false`") from None
        return values


def _each_once(values: list[Any]) -> list[Any]:
    try:
        return list(dict.fromkeys(values))
    except TypeError:  # there are lists or mappings among them, which can only be compared one by one
        kept: list[Any] = []
        for value in values:
            if value not in kept:
                kept.append(value)
        return kept


class FlattenNestedLists(Processor):
    """Replace lists in lists by their items, at any depth; what is no list, or not there, is left alone.

    Args:
        paths: where the lists lie.
        path_prefix: put in front of each path as it is: end it with a dot.

    Example:
        - set-value: {path: numbers, value: [1, [2, [3]], []]}
        - flatten-nested-lists:
            paths: [numbers]
    """

    name = "flatten-nested-lists"

    def __init__(self, paths: list[Path], path_prefix: Path = "") -> None:
        super().__init__()
        self._paths = [path_prefix + path for path in paths]

    def process(self, baton: Baton) -> Baton:
        for path in self._paths:
            nested = get_path(baton, path)
            if isinstance(nested, list):
                baton = self.get_resulting_baton(baton, path, list(flat(nested)))
        return baton


def flat(nested: list[Any]) -> Iterator[Any]:
    """The items of a list and of the lists in it.

    Example:
        >>> list(flat([1, [2, [3]], []]))
        [1, 2, 3]
    """
    for item in nested:
        if isinstance(item, list):
            yield from flat(item)
        else:
            yield item


class GroupByValue(InputOutputProcessor):
    """Group the items of a list by the value that they have at one path: a mapping of each value to its items.

    The items keep their order. Where the baton has nothing, the mapping is empty.

    Args:
        key_path: where the value lies in each item.
        input_path: where the list lies.
        output_path: where to put the mapping; '' makes it the baton, null discards it.
        fallback: the value of items that have none.

    Example:
        - set-value: {path: users, value: [{name: Ada, team: red}, {name: Bo, team: blue}, {name: Cy}]}
        - group-by-value:
            key_path: team
            input_path: users
            output_path: teams
            fallback: no team
    """

    name = "group-by-value"

    def __init__(
        self, key_path: Path, input_path: Path, output_path: Path | None = SAME_AS_INPUT, fallback: Any = None
    ) -> None:
        super().__init__(input_path, output_path, skip_if_nonexistent=False, input_fallback=())
        self._key_path, self._fallback = key_path, fallback

    def process_input(self, input: Any, baton: Baton) -> dict[Any, list[Any]]:
        groups: dict[Any, list[Any]] = {}
        for item in items_of(input, self.input_path):
            value = get_path(item, self._key_path, self._fallback)
            try:
                groups.setdefault(value, []).append(item)
            except TypeError:
                kind = type(value).__name__
                raise TypeError(f"nothing can be grouped by what lies at {self._key_path!r}: a {kind}") from None
        return groups
