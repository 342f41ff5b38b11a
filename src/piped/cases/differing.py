"""Differing: what was expected beside what came, as readable differences with their paths and places; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import unified_diff
from itertools import islice
from reprlib import Repr
from typing import Any

from piped.config.nodes import Node
from piped.ground.errors import Problem, did_you_mean

#: Texts that are longer are shown from where they differ.
LONG = 60
#: Lines of a text of which no more are shown.
MOST_LINES = 40

_repr = Repr()
_repr.maxlevel, _repr.maxdict, _repr.maxlist, _repr.maxtuple = 4, 12, 12, 12
_repr.maxstring = _repr.maxother = 160


def shown(value: Any) -> str:
    """Any value in one line, and not too long."""
    return _repr.repr(value)


def differences(
    expected: Node, found: Any, scalar: Callable[[Node], Any], path: str, *, is_partial: bool = False
) -> Iterator[Problem]:
    """Where what came is not what was expected; each difference at the place of the expected part.

    Names of mappings are compared as text, a tuple is as good as a list, and true is no 1.

    Args:
        expected: what was written.
        scalar: gives the value of each scalar in it.
        path: how messages call `found`; the paths of its parts begin with it.
        is_partial: mappings may have more than was written, at any depth.
    """
    if expected.is_mapping and isinstance(found, Mapping):
        yield from _in_mapping(expected, found, scalar, path, is_partial)
    elif expected.is_list and isinstance(found, list | tuple):
        yield from _in_list(expected, found, scalar, path, is_partial)
    elif not expected.is_mapping and not expected.is_list:
        value = scalar(expected)
        if isinstance(value, str) and isinstance(found, str) and value != found:
            yield Problem(_between_texts(path, value, found), expected.where)
        elif not _is_same(value, found):
            yield Problem(f"{path} is {shown(found)}, expected {shown(value)}", expected.where)
    else:
        yield Problem(f"{path} is {shown(found)}, expected {shown(expected.plain(scalar))}", expected.where)


def _in_mapping(
    expected: Node, found: Mapping[Any, Any], scalar: Callable[[Node], Any], path: str, is_partial: bool
) -> Iterator[Problem]:
    members = {str(key): value for key, value in found.items()}
    unexpected = [key for key in members if key not in expected.value]
    for key, node in expected.value.items():
        inner = _below(path, key)
        if key in members:
            yield from differences(node, members[key], scalar, inner, is_partial=is_partial)
        else:
            what = f"{inner} is missing, expected {shown(node.plain(scalar))}"
            yield Problem(what, node.named_at, did_you_mean(key, unexpected))
    if not is_partial:
        for key in unexpected:
            yield Problem(f"{_below(path, key)} is {shown(members[key])}, expected nothing", expected.named_at)


def _in_list(
    expected: Node,
    found: list[Any] | tuple[Any, ...],
    scalar: Callable[[Node], Any],
    path: str,
    is_partial: bool,
) -> Iterator[Problem]:
    for index, node in enumerate(expected.value):
        inner = f"{path}.{index}"
        if index < len(found):
            yield from differences(node, found[index], scalar, inner, is_partial=is_partial)
        else:
            yield Problem(f"{inner} is missing, expected {shown(node.plain(scalar))}", node.where)
    for index in range(len(expected.value), len(found)):
        yield Problem(f"{path}.{index} is {shown(found[index])}, expected nothing", expected.named_at)


def _below(path: str, key: str) -> str:
    escaped = key.replace(".", "\\.")
    return f"{path}.{escaped}"


def _is_same(value: Any, found: Any) -> bool:
    if isinstance(value, bool) or isinstance(found, bool):
        return value is found
    return bool(value == found)


def _between_texts(path: str, expected: str, found: str) -> str:
    """Two texts that differ: as they are if they are short, from the difference on if not, or line by line."""
    if "\n" in expected or "\n" in found:
        # Not ndiff, which needs minutes for some hundred lines.
        compared = unified_diff(expected.split("\n"), found.split("\n"), n=1, lineterm="")
        lines = [f"    {_in_diff(line)}" for line in islice(compared, 2, None)]
        more = [f"    … and {len(lines) - MOST_LINES} lines more"] if len(lines) > MOST_LINES else []
        return "\n".join([f"{path} differs (- expected, + found):", *lines[:MOST_LINES], *more])
    if max(len(expected), len(found)) <= LONG:
        return f"{path} is {found!r}, expected {expected!r}"
    pairs = enumerate(zip(expected, found, strict=False))
    same = next((index for index, (one, other) in pairs if one != other), min(len(expected), len(found)))
    begin = max(same - 10, 0)
    parts = [f"{'…' if begin else ''}{text[begin : begin + LONG]!r}" for text in (found, expected)]
    return f"{path} differs from sign {same + 1} on: it is {parts[0]}, expected {parts[1]}"


def _in_diff(line: str) -> str:
    """A line in which nothing is hidden: neither blanks at its end nor signs that steer a terminal."""
    sign, text = line[0], line[1:]
    if sign == "@":
        return line
    return f"{sign} {text if text.isprintable() and text == text.rstrip() else repr(text)}"
