"""One connection of a client over asyncio's transport: heads read by llhttp, bodies by their length."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable
from io import BytesIO
from math import inf
from typing import TYPE_CHECKING, Any, Final

# What Twisted's own channel makes of pull producers, and of bodies in chunks; neither has a public name.
from twisted.internet._producer_helpers import _PullToPush
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.http import _ChunkedTransferDecoder, _MalformedChunkedDataError

from piped.web.connection import LINGER, NO_LINE, TOO_MUCH, Connection, StandIn
from piped.web.heads import END, BadHead, cannot_be_head, has_one_host, is_persistent, is_target, length_of_body, read_head
from piped.web.request import Request
from piped.web.transport import Transport, address_of

if TYPE_CHECKING:
    from piped.web.site import Site

#: Bytes of further requests that are kept while one is being answered.
_AHEAD: Final = 16 * 1024
#: The value of SO_LINGER for a close that resets the connection.
_AT_ONCE: Final = struct.pack("ii", 1, 0)
#: What becomes of the bytes that come: they are a head, a body of a known length or in chunks, they wait until a
#: request is answered, they are another protocol's, or nobody's.
_HEAD, _LENGTH, _CHUNKS, _WAITING, _UPGRADED, _DEAF = range(6)


class FastChannel(Connection, asyncio.Protocol):
    """A connection of a client to a site, which serves one request after the other.

    To a request it is what Twisted's channel is. Nothing goes line by line: a head is handed to a parser in one piece,
    and a short response to the transport.
    """

    _out: Any
    #: What came and is not understood yet, from `_at` on.
    _data = b""
    _at = 0
    _state = _HEAD
    _request: Any = None
    #: Method, target and version of the request.
    _words = NO_LINE
    _is_persistent = True
    #: Whether the transport asks to wait.
    _is_paused = False
    _is_reading = True
    #: Whether `_read` is at work, which goes on by itself.
    _is_at_work = False
    #: Bytes of the body that did not come yet.
    _missing = 0
    _chunks: Any = None
    _requestProducer: Any = None
    _is_push = True
    _upgraded: Any = None
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
        if state == _UPGRADED:
            self._upgraded.dataReceived(self._data[self._at :] + data if self._data else data)
            self._data, self._at = b"", 0
            return
        if state == _DEAF:
            return
        if state in (_LENGTH, _CHUNKS):
            self._count_body(len(data))
        self._data = self._data[self._at :] + data if self._data else data
        self._at = 0
        if (state == _WAITING or self._is_paused) and len(self._data) > _AHEAD:
            self.pause_reading()
        self._read()

    def pause_writing(self) -> None:
        self._is_paused = True
        self.deadline = self._until_sent()
        if self._requestProducer is not None:
            self._requestProducer.pauseProducing()

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._is_closing:
            return
        if self._is_idle:
            self._wait()
        elif self._state == _HEAD:
            self._begin_head()
        else:
            self.deadline = inf
        if self._requestProducer is not None:
            self._requestProducer.resumeProducing()
        self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = inf
        self._log_unfinished()
        self._is_closing, self._state, self._data, self._chunks = True, _DEAF, b"", None
        producer, self._requestProducer = self._requestProducer, None
        if producer is not None:
            producer.stopProducing()
        reason = Failure(ConnectionDone() if exc is None else ConnectionLost(str(exc)))
        interested, self._request, self._upgraded = self._upgraded or self._request, None, None
        if interested is not None:
            interested.connectionLost(reason)
        self.site.gone(self)

    # What comes in

    def _begin_head(self) -> None:
        self._is_idle = False
        if not self._is_closing:
            self.deadline = self.site.now() + self.site.options.header_timeout

    def _read(self) -> None:
        """Understand what came, one request after the other, as far as that is possible now."""
        if self._is_at_work:
            return
        self._is_at_work = True
        while self._data and not self._is_paused:
            if not _READERS[self._state](self):
                break
            if self._at >= len(self._data):
                self._data, self._at = b"", 0
        self._is_at_work = False

    def _read_head(self) -> bool:
        data, begin = self._data, self._at
        if data.startswith(b"\r\n", begin):
            begin += 2  # what some clients send behind a body (RFC 9112, 2.2)
        end = data.find(END, begin)
        end = len(data) if end < 0 else end + len(END)
        if end - begin > self.site.options.max_header_size:
            is_long = data.find(b"\r\n", begin, begin + self.site.options.max_header_size) < 0
            self.refuse(http.REQUEST_URI_TOO_LONG if is_long else TOO_MUCH)
            return False
        if not data.endswith(END, begin, end):
            if cannot_be_head(data[begin:]):
                self.refuse(http.BAD_REQUEST)
            elif self._is_idle:
                self._begin_head()
            return False
        try:
            method, target, version, headers, count = read_head(data[begin:end])  # no copy where that is all
            self._words = method, target, version
            length = length_of_body(version, headers)
            if not is_target(target) or not has_one_host(version, headers):
                raise BadHead(http.BAD_REQUEST)
        except BadHead as error:
            self.refuse(error.code)
            return False
        if count > self.site.options.max_headers:
            self.refuse(TOO_MUCH)
            return False
        self._at = end
        self._is_idle = False
        if self.site.write_entry is not None:
            self._began = self.site.now()
        self._request = request = Request(self)
        request.requestHeaders._rawHeaders = headers
        if b"Cookie" in headers:
            request.parseCookies()
        self._is_persistent = is_persistent(version, headers) and not self.site.is_closing
        if not self._is_persistent:
            request.setHeader(b"Connection", b"close")
        if length == 0:
            request.content = BytesIO()
            self._serve(request)
        else:
            self._await_body(request, length, headers.get(b"Expect"))
        return True

    def _await_body(self, request: Request, length: int | None, expected: list[bytes] | None) -> None:
        self._expect_body(self.site.now())
        self._count_body(len(self._data) - self._at)
        request.gotLength(length)
        if self._is_closing:
            return  # it is too long
        if length is None:
            self._state = _CHUNKS
            self._chunks = _ChunkedTransferDecoder(request.handleContentChunk, self._chunks_ended)
        else:
            self._state = _LENGTH
            self._missing = length
        is_asked = expected and expected[0].lower() == b"100-continue" and self._words[2] == b"HTTP/1.1"
        if is_asked and self._at >= len(self._data):
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read_length(self) -> bool:
        part = self._data[self._at : self._at + self._missing]
        self._at += len(part)
        self._missing -= len(part)
        self._request.handleContentChunk(part)
        if self._missing == 0 and not self._is_closing:
            self._request.content.seek(0)
            self._serve(self._request)
        return not self._is_closing

    def _read_chunks(self) -> bool:
        data, self._data, self._at = self._data[self._at :], b"", 0
        try:
            self._chunks.dataReceived(data)
        except _MalformedChunkedDataError:
            self.refuse(http.BAD_REQUEST)
        return not self._is_closing

    def _chunks_ended(self, rest: bytes) -> None:
        self._chunks = None
        if not self._is_closing:
            self._data = rest
            self._request.content.seek(0)
            self._serve(self._request)

    def _serve(self, request: Request) -> None:
        self._state = _WAITING
        self.deadline = inf
        request.serve(*self._words)

    def _stay(self) -> bool:
        return False

    def pause_reading(self) -> None:
        if self._is_reading and not self._out.is_closing():
            self._is_reading = False
            self._out.pause_reading()

    def resume_reading(self) -> None:
        if not self._is_reading and not self._out.is_closing():
            self._is_reading = True
            self._out.resume_reading()

    # What goes out: what a request calls

    @property
    def transport(self) -> Transport:
        return Transport(self, self._out)

    def write(self, data: bytes) -> None:
        self._out.write(data)

    def writeSequence(self, parts: Iterable[bytes]) -> None:
        self._out.write(b"".join(parts))

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
        self._state = _HEAD
        self._is_idle = True
        if self._is_paused:
            self.deadline = self._until_sent()
        else:
            self._wait()
        if not self._is_reading:
            self.resume_reading()
        if self._data and not self._is_at_work:
            self._read()

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
        return self._state == _WAITING

    @property
    def _is_stuck(self) -> bool:
        return self._is_paused

    @property
    def _unsent(self) -> int:
        size: int = self._out.get_write_buffer_size()
        return size

    # Closing

    def loseConnection(self) -> None:
        was_closing, self._is_closing = self._is_closing, True
        if self._is_idle or self._state in (_WAITING, _UPGRADED):
            self.deadline = self._until_sent()
            self._out.close()
        elif not was_closing and not self._out.is_closing():
            # The client may still be sending. Closed now, the connection would be reset, and the client might never see
            # what it was told: it is heard out for a moment (RFC 9112, 9.6).
            self.deadline = self.site.now() + LINGER
            self._state, self._data = _DEAF, b""
            self._out.write_eof()
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
        self._upgraded, self._state = protocol, _UPGRADED
        self.deadline = inf
        self.resume_reading()
        protocol.makeConnection(self.transport)
        self.site.reactor.callLater(0, self._read)

    def _read_upgraded(self) -> bool:
        data, self._data, self._at = self._data[self._at :], b"", 0
        self._upgraded.dataReceived(data)
        return True


_READERS: Final = {
    _HEAD: FastChannel._read_head,
    _LENGTH: FastChannel._read_length,
    _CHUNKS: FastChannel._read_chunks,
    _WAITING: FastChannel._stay,
    _UPGRADED: FastChannel._read_upgraded,
    _DEAF: FastChannel._stay,
}
