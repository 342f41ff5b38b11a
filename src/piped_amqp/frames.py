"""Frames: a message as the bytes that publish it; what is the same for many messages is made once."""

from __future__ import annotations

from struct import Struct
from typing import Final

from pika import frame, spec

#: Of how many routing keys the frame is kept.
_MOST_KEPT: Final = 256
_FRAME: Final = Struct(">BHL")
_HEADER: Final = Struct(">HxxQ")
_END: Final = bytes((spec.FRAME_END,))


class Frames:
    """Writes the messages of one channel.

    Args:
        channel: its number.
        longest: the most bytes of a body in one frame, as the broker has it.
    """

    def __init__(self, channel: int, longest: int) -> None:
        self._channel, self._longest = channel, longest
        self._methods: dict[tuple[str, str, bool], bytes] = {}

    def of(
        self, exchange: str, routing_key: str, body: bytes, properties: spec.BasicProperties, mandatory: bool
    ) -> bytes:
        """The method, the header and the body of a message; raises as pika does for what has no place in AMQP."""
        key = (exchange, routing_key, mandatory)
        method = self._methods.get(key) or self._method(key)
        size, fields = len(body), b"".join(properties.encode())
        head = _FRAME.pack(spec.FRAME_HEADER, self._channel, 12 + len(fields))
        parts = [method, head, _HEADER.pack(spec.BasicProperties.INDEX, size), fields, _END]
        for start in range(0, size, self._longest):
            part = body if size <= self._longest else body[start : start + self._longest]
            parts += (_FRAME.pack(spec.FRAME_BODY, self._channel, len(part)), part, _END)
        return b"".join(parts)

    def _method(self, key: tuple[str, str, bool]) -> bytes:
        if len(self._methods) >= _MOST_KEPT:
            self._methods.clear()
        exchange, routing_key, mandatory = key
        method = spec.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
        marshalled: bytes = frame.Method(self._channel, method).marshal()
        self._methods[key] = marshalled
        return marshalled
