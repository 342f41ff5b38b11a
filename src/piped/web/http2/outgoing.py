"""What goes out over one connection: a frame of each response in turn, as its windows and the transport allow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from piped.web.http2.limits import rules_for
from piped.web.http2.stream import BUFFER, Stream

if TYPE_CHECKING:
    from piped.web.site import Site

#: Bytes of a response that are sent before it is the turn of another; what every client takes in one frame.
FRAME: Final = 16384


@implementer(IPushProducer)
class Outgoing(Protocol):
    """The half of a connection that sends, and the deadlines of those who do not take what they are sent."""

    transport: Any
    _is_closing = False
    #: Whether the transport asks to wait.
    _is_blocked = False
    #: How many bytes it was given all the same, since it asked.
    _piled = 0
    #: Whether the client is not listened to.
    _is_deaf = False
    #: Whether what the client has sent is being looked at; what is answered meanwhile is sent together.
    _is_reading = False
    _next_turn: Any = None
    #: Bytes of bodies that were sent.
    _sent = 0
    #: When a client is given up that takes nothing.
    _until_taken = inf

    def __init__(self, site: Site) -> None:
        self.site = site
        self.streams: dict[int, Stream] = {}
        #: Those that have something to send, in the order of their turns.
        self._line: deque[Stream] = deque()
        self._rules = rules_for(site.options)

    def end(self, stream: Stream) -> None:
        """The response was sent to its end."""
        raise NotImplementedError

    def send_head(self, stream: Stream, fields: Iterable[tuple[bytes, bytes]], ends: bool = False) -> None:
        """Send the head of a response, or one that announces it, without the headers of HTTP/1.1 (RFC 9113, 8.2.2)."""
        if stream.is_open and not self._is_closing:
            self._rules.send_headers(stream.number, fields, end_stream=ends)
            self._wake()

    def wake(self, stream: Stream) -> None:
        """A stream has something to send, or somebody who produces it."""
        if stream.is_open and not stream.is_ready and not self._is_closing:
            stream.is_ready = True
            self._line.append(stream)
            self._wake()

    def _wake(self) -> None:
        if not self._is_reading and self._next_turn is None:
            self._next_turn = self.site.reactor.callLater(0, self._turn)

    def _turn(self) -> None:
        self._next_turn = None
        self._take_turns()

    def _take_turns(self) -> None:
        """Let each stream in the line send a frame in turn, until the windows or the transport are full."""
        unflushed = 0
        while self._line and not self._is_blocked and not self._is_closing:
            if self._rules.outbound_flow_control_window <= 0 and all(stream.unsent for stream in self._line):
                break
            stream = self._line.popleft()
            stream.is_ready = False
            unflushed += self._send_part(stream)
            if unflushed > BUFFER:
                unflushed = 0
                self._flush()
        if not self._is_closing:
            self._flush()
            self._hurry()

    def _send_part(self, stream: Stream) -> int:
        """Send the next frame of a stream, and have it stand in the line again if there is more; gives its size."""
        if not stream.is_open:
            return 0
        data = stream.take(min(self._rules.local_flow_control_window(stream.number), FRAME))
        ends = stream.is_ended and not stream.unsent
        if data or ends:
            self._rules.send_data(stream.number, data, end_stream=ends)
            self._sent += len(data)
            self._until_taken = inf
        if ends:
            self.end(stream)
        elif not stream.unsent:
            stream.rest()
        elif self._rules.outbound_flow_control_window <= 0 or self._rules.local_flow_control_window(stream.number) > 0:
            self.wake(stream)  # else its own window is full, and it comes back when that is opened
        return len(data)

    def _hurry(self) -> None:
        """Give those who take no more for now their deadlines."""
        unsent = 0
        for stream in self.streams.values():
            if stream.unsent:
                unsent += stream.unsent
                stream.hurry()
        if not self._is_blocked and not unsent:
            self._until_taken = inf
        elif self._until_taken == inf:
            self._until_taken = self.until_sent(min(unsent, BUFFER))

    def until_sent(self, size: int) -> float:
        """When a client has to have taken so many bytes."""
        options = self.site.options
        return self.site.now() + options.send_timeout + size / options.min_rate

    def _flush(self) -> bool:
        """Hand over what is to be sent; False if there is nothing."""
        data = self._rules.data_to_send()
        if data:
            if self._is_blocked:
                self._pile(len(data))
            self.transport.write(data)
        return bool(data)

    def _pile(self, size: int) -> None:
        """Whoever takes nothing is heard until what he is answered has piled up: a slow one, too, asks for more."""
        self._piled += size
        if self._piled > BUFFER and not self._is_deaf:
            self._is_deaf = True
            self.transport.pauseProducing()

    def _listen(self) -> None:
        self._piled = 0
        if self._is_deaf:
            self._is_deaf = False
            self.transport.resumeProducing()

    def pauseProducing(self) -> None:
        self._is_blocked = True
        self._until_taken = self.until_sent(BUFFER)

    def resumeProducing(self) -> None:
        self._is_blocked = False
        self._until_taken = inf
        self._listen()
        self._take_turns()

    def stopProducing(self) -> None:
        """Nothing: `connectionLost` is called, too."""
