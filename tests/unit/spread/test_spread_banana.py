"""Tests of expressions in a stream."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.spread import banana

from piped.spread.banana import DEEPEST, Decoder, Unreadable, encoded

VOCABULARY = banana.Banana.incomingVocabulary
SYMBOLS = banana.Banana.outgoingVocabulary
ATOMS = st.one_of(
    st.integers(-(2**448) + 1, 2**448 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=200),
    st.sampled_from(sorted(SYMBOLS)),
)
EXPRESSIONS = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=5), max_leaves=30)


def read(data: bytes, *, most: int = 1 << 20, pieces: int = 0) -> list[Any]:
    decoder = Decoder(VOCABULARY, most)
    size = pieces or len(data) or 1
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    return [expression for chunk in chunks for expression in decoder.feed(chunk)]


@given(st.lists(EXPRESSIONS, max_size=4), st.integers(1, 40))
def test_what_is_encoded_is_read_however_it_is_cut(expressions: list[Any], pieces: int) -> None:
    """Expressions arrive as they were sent, in whatever pieces the network carries them."""
    data = b"".join(encoded(expression, SYMBOLS) for expression in expressions)
    assert read(data, pieces=pieces) == expressions


@given(EXPRESSIONS)
def test_twisted_reads_what_is_encoded_and_the_other_way_round(expression: Any) -> None:
    """The stream is the one that Twisted speaks, in both directions."""
    assert banana.decode(encoded(expression, {})) == expression
    assert read(banana.encode(expression)) == [expression]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x01" * 70, "a number of more than 448 binary digits"),
        (encoded(2**460, {}), "a number of more than 448"),
        (bytes.fromhex("7f7f7f7f82"), "a text of 268435455 bytes"),
        (bytes.fromhex("7f7f7f7f80"), "a list of 268435455 members"),
        (bytes.fromhex("0180") * (DEEPEST + 1), "lists in lists"),
        (bytes.fromhex("7f87"), "the word number 127"),
        (b"\x01\x88", "the byte 0x88"),
        (b"\x01\xff", "the byte 0xff"),
    ],
)
def test_what_breaks_the_rules_or_the_bounds_is_refused(data: bytes, what: str) -> None:
    """A broken or oversized stream is refused before anything of that size is kept."""
    with pytest.raises(Unreadable, match=what):
        read(data)


def test_an_expression_is_bounded_by_what_its_members_cost() -> None:
    """Thirty thousand empty lists in sixty thousand bytes cost a megabyte, and count as that."""
    data = encoded([[]] * 30_000, {})
    assert len(data) < 64 * 1024
    with pytest.raises(Unreadable, match="an expression of more than 65536 bytes"):
        read(data, most=64 * 1024)
    with pytest.raises(Unreadable, match="an expression of more than 65536 bytes"):
        read(encoded([[[]] * 900 for _ in range(30)], {}), most=64 * 1024)
    with pytest.raises(Unreadable, match="an expression of more than 65504 bytes"):
        read(encoded([0] * 2047, {})[:-1] + encoded([], {}), most=64 * 1024 - 32)
    assert len(read(data, most=1 << 20)[0]) == 30_000


def test_each_expression_has_the_bound_for_itself() -> None:
    """A long conversation is not one large expression."""
    assert len(read(encoded([b"x" * 500], {}) * 100, most=1000)) == 100


def test_a_text_that_dribbles_in_costs_no_more_than_its_length() -> None:
    """Half a megabyte that comes byte by byte is not copied for each of them."""
    data = encoded(b"x" * 600_000, {})
    began = time.process_time()
    assert read(data, pieces=1) == [b"x" * 600_000]
    assert time.process_time() - began < 5


def test_what_is_no_expression_cannot_be_sent() -> None:
    """A text or an object is refused, and nothing of it is sent."""
    with pytest.raises(TypeError, match="str cannot be sent"):
        encoded(["text"], {})
