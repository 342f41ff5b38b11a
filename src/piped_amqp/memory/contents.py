"""Contents: a publish, its header and its body, put together from the frames of a channel."""

from __future__ import annotations

from typing import NamedTuple

from pika import frame, spec

from piped_amqp.memory.frames import properties_of
from piped_amqp.memory.refusals import Refusal, precondition_failed

#: The largest body, in bytes; RabbitMQ's default.
BODY_MAX = 128 * 2**20


class Content(NamedTuple):
    """One message that has come as a whole."""

    method: spec.Basic.Publish
    properties: spec.BasicProperties
    encoded: bytes
    body: bytes


class _Part:
    """A message of which something is missing."""

    __slots__ = ("body", "header", "method", "missing", "whole")

    def __init__(self, method: spec.Basic.Publish) -> None:
        self.method = method
        self.header: frame.Header | None = None
        self.whole = b""
        self.missing = 0
        self.body: list[bytes] = []


class Contents:
    """What is on its way to each channel of a connection."""

    def __init__(self) -> None:
        self._parts: dict[int, _Part] = {}

    def take(self, number: int, found: frame.Frame, whole: bytes) -> Content | None:
        """Look at the next frame of a channel; the message that it completes.

        Raises:
            Refusal: 505, not what must come next; 406, too large a body.
        """
        part = self._parts.get(number)
        if isinstance(found, frame.Method):
            if part is not None:
                raise Refusal(spec.UNEXPECTED_FRAME, f"expected content, got {found.method.NAME} instead")
            if isinstance(found.method, spec.Basic.Publish):
                self._parts[number] = _Part(found.method)
            return None
        if part is None:
            raise Refusal(spec.UNEXPECTED_FRAME, "expected a method, got content instead")
        if isinstance(found, frame.Header) and part.header is None:
            self._begin(part, found, whole)
        elif isinstance(found, frame.Body) and part.header is not None:
            part.body.append(found.fragment)
            part.missing -= len(found.fragment)
        else:
            raise Refusal(spec.UNEXPECTED_FRAME, f"unexpected {found.NAME} within a content")
        if part.missing < 0:
            raise Refusal(spec.UNEXPECTED_FRAME, "more of a body than its header says")
        if part.missing or part.header is None:
            return None
        del self._parts[number]
        return Content(part.method, part.header.properties, properties_of(part.whole), b"".join(part.body))

    def forget(self, number: int) -> None:
        self._parts.pop(number, None)

    def _begin(self, part: _Part, header: frame.Header, whole: bytes) -> None:
        if header.body_size > BODY_MAX:
            raise precondition_failed(f"message size {header.body_size} is larger than configured max size {BODY_MAX}")
        part.header, part.whole, part.missing = header, whole, header.body_size
