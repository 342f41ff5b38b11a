"""Spec -> a page of the reference, and a line of the list of what exists."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from textwrap import fill
from typing import Any, get_args

from piped.ground.batons import BatonPath
from piped.spec.shapes import (
    fields_of,
    is_list,
    is_mapping,
    is_union,
    item_of,
    parted,
    words_of,
    written,
    written_shape,
)
from piped.spec.spec import NOTHING, Parameter, Spec


def list_line(name: str, spec: Spec, width: int = 32) -> str:
    """One line about it: its name, filled up to a width, and its summary."""
    return f"{name:<{width}} {spec.summary}".rstrip()


def processor_page(name: str, spec: Spec, columns: int | None = None) -> str:
    """What there is to know about a processor, in Markdown that reads well as it is.

    Args:
        columns: the width of a terminal, for which the options are listed instead of laid out in a table.
    """
    return _page(name, spec, _tables(name, spec, "", _table if columns is None else partial(_listing, columns=columns)))


def section_page(section: str, about: Spec, shape: Any, columns: int | None = None) -> str:
    """What there is to know about a section of the configuration, as `processor_page`.

    Args:
        about: of the provider that reads the section.
        shape: what stands in the section.
        columns: as there.
    """
    lay_out = _table if columns is None else partial(_listing, columns=columns)
    tables = [part for path, spec in _fields_in(shape, section) for part in _tables(path, spec, path, lay_out)]
    return _page(section, about, tables or [f"`{section}` must be {words_of(shape)}."])


def _page(title: str, about: Spec, tables: Iterable[str]) -> str:
    parts = [f"# {title}", about.summary, about.description, *tables]
    if about.source:
        parts.append(f"Source: {about.source}")
    if about.examples:
        parts += [
            "Example:",
            *("\n".join(f"    {line}".rstrip() for line in one.split("\n")) for one in about.examples),
        ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _tables(
    path: str, spec: Spec, heading: str, lay_out: Callable[[Sequence[Parameter]], str], above: tuple[str, ...] = ()
) -> Iterator[str]:
    """The options of a Spec, then those of the mappings that are written inside them."""
    if heading:
        yield f"## {heading}"
        yield spec.summary if above else ""
    if spec.parameters:
        yield lay_out(spec.parameters)
    if spec.takes_any:
        yield "Takes any further option."
    if not spec.parameters and not spec.takes_any:
        yield "No options."
    for parameter in spec.parameters:
        for inner_path, inner in _fields_in(parameter.annotation, f"{path}.{parameter.name}"):
            if inner.name not in above:  # else it stands above already, as it may contain itself
                yield from _tables(inner_path, inner, inner_path, lay_out, (*above, inner.name))


def _fields_in(shape: Any, path: str) -> Iterator[tuple[str, Spec]]:
    """The Specs of the mappings in a shape, each with the path at which one is written."""
    shape = parted(shape)[0]
    if fields := fields_of(shape):
        yield path, Spec.of(fields[0]).without(*fields[1])
    elif isinstance(told := written_shape(shape), dict):
        for key, inner in told.items():
            if key is not ...:
                yield from _fields_in(inner, f"{path}.{key}")
    elif told is not None:
        yield from _fields_in(told, path)
    elif is_union(shape):
        for member in get_args(shape):
            yield from _fields_in(member, path)
    elif is_mapping(shape) and get_args(shape):
        yield from _fields_in(get_args(shape)[1], f"{path}.<name>")
    elif is_list(shape):
        yield from _fields_in(item_of(shape), f"{path}[]")


def _table(parameters: Sequence[Parameter]) -> str:
    rows = [("option", "must be", "default", "meaning")]
    rows += [(f"`{one.name}`", words_of(one.annotation), default_of(one), one.text) for one in parameters]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    rows.insert(1, ("-" * widths[0], "-" * widths[1], "-" * widths[2], "-" * len("meaning")))
    return "\n".join(_row(row, widths) for row in rows)


def _listing(parameters: Sequence[Parameter], columns: int) -> str:
    """The options one below the other, in lines that are not wider than a terminal."""
    lines: list[str] = []
    for one in parameters:
        default = default_of(one)
        needs = default if one.required else f"default {default}"
        lines.append(fill(f"{one.name}: {words_of(one.annotation)}; {needs}", columns, subsequent_indent="  "))
        if one.text:
            lines.append(fill(one.text, columns, initial_indent="    ", subsequent_indent="    "))
    return "\n".join(lines)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One line of a table; the last cell may be as long as it likes."""
    cells = [cell.replace("|", "\\|") for cell in cells]
    return "| " + " | ".join([*map(str.ljust, cells, widths), cells[-1]]) + " |"


def default_of(parameter: Parameter) -> str:
    """The default as a person would write it."""
    default = parameter.default
    if default is NOTHING:
        return "required"
    if isinstance(default, str) and type(default) not in (str, BatonPath):  # a text that says what is done
        return str(default)
    return "see below" if dataclasses.is_dataclass(default) else written(default)
