"""Painting: a prompt with what is typed behind it, in colours, as a terminal of some width and height shows it."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

_PROMPT, _CONTINUATION = ">>> ", "... "
_COLOURS: Final = {
    "prompt": "\x1b[1;32m",
    "keyword": "\x1b[1;34m",
    "builtin": "\x1b[36m",
    "text": "\x1b[33m",
    "number": "\x1b[35m",
    "comment": "\x1b[90m",
}
_PLAIN: Final = "\x1b[0m"
_BUILTINS = [name for name in dir(builtins) if not name.startswith("_") and not keyword.iskeyword(name)]
_STRING = r"""'{3}(?:\\.|[^\\])*?(?:'{3}|\Z)|'(?:\\.|[^\\'\n])*'?"""
_TOKENS = re.compile(
    rf"(?P<comment>#[^\n]*)|(?P<text>[rRbBfFuU]{{0,2}}(?:{_STRING}|{_STRING.replace(chr(39), chr(34))}))"
    rf"|(?P<number>\b\d[\w.]*)|(?P<keyword>\b(?:{'|'.join(keyword.kwlist)})\b)"
    rf"|(?P<builtin>(?<!\.)\b(?:{'|'.join(_BUILTINS)})\b)|\w+",
    re.DOTALL,
)
#: Longer texts are pasted ones, which nobody looks at character by character: they are shown without colours.
_LONGEST_COLOURED: Final = 20_000


@dataclass(frozen=True, slots=True)
class Size:
    """Columns and rows of a terminal."""

    width: int = 80
    height: int = 24

    @classmethod
    def of(cls, width: int, height: int) -> Size:
        """A size as a client tells it, who may not know it (0) or tell nonsense."""
        return cls(min(max(width, 20), 1000) if width else 80, min(max(height, 2), 1000) if height else 24)


class Painter:
    """Keeps what is typed on the screen as it is.

    Args:
        size: of the terminal.

    Example:
        >>> Painter(Size()).draw("", 0, is_coloured=False)
        '\\r\\x1b[J>>> '
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        #: How far below the first row that is shown the cursor stands.
        self._row = 0

    def draw(self, text: str, cursor: int, is_coloured: bool = True) -> str:
        """What the terminal has to be told so that it shows a text, with the cursor at its place."""
        rows, (row, column) = _rows(text, cursor, self.size.width, is_coloured)
        # What is higher than the screen could not be painted over: the part around the cursor is shown.
        first = max(0, min(row - self.size.height // 2, len(rows) - self.size.height))
        shown = rows[first : first + self.size.height]
        told = f"{self._to_top()}\r\x1b[J" + "\r\n".join(shown)
        self._row = row - first
        if up := len(shown) - 1 - self._row:
            told += f"\x1b[{up}A"
        if up or cursor < len(text):
            told += "\r" + (f"\x1b[{column}C" if column else "")
        return told

    def leave(self) -> str:
        """What the terminal has to be told so that the next line begins below what is shown; drawn at its end."""
        self._row = 0
        return "\r\n"

    def resize(self, size: Size) -> None:
        """Take another size; whatever the terminal has made of the former rows, the next drawing begins at the top."""
        self.size = size

    def clear(self) -> str:
        """What the terminal has to be told so that it is empty."""
        self._row = 0
        return "\x1b[H\x1b[2J"

    def _to_top(self) -> str:
        return f"\x1b[{self._row}A" if self._row else ""


def _rows(text: str, cursor: int, width: int, is_coloured: bool) -> tuple[list[str], tuple[int, int]]:
    """The rows of a text behind its prompts, and the row and column of the cursor."""
    rows, place = [], (0, 0)
    row, column = _prompt(_PROMPT, is_coloured), len(_PROMPT)
    colour = ""
    for index, (each, wanted) in enumerate(_coloured(text, is_coloured)):
        cells = _cells(each)
        if column + cells > width:
            rows.append(row + (_PLAIN if colour else ""))
            row, column, colour = "", 0, ""
        if index == cursor:
            place = len(rows), column
        if each == "\n":
            rows.append(row + (_PLAIN if colour else ""))
            row, column, colour = _prompt(_CONTINUATION, is_coloured), len(_CONTINUATION), ""
            continue
        if wanted != colour:
            row += (_PLAIN if colour else "") + wanted
            colour = wanted
        row, column = row + each, column + cells
    rows.append(row + (_PLAIN if colour else ""))
    if cursor == len(text):
        if column == width:  # there the terminal would wait at the edge
            rows.append("")
            column = 0
        place = len(rows) - 1, column
    return rows, place


def _prompt(text: str, is_coloured: bool) -> str:
    return f"{_COLOURS['prompt']}{text}{_PLAIN}" if is_coloured else text


def _coloured(text: str, is_coloured: bool) -> Iterator[tuple[str, str]]:
    """Each character with its colour."""
    if not is_coloured or len(text) > _LONGEST_COLOURED:
        yield from ((each, "") for each in text)
        return
    end = 0
    for token in _TOKENS.finditer(text):
        yield from ((each, "") for each in text[end : token.start()])
        colour = _COLOURS.get(token.lastgroup or "", "")
        yield from ((each, colour) for each in token[0])
        end = token.end()
    yield from ((each, "") for each in text[end:])


def _cells(character: str) -> int:
    """How many columns a character takes. Source: UAX #11, and ECMA-48 for what combines with the one before."""
    if character < "\x7f":
        return 0 if character == "\n" else 1
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def columns(names: Iterable[str], width: int) -> str:
    """Names side by side, as many as fit.

    Example:
        >>> columns(["a", "bb", "c"], 8)
        'a   bb\\nc'
    """
    names = list(names)
    widest = max(map(len, names)) + 2
    across = max(width // widest, 1)
    lines = [names[at : at + across] for at in range(0, len(names), across)]
    return "\n".join("".join(name.ljust(widest) for name in line).rstrip() for line in lines)
