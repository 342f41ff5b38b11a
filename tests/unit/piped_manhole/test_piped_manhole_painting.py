"""Painting: what a terminal shows, checked on a small terminal that does what it is told."""

from __future__ import annotations

import doctest
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import piped_manhole.painting
from piped_manhole.painting import Painter, Size

_TOLD = re.compile(r"\x1b\[([\d;]*)([A-Za-z])|(.)", re.DOTALL)


class Screen:
    """A terminal that knows what Painter uses; as on real ones, a full row waits at its edge."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.rows = [""]
        self.row = self.column = 0

    def tell(self, text: str) -> None:
        for number, control, character in _TOLD.findall(text):
            if control == "A":
                assert int(number) <= self.row, "it would leave the screen"
                self.row -= int(number)
            elif control == "C":
                self.column += int(number)
            elif control == "J":
                self.rows[self.row :] = [self.rows[self.row][: self.column]]
            elif character == "\r":
                self.column = 0
            elif character == "\n":
                self.row += 1
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif character:
                assert self.column < self.size.width, "it would wrap by itself"
                row = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
                self.column += 1
        assert len(self.rows) <= self.size.height


def test_the_examples_run() -> None:
    """What the docstrings show is what happens."""
    assert doctest.testmod(piped_manhole.painting).failed == 0


TEXTS = st.text("ab(: '\"#\\\n3", max_size=60)


@given(st.lists(st.tuples(TEXTS, st.floats(0, 1)), min_size=1), st.integers(20, 40), st.booleans())
def test_the_screen_shows_the_last_text(drawn: list[tuple[str, float]], width: int, is_coloured: bool) -> None:
    """However the texts before it were, and wherever the cursor stands, each is painted over completely."""
    size = Size(width, 100)
    screen, painter = Screen(size), Painter(size)
    for text, place in drawn:
        cursor = round(place * len(text))
        screen.tell(painter.draw(text, cursor, is_coloured))
        lines = [f"{prompt}{line}" for prompt, line in zip(_prompts(), text.split("\n"), strict=False)]
        wanted = [line[at : at + width] for line in lines for at in range(0, max(len(line), 1), width)]
        assert [row.rstrip() for row in screen.rows if row] == [row.rstrip() for row in wanted]
        before = text[:cursor].split("\n")
        at = 4 + len(before[-1])
        is_at_edge = at % width == 0 and cursor < len(text) and text[cursor] == "\n"
        assert screen.column == (width if is_at_edge else at % width)


def _prompts() -> list[str]:
    return [">>> "] + ["... "] * 100


def test_what_is_higher_than_the_screen_stays_on_it() -> None:
    """The part around the cursor is shown, and nothing scrolls away."""
    size = Size(40, 10)
    screen, painter = Screen(size), Painter(size)
    text = "\n".join(f"line {n}" for n in range(50))
    for cursor in (0, len(text), text.index("line 25"), 3):
        screen.tell(painter.draw(text, cursor, False))
        line = text[:cursor].count("\n")
        assert screen.rows[screen.row].endswith(f"line {line}")


@pytest.mark.parametrize(("told", "size"), [((0, 0), (80, 24)), ((1, 1), (20, 2)), ((2**31, 2**31), (1000, 1000))])
def test_nonsense_is_no_size(told: tuple[int, int], size: tuple[int, int]) -> None:
    """Clients may not know their size, or lie about it."""
    assert Size.of(*told) == Size(*size)


def test_a_row_that_is_full_is_left() -> None:
    """There a terminal waits at its edge, and says so of the cursor in ways of its own."""
    assert Painter(Size(20)).draw("x" * 16, 16, False).endswith("x\r\n")


def test_python_is_coloured() -> None:
    """Keywords, strings, numbers and comments differ; names do not."""
    drawn = Painter(Size(200)).draw("for x in 'a b': # c", 0)
    for part in ("\x1b[1;34mfor\x1b[0m x ", "\x1b[33m'a b'\x1b[0m", "\x1b[90m# c\x1b[0m"):
        assert part in drawn


def test_wide_letters_take_two_columns() -> None:
    """The cursor stands behind them, and not within."""
    painter = Painter(Size(40))
    assert painter.draw("漢字a", 2, False).endswith("\r\x1b[8C")
    assert painter.draw("e\u0301a", 2, False).endswith("\r\x1b[5C")
