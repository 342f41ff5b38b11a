"""Steps that put values into a baton: configured ones, those of other places, counters."""

from __future__ import annotations

import marshal
from collections.abc import Callable
from copy import copy as shallow_copy
from copy import deepcopy
from typing import Any

from piped import BatonPath, ConfigurationError, MappingProcessor, Path, Processor, get_path, processor, set_path
from piped.ground.batons import setter
from piped.pipelines.processor import Baton
from piped.processors.moves import moving

_IMMUTABLE = frozenset({type(None), bool, int, float, str, bytes})


def fresh(value: Any) -> Any:
    """A value of the configuration that nobody shares: lists and mappings in it are new each time.

    Several times faster than `deepcopy` for what YAML can say, which is all that usually stands here.
    """
    kind = type(value)
    if kind in _IMMUTABLE:
        return value
    if kind is dict:
        return {key: fresh(member) for key, member in value.items()}
    if kind is list:
        return [fresh(member) for member in value]
    return deepcopy(value)


def copies_of(value: Any) -> Callable[[], Any]:
    """A function that gives a `fresh` value each time, faster still.

    Example:
        >>> make = copies_of([1, {"n": 2}])
        >>> make(), make() is make()
        ([1, {'n': 2}], False)
    """
    if type(value) in _IMMUTABLE:
        return lambda: value
    try:
        dumped = marshal.dumps(value)
    except ValueError:  # something that is no plain value, or nested very deeply
        return lambda: fresh(value)
    return lambda: marshal.loads(dumped)


def refuse_paths(value: Any) -> None:
    """Nothing, unless somewhere in a value that is taken as it is written stands a `!path`.

    Raises:
        ConfigurationError: so it is; a text would be taken for what lies there.
    """
    if isinstance(value, BatonPath):
        what = f"!path {value} is not looked up here"
        raise ConfigurationError(what, hint="remap puts values of the baton elsewhere")
    for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        refuse_paths(member)


class SetValue(Processor):
    """Put a configured value into the baton; each baton gets a copy of its own.

    Args:
        path: where to put it; '' makes it the baton.
        value: any value.

    Example:
        - set-value:
            path: user.name
            value: Ada
    """

    name = "set-value"

    def __init__(self, path: Path, value: Any) -> None:
        super().__init__()
        refuse_paths(value)
        self._put, self._make = setter(path), copies_of(value)

    def process(self, baton: Baton) -> Baton:
        return self._put(baton, self._make())


class SetValues(Processor):
    """Put several configured values into the baton, in the order they are written.

    Args:
        mapping: the values by their paths.
        path_prefix: put in front of each path as it is: end it with a dot.

    Example:
        - set-values:
            path_prefix: user.
            mapping:
                name: Ada
                languages: [en, it]
    """

    name = "set-values"

    def __init__(self, mapping: dict[str, Any], path_prefix: Path = "") -> None:
        super().__init__()
        refuse_paths(mapping)
        self._values = [(setter(path_prefix + path), copies_of(value)) for path, value in mapping.items()]

    def process(self, baton: Baton) -> Baton:
        for put, make in self._values:
            baton = put(baton, make())
        return baton


class Remap(MappingProcessor):
    """Put values of the baton at other places too.

    Args:
        extend: append the value to the list at the output path, which is made if it is missing.
        copy: put a shallow copy there.
        deep_copy: put a copy there that shares nothing; wins over `copy`.

    Example:
        - remap:
            mapping:
                - request.path: path
                - user.name: name
    """

    name = "remap"

    def __init__(
        self,
        mapping: list[Any] | dict[str, Any],
        extend: bool = False,
        copy: bool = False,
        deep_copy: bool = False,
        **paths: Any,
    ) -> None:
        super().__init__(mapping, **paths)
        self._extend, self._copy, self._deep_copy = extend, copy, deep_copy
        if not (extend or copy or deep_copy) and type(self) is Remap:
            self.process = moving(self.entries, self.process_from)  # type: ignore[method-assign, assignment] # as fast code

    def process_mapping(self, input: Any, input_path: Path, output_path: Path | None, baton: Baton) -> Any:
        if self._deep_copy:
            input = deepcopy(input)
        elif self._copy:
            input = shallow_copy(input)
        if not self._extend or output_path is None:
            return input
        values = get_path(baton, output_path)
        if values is None:
            return [input]
        if not hasattr(values, "append"):
            raise TypeError(f"what lies at {output_path!r} cannot be extended, it is {type(values).__name__}")
        values.append(input)
        return values


@processor("increment-counter")
def increment_counter(baton: Baton, *, counter_path: Path, increment: int | float = 1) -> None:
    """Add to a number in the baton.

    Args:
        counter_path: where the number is; there must be one.
        increment: what to add; less than 0 counts down.

    Example:
        - set-value: {path: tries, value: 0}
        - increment-counter: {counter_path: tries}
    """
    counted = get_path(baton, counter_path)
    try:
        counted += increment
    except TypeError:
        raise TypeError(f"what lies at {counter_path!r} is no number but {type(counted).__name__}") from None
    set_path(baton, counter_path, counted)
