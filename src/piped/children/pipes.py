"""Pipes to and from a child: bytes as the reactor can move them, in both directions with a bound."""

from __future__ import annotations

import os
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from piped import Bytes, PipedError
from piped.resources.events import Event

#: How much is read or written at a time: what a pipe holds on Linux.
CHUNK: Bytes = 65536
#: Whoever has written so much more than the pipe has taken is asked to wait.
ENOUGH: Bytes = 65536
#: Whoever does not wait is refused.
MOST: Bytes = 16 * 1024 * 1024


class Receiver(Protocol):
    """Gets what a pipe holds."""

    def data_received(self, data: bytes) -> object:
        """Called with each piece."""

    def ended(self) -> object:
        """Called once, when nothing follows."""


class _End:
    """One end of a pipe, which it owns; what a reactor needs to watch it."""

    def __init__(self, reactor: Any, descriptor: int, name: str) -> None:
        os.set_blocking(descriptor, False)
        self._reactor, self._descriptor, self.name = reactor, descriptor, name

    @property
    def is_closed(self) -> bool:
        return self._descriptor < 0

    def fileno(self) -> int:
        """The descriptor; -1 after the end."""
        return self._descriptor

    def logPrefix(self) -> str:
        return self.name

    def connectionLost(self, reason: Failure) -> None:
        """Called by a reactor that cannot watch it any more."""
        self.close()

    def close(self) -> bool:
        """Let go of the pipe; whether that was not so already."""
        if self.is_closed:
            return False
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
        return True


class PipeReader(_End):
    """Reads a pipe and hands on what comes, until its end; unless it is paused."""

    def __init__(self, reactor: Any, descriptor: int, name: str, receiver: Receiver) -> None:
        super().__init__(reactor, descriptor, name)
        self._receiver = receiver
        self._is_paused = self._is_last = False
        self._last_read: Any = None
        self._on_ended: Event[[]] = Event()
        reactor.addReader(self)

    def pauseProducing(self) -> None:
        """Read nothing more; whoever writes waits when the pipe is full."""
        self._is_paused = True
        if not self.is_closed:
            self._reactor.removeReader(self)

    def resumeProducing(self) -> None:
        """Read on."""
        self._is_paused = False
        if not self.is_closed:
            self._reactor.addReader(self)
        self._read_last_soon()

    def finish(self) -> None:
        """Read what is there and then end, even if somebody else holds the other end open."""
        self._is_last = True
        self._read_last_soon()

    def _read_last_soon(self) -> None:
        # The reactor does not call for a pipe that is empty and has no end.
        if self._is_last and not self._is_paused and not self.is_closed and self._last_read is None:
            self._last_read = self._reactor.callLater(0, self._read_last)

    def _read_last(self) -> None:
        self._last_read = None
        if not self._is_paused:
            self.doRead()
        self._read_last_soon()

    def when_ended(self) -> Deferred[Any]:
        """Fires when everything was handed on, or the pipe closed."""
        return succeed(None) if self.is_closed else self._on_ended.wait_until_fired()

    def doRead(self) -> None:
        """Called by the reactor when there is something to read."""
        if self.is_closed:
            return
        try:
            data = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            if self._is_last:
                self.close()
            return
        if data:
            self._receiver.data_received(data)
        else:
            self.close()

    def close(self) -> bool:
        """Read nothing more; the receiver hears that it has ended."""
        is_news = super().close()
        if is_news:
            self._receiver.ended()
            self._on_ended()
        return is_news


class PipeWriter(_End):
    """Writes to a pipe, and says when there is room for more."""

    def __init__(self, reactor: Any, descriptor: int, name: str) -> None:
        super().__init__(reactor, descriptor, name)
        self._unwritten = bytearray()
        self._waiting: list[Deferred[None]] = []
        self._is_ending = False

    def write(self, data: bytes) -> Deferred[None]:
        """Write bytes; fires as soon as there is room for more, or fails when they cannot be read any more.

        Raises:
            PipedError: the pipe is closed, or far more than it takes was written by someone who does not wait.
        """
        if self.is_closed or self._is_ending:
            raise PipedError(f"{self.name} is closed")
        if self._unwritten and len(self._unwritten) + len(data) > MOST:
            raise PipedError(
                f"{self.name} is full: {len(self._unwritten)} bytes wait to be read",
                hint="wait for what write() returns before you write more",
            )
        self._unwritten += data
        self._write()
        if self.is_closed:
            raise PipedError(f"nobody reads {self.name} any more")
        if len(self._unwritten) <= ENOUGH:
            return succeed(None)
        room: Deferred[None] = Deferred()
        self._waiting.append(room)
        return room

    def end(self) -> None:
        """Close the pipe when everything was written, so that who reads it comes to an end."""
        self._is_ending = True
        if not self._unwritten:
            self.close()

    def doWrite(self) -> None:
        """Called by the reactor when the pipe takes more."""
        if not self.is_closed:
            self._write()

    def _write(self) -> None:
        try:
            written = os.write(self._descriptor, self._unwritten[:CHUNK])
        except BlockingIOError:
            written = 0
        except OSError:  # nobody reads it any more
            self.close()
            return
        del self._unwritten[:written]
        if self._unwritten:
            self._reactor.addWriter(self)
        elif self._is_ending:
            self.close()
        else:
            self._reactor.removeWriter(self)
        if len(self._unwritten) <= ENOUGH:
            self._release()

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, []
        for room in waiting:
            if self.is_closed and self._unwritten:
                room.errback(PipedError(f"nobody reads {self.name} any more"))
            else:
                room.callback(None)

    def close(self) -> bool:
        """Drop what is not written; whoever waits for room hears of it."""
        is_news = super().close()
        if is_news:
            self._release()
            self._unwritten.clear()
        return is_news
