"""One connection of a client: HTTP as Twisted speaks it, within the limits of the site."""

from __future__ import annotations

from math import inf
from typing import Any, Final

from twisted.protocols.basic import LineReceiver
from twisted.web import http
from twisted.web.http import HTTPChannel

from piped.web.connection import NO_LINE, TOO_MUCH, Connection, StandIn
from piped.web.heads import are_fields, has_one_host, is_persistent, is_target
from piped.web.request import Request

#: With more bytes to send than these a transport asks to wait.
_BUFFER: Final = 65536


class Channel(Connection, HTTPChannel):
    """A connection of a client to a site over any transport of Twisted; it serves one request after the other."""

    #: The second word of a request's first line, until the request is complete.
    _path: Any
    _unsent = 0
    #: What the connection was upgraded to.
    _upgraded: Any = None
    _peer: Any = None
    _host: Any = None

    def connectionMade(self) -> None:
        super().connectionMade()
        if self.site.admit(self):
            self._wait()
        else:
            self.refuse(http.SERVICE_UNAVAILABLE, b"Retry-After: 2\r\n")

    def connectionLost(self, reason: Any = None) -> None:
        self.deadline = inf
        self._log_unfinished()
        upgraded, self._upgraded = self._upgraded, None
        if upgraded is None:
            self._transferDecoder = None  # it refers to the request, and that to the file of its body
            super().connectionLost(reason)
        else:
            upgraded.connectionLost(reason)
        self.site.gone(self)

    # Each request asks for both, and the transport asks the system for one of them.

    def getPeer(self) -> Any:
        if self._peer is None:
            self._peer = HTTPChannel.getPeer(self)
        return self._peer

    def getHost(self) -> Any:
        if self._host is None:
            self._host = super().getHost()
        return self._host

    # What `Connection` asks for

    @property
    def _present(self) -> Any:
        return self.requests[0] if self.requests else None

    @property
    def _line(self) -> tuple[bytes, bytes, bytes]:
        if hasattr(self, "_command"):  # the request is told of it when it is complete
            return self._command, self._path, self._version
        request = self._present
        if self._handlingRequest and isinstance(request, StandIn):
            request = request.request()
        if self._handlingRequest and request is not None:
            return request.method, request.uri, request.clientproto
        return NO_LINE

    @property
    def _is_answering(self) -> bool:
        return bool(self._handlingRequest)

    @property
    def _is_stuck(self) -> bool:
        return bool(self._waitingForTransport)

    # What comes in

    def dataReceived(self, data: bytes) -> None:
        if self._is_idle:
            self._is_idle = False
            if not self._is_closing:
                self.deadline = self.site.now() + self.site.options.header_timeout
        # Not by HTTPChannel, which would only look after its timer.
        LineReceiver.dataReceived(self, data)

    def allHeadersReceived(self) -> None:
        # Twisted's does the same, and canonises the name of each header that it asks for.
        request = self.requests[-1]
        headers = request.requestHeaders._rawHeaders
        # What Twisted has understood as chunked has no length.
        is_ambiguous = self.length is not None and b"Transfer-Encoding" in headers
        if is_ambiguous or not is_target(self._command, self._path) or not has_one_host(self._version, headers):
            self.length = 0
            self.refuse(http.BAD_REQUEST)
            return
        self._is_idle = False
        self._began = now = self.site.now()
        if b"Cookie" in headers:
            request.parseCookies()
        self.persistent = self.checkPersistence(request, self._version)
        if self.length != 0:
            self._expect_body(now)
        request.gotLength(self.length)
        # Asked for last: a body that is too large is not waited for.
        expected = headers.get(b"Expect")
        if expected and expected[0].lower() == b"100-continue" and self._version == b"HTTP/1.1":
            self._send100Continue()

    def rawDataReceived(self, data: bytes) -> None:
        if self._upgraded is not None:  # it came with the request
            self._upgraded.dataReceived(data)
            return
        if not self._handlingRequest:
            self._count_body(len(data))
        super().rawDataReceived(data)

    def _finishRequestBody(self, data: bytes) -> None:
        if are_fields(getattr(self._transferDecoder, "_trailerHeaders", ())):  # only chunks have them
            super()._finishRequestBody(data)
        else:
            self.refuse(http.BAD_REQUEST)

    def allContentReceived(self) -> None:
        if self._is_closing:
            return
        self.deadline = inf
        super().allContentReceived()

    # What goes out

    def write(self, data: bytes) -> None:
        self._count(len(data))
        self.transport.write(data)

    def writeSequence(self, parts: Any) -> None:
        self._count(sum(map(len, parts)))
        self.transport.writeSequence(parts)

    def _count(self, size: int) -> None:
        if not self._waitingForTransport and self._unsent > _BUFFER:
            self._unsent = _BUFFER
        self._unsent += size

    def pauseProducing(self) -> None:
        if not self._waitingForTransport:  # Twisted asks again with each write
            self.deadline = self._until_sent()
        super().pauseProducing()

    def resumeProducing(self) -> None:
        self._unsent = 0
        if self._is_idle and not self._is_closing:
            self._wait()
        elif self._handlingRequest:
            self.deadline = inf
        super().resumeProducing()

    def requestDone(self, request: Request) -> None:
        self._is_idle = True
        self._began = None
        if self._waitingForTransport:
            self.deadline = self._until_sent()
        else:
            self._unsent = 0
            self._wait()
        self.site.apart(super().requestDone, request)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        if streaming and self._waitingForTransport:  # what was written before fills it
            producer.pauseProducing()

    def abortConnection(self) -> None:
        self.transport.abortConnection()

    def loseConnection(self) -> None:
        self._is_closing = True
        self.deadline = self._until_sent()
        HTTPChannel.loseConnection(self)

    # Limits

    def lineLengthExceeded(self, line: bytes) -> None:
        # Nothing was counted before the first line has ended.
        self.refuse(TOO_MUCH if self._receivedHeaderSize else http.REQUEST_URI_TOO_LONG)

    def _respondToBadRequestAndDisconnect(self) -> None:
        is_too_much = self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders
        self.refuse(TOO_MUCH if is_too_much else http.BAD_REQUEST)

    # Closing

    def let_go(self, request: Request) -> None:
        """Refer only weakly to the request that is being answered."""
        self.requests[0] = StandIn(request)

    def hold(self, request: Request) -> None:
        """Take back a request that was let go."""
        self.requests[0] = request

    def _protocolUpgradeForWebsockets(self, protocol: Any) -> None:
        # Twisted's would have the protocol in place of `connectionLost`, and the site never hear of the end.
        self._upgraded = protocol
        self.dataReceived = protocol.dataReceived  # type: ignore[method-assign]  # as Twisted's does
        protocol.makeConnection(self.transport)

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        if is_persistent(version, request.requestHeaders._rawHeaders) and not self.site.is_closing:
            return True
        request.setHeader(b"Connection", b"close")
        return False

    def close_when_idle(self) -> None:
        """Hang up as soon as no request waits for its response."""
        if not self.requests:
            self.loseConnection()
            return
        if self._upgraded is not None:
            self._upgraded.go_away()
        self.persistent = False
        request = self.requests[0]
        if isinstance(request, Request) and not request.startedWriting:
            request.setHeader(b"Connection", b"close")
