"""One request to another web server, and the beginning of its answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

from twisted.web.http_headers import Headers

from piped import PipedError
from piped.web_client.errors import named, told_url
from piped.web_client.outgoing import Outgoing
from piped.web_client.receiving import PACKINGS, Body

_PRINTED: Final = re.compile(r"[!-~]+")
#: What may stand in a URL as it is: its own marks, and what is encoded already.
_AS_IT_IS: Final = "%!$&'()*+,;=:@/?[]~"
#: A host, which may be an address in brackets, and a port.
_HOST: Final = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::\d*)?")
#: What follows from the body, whatever is written.
_OF_THE_BODY: Final = ("content-length", "transfer-encoding")


@dataclass(frozen=True)
class Answer:
    """What a server has answered; `headers` are as they came, but for a body that is unpacked."""

    url: str
    code: int
    phrase: bytes
    headers: Headers
    body: Body


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
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it must begin with http:// or https:// and a host")
        if parts.username is not None:
            raise ValueError("a name and a password belong in the header authorization")
        if not _HOST.fullmatch(parts.netloc):
            raise ValueError("what stands behind its host is no port")
        _ = parts.port  # raises for one that is too high
        netloc = parts.netloc.encode("idna").decode()
        if not _PRINTED.fullmatch(netloc):
            raise ValueError("its host has a sign that no host has")
    except ValueError as error:  # also a host that IDNA cannot encode
        raise PipedError(f"{told_url(url)!r} is no URL of a page: {error}") from error
    return urlunsplit((parts.scheme, netloc, quote(parts.path or "/", _AS_IT_IS), quote(parts.query, _AS_IT_IS), ""))


def headers_of(written: Mapping[str, Any]) -> Headers:
    """The headers of a request: a list is several of one name, null none, other values are made text.

    Raises:
        PipedError: a name is none that a header can have.
    """
    headers = Headers()
    for name, value in written.items():
        if name.lower() not in _OF_THE_BODY and value is not None:
            values = value if isinstance(value, list | tuple) else [value]
            try:
                headers.setRawHeaders(name, [one if isinstance(one, bytes) else str(one) for one in values])
            except ValueError as error:
                raise PipedError(f"{name!r} is no name of a header") from error
    return headers


async def exchange(
    agent: Any,
    reactor: Any,
    method: str,
    uri: str,
    headers: Headers,
    body: Outgoing | None,
    max_body: int | None,
    on_end: Callable[[], object],
) -> Answer:
    """Send a request and wait for the headers of the answer; cancelled, it closes the connection.

    A packed body is asked for and unpacked, unless `headers` say what the answer may be packed with, or want a range.

    Args:
        agent: an IAgent.
        reactor: gives the time.
        max_body: the most bytes that the body of the answer may have, unpacked; None for any number.
        on_end: called once: when the body of the answer has ended, or there is none to come.

    Raises:
        CutOffError: the connection was lost.
        PipedError: what came is no answer.
    """
    called = f"{method} {told_url(uri)}"
    unpacks = not (headers.hasHeader("Accept-Encoding") or headers.hasHeader("Range"))
    if unpacks:
        headers.setRawHeaders("Accept-Encoding", ["gzip, deflate"])
    try:
        producer = None if body is None else body.producer()
        response = await agent.request(method.encode(), uri.encode(), headers, producer)
    except BaseException as error:
        on_end()
        raise (named(called, error) if isinstance(error, Exception) else error) from error
    packing = b",".join(response.headers.getRawHeaders(b"Content-Encoding", [])).decode("latin-1").strip().lower()
    if not unpacks or packing not in PACKINGS:
        packing = ""
    else:
        response.headers.removeHeader("Content-Encoding")
    received = Body(reactor, called, max_body, packing)
    received.receiver.on_end = on_end
    response.deliverBody(received.receiver)
    return Answer(uri, response.code, response.phrase, response.headers, received)
