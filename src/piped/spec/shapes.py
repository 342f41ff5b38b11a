"""Shape: an annotation read as what a person has to write, in kind and in words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping, MutableMapping, MutableSequence, Sequence, Set
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from twisted.python.filepath import FilePath

from piped.ground.batons import BatonPath
from piped.ground.units import Located, Meaning, Unit

Made = TypeVar("Made")


class Arguments(dict[str, Any], Generic[Made]):
    """Checked keyword arguments for a class: a mapping of the parameters of its constructor, without `name`.

    Who makes the object supplies `name`, usually the key that stands above the mapping.
    """


_WORDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    bytes: "text",
    NoneType: "null",
    BatonPath: "a !path",
    FilePath: "the name of a file",
    Any: "anything",
    object: "anything",
}
_MAPPINGS = (dict, Mapping, MutableMapping, Arguments)
_LISTS = (list, tuple, set, frozenset, Iterable, Collection, Sequence, MutableSequence, Set)
_PLURALS = {"text": "texts", "a whole number": "whole numbers", "a number": "numbers", "a mapping": "mappings"}
_BOUNDS = {
    "ge": "of at least {}",
    "gt": "above {}",
    "le": "of at most {}",
    "lt": "below {}",
    "min_length": "with a length of at least {}",
    "max_length": "with a length of at most {}",
}


def is_union(shape: Any) -> bool:
    return get_origin(shape) in (Union, UnionType)


def is_mapping(shape: Any) -> bool:
    """Whether a mapping of names is written for it."""
    return (get_origin(shape) or shape) in _MAPPINGS or dataclasses.is_dataclass(shape)


def is_list(shape: Any) -> bool:
    """Whether a list is written for it."""
    return (get_origin(shape) or shape) in _LISTS


def fields_of(shape: Any) -> tuple[type, tuple[str, ...]] | None:
    """The class whose parameters are the keys of the mapping, and those that are none; None for any other shape."""
    if get_origin(shape) is Arguments:
        return get_args(shape)[0], ("name",)
    if dataclasses.is_dataclass(shape) and isinstance(shape, type):
        return shape, ()
    return None


def parted(shape: Any) -> tuple[Any, tuple[Any, ...]]:
    """A shape and what an `Annotated` around it says about it."""
    return (shape.__origin__, shape.__metadata__) if get_origin(shape) is Annotated else (shape, ())


def words_of(shape: Any) -> str:
    """What has to be written, in words that fit behind "must be".

    Example:
        >>> words_of(list[int] | None)
        'a list of whole numbers'
        >>> import annotated_types
        >>> words_of(Annotated[float, annotated_types.Ge(0), Unit("s")])
        'a number of at least 0 (s)'
    """
    inner, said = parted(shape)
    if said:
        return _annotated_words(inner, said)
    if is_union(shape):
        # null says that nothing is written: no news to a person who wrote something wrong
        return " or ".join(dict.fromkeys(words_of(one) for one in get_args(shape) if one is not NoneType))
    if get_origin(shape) is Literal:
        return one_of(get_args(shape))
    if isinstance(shape, type) and issubclass(shape, Enum):
        return one_of(member.value for member in shape)
    if is_mapping(shape):
        return "a mapping"
    if is_list(shape):
        plural = _PLURALS.get(words_of(item_of(shape)))
        return f"a list of {plural}" if plural else "a list"
    if checks_itself(shape) or (isinstance(shape, type) and issubclass(shape, Located)):
        return _first_words(shape)
    return _WORDS.get(shape) or f"a {getattr(shape, '__name__', shape)}"


def checks_itself(shape: Any) -> bool:
    """Whether it is a class with a classmethod `__check__(checker, node)`.

    That gives the value for a node, or adds Problems to the checker: for what no annotation can say. What is written
    for it may be told by its `__shape__`; see `written_shape`.
    """
    return isinstance(shape, type) and hasattr(shape, "__check__")


def written_shape(shape: Any) -> Any:
    """The `__shape__` of a class that checks itself: another shape, or a dict; None where it does not tell.

    A dict holds the shapes of the keys of a mapping; that of all other keys stands behind `...`, and may be the class.
    """
    return getattr(shape, "__shape__", None) if checks_itself(shape) else None


def bounds_in(said: tuple[Any, ...]) -> list[tuple[str, Any]]:
    """The bounds among what an `Annotated` says, by their names in annotated_types."""
    found = ((name, getattr(one, name, None)) for one in said for name in _BOUNDS)
    return [(name, bound) for name, bound in found if bound is not None]


def item_of(shape: Any) -> Any:
    """The shape of the items of a list."""
    return (*get_args(shape), Any)[0]


def one_of(values: Iterable[Any]) -> str:
    texts = [written(value) for value in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def written(value: Any) -> str:
    """A plain value as a person writes it in a configuration, in one line and not too long."""
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, FilePath):
        return f"!filepath {value.path}"
    if isinstance(value, BatonPath):
        text = f"!path {value}"
    elif isinstance(value, list | tuple):
        text = f"[{', '.join(map(written, value))}]"
    else:
        text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}…{text[-5:]}"


def _annotated_words(inner: Any, said: tuple[Any, ...]) -> str:
    meanings = [one.words for one in said if isinstance(one, Meaning)]
    units = [f" ({one.name})" for one in said if isinstance(one, Unit)]
    if meanings:
        return meanings[0] + "".join(units)
    bounds = [_BOUNDS[name].format(bound) for name, bound in bounds_in(said)]
    return " ".join([words_of(inner), " and ".join(bounds)]).rstrip() + "".join(units)


def _first_words(kind: type) -> str:
    """The beginning of a docstring: "The name of a pipeline; absolute, or …" is "the name of a pipeline"."""
    line = (kind.__doc__ or kind.__name__).split("\n")[0]
    first = re.split(r"[:;] ", line)[0].rstrip(".:")
    return first[0].lower() + first[1:]
