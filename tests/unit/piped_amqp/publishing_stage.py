"""What the tests of the publisher stand on: a connection whose broker says what a test has it say."""

from __future__ import annotations

from typing import Any

from pika import BasicProperties, frame, spec
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from piped.resources.events import Event


class Raw:
    """The part of pika's channel that is used, and what was written to it."""

    channel_number = 1
    _body_max_length = 100

    def __init__(self) -> None:
        self.connection = self
        self.written: list[bytes] = []

    def add_on_return_callback(self, returned: Any) -> None:
        self.returned = returned

    def confirm_delivery(self, confirmed: Any, selected: Any) -> None:
        self.confirmed, self.selected = confirmed, selected

    def _output_marshaled_frames(self, frames: Any) -> None:
        self.written += frames


class Channel:
    """A channel; `confirms` lets it begin, and then a test confirms, refuses, gives back or closes."""

    def __init__(self) -> None:
        self._channel = Raw()
        self.on_closed: Deferred[Any] = Deferred()
        self.is_open = True

    def confirms(self) -> None:
        self._channel.selected(None)

    def ack(self, tag: int, multiple: bool = False) -> None:
        self._channel.confirmed(frame.Method(1, spec.Basic.Ack(tag, multiple)))

    def nack(self, tag: int, multiple: bool = False) -> None:
        self._channel.confirmed(frame.Method(1, spec.Basic.Nack(tag, multiple)))

    def give_back(self, routing_key: str, body: bytes, exchange: str = "", **properties: Any) -> None:
        method = spec.Basic.Return(312, "NO_ROUTE", exchange, routing_key)
        self._channel.returned(None, method, BasicProperties(**properties), body)

    def close(self, reason: Any = None) -> None:
        if self.is_open:
            self.is_open = False
            self.on_closed.callback(reason)

    @property
    def bodies(self) -> list[bytes]:
        """What was written, one for each message."""
        return [_body_of(each) for each in self._channel.written]


class Protocol:
    """A connection whose channels open at once, and confirm if a test says so."""

    def __init__(self, opens: Any = None) -> None:
        self.is_blocked, self.is_open = False, True
        self.on_unblocked: Event[[]] = Event()
        self.on_lost: Event[[Failure]] = Event()
        self.channels: list[Channel] = []
        self.opens = opens

    def open_channel(self) -> Deferred[Any]:
        if self.opens is not None:
            return self.opens()  # type: ignore[no-any-return] # what a test makes
        self.channels.append(Channel())
        return succeed(self.channels[-1])

    def lose(self, reason: Exception) -> None:
        self.is_open = False
        for channel in self.channels:
            channel.close(reason)
        self.on_lost(Failure(reason))


def _body_of(written: bytes) -> bytes:
    body = b""
    while written:
        size, decoded = frame.decode_frame(written)
        written = written[size:]
        if isinstance(decoded, frame.Body):
            body += decoded.fragment
    return body


def outcome(deferred: Deferred[Any]) -> Any:
    """What has become of it: "waits", None, or the exception."""
    ended: list[Any] = []
    deferred.addBoth(ended.append)
    if not ended:
        return "waits"
    return ended[0].value if isinstance(ended[0], Failure) else ended[0]
