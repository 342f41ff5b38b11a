"""One request over HTTP/2 and the response to it: what a request takes for its connection."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IConsumer, ITransport
from twisted.python.failure import Failure
from twisted.web import http
from zope.interface import implementer

from piped.web.access_log import CLIENT_LEFT, Entry, remote_of
from piped.web.connection import TOO_MUCH, StandIn
from piped.web.http2.limits import Code
from piped.web.request import Request

if TYPE_CHECKING:
    from piped.web.http2.connection import Http2Connection

_log = logging.getLogger("piped.web")
#: With more bytes to send than these a stream asks its producer to wait.
BUFFER: Final = 65536
_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
#: Without the user that RFC 9113, 8.3.1 forbids.
_AUTHORITY: Final = re.compile(rb"[!-?A-~]+")
_TARGET: Final = re.compile(rb"/[!-~\x80-\xff]*")
#: What a field takes beside its name and its value where HTTP is text: a colon, a blank and the end of the line.
_BETWEEN: Final = 4


@implementer(ITransport, IConsumer)
class Stream:
    """Stands for the connection of a single request.

    Whatever is written waits in a queue until the connection takes it, as its windows allow.
    """

    #: When it is given up, in seconds of the reactor.
    deadline: float = inf
    #: The names of what was asked for, empty where that is nothing.
    method = target = b""
    #: Whether the client has sent the whole request.
    is_whole = False
    #: Whether there is still somebody to write to.
    is_open = True
    #: Whether the head of the response was sent.
    has_begun = False
    #: Whether the response has been written to its end.
    is_ended = False
    #: Whether it stands in the line of those that have something to send.
    is_ready = False
    #: How many bytes wait to be sent.
    unsent = 0
    #: How many bytes of the response were announced and not written yet; None where their number was not announced.
    _missing: int | None = None
    _request: Request | StandIn | None
    _producer: Any = None
    _is_streaming = False
    _is_paused = False
    #: How many bytes of the body were announced and did not come yet.
    _owed = 0
    #: The deadline that the average rate of a body allows.
    _paid_until = 0.0

    def __init__(self, connection: Http2Connection, number: int) -> None:
        self.connection, self.number = connection, number
        self.site = connection.site
        self._queue: deque[bytes | memoryview] = deque()
        self._began = self.site.now()
        self._request = Request(self)

    # What comes in

    def read_head(self, headers: list[tuple[bytes, bytes]], is_whole: bool) -> None:
        """Take the head of the request; `is_whole` says that there is no body."""
        self.is_whole = is_whole
        special = dict(header for header in headers if header[0][:1] == b":")
        fields = headers[len(special) :]
        self.method, self.target = special.get(b":method", b""), special.get(b":path", b"")
        code = self._refusal(special, fields)
        if code:
            self.refuse(code)
            return
        request: Any = self._request
        known = request.requestHeaders
        for name, value in fields:
            known.addRawHeader(name, value)
        if b":authority" in special:
            known.setRawHeaders(b"Host", [special[b":authority"]])
        if known.hasHeader(b"Cookie"):
            request.parseCookies()
        length = known.getRawHeaders(b"Content-Length")
        self._owed = 0 if length is None else int(length[0])
        if is_whole:
            request.gotLength(0)
            return
        self._paid_until = self.deadline = self.site.now() + self.site.options.body_timeout
        request.gotLength(None if length is None else self._owed)
        # Asked for last: a body that is too large is not waited for.
        if known.getRawHeaders(b"Expect", [b""])[0].lower() == b"100-continue":
            self.connection.send_head(self, [(b":status", b"100")])

    def _refusal(self, special: dict[bytes, bytes], fields: list[tuple[bytes, bytes]]) -> int:
        """The code that refuses a head, 0 for a right one; most of what is wrong h2 has refused already.

        Source: RFC 9113, 8.2 and 8.3; RFC 9110, 5.6.2 and 8.6.
        """
        options = self.site.options
        if len(self.target) > options.max_header_size:
            return http.REQUEST_URI_TOO_LONG
        size = sum(len(name) + len(value) + _BETWEEN for name, value in (*special.items(), *fields))
        if size > options.max_header_size or len(fields) > options.max_headers:
            return TOO_MUCH
        is_about_all = self.target == b"*" and self.method == b"OPTIONS"
        if not _METHOD.fullmatch(self.method) or not (is_about_all or _TARGET.fullmatch(self.target)):
            return http.BAD_REQUEST
        lengths = [value for name, value in fields if name == b"content-length"]
        hosts = [value for name, value in fields if name == b"host"] + [special.get(b":authority", b"x")]
        is_right = (
            all(_NAME.fullmatch(name) for name, _ in fields)
            and all(_AUTHORITY.fullmatch(host) for host in hosts)
            and len(lengths) <= 1
            and all(length.isdigit() for length in lengths)
        )
        return 0 if is_right else http.BAD_REQUEST

    def read_body(self, data: bytes) -> None:
        """Take a part of the body."""
        if self.is_open:
            options = self.site.options
            self._owed -= len(data)
            self._paid_until += len(data) / options.min_rate
            self.deadline = min(self._paid_until, self.site.now() + options.body_timeout)
            self._request.handleContentChunk(data)  # type: ignore[union-attr]  # no stand-in before it is whole

    def read_end(self) -> None:
        """The request is complete: have it answered."""
        self.is_whole = True
        self.deadline = inf
        if self._owed > 0:  # h2 has looked at the parts of a body only, and there may be none
            self.refuse(http.BAD_REQUEST)
            return
        self._request.requestReceived(self.method, self.target, b"HTTP/2")  # type: ignore[union-attr]  # as above

    # What a request calls: what goes out

    @property
    def transport(self) -> Stream:
        """What a request that wants more than a channel finds: the same."""
        return self

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Any) -> None:
        fields = [(name, value) for name, values in headers.getAllRawHeaders() for value in values]
        length = headers.getRawHeaders(b"Content-Length")
        self._missing = int(length[0]) if length is not None else None
        self.has_begun = True
        self.connection.send_head(self, [(b":status", code), *fields])

    def write(self, data: bytes) -> None:
        if not self.is_open or self.is_ended or not data:
            return
        # Large ones are cut into frames without being copied for each.
        self._queue.append(memoryview(data) if len(data) > BUFFER else data)
        self.unsent += len(data)
        if self._missing is not None:
            self._missing -= len(data)
        if self._is_streaming and not self._is_paused and self.unsent > BUFFER:
            self._is_paused = True
            self._producer.pauseProducing()
        self.connection.wake(self)

    def writeSequence(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def requestDone(self, request: Request) -> None:
        self.is_ended = True
        self._request = None
        self.connection.wake(self)

    def take(self, most: int) -> bytes:
        """What is to be sent next, at most so many bytes."""
        parts: list[bytes | memoryview] = []
        while most > 0 and self._queue:
            part = self._queue.popleft()
            if len(part) > most:
                self._queue.appendleft(part[most:])
                part = part[:most]
            parts.append(part)
            most -= len(part)
            self.unsent -= len(part)
        return b"".join(parts)

    def rest(self) -> None:
        """Everything was sent: have more produced."""
        self.deadline = inf
        if self._producer is None or (self._is_streaming and not self._is_paused):
            return
        self._is_paused = False
        if not self._has_told("go on with", self._producer.resumeProducing):
            self.loseConnection()

    def _has_told(self, what: str, tell: Callable[[], object]) -> bool:
        """Whether a producer took what it was told: one that fails must not end all other responses, too."""
        try:
            tell()
        except Exception as error:
            _log.error("%r failed to %s %s %s", tell, what, self.method, self.target, exc_info=error)
            return False
        return True

    def hurry(self) -> None:
        """The client takes nothing more for now: it has to take what waits before long."""
        if self.deadline == inf:
            self.deadline = self.connection.until_sent(self.unsent)

    # Producers

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(f"{producer} cannot be registered before {self._producer} is unregistered")
        self._producer, self._is_streaming, self._is_paused = producer, streaming, False
        if not streaming:
            # It is asked from the line of those that have something to send, not from within itself.
            self.connection.wake(self)
        elif self.unsent > BUFFER:
            self._is_paused = True
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        self._producer, self._is_streaming, self._is_paused = None, False, False

    # The end

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing from the response, also where nobody has said that it has ended."""
        return self.has_begun and not self.unsent and self._missing == 0

    def loseConnection(self) -> None:
        """End it where it is: the client is told that the response is not whole, unless it is."""
        if self.is_open:
            self.connection.cut(self, Code.INTERNAL_ERROR)

    abortConnection = loseConnection

    def lost(self, reason: Failure) -> None:
        """Called once, when nothing can be sent any more."""
        self._log_unfinished()
        self.is_open, self.unsent = False, 0
        self._queue.clear()
        producer, self._producer = self._producer, None
        if producer is not None:
            self._has_told("stop", producer.stopProducing)
        request, self._request = self._request, None
        if request is not None:
            request.connectionLost(reason)

    def refuse(self, code: int) -> None:
        """Answer without asking the site."""
        self.connection.send_head(self, [(b":status", b"%d" % code), (b"content-length", b"0")], ends=True)
        if self.site.write_entry is not None:
            self.site.write_entry(self._entry(self._request, code))
        self.connection.end(self)
        request, self._request = self._request, None
        if request is not None:
            request.connectionLost(Failure(ConnectionLost("refused")))

    def expire(self) -> None:
        """Give up a client whose deadline has passed; tell it why, where it was sending a request."""
        if not self.is_open:
            self.connection.reset(self, Code.NO_ERROR)
        elif self.is_whole:
            self.connection.cut(self, Code.CANCEL)
        else:
            self.refuse(http.REQUEST_TIMEOUT)

    # About the connection

    def getPeer(self) -> Any:
        return self.connection.peer

    def getHost(self) -> Any:
        return self.connection.host

    def isSecure(self) -> bool:
        return self.connection.is_secure

    def let_go(self, request: Request) -> None:
        """Refer only weakly to the request that is being answered."""
        self._request = StandIn(request)

    def hold(self, request: Request) -> None:
        """Take back a request that was let go."""
        self._request = request

    # The access log

    def entry(self, request: Request) -> Entry:
        """What the access log tells of a request that was answered."""
        return self._entry(request, request.code)

    def _entry(self, request: Any, status: int) -> Entry:
        headers = request.requestHeaders
        return Entry(
            time=self.site.wall_clock(),
            remote=remote_of(self.getPeer()),
            method=self.method,
            target=self.target,
            version=b"HTTP/2.0",
            status=status,
            size=request.sentLength,
            seconds=self.site.now() - self._began,
            referrer=headers.getRawHeaders(b"Referer", [None])[-1],
            agent=headers.getRawHeaders(b"User-Agent", [None])[-1],
        )

    def _log_unfinished(self) -> None:
        """Tell of a request whose client has left, or was given up, before its response has ended."""
        request: Any = self._request.request() if isinstance(self._request, StandIn) else self._request
        if self.site.write_entry is not None and request is not None:
            self.site.write_entry(self._entry(request, request.code if request.startedWriting else CLIENT_LEFT))
