"""Keyboard: keys and text, in whatever pieces they come."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import piped_manhole.keyboard
from piped_manhole.keyboard import Key, Keyboard


def heard(*pieces: bytes) -> list[Key]:
    keyboard = Keyboard()
    return [key for piece in pieces for key in keyboard.feed(piece)]


def test_the_example_runs() -> None:
    """What the docstring shows is what happens."""
    assert doctest.testmod(piped_manhole.keyboard).failed == 0


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"print\r", [("text", "print"), ("enter", "")]),
        ("é☃".encode(), [("text", "é☃")]),
        (b"\x1b[A\x1bOB\x1b[1;5C", [("up", ""), ("down", ""), ("next word", "")]),
        (b"\x7f\x03\x04\t", [("backspace", ""), ("interrupt", ""), ("end of input", ""), ("tab", "")]),
        (b"\x1b[99~a\x1b[5;6;7Rb\x1bOzc\x1bqd", [("text", each) for each in "abcd"]),
        (b"\x1b[200~a\r\n\tb\x1b[A\x03\x1b[201~c", [("paste", "a\n\tb\x1b[A\x03"), ("text", "c")]),
        (b"\xff\xfeok", [("text", "\ufffd\ufffdok")]),
        (b"\x00\x1f\x80", [("text", "\ufffd")]),
    ],
)
def test_keys_have_names(data: bytes, keys: list[Key]) -> None:
    """Arrows in both forms, ctrl with a letter, pastes as a whole; what is no key is left out."""
    assert heard(data) == keys


@given(st.data())
def test_how_they_are_cut_does_not_matter(data: st.DataObject) -> None:
    """Networks cut where they like, also within a letter or a key."""
    whole = data.draw(
        st.lists(st.sampled_from(["a", "é☃", "\x1b[A", "\x1bOH", "\x1b[3~", "\r", "\x1b[200~x\ry\x1b[201~"])).map(
            "".join
        )
    ).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    def joined(keys: list[Key]) -> list[Key]:
        together: list[Key] = []
        for name, text in keys:
            if name == "text" and together and together[-1][0] == "text":
                text = together.pop()[1] + text
            together.append((name, text))
        return together

    assert joined(heard(*pieces)) == joined(heard(whole))


@given(st.lists(st.binary(max_size=200)))
def test_junk_is_survived_and_not_kept(pieces: list[bytes]) -> None:
    """Whatever comes: nothing fails, and what is kept for later stays small."""
    keyboard = Keyboard()
    for piece in pieces:
        list(keyboard.feed(piece))
        assert len(keyboard._rest) <= 32


def test_a_sequence_that_never_ends_is_given_up() -> None:
    """It is not gathered for ever, and what is typed behind it is heard."""
    keyboard = Keyboard()
    assert list(keyboard.feed(b"\x1b[" + b"1;" * 1000)) == []
    assert keyboard._rest == ""
    assert list(keyboard.feed(b"a")) == [("text", "a")]


def test_a_paste_has_a_bound() -> None:
    """What is beyond it is dropped while it comes, and not gathered."""
    keyboard = Keyboard()
    assert list(keyboard.feed(b"\x1b[200~")) == []
    for _ in range(100):
        assert list(keyboard.feed(b"x" * 30_000)) == []
    [(name, text)] = keyboard.feed(b"\x1b[201~")
    assert (name, len(text)) == ("paste", 1_000_000)
    assert list(keyboard.feed(b"\x1b[200~again\x1b[201~")) == [("paste", "again")]
