"""One request to another web server, and the whole of its answer, within a bound."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

# twisted.web.client has it too, but brings OpenSSL along, for which every other configuration would wait.
from twisted.web._newclient import BODY, HTTP11ClientProtocol, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from piped import PipedError

_CREDENTIALS: Final = re.compile(r"//[^/?#]*@")
_PRINTED: Final = re.compile(r"[!-~]+")
#: What may stand in a URL as it is: its own marks, and what is encoded already.
_AS_IT_IS: Final = "%!$&'()*+,;=:@/?[]~"
#: Bytes of the headers of an answer, with those of all answers before it that only say that it is to come.
MOST_HEADERS: Final = 256 * 1024
#: What follows from the body, whatever is written.
_OF_THE_BODY: Final = ("content-length", "transfer-encoding")


@dataclass(frozen=True)
class Answer:
    """What a server has answered; `headers` are as they came, but for a body that was unpacked."""

    code: int
    phrase: bytes
    headers: Headers
    body: bytes


def uri_of(url: str) -> str:
    """A URL as it may be sent: what is no ASCII, and what would end the line, is encoded.

    Raises:
        PipedError: it is no URL of a page.

    Example:
        >>> uri_of("http://bücher.example/a b/ü?q=%20ö#top")
        'http://xn--bcher-kva.example/a%20b/%C3%BC?q=%20%C3%B6'
    """
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
        if parts.scheme not in ("http", "https") or not host:
            raise ValueError("it must begin with http:// or https:// and a host")
        if parts.username is not None:
            raise ValueError("a name and a password belong in the header authorization")
        netloc = parts.netloc.encode("idna").decode()
        if not _PRINTED.fullmatch(netloc):
            raise ValueError("its host has a sign that no host has")
    except ValueError as error:  # also a host that IDNA cannot encode
        told = _CREDENTIALS.sub("//…@", url)  # messages are logged
        raise PipedError(f"{told!r} is no URL of a page: {error}") from error
    return urlunsplit((parts.scheme, netloc, quote(parts.path or "/", _AS_IT_IS), quote(parts.query, _AS_IT_IS), ""))


def headers_of(written: Mapping[str, Any]) -> Headers:
    """The headers of a request: a list is several of one name, other values are made text."""
    headers = Headers()
    for name, value in written.items():
        if name.lower() not in _OF_THE_BODY:
            values = value if isinstance(value, list) else [value]
            headers.setRawHeaders(name, [one if isinstance(one, bytes) else str(one) for one in values])
    return headers


async def exchange(agent: Any, method: str, uri: str, headers: Headers, body: bytes | None, max_body: int) -> Answer:
    """Send a request and wait for the whole answer; cancelled, it closes the connection.

    A packed body is asked for and unpacked, unless `headers` say what the answer may be packed with.

    Args:
        agent: an IAgent.
        max_body: the most bytes that the body of the answer may have, unpacked.

    Raises:
        PipedError: the answer was cut, or its body is too large.
    """
    is_ours = not headers.hasHeader("Accept-Encoding")
    if is_ours:
        headers.setRawHeaders("Accept-Encoding", ["gzip"])
    try:
        producer = None if body is None else _Body(body)
        response = await agent.request(method.encode(), uri.encode(), headers, producer)
        packing = b",".join(response.headers.getRawHeaders(b"Content-Encoding", [])).strip().lower()
        is_packed = is_ours and packing in (b"gzip", b"x-gzip")
        collector = _Collector(max_body, is_packed)
        response.deliverBody(collector)
        content = await collector.done
    except Exception as error:
        raise _named(f"{method} {uri}", error) from error
    if is_packed:
        response.headers.removeHeader("Content-Encoding")
    return Answer(response.code, response.phrase, response.headers, content)


class Connections(Factory):
    """Makes the connections of a pool, on which headers have a bound: Twisted would take them without end."""

    noisy = False

    def __init__(self, when_quiet: Any, server: str) -> None:
        self._when_quiet, self._server = when_quiet, server

    def __repr__(self) -> str:
        return f"<Connections to {self._server}>"

    def buildProtocol(self, addr: Any) -> Protocol:
        return _Connection(self._when_quiet)


class _Connection(HTTP11ClientProtocol):
    _received = 0

    def makeConnection(self, transport: Any) -> None:
        # Whoever hangs up has heard enough, and over TLS it is the server who decides how long a farewell takes.
        transport.loseConnection = transport.abortConnection
        super().makeConnection(transport)

    def dataReceived(self, bytes: bytes) -> None:
        super().dataReceived(bytes)
        if self._parser is None or self._parser.state == BODY:
            self._received = 0
            return
        self._received += len(bytes)
        if self._received > MOST_HEADERS:
            self._giveUp(Failure(PipedError(f"the headers have more than {MOST_HEADERS} bytes")))


def _named(what: str, error: Exception) -> Exception:
    """The error with what was asked; a better one in place of those of Twisted that only hold others."""
    reasons = [reason.value for reason in getattr(error, "reasons", ())]
    if not reasons:
        error.add_note(f"while asking {what}")
        return error
    for reason in reasons:
        if isinstance(reason, CancelledError | PipedError):
            reason.add_note(f"while asking {what}")
            return reason
    detail = "; ".join(dict.fromkeys(f"{type(reason).__name__}: {reason}" for reason in reasons))
    return PipedError(f"{what} got no whole answer", detail=detail)


@implementer(IBodyProducer)
class _Body:
    """The body of a request; it is in memory already, so that there is nothing to pause."""

    def __init__(self, data: bytes) -> None:
        self._data, self.length = data, len(data)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Nothing: all is on its way already."""

    resumeProducing = stopProducing = pauseProducing


class _Collector(Protocol):
    """Collects a body, unpacked; `done` fires with it.

    Args:
        limit: the most bytes that it may have once it is unpacked.
    """

    def __init__(self, limit: int, is_packed: bool) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._hang_up())
        self._room, self._parts = limit, list[bytes]()
        self._limit = limit
        self._unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS) if is_packed else None

    def dataReceived(self, data: bytes) -> None:
        while data and not self.done.called:
            data = self._take(data)

    def _take(self, data: bytes) -> bytes:
        """Keep what arrived; gives what follows the end of a packed part, which is another part."""
        rest = b""
        if self._unpacking is not None:
            if self._unpacking.eof:
                self._unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
            try:
                # One byte more than there is room for tells that there is more, and no bomb goes off.
                data = self._unpacking.decompress(data, self._room + 1)
            except zlib.error as error:
                self._fail(PipedError("a body that is said to be packed cannot be unpacked", detail=str(error)))
                return b""
            rest = self._unpacking.unused_data
        self._room -= len(data)
        if data or not self._parts:  # packed parts may be empty, in any number
            self._parts.append(data)
        if self._room < 0:
            hint = "max_body says how long it may be"
            self._fail(PipedError(f"the body has more than {self._limit} bytes", hint=hint))
        return rest

    def _fail(self, error: Exception) -> None:
        self._hang_up()
        self._parts.clear()
        self.done.errback(error)

    def _hang_up(self) -> None:
        connection: Any = self.transport
        connection.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        is_cut = self._unpacking is not None and bool(self._parts) and not self._unpacking.eof
        # Without a length the end of the connection is the end of the body (RFC 9112, section 6.3).
        if reason.check(ResponseDone, PotentialDataLoss) and not is_cut:
            self.done.callback(b"".join(self._parts))
        elif is_cut:
            self.done.errback(PipedError("the packed body was cut"))
        else:
            self.done.errback(reason)
