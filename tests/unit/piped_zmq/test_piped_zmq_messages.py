"""Tests of what is sent, and of what pipelines get."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piped_zmq.messages import MessageError, content_of, frames_of, opened, reply_in


def test_bytes_are_sent_unchanged_and_texts_in_utf_8():
    """Numbers as text, lists as parts."""
    assert frames_of(b"\xff") == [b"\xff"]
    assert frames_of("né") == ["né".encode()]
    assert frames_of([b"a", "b", 1, 2.5, bytearray(b"c")]) == [b"a", b"b", b"1", b"2.5", b"c"]


def test_what_may_change_is_sent_as_it_was():
    """A message may wait, while whoever made it uses its memory for the next one; parts of memory are sent too."""
    text = bytearray(b"abcd")
    frames = frames_of([text, memoryview(text)[::2]])
    text[:] = b"wxyz"
    assert frames == [b"abcd", b"ac"]


@pytest.mark.parametrize("value", [None, {"a": 1}, True, [], [[b"a"]], object()])
def test_what_is_no_message_is_told(value: object):
    """Nobody receives the text form of a mapping by mistake."""
    with pytest.raises(TypeError, match=r"encode-json|at least one part"):
        frames_of(value)


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=6))
def test_an_envelope_and_its_content_are_the_message(parts: list[bytes]):
    """Nothing is lost, and the identity is always in the envelope."""
    envelope, content = opened(parts)
    assert envelope + content == parts
    assert envelope[0] == parts[0]
    assert len(envelope) == 1 or envelope[1:] == [b""]


def test_several_parts_are_never_cut():
    """Without multipart they are an error that says what to write."""
    assert content_of([b"a"], is_multipart=False) == b"a"
    assert content_of([b"a"], is_multipart=True) == [b"a"]
    with pytest.raises(MessageError, match=r"2 parts came(.|\n)*multipart: true"):
        content_of([b"a", b"b"], is_multipart=False)


def test_the_last_reply_counts():
    """Batons without one are passed over."""
    assert reply_in([{"reply": 1}, {"reply": 2}, {"other": 3}, b"raw"]) == 2
    assert reply_in([{}, None]) is None
