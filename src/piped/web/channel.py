"""One connection of a client: HTTP as Twisted speaks it, within the limits of the site."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final

from twisted.protocols.basic import LineReceiver
from twisted.web import http
from twisted.web.http import HTTPChannel

from piped.web.access_log import CLIENT_LEFT, Entry, remote_of
from piped.web.request import Request

if TYPE_CHECKING:
    from piped.web.site import Site

#: Seconds that a client gets to take the last bytes, once it is hung up on for what it did.
_LINGER: Final = 2.0
_TOO_MUCH: Final = 431
#: With more bytes to send than these a transport asks to wait.
_BUFFER: Final = 65536


class StandIn:
    """Stands for a request in its channel without keeping it alive."""

    __slots__ = ("request",)

    def __init__(self, request: Request) -> None:
        self.request = weakref.ref(request)

    def connectionLost(self, reason: Any) -> None:
        request = self.request()
        if request is not None:
            request.connectionLost(reason)


def _is_target(target: bytes) -> bool:
    """Whether the second word of a request is a path, a whole address or `*`; Twisted drops the first sign of any.

    Source: RFC 9112, 3.2.
    """
    return target[:1] == b"/" or target == b"*" or b"://" in target.partition(b"?")[0]


class Channel(HTTPChannel):
    """One connection of a client to a site; it serves one request after the other.

    It has a single deadline, moved on as things come and go; the site looks now and then for those that have passed. A
    timer for each connection, as Twisted has it, would be set and cancelled several times for each request.
    """

    site: Site
    transport: Any
    #: The second word of a request's first line, until the request is complete.
    _path: Any
    #: When the client is hung up on, in seconds of the reactor.
    deadline: float = inf
    #: Whether it waits for the first byte of a request.
    _is_idle = True
    _is_closing = False
    _is_refused = False
    #: The deadline that the average rate of a body allows.
    _paid_until = 0.0
    #: How many bytes the transport may still have to send, at most.
    _unsent = 0
    _peer: Any = None
    _host: Any = None
    #: When the headers of the present request were complete; None before that.
    _began: float | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        if self.site.admit(self):
            self._wait()
        else:
            self.refuse(http.SERVICE_UNAVAILABLE, b"Retry-After: 2\r\n")

    def connectionLost(self, reason: Any = None) -> None:
        self.deadline = inf
        self._log_unfinished()
        super().connectionLost(reason)
        self.site.gone(self)

    # Each request asks for both, and the transport asks the system for one of them.

    def getPeer(self) -> Any:
        if self._peer is None:
            self._peer = super().getPeer()
        return self._peer

    def getHost(self) -> Any:
        if self._host is None:
            self._host = super().getHost()
        return self._host

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
        if not _is_target(self._path) or self._is_ambiguous(headers):
            self.length = 0
            self.refuse(http.BAD_REQUEST)
            return
        self._is_idle = False
        self._began = now = self.site.now()
        if b"Cookie" in headers:
            request.parseCookies()
        self.persistent = self.checkPersistence(request, self._version)
        if self.length != 0:
            self._paid_until = self.deadline = now + self.site.options.body_timeout
        request.gotLength(self.length)
        # Asked for last: a body that is too large is not waited for.
        expected = headers.get(b"Expect")
        if expected and expected[0].lower() == b"100-continue" and self._version == b"HTTP/1.1":
            self._send100Continue()

    def _is_ambiguous(self, headers: Mapping[bytes, list[bytes]]) -> bool:
        """Whether somebody who forwards the request may see another site or another end of it than we do.

        Source: RFC 9112, 3.2 and 6.1.
        """
        hosts = headers.get(b"Host")
        if hosts is None:
            return bool(self._version == b"HTTP/1.1")
        # What Twisted has understood as chunked has no length.
        return len(hosts) != 1 or (self.length is not None and b"Transfer-Encoding" in headers)

    def rawDataReceived(self, data: bytes) -> None:
        if not self._handlingRequest:
            options = self.site.options
            self._paid_until += len(data) / options.min_rate
            self.deadline = min(self._paid_until, self.site.now() + options.body_timeout)
        super().rawDataReceived(data)

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
        super().pauseProducing()
        self.deadline = self._until_sent()

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
        super().requestDone(request)

    def loseConnection(self) -> None:
        self._is_closing = True
        self.deadline = self._until_sent()
        super().loseConnection()

    # Limits

    def _wait(self) -> None:
        self.deadline = self.site.now() + self.site.options.keep_alive_timeout

    def _until_sent(self) -> float:
        options = self.site.options
        return self.site.now() + options.send_timeout + self._unsent / options.min_rate

    def expire(self) -> None:
        """Hang up on a client whose deadline has passed; tell it why, where it was sending a request."""
        self.deadline = inf
        if self._is_closing or self._waitingForTransport or self._handlingRequest:
            self.transport.abortConnection()
        elif self._is_idle:
            self.loseConnection()
        else:
            self.refuse(http.REQUEST_TIMEOUT)

    def lineLengthExceeded(self, line: bytes) -> None:
        # Nothing was counted before the first line has ended.
        self.refuse(_TOO_MUCH if self._receivedHeaderSize else http.REQUEST_URI_TOO_LONG)

    def _respondToBadRequestAndDisconnect(self) -> None:
        is_too_much = self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders
        self.refuse(_TOO_MUCH if is_too_much else http.BAD_REQUEST)

    def refuse(self, code: int, headers: bytes = b"") -> None:
        """Answer what is no request, or none that is taken, and hang up."""
        if self._is_closing:
            return
        phrase = http.RESPONSES.get(code, b"Request Header Fields Too Large")
        self.write(b"HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: 0\r\n%s\r\n" % (code, phrase, headers))
        self.loseConnection()
        self.deadline = self.site.now() + _LINGER
        self._is_refused = True
        if self.site.write_entry is not None:
            self.site.write_entry(self._entry(self.requests[-1] if self.requests else None, code))

    # The access log

    def entry(self, request: Request) -> Entry:
        """What the access log tells of a request that was answered."""
        return self._entry(request, request.code)

    def _entry(self, request: Request | None, status: int) -> Entry:
        headers = None if request is None else request.requestHeaders
        now = self.site.now()
        method = target = version = b""
        if hasattr(self, "_command"):  # the request is told of it when it is complete
            method, target, version = self._command, self._path, self._version
        elif request is not None and self._handlingRequest:
            method, target, version = request.method, request.uri, request.clientproto
        return Entry(
            time=self.site.wall_clock(),
            remote=remote_of(self.getPeer()),
            method=method,
            target=target,
            version=version,
            status=status,
            size=0 if request is None else request.sentLength,
            seconds=0.0 if self._began is None else now - self._began,
            referrer=None if headers is None else headers.getRawHeaders(b"Referer", [None])[-1],
            agent=None if headers is None else headers.getRawHeaders(b"User-Agent", [None])[-1],
        )

    def _log_unfinished(self) -> None:
        """Tell of a request whose client has left, or was hung up on, before its response has ended."""
        if self.site.write_entry is None or self._is_refused or not self.requests:
            return
        request = self.requests[0]
        if isinstance(request, StandIn):
            request = request.request()
        if request is not None and self._began is not None:
            self.site.write_entry(self._entry(request, request.code if request.startedWriting else CLIENT_LEFT))

    # Closing

    def let_go(self, request: Request) -> None:
        """Refer only weakly to the request that is being answered."""
        self.requests[0] = StandIn(request)

    def hold(self, request: Request) -> None:
        """Take back a request that was let go."""
        self.requests[0] = request

    @property
    def sent(self) -> int | None:
        """How much was sent of a response that is not complete; None where there is none."""
        request = self.requests[0] if self.requests else None
        return request.sentLength if isinstance(request, Request) and request.startedWriting else None

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        if self.site.is_closing:
            request.setHeader(b"Connection", b"close")
            return False
        if version == b"HTTP/1.1" and b"Connection" not in request.requestHeaders._rawHeaders:
            return True
        return bool(super().checkPersistence(request, version))

    def close_when_idle(self) -> None:
        """Hang up as soon as no request waits for its response."""
        if not self.requests:
            self.loseConnection()
            return
        self.persistent = False
        request = self.requests[0]
        if isinstance(request, Request) and not request.startedWriting:
            request.setHeader(b"Connection", b"close")
