"""How a request becomes a WebSocket: who may, who may not and why, and what the others are told."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from twisted.web import http
from twisted.web.http_headers import Headers

from piped.web import replies
from piped.web.request import Request
from piped.web.websockets.options import ANY, origin_of

#: Source: RFC 6455, 1.3.
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = b"13"
#: Twisted has no name for it.
UPGRADE_REQUIRED: Final = 426


@dataclass(frozen=True)
class Refusal:
    """Why a client gets no WebSocket: the code of the response, and a line for whoever looks into it."""

    code: int
    why: str
    headers: Mapping[str, str] = field(default_factory=dict)


def asks_for_websocket(request: Request) -> bool:
    """Whether a request wants a WebSocket; over HTTP/1.0 and HTTP/2 none can.

    Source: RFC 9110, 7.8, and RFC 9113, 8.6.
    """
    is_get = request.method == b"GET" and request.clientproto == b"HTTP/1.1"
    return is_get and b"websocket" in _tokens(request.requestHeaders, b"Upgrade")


def no_websocket_asked_for(request: Request) -> Refusal:
    """What a request is told that wants no WebSocket, where there is nothing else."""
    if request.clientproto != b"HTTP/1.1":
        return Refusal(http.HTTP_VERSION_NOT_SUPPORTED, "There is a WebSocket here, which needs HTTP/1.1.")
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    return Refusal(UPGRADE_REQUIRED, "There is a WebSocket here, and nothing else.", headers)


def refusal_of(headers: Headers, origins: Collection[str] | None) -> Refusal | None:
    """Why a client that wants a WebSocket gets none, by the headers of its request; None where it does.

    Args:
        origins: those of the pages that may connect; None for those of the same host only.

    Source: RFC 6455, 4.2.1 and 4.4.
    """
    if b"upgrade" not in _tokens(headers, b"Connection"):
        return Refusal(http.BAD_REQUEST, "Connection: Upgrade is missing.")
    if headers.getRawHeaders(b"Sec-WebSocket-Version") != [_VERSION]:
        return Refusal(UPGRADE_REQUIRED, "Only version 13 is spoken.", {"Sec-WebSocket-Version": _VERSION.decode()})
    keys = headers.getRawHeaders(b"Sec-WebSocket-Key", [])
    if len(keys) != 1 or not _is_key(keys[0]):
        return Refusal(http.BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64.")
    if not _is_welcome(headers, origins):
        return Refusal(http.FORBIDDEN, "Pages of that origin may not connect.")
    return None


def refuse(request: Request, refusal: Refusal) -> None:
    """Answer a client that gets no WebSocket."""
    headers = {"Content-Type": "text/plain; charset=utf-8", **refusal.headers}
    replies.alone(request, refusal.code, f"{refusal.why}\n".encode(), headers)


def chosen(headers: Headers, spoken: Sequence[str]) -> str | None:
    """The first subprotocol of ours that the client offers; None where there is none."""
    offered = b",".join(headers.getRawHeaders(b"Sec-WebSocket-Protocol", [])).split(b",")
    # Unlike other tokens they are compared with regard to capitals.
    names = {name.strip(b" \t") for name in offered}
    return next((name for name in spoken if name.encode() in names), None)


def accept(request: Request, subprotocol: str | None) -> None:
    """Tell the client that it has its WebSocket: the request is answered with that."""
    key = request.requestHeaders.getRawHeaders(b"Sec-WebSocket-Key", [])[0]
    headers = request.responseHeaders
    headers.setRawHeaders(b"Upgrade", [b"websocket"])
    headers.setRawHeaders(b"Connection", [b"Upgrade"])
    headers.setRawHeaders(b"Sec-WebSocket-Accept", [base64.b64encode(hashlib.sha1(key + _GUID).digest())])
    if subprotocol is not None:
        headers.setRawHeaders(b"Sec-WebSocket-Protocol", [subprotocol.encode()])
    request.setResponseCode(http.SWITCHING)
    request.startedWriting = request.finished = 1  # whatever else is written to it would get among the messages
    request.channel.writeHeaders(b"HTTP/1.1", b"101", b"Switching Protocols", headers)


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False


def _is_welcome(headers: Headers, origins: Collection[str] | None) -> bool:
    """Whether whoever connects is a page of an allowed origin, or no page.

    A browser sends the cookies of a site along with whatever page connects to it, and tells only here whose it is.

    Source: RFC 6455, 10.2.
    """
    said = headers.getRawHeaders(b"Origin", [])
    if not said or (origins is not None and ANY in origins):
        return True
    origin = origin_of(said[0].decode("latin-1")) if len(said) == 1 else None
    if origin is None:
        return False
    if origins is not None:
        return origin in origins
    # The scheme is the page's: a site behind a proxy does not know its own.
    scheme = origin.partition("://")[0]
    host = headers.getRawHeaders(b"Host", [b""])[0].decode("latin-1")
    return origin == origin_of(f"{scheme}://{host}")


def _tokens(headers: Headers, name: bytes) -> set[bytes]:
    listed = b",".join(headers.getRawHeaders(name, []))
    return {token.strip(b" \t").lower() for token in listed.split(b",")}
