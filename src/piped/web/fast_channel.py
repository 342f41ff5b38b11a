"""One connection of a client over asyncio's transport, which is to a request what Twisted's channel is."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Any, Final

# What Twisted's own channel makes of pull producers; it has no public name.
from twisted.internet._producer_helpers import _PullToPush
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure
from twisted.web import http

from piped.web.connection import LINGER, NO_LINE, StandIn
from piped.web.reading import CHUNKS, DEAF, HEAD, LENGTH, PIECE, UPGRADED, WAITING, RequestReader
from piped.web.request import Request
from piped.web.transport import Transport, address_of

if TYPE_CHECKING:
    from piped.web.site import Site

#: The value of SO_LINGER for a close that resets the connection.
_AT_ONCE: Final = struct.pack("ii", 1, 0)


class FastChannel(RequestReader, asyncio.Protocol):
    """A connection of a client to a site, which serves one request after the other."""

    _out: Any
    _is_reading = True
    _requestProducer: Any = None
    _is_push = True
    _peer: Any = None
    _host: Any = None

    def __init__(self, site: Site) -> None:
        self.site = site

    # What asyncio calls

    def connection_made(self, transport: Any) -> None:
        self._out = transport
        self._peer, self._host = address_of(transport, "peername"), address_of(transport, "sockname")
        if self.site.admit(self):
            self._wait()
        else:
            self.refuse(http.SERVICE_UNAVAILABLE, b"Retry-After: 2\r\n")

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state == UPGRADED:
            self._upgraded.dataReceived(self._data[self._at :] + data if self._data else data)
            self._data, self._at = b"", 0
            return
        if state == DEAF:
            return
        if state in (LENGTH, CHUNKS):
            self._count_body(len(data))
        self._data = self._data[self._at :] + data if self._data else data
        self._at = 0
        if (state == WAITING or self._is_paused or self._is_at_work) and len(self._data) > PIECE:
            self.pause_reading()
        self._read()

    def pause_writing(self) -> None:
        if not self._is_paused:
            self.deadline = self._until_sent()
        self._is_paused = True
        if self._requestProducer is not None:
            self._requestProducer.pauseProducing()

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._is_closing:
            return
        if self._is_idle:
            self._wait()
        elif self._state == HEAD:
            self._begin_head()
        elif self._state in (LENGTH, CHUNKS):
            self._expect_body(self.site.now())
        else:
            self.deadline = inf
        if self._requestProducer is not None:
            self._requestProducer.resumeProducing()
        self.site.apart(self._read)  # asyncio calls this in the context of whoever has written too much
        self._listen()

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = inf
        self._log_unfinished()
        self._is_closing, self._state, self._data, self._chunks = True, DEAF, b"", None
        producer, self._requestProducer = self._requestProducer, None
        interested, self._request, self._upgraded = self._upgraded or self._request, None, None
        try:
            if producer is not None:
                producer.stopProducing()
        finally:
            try:
                if interested is not None:
                    interested.connectionLost(Failure(ConnectionDone() if exc is None else ConnectionLost(str(exc))))
            finally:
                self.site.gone(self)

    def pause_reading(self) -> None:
        if self._is_reading and not self._out.is_closing():
            self._is_reading = False
            self._out.pause_reading()

    def resume_reading(self) -> None:
        if not self._is_reading and not self._out.is_closing():
            self._is_reading = True
            self.site.apart(self._out.resume_reading)

    # What goes out: what a request calls

    @property
    def transport(self) -> Transport:
        return Transport(self, self._out)

    def write(self, data: bytes) -> None:
        if not self._out.is_closing():  # asyncio logs whatever is written after that
            self._out.write(data)

    def writeSequence(self, parts: Iterable[bytes]) -> None:
        self.write(b"".join(parts))

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: http.Headers) -> None:
        lines = [b"%s %s %s\r\n" % (version, code, reason)]
        lines += [b"%s: %s\r\n" % (name, value) for name, values in headers.getAllRawHeaders() for value in values]
        lines.append(b"\r\n")
        self._out.write(b"".join(lines))

    def requestDone(self, request: Request) -> None:
        self._request = self._began = None
        self._words = NO_LINE
        if not self._is_persistent:
            self.loseConnection()
            return
        self._state = HEAD
        self._is_idle = True
        if self._is_paused:
            self.deadline = self._until_sent()
        else:
            self._wait()
        if not self._is_reading:
            self.resume_reading()
        if self._data and not self._is_at_work:
            self.site.apart(self._read)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._requestProducer is not None:
            raise RuntimeError(f"{self._requestProducer} is registered already: {producer} has to wait until it is not")
        if not streaming:
            producer = _PullToPush(producer, self)
        self._requestProducer, self._is_push = producer, streaming
        if not streaming:
            producer.startStreaming()
        if self._is_paused:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        producer, self._requestProducer = self._requestProducer, None
        if producer is not None and not self._is_push:
            producer.stopStreaming()

    def getPeer(self) -> Any:
        return self._peer

    def getHost(self) -> Any:
        return self._host

    def isSecure(self) -> bool:
        return False

    # What `Connection` asks for

    @property
    def _present(self) -> Any:
        return self._request

    @property
    def _line(self) -> tuple[bytes, bytes, bytes]:
        return self._words

    @property
    def _is_answering(self) -> bool:
        return self._state == WAITING

    @property
    def _is_stuck(self) -> bool:
        return self._is_paused

    @property
    def _unsent(self) -> int:
        size: int = self._out.get_write_buffer_size()
        return size

    # Closing

    def loseConnection(self) -> None:
        was_closing, self._is_closing, self._data = self._is_closing, True, b""
        if self._is_idle or self._state in (WAITING, UPGRADED):
            self.deadline = self._until_sent()
            self._out.close()
        elif not was_closing and not self._out.is_closing():
            # The client may still be sending. Closed now, the connection would be reset, and the client might never see
            # what it was told: it is heard out for a moment (RFC 9112, 9.6).
            self.deadline = self.site.now() + LINGER
            self._state = DEAF
            try:
                self._out.write_eof()
            except OSError:  # asyncio finds that the client has left already
                self._out.close()
            self.resume_reading()

    def abortConnection(self) -> None:
        if not self._out.is_closing() or self._unsent:
            # The system, too, forgets what it was to send, as for a connection of Twisted's.
            self._out.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._out.abort()

    def let_go(self, request: Request) -> None:
        """Refer only weakly to the request that is being answered."""
        self._request = StandIn(request)

    def hold(self, request: Request) -> None:
        """Take back a request that was let go."""
        self._request = request

    def close_when_idle(self) -> None:
        """Hang up as soon as no request waits for its response."""
        if self._is_idle:
            self.loseConnection()
            return
        if self._upgraded is not None:
            self._upgraded.go_away()
        self._is_persistent = False
        request = self._request
        if isinstance(request, Request) and not request.startedWriting:
            request.setHeader(b"Connection", b"close")

    # Upgrades

    def _protocolUpgradeForWebsockets(self, protocol: Any) -> None:
        """Leave the connection to another protocol, under the name that Twisted's WebSocket calls."""
        self._upgraded, self._state = protocol, UPGRADED
        self.deadline = inf
        self.resume_reading()
        protocol.makeConnection(self.transport)
        self.site.reactor.callLater(0, self._read)
