"""Frames of the broker in memory: bytes cut up and put together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pika import BasicProperties, frame, spec

from piped_amqp.memory.frames import FRAME_MAX, Frames, content_frames, method_frame, properties_of
from piped_amqp.memory.refusals import Refusal


def encoded(properties: BasicProperties) -> bytes:
    return b"".join(properties.encode())


@settings(max_examples=40)
@given(st.binary(max_size=9000), st.sampled_from([4096, FRAME_MAX]), st.data())
def test_frames_are_found_however_the_bytes_are_split(body, frame_max, data):
    """A message that arrives in pieces is the message that was sent."""
    properties = encoded(BasicProperties(content_type="a", headers={"n": 1}))
    sent = content_frames(3, spec.Basic.Publish(exchange="e", routing_key="k"), properties, body, frame_max)
    frames, found = Frames(), []
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        found += frames.feed(sent[:size])
        sent = sent[size:]
    assert {channel for channel, _, _ in found} == {3}
    (_, method, _), (_, header, whole), *rest = found
    assert (method.method.exchange, method.method.routing_key) == ("e", "k")
    assert (header.body_size, header.properties.headers) == (len(body), {"n": 1})
    assert properties_of(whole) == properties
    assert b"".join(each.fragment for _, each, _ in rest) == body
    assert all(len(raw) <= frame_max for _, _, raw in found)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 501),
        (b"\x01\x00\x00\xff\xff\xff\xff", 501),
        (method_frame(1, spec.Channel.Open())[:-1] + b"\x00", 501),
        (frame.Body(1, b"").marshal().replace(b"\x03", b"\x07", 1), 501),
        (b"\x01\x00\x01\x00\x00\x00\x04\xff\xff\xff\xff\xce", 502),
        (b"\x02\x00\x01\x00\x00\x00\x02\x00\x3c\xce", 502),
        (method_frame(1, spec.Basic.Publish(exchange=b"\xff")), 502),
        (method_frame(1, spec.Queue.Declare(arguments={b"\xff": 1})), 502),
    ],
)
def test_what_cannot_be_read_is_refused(sent, code):
    """Each kind of malformed bytes has its code, which ends the connection."""
    with pytest.raises(Refusal) as raised:
        list(Frames().feed(sent))
    assert (raised.value.code, raised.value.ends_connection) == (code, True)


def test_tables_without_end_are_refused():
    """A table within a table, thousands of times, is no reason to fall over."""
    depth = 15_000
    table = b""
    for _ in range(depth):
        table = b"\x01aF" + len(table).to_bytes(4, "big") + table
    header = b"\x00\x3c\x00\x00" + bytes(8) + b"\x20\x00" + len(table).to_bytes(4, "big") + table
    sent = b"\x02\x00\x01" + len(header).to_bytes(4, "big") + header + b"\xce"
    with pytest.raises(Refusal):
        list(Frames().feed(sent))
