"""Splitting bytes into lines."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from piped.lines.splitting import TOO_LONG, LineSplitter, TooLong

#: Few letters in short pieces, so that delimiters, and what only begins like one, often are cut.
PIECES = st.lists(st.text("ab", max_size=4).map(str.encode), max_size=12)
DELIMITERS = st.text("ab", min_size=1, max_size=3).map(str.encode)


def lines_of(pieces: list[bytes], delimiter: bytes, max_length: int) -> list[bytes | TooLong]:
    splitter = LineSplitter(delimiter, max_length)
    lines = [line for piece in pieces for line in splitter.split(piece)]
    return lines + splitter.finish()


@settings(deadline=None)
@given(PIECES, DELIMITERS, st.integers(0, 9))
@example([b"a", b"b"], b"ab", 9)
@example([b"xa", b"b"], b"ab", 1)
@example([b"xxx", b"a", b"bx"], b"ab", 1)
def test_lines_do_not_depend_on_how_the_bytes_come(pieces: list[bytes], delimiter: bytes, max_length: int) -> None:
    """However a pipe cuts what was written: the same lines come out, with the same ones dropped."""
    *complete, last = b"".join(pieces).split(delimiter)
    expected = [line if len(line) <= max_length else TOO_LONG for line in [*complete, *([last] if last else [])]]
    assert lines_of(pieces, delimiter, max_length) == expected


def test_empty_lines_count_and_an_empty_rest_does_not() -> None:
    """Two delimiters in a row are an empty line between; nothing behind the last one is no line."""
    assert lines_of([b"a\n\nb\n"], b"\n", 10) == [b"a", b"", b"b"]
    assert lines_of([], b"\n", 10) == []


def test_a_line_that_is_too_long_is_told_before_it_ends() -> None:
    """Once it is too long that is told, and then it is only waited for its end."""
    splitter = LineSplitter(b"\n", 3)
    assert splitter.split(b"abc") == []
    assert splitter.split(b"d") == [TOO_LONG]
    assert splitter.split(b"efg") == []
    assert splitter.split(b"h\nok\n") == [b"ok"]


def test_a_line_without_end_takes_no_memory() -> None:
    """A program that never writes a delimiter does not fill the memory."""
    splitter = LineSplitter(b"\r\n", 100)
    piece = b"x" * 10_000
    splitter.split(piece)
    tracemalloc.start()
    try:
        for _ in range(300):
            splitter.split(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(piece)
    assert splitter.split(b"\r\nnext\r\n") == [b"next"]


def test_the_next_bytes_begin_anew_after_the_end() -> None:
    """What one run of a program left behind does not run into what the next one says."""
    splitter = LineSplitter(b"\n", 3)
    splitter.split(b"too long")
    assert splitter.finish() == []
    assert splitter.split(b"new\n") == [b"new"]
    assert splitter.finish() == []


def test_a_delimiter_is_needed() -> None:
    """Nothing can be cut at nothing."""
    with pytest.raises(ValueError, match="empty"):
        LineSplitter(b"", 10)
