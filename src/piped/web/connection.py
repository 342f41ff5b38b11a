"""What every connection of a client over HTTP/1.1 has, whoever reads it: deadlines, refusals and lines of the log."""

from __future__ import annotations

import weakref
from math import inf
from typing import TYPE_CHECKING, Any, Final

from twisted.web import http

from piped.web.access_log import CLIENT_LEFT, Entry, remote_of
from piped.web.request import Request

if TYPE_CHECKING:
    from piped.web.site import Site

#: Seconds that a client gets to take the last bytes, once it is hung up on for what it did.
LINGER: Final = 2.0
TOO_MUCH: Final = 431
#: What no connection has understood yet.
NO_LINE: Final = (b"", b"", b"")


class StandIn:
    """Stands for a request in its channel without keeping it alive."""

    __slots__ = ("request",)

    def __init__(self, request: Request) -> None:
        self.request = weakref.ref(request)

    def connectionLost(self, reason: Any) -> None:
        request = self.request()
        if request is not None:
            request.connectionLost(reason)


class Connection:
    """Has a single deadline, moved on as things come and go; the site looks now and then for those that have passed.

    A timer for each connection, as Twisted has it, would be set and cancelled several times for each request.
    """

    site: Site
    transport: Any
    #: When the client is hung up on, in seconds of the reactor.
    deadline: float = inf
    #: Whether it waits for the first byte of a request.
    _is_idle = True
    _is_closing = False
    _is_refused = False
    #: The deadline that the average rate of a body allows.
    _paid_until = 0.0
    #: When the headers of the present request were complete; None before that.
    _began: float | None = None

    # What those who read have to tell

    @property
    def _present(self) -> Any:
        """The request that is read or answered, or what stands in for it; None where there is none."""
        raise NotImplementedError

    @property
    def _line(self) -> tuple[bytes, bytes, bytes]:
        """Method, target and version, as far as they are known."""
        raise NotImplementedError

    @property
    def _is_answering(self) -> bool:
        """Whether a request has come whole, and waits for its response."""
        raise NotImplementedError

    @property
    def _is_stuck(self) -> bool:
        """Whether more is to be sent than the client takes."""
        raise NotImplementedError

    @property
    def _unsent(self) -> int:
        """How many bytes the transport may still have to send, at most."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        raise NotImplementedError

    def loseConnection(self) -> None:
        raise NotImplementedError

    # Limits

    def _wait(self) -> None:
        self.deadline = self.site.now() + self.site.options.keep_alive_timeout

    def _until_sent(self) -> float:
        options = self.site.options
        return self.site.now() + options.send_timeout + self._unsent / options.min_rate

    def _expect_body(self, now: float) -> None:
        self._paid_until = self.deadline = now + self.site.options.body_timeout

    def _count_body(self, size: int) -> None:
        options = self.site.options
        self._paid_until += size / options.min_rate
        self.deadline = min(self._paid_until, self.site.now() + options.body_timeout)

    def expire(self) -> None:
        """Hang up on a client whose deadline has passed; tell it why, where it was sending a request."""
        self.deadline = inf
        if self._is_closing or self._is_stuck or self._is_answering:
            self.transport.abortConnection()
        elif self._is_idle:
            self.loseConnection()
        else:
            self.refuse(http.REQUEST_TIMEOUT)

    def refuse(self, code: int, headers: bytes = b"") -> None:
        """Answer what is no request, or none that is taken, and hang up."""
        if self._is_closing:
            return
        self._is_idle = False
        phrase = http.RESPONSES.get(code, b"Request Header Fields Too Large")
        self.write(b"HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: 0\r\n%s\r\n" % (code, phrase, headers))
        self.loseConnection()
        self.deadline = self.site.now() + LINGER
        self._is_refused = True
        if self.site.write_entry is not None:
            request = self._present
            self.site.write_entry(self._entry(request if isinstance(request, Request) else None, code))

    # The access log

    def entry(self, request: Request) -> Entry:
        """What the access log tells of a request that was answered."""
        return self._entry(request, request.code)

    def _entry(self, request: Request | None, status: int) -> Entry:
        headers = None if request is None else request.requestHeaders
        method, target, version = self._line
        return Entry(
            time=self.site.wall_clock(),
            remote=remote_of(self.getPeer()),
            method=method,
            target=target,
            version=version,
            status=status,
            size=0 if request is None else request.sentLength,
            seconds=0.0 if self._began is None else self.site.now() - self._began,
            referrer=None if headers is None else headers.getRawHeaders(b"Referer", [None])[-1],
            agent=None if headers is None else headers.getRawHeaders(b"User-Agent", [None])[-1],
        )

    def getPeer(self) -> Any:
        raise NotImplementedError

    def _log_unfinished(self) -> None:
        """Tell of a request whose client has left, or was hung up on, before its response has ended."""
        if self.site.write_entry is None or self._is_refused:
            return
        request = self._present
        if isinstance(request, StandIn):
            request = request.request()
        if request is not None and self._began is not None:
            self.site.write_entry(self._entry(request, request.code if request.startedWriting else CLIENT_LEFT))

    # Closing

    @property
    def sent(self) -> int | None:
        """How much was sent of a response that is not complete; None where there is none."""
        request = self._present
        return request.sentLength if isinstance(request, Request) and request.startedWriting else None
