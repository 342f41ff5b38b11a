"""A connection within the process: two transports, each of which brings its bytes to the other's protocol."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IConsumer, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

#: With more bytes than these on their way a producer is paused.
_HIGH = 2**16
#: With more bytes than these on their way, from somebody who does not heed that, the connection is cut.
_MOST = 2**28


@implementer(IAddress)
@dataclass(frozen=True)
class MemoryAddress:
    """Where a connection within the process leads."""

    name: str

    def __str__(self) -> str:
        return f"memory://{self.name}"


@implementer(ITransport, IConsumer, IPushProducer)
class MemoryTransport:
    """One end. What is written arrives in a later turn of the reactor, in order, as TCP would do it."""

    def __init__(self, clock: Any, address: MemoryAddress) -> None:
        self.connected = True
        self.disconnecting = False
        self._clock = clock
        self._address = address
        self._other: MemoryTransport
        self._protocol: Any = None
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._turn: Any = None
        self._is_paused = False
        self._producer: Any = None
        self._is_producer_paused = False

    def write(self, data: bytes) -> None:
        if not self.connected or self.disconnecting or not data:
            return
        self._chunks.append(bytes(data))
        self._size += len(data)
        if self._size > _MOST:
            self.abortConnection()
            return
        if self._size > _HIGH and self._producer is not None and not self._is_producer_paused:
            self._is_producer_paused = True
            self._producer.pauseProducing()
        self._carry_soon()

    def writeSequence(self, data: list[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """End the connection when all that was written has arrived."""
        self.disconnecting = True
        self._carry_soon()

    def abortConnection(self) -> None:
        """End the connection at once; what is on its way is lost."""
        self._end(ConnectionAborted(), ConnectionLost())

    def getPeer(self) -> MemoryAddress:
        return self._address

    def getHost(self) -> MemoryAddress:
        return self._address

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer = producer
        self._is_producer_paused = not streaming
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self._producer = None
        self._carry_soon()

    def pauseProducing(self) -> None:
        """Let nothing arrive at this end's protocol for now."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        self._is_paused = False
        self._other._carry_soon()

    def stopProducing(self) -> None:
        self.loseConnection()

    def _carry_soon(self) -> None:
        if self._turn is None and self.connected:
            self._turn = self._clock.callLater(0, self._carry)

    def _carry(self) -> None:
        """Bring some of what was written to the other end; the rest in later turns, as others have theirs meanwhile."""
        self._turn = None
        if not self.connected or self._other._is_paused:
            return
        taken, size = [], 0
        while self._chunks and size <= _HIGH:
            taken.append(self._chunks.popleft())
            size += len(taken[-1])
        self._size -= size
        if taken:
            self._other._protocol.dataReceived(b"".join(taken))
        if not self.connected:
            return
        if self._chunks:
            self._carry_soon()
        elif self._producer is not None and self._is_producer_paused:
            self._is_producer_paused = False
            self._producer.resumeProducing()
        if self.disconnecting and not self._chunks:
            self._end(ConnectionDone(), ConnectionDone())

    def _end(self, here: Exception, there: Exception) -> None:
        if not self.connected:
            return
        for end, reason in ((self, here), (self._other, there)):
            end.connected = False
            end._chunks.clear()
            if end._turn is not None:
                end._turn.cancel()
            end._turn = end._clock.callLater(0, end._lost, reason)

    def _lost(self, reason: Exception) -> None:
        if self._producer is not None:
            self._producer.stopProducing()
            self._producer = None
        self._protocol.connectionLost(Failure(reason))


def connect(clock: Any, address: MemoryAddress, client: Any, server: Any) -> None:
    """Connect two protocols with each other."""
    ends = MemoryTransport(clock, address), MemoryTransport(clock, address)
    ends[0]._other, ends[1]._other = ends[1], ends[0]
    ends[0]._protocol, ends[1]._protocol = client, server
    server.makeConnection(ends[1])
    client.makeConnection(ends[0])
