"""Line: what is typed, moved in, deleted, and typed before."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import piped_manhole.line
from piped_manhole.line import MOST_HISTORY, Line


def typed(text: str) -> Line:
    """A line with the cursor where `|` stands."""
    line = Line()
    line.insert(text.replace("|", ""))
    line.cursor = text.index("|") if "|" in text else len(text)
    return line


def shown(line: Line) -> str:
    return f"{line.text[: line.cursor]}|{line.text[line.cursor :]}"


def test_the_example_runs() -> None:
    """What the docstring shows is what happens."""
    assert doctest.testmod(piped_manhole.line).failed == 0


@pytest.mark.parametrize(
    ("before", "key", "after"),
    [
        ("ab|", "left", "a|b"),
        ("|ab", "left", "|ab"),
        ("ab|", "right", "ab|"),
        ("ab\ncd|e", "home", "ab\n|cde"),
        ("a|b\ncd", "end", "ab|\ncd"),
        ("ab\ncd|e", "up", "ab|\ncde"),
        ("a\nbcd|", "up", "a|\nbcd"),
        ("abc|\nd", "down", "abc\nd|"),
        ("one.two|", "previous_word", "one.|two"),
        ("|one.two", "next_word", "one|.two"),
        ("one.two |", "delete_word", "one.|"),
        ("one |two\nx", "delete_to_end", "one |\nx"),
        ("y\none |two", "delete_to_home", "y\n|two"),
        ("a|b", "delete", "a|"),
        ("ab|", "delete", "ab|"),
        ("ab|", "backspace", "a|"),
        ("|ab", "backspace", "|ab"),
        ("if a:\n      |", "backspace", "if a:\n    |"),
        ("if a:\n    |", "backspace", "if a:\n|"),
        ("a\n|b", "backspace", "a|b"),
    ],
)
def test_keys_do_what_they_do_at_other_prompts(before: str, key: str, after: str) -> None:
    """In a text of several lines too."""
    line = typed(before)
    getattr(line, key)()
    assert shown(line) == after


def test_what_was_typed_comes_back() -> None:
    """With the arrows, whole blocks at a time; what was just being typed is not lost meanwhile."""
    line = Line()
    for text in ("first", "for x in y:\n    z", "for x in y:\n    z", "  "):
        line.insert(text)
        assert line.take() == text
    line.insert("new")
    seen = []
    for key in "uuuuddddd":
        (line.up if key == "u" else line.down)()
        seen.append(shown(line))
    block, above = "for x in y:\n    z|", "for x| in y:\n    z"
    assert seen[:3] == [block, above, "first|"]
    assert seen[-1] == "new|"


def test_what_cannot_be_seen_is_not_typed() -> None:
    """Control characters of a paste would be executed by nobody, but do harm on the screen."""
    line = Line()
    line.insert("a\x1b[2J\x07\tb\nc")
    assert line.text == "a[2J    b\nc"


def test_everything_has_a_bound() -> None:
    """A text, and all that is remembered."""
    line = Line()
    for n in range(6):
        line.insert(f"{n}" * 1_100_000)
        assert len(line.text) == 1_000_000
        line.take()
    assert sum(map(len, line._history)) <= MOST_HISTORY


KEYS = ["left", "right", "home", "end", "up", "down", "backspace", "delete", "delete_word", "delete_to_end", "x", "\n"]


@given(st.lists(st.sampled_from(KEYS)))
def test_the_cursor_is_always_within(keys: list[str]) -> None:
    """Whatever is pressed."""
    line = Line()
    for key in keys:
        getattr(line, key, lambda key=key: line.insert(key))()
        assert 0 <= line.cursor <= len(line.text)
