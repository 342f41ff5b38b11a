"""Says in plain words why a text is no YAML."""

from __future__ import annotations

import re

import yaml
from yaml.reader import Reader

from piped.ground.errors import Mark, Problem

_SECOND_COLON = re.compile(r":\s")


def explain(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """What is wrong at the place where the parser gave up, told from the text that stands there."""
    place = _Place(text, file, error)
    for look in (
        _tab,
        _substitution,
        _bracket,
        _escape,
        _quote,
        _end,
        _first_sign,
        _colon,
        _dash,
        _no_colon,
        _indentation,
    ):
        if problem := look(place):
            return problem
    fix = "look at the quotes, brackets and colons just before this place"
    return Problem(f"this is no YAML: {error.problem}", place.where, fix)


def explain_unreadable(text: str, file: str) -> Problem:
    """Which sign of a text may not stand in any YAML."""
    found = Reader.NON_PRINTABLE.search(text)
    at = found.start() if found else 0
    where = Mark(file, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
    sign = f"U+{ord(text[at]):04X}" if found else "a sign"
    return Problem(
        f"the control character {sign} cannot stand in YAML",
        where,
        'remove it; inside double quotes it can be written as an escape, such as "\\x07"',
    )


class _Place:
    """Where the parser gave up (`line`, `column`), and what it was reading then (`opened`, a sign of the text)."""

    def __init__(self, text: str, file: str, error: yaml.MarkedYAMLError) -> None:
        self.lines, self.file = text.splitlines(), file
        mark, context = error.problem_mark, error.context_mark
        self.where = self._mark(mark.line, mark.column) if mark else Mark(file, 1, 1)
        self.line = self._line(self.where)
        self.before, self.sign = self.line[: self.where.column - 1], self.line[self.where.column - 1 :][:1]
        self.opened_where = self._mark(context.line, context.column) if context else None
        self.opened = self._line(self.opened_where)[self.opened_where.column - 1 :][:1] if self.opened_where else ""
        self.is_scanning = isinstance(error, yaml.scanner.ScannerError)

    def _mark(self, line: int, column: int) -> Mark:
        return Mark(self.file, line + 1, column + 1)

    def _line(self, where: Mark) -> str:
        return self.lines[where.line - 1] if where.line <= len(self.lines) else ""


def _tab(place: _Place) -> Problem | None:
    start = place.before + place.sign
    if "\t" in start and not start.strip():
        return Problem("this line is indented with a tab", place.where, "indent with blanks: YAML takes no tabs there")
    return None


def _substitution(place: _Place) -> Problem | None:
    if place.opened and place.opened in "[{" and place.before.endswith("$") and place.sign == "{":
        what = f"'${{' has a meaning of its own inside {place.opened}"
        return Problem(what, place.where, 'put the text in quotes, "${NAME}", or write it on a line of its own')
    return None


def _bracket(place: _Place) -> Problem | None:
    if not place.opened or place.opened not in "[{":
        return None
    closing = "]" if place.opened == "[" else "}"
    what = f"the {place.opened!r} that opens here is not closed, or a comma is missing"
    fix = f"a ',' or {closing!r} is needed before line {place.where.line}, column {place.where.column}"
    return Problem(what, place.opened_where, fix)


def _escape(place: _Place) -> Problem | None:
    # libyaml points at the backslash, the parser in Python at the sign behind it.
    at = len(place.before) - (place.sign != "\\")
    if place.opened == '"' and place.line[at : at + 1] == "\\":
        fix = "write \\\\ for a backslash, or use single quotes"
        return Problem(f"{place.line[at : at + 2]} means nothing inside double quotes", place.where, fix)
    return None


def _quote(place: _Place) -> Problem | None:
    if place.opened and place.opened in "\"'":
        fix = f"write the closing {place.opened} at the end of the text"
        return Problem(f"the quote {place.opened} that opens here is never closed", place.opened_where, fix)
    return None


def _end(place: _Place) -> Problem | None:
    if place.where.line > len(place.lines) and place.opened_where in (None, place.where):
        what = "the text ends inside of '[' or '{', which is not closed"
        return Problem(what, place.where, "write the missing ']' or '}'")
    return None


def _first_sign(place: _Place) -> Problem | None:
    if place.sign and place.sign in "@`%":
        return Problem(f"a text cannot begin with {place.sign!r}", place.where, "put the text in quotes")
    if place.opened == "!":
        fix = "write a blank behind it, before ',' and ']' too; a text that begins with '!' needs quotes"
        return Problem("the tag that begins here does not end with a blank", place.opened_where, fix)
    if place.opened and place.opened in "*&|>%":
        what = f"{place.opened!r} has a meaning of its own at the start of a value"
        return Problem(what, place.opened_where, "put the text in quotes")
    if place.sign and place.sign in ",]}":
        what = f"{place.sign!r} stands where a value is expected"
        return Problem(what, place.where, "write the value, or put a text that begins so in quotes")
    return None


def _colon(place: _Place) -> Problem | None:
    if place.sign != ":":
        return None
    if _SECOND_COLON.search(place.before):
        fix = "put the value in quotes, or write what belongs below it on lines of its own"
        return Problem("a second ':' stands in this line", place.where, fix)
    what = "a name cannot stand here: the line above has its value already, or lacks its ':'"
    return Problem(what, place.where, "indent this line like the names it belongs with")


def _dash(place: _Place) -> Problem | None:
    if place.sign != "-":
        return None
    if place.before.strip():
        return Problem("a list cannot begin behind a name", place.where, "write '- ...' on a line of its own")
    return Problem("a list item stands among names", place.where, "indent it below the name it belongs to")


def _no_colon(place: _Place) -> Problem | None:
    if place.is_scanning and place.opened:
        return Problem("this line has no ':' behind its name", place.opened_where, "write 'name: value'")
    return None


def _indentation(place: _Place) -> Problem | None:
    if not place.opened_where:
        return None
    if place.before.strip():
        fix = "put the whole value in one pair of quotes; a ' inside single quotes is written ''"
        return Problem("something stands behind the end of the value", place.where, fix)
    what = "this line is indented like none of the lines above that it could belong to"
    line, blanks = place.opened_where.line, place.opened_where.column - 1
    return Problem(what, place.where, f"indent it like the line above it, or with {blanks} blanks like line {line}")
