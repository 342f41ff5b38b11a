"""Docstring -> summary, description, texts of the parameters, examples and source."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import cleandoc
from itertools import takewhile
from textwrap import dedent

_SECTION = re.compile(r"(Args|Arguments|Attributes|Raises|Returns|Yields|Examples?|Source):(?:\s+(\S.*))?$")
_ENTRY = re.compile(r"\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*(.*)$")
_FIELD = re.compile(r":(\w+)(?:\s+[^:]*?)??(?:\s+\*{0,2}(\w+))?:\s*(.*)$")
_PARAMETER_FIELDS = {"param", "parameter", "arg", "argument", "key", "keyword"}


@dataclass(slots=True)
class Docstring:
    """What a docstring says, by its parts; what it doesn't say is empty."""

    summary: str = ""
    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    #: What is raised, and when.
    raises: dict[str, str] = field(default_factory=dict)
    #: The blocks under `Example:`, without their indentation.
    examples: list[str] = field(default_factory=list)
    source: str = ""


def read_docstring(text: str | None) -> Docstring:
    """The parts of a docstring in Google's form (`Args:`) or Sphinx's (`:param x:`); both may be mixed.

    Example:
        >>> read_docstring("Wait.\\n\\nArgs:\\n    delay: how long.").parameters
        {'delay': 'how long.'}
    """
    found = Docstring()
    lines = cleandoc(text or "").split("\n")
    prose: list[str] = []
    while lines:
        line = lines.pop(0)
        if section := _SECTION.match(line):
            body = _take(lines, lambda below: not below or below[0].isspace())
            _read_section(section[1], section[2] or "", body, found)
        elif entry := _FIELD.match(line):
            more = _take(lines, lambda below: bool(below) and below[0].isspace())
            _read_field(entry[1], entry[2], _joined([entry[3], *more]), found)
        else:
            prose.append(line)
    paragraphs = re.split(r"\n{2,}", "\n".join(prose).strip("\n"))
    found.summary = _joined(paragraphs[0].split("\n"))
    found.description = "\n\n".join(paragraphs[1:]).strip("\n")
    return found


def _take(lines: list[str], belongs: Callable[[str], bool]) -> list[str]:
    """Take the lines off the front that belong to what stands above them."""
    taken = list(takewhile(belongs, lines))
    del lines[: len(taken)]
    return taken


def _read_section(name: str, beside: str, body: list[str], found: Docstring) -> None:
    block = dedent("\n".join(body)).strip("\n")
    if name in ("Args", "Arguments", "Attributes"):
        found.parameters.update(_entries(block))
    elif name == "Raises":
        found.raises.update(_entries(block))
    elif name in ("Example", "Examples"):
        found.examples.append(beside + block)
    elif name == "Source":
        found.source = _joined([beside, *body])


def _read_field(name: str, argument: str | None, text: str, found: Docstring) -> None:
    if argument and name in _PARAMETER_FIELDS:
        found.parameters[argument] = text
    elif argument and name in ("raises", "raise", "except", "exception"):
        found.raises[argument] = text


def _entries(block: str) -> dict[str, str]:
    """`name: text` for each entry of a block; what stands further in goes on with the text above."""
    entries: dict[str, list[str]] = {}
    text: list[str] = []
    for line in block.split("\n"):
        if entry := _ENTRY.match(line):
            text = entries.setdefault(entry[1], [])
            line = entry[2]
        text.append(line)
    return {name: _joined(lines) for name, lines in entries.items()}


def _joined(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
