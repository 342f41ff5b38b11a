"""What is on its way to the client of a WebSocket: given to the connection as fast as the client takes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from piped.web.request import Request
from piped.web.streaming import Sent


@implementer(IPushProducer)
class Outgoing:
    """Frames that wait for the client, in order. To Twisted's WebSocket it is the transport.

    Args:
        channel: of the request; from now on nothing else may write to it.
        request: counts what was sent, for the access log.
        max_unsent: bytes that may wait here, besides one frame and what the transport has buffered.
        on_slow: called when there is more.
    """

    def __init__(self, channel: Any, request: Request, max_unsent: int, on_slow: Callable[[], object]) -> None:
        self._channel, self._request, self._max_unsent, self._on_slow = channel, request, max_unsent, on_slow
        self._frames: deque[tuple[bytes, Sent | None]] = deque()
        self._size = 0
        #: Answers a ping once the client reads again; of several pings only the last one has to be answered.
        self._pong = b""
        #: Those whose frame is with the transport, which has asked to wait.
        self._waiting: list[Sent] = []
        self.is_waiting = False
        channel.registerProducer(self, True)

    def write(self, frame: bytes) -> None:
        """Send a frame for which nobody waits."""
        self._put(frame, None)

    def send(self, frame: bytes) -> Sent:
        """Send a frame; tells when the client can take the next one."""
        sent = Sent()
        self._put(frame, sent)
        return sent

    def answer(self, pong: bytes) -> None:
        """Send the answer to a ping, before all that waits."""
        if self.is_waiting:
            self._pong = pong
        else:
            self._write(pong)

    def _put(self, frame: bytes, sent: Sent | None) -> None:
        if not self.is_waiting:
            self._hand_over(frame, sent)
            return
        self._frames.append((frame, sent))
        self._size += len(frame)
        # One frame of any size is let in: it is no sign of a slow client.
        if self._size > self._max_unsent and len(self._frames) > 1:
            self._on_slow()

    def _hand_over(self, frame: bytes, sent: Sent | None) -> None:
        self._write(frame)  # may call pauseProducing
        if sent is not None:
            if self.is_waiting:
                self._waiting.append(sent)
            else:
                sent.taken()

    def _write(self, data: bytes) -> None:
        self._request.sentLength += len(data)
        self._channel.write(data)

    def lose(self, why: str) -> None:
        """Drop all that waits."""
        lost = [*self._waiting, *(sent for _, sent in self._frames if sent is not None)]
        self._frames.clear()
        self._waiting.clear()
        self._size, self._pong = 0, b""
        for sent in lost:
            sent.lose(why)

    def end(self, frame: bytes = b"") -> None:
        """Send a last frame, and hang up once the transport has sent what it has; what waits here is dropped."""
        self.lose("the connection is closed")
        if frame:
            self._write(frame)
        self._channel.unregisterProducer()
        self._channel.loseConnection()

    def cut(self) -> None:
        """Hang up at once, on a client that does not read."""
        self.lose("the client does not read what is sent to it")
        self._channel.abortConnection()

    # What the channel calls

    def pauseProducing(self) -> None:
        self.is_waiting = True

    def resumeProducing(self) -> None:
        self.is_waiting = False
        waiting, self._waiting = self._waiting, []
        if self._pong:
            pong, self._pong = self._pong, b""
            self._write(pong)
        while self._frames and not self.is_waiting:
            frame, sent = self._frames.popleft()
            self._size -= len(frame)
            self._hand_over(frame, sent)
        # Last, as whoever has waited may send the next.
        for sent in waiting:
            sent.taken()

    def stopProducing(self) -> None:
        """The connection is over, of which the wire is told as well."""
