"""Frames of AMQP 0-9-1 out of bytes and back, by pika's codec."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from pika import frame, spec

from piped_amqp.memory.refusals import Refusal

#: The largest frame that is read or written; RabbitMQ's default.
FRAME_MAX = spec.FRAME_MAX_SIZE
#: What surrounds the payload of a frame.
_AROUND = spec.FRAME_HEADER_SIZE + spec.FRAME_END_SIZE
_KINDS = frozenset({spec.FRAME_METHOD, spec.FRAME_HEADER, spec.FRAME_BODY, spec.FRAME_HEARTBEAT})
#: Class, weight and size of the body, in front of the properties.
_BEFORE_PROPERTIES = 12


class Frames:
    """What has come from a client, cut into frames; holds back at most one that is not whole."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, frame.Frame, bytes]]:
        """Each frame that is whole now: its channel, pika's form of it, its bytes.

        Raises:
            Refusal: 501 or 502; what follows cannot be read.
        """
        data = self._rest + data if self._rest else data
        self._rest = b""
        start = 0
        while len(data) - start >= spec.FRAME_HEADER_SIZE:
            kind, channel, size = struct.unpack_from(">BHI", data, start)
            if kind not in _KINDS or size > FRAME_MAX - _AROUND:
                raise Refusal(spec.FRAME_ERROR, f"type {kind}, {size} bytes of payload: no frame, or too large a one")
            end = start + size + _AROUND
            if end > len(data):
                break
            whole = data[start:end]
            start = end
            yield channel, _decoded(whole), whole
        self._rest = data[start:]


def _decoded(whole: bytes) -> frame.Frame:
    if whole[-1] != spec.FRAME_END:
        raise Refusal(spec.FRAME_ERROR, "the frame has no end")
    try:
        found: Any = frame.decode_frame(whole)[1]
    except Exception as error:  # pika's codec lets out whatever malformed bytes lead it to, RecursionError included
        raise Refusal(spec.SYNTAX_ERROR, f"the frame cannot be decoded: {type(error).__name__}") from error
    if isinstance(found, frame.Method) and not isinstance(found.method, spec.Connection.StartOk):
        for field, value in vars(found.method).items():
            # A short string that is no UTF-8 stays bytes, and so does a name in a table.
            if isinstance(value, bytes) or (isinstance(value, dict) and any(isinstance(name, bytes) for name in value)):
                raise Refusal(spec.SYNTAX_ERROR, f"{found.method.NAME}: {field} is no UTF-8")
    return found  # type: ignore[no-any-return]  # pika says Any of what it decodes


def properties_of(header: bytes) -> bytes:
    """The properties in a header frame, as they were encoded."""
    return header[spec.FRAME_HEADER_SIZE + _BEFORE_PROPERTIES : -spec.FRAME_END_SIZE]


def method_frame(channel: int, method: Any) -> bytes:
    """One method as bytes."""
    return frame.Method(channel, method).marshal()


def content_frames(channel: int, method: Any, properties: bytes, body: bytes, frame_max: int) -> bytes:
    """A method that carries a message, with the message, as bytes; `properties` are encoded already."""
    header = struct.pack(">HxxQ", spec.BasicProperties.INDEX, len(body)) + properties
    pieces = [method_frame(channel, method), _framed(spec.FRAME_HEADER, channel, header)]
    most = frame_max - _AROUND
    pieces.extend(_framed(spec.FRAME_BODY, channel, body[start : start + most]) for start in range(0, len(body), most))
    return b"".join(pieces)


def _framed(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes((spec.FRAME_END,))
