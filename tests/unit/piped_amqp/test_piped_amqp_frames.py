"""Tests of messages as bytes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties, spec
from pika.connection import Connection

from piped_amqp.frames import Frames


class PikasOwn:
    """What pika writes for a message, with as many bytes in a frame as it is told."""

    def __init__(self, longest: int) -> None:
        self._body_max_length = longest
        self.written: list[bytes] = []

    def _output_marshaled_frames(self, frames: Any) -> None:
        self.written += frames

    def of(self, exchange: str, key: str, body: bytes, properties: BasicProperties, mandatory: bool) -> bytes:
        self.written = []
        method = spec.Basic.Publish(exchange=exchange, routing_key=key, mandatory=mandatory)
        Connection._send_message(self, 3, method, (properties, body))
        return b"".join(self.written)


SHORT = st.text(max_size=20)
PROPERTIES = st.builds(
    BasicProperties,
    content_type=st.none() | SHORT,
    headers=st.none() | st.dictionaries(SHORT, SHORT | st.integers(-(2**31), 2**31) | st.booleans() | st.none()),
    delivery_mode=st.none() | st.sampled_from([1, 2]),
    priority=st.none() | st.integers(0, 255),
    message_id=st.none() | SHORT,
)


@given(SHORT, SHORT, st.binary(max_size=50), PROPERTIES, st.booleans(), st.integers(1, 60))
def test_a_message_is_written_as_pika_writes_it(
    exchange: str, key: str, body: bytes, properties: BasicProperties, mandatory: bool, longest: int
) -> None:
    """Byte for byte, in as many frames; also the second time, when a part is not made anew."""
    frames, expected = Frames(3, longest), PikasOwn(longest).of(exchange, key, body, properties, mandatory)
    for _ in range(2):
        assert frames.of(exchange, key, body, properties, mandatory) == expected


def test_what_is_kept_for_routing_keys_is_bounded() -> None:
    """Keys may come from anywhere."""
    frames = Frames(1, 100)
    for number in range(1000):
        frames.of("", str(number), b"", BasicProperties(), True)
    assert len(frames._methods) <= 256


def test_pika_still_has_what_is_used_of_it() -> None:
    """Names that pika does not promise to keep; another version may have others."""
    assert {"_output_marshaled_frames", "_send_message"} <= set(dir(Connection))
    made = Connection._init_connection_state.__code__.co_names + Connection.__init__.__code__.co_names
    assert "_body_max_length" in made
