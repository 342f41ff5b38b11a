"""Compression: bodies are sent shorter to the clients that can unpack them."""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Annotated, Any, Final

from annotated_types import Ge, Le
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.iweb import _IRequestEncoder
from zope.interface import implementer

from piped import Bytes, ConfigurationError
from piped.web.headers import vary_by
from piped.web.request import Request

_log = logging.getLogger("piped.web")

#: What is mostly text; pictures, films and archives are compressed already.
TYPES: Final = (
    "text/*",
    "application/*json",
    "application/*xml",
    "application/javascript",
    "application/wasm",
    "application/x-ndjson",
    "font/otf",
    "font/ttf",
    "image/svg+xml",
)
#: Bytes that take more than some milliseconds: others would have to wait.
LARGE: Final = 128 * 1024
#: Each event is sent on its own, to many clients at once: what it costs to compress it for each is more than it saves.
_EVENTS: Final = b"text/event-stream"
_TYPE: Final = re.compile(r"[a-z0-9.+*-]+/[a-z0-9.+*-]+")
_NO_TRANSFORM: Final = re.compile(rb"(?:^|,)\s*no-transform\s*(?:,|$)", re.IGNORECASE)
_WEIGHTED: Final = re.compile(
    rb"\s*([!#$%&'*+\-.^_`|~0-9a-z]+)\s*(?:;\s*q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*)?", re.IGNORECASE
)
#: The gzip format, with a window of 16 KiB.
_WINDOW: Final = 16 + 14
#: With that window: 128 KiB for each response that is being sent, half of what zlib takes otherwise.
_MEMORY: Final = 7


@dataclass(frozen=True)
class Compression:
    """What is compressed, and how hard.

    Args:
        min_size: shorter bodies are sent as they are.
        level: from 1, the fastest, to 9, the smallest.
        types: content types that are worth it; `*` stands for any part of one. Streams of events never are.
    """

    min_size: Bytes = 1024
    level: Annotated[int, Ge(1), Le(9)] = 5
    types: list[str] = field(default_factory=lambda: list(TYPES))

    def __post_init__(self) -> None:
        for written in self.types:
            if not _TYPE.fullmatch(written.lower()):
                hint = "write one such as text/html or text/*"
                raise ConfigurationError(f"{written!r} is no content type", hint=hint)


@lru_cache(maxsize=128)
def prefers_gzip(accept_encoding: bytes) -> bool:
    """Whether a client would rather have a body with gzip than as it is.

    Args:
        accept_encoding: the header of that name.

    Source: RFC 9110, 12.5.3.

    Example:
        >>> prefers_gzip(b"br, gzip;q=0.5"), prefers_gzip(b"*"), prefers_gzip(b"gzip;q=0, *")
        (True, True, False)
    """
    weights: dict[bytes, float] = {}
    for member in accept_encoding.lower().split(b","):
        found = _WEIGHTED.fullmatch(member)
        if found is not None:  # what is malformed says nothing
            weights[found[1]] = 1.0 if found[2] is None else float(found[2])
    gzip = max((weights[name] for name in (b"gzip", b"x-gzip") if name in weights), default=weights.get(b"*", 0.0))
    # A client that names neither would take it as it is, but has asked for something better.
    return gzip > 0 and gzip >= weights.get(b"identity", 0.0)


@implementer(_IRequestEncoder)
class Gzip:
    """Compresses one body: in one piece, or in parts, each of which the client can unpack when it has come.

    Args:
        in_thread: calls a function in a thread, and gives a Deferred of its result.
    """

    def __init__(self, level: int, in_thread: Callable[..., Deferred[bytes]]) -> None:
        self._level, self._in_thread = level, in_thread

    def answer(self, request: Request, body: bytes) -> None:
        """Answer with the whole body, at once or, where it is large, when a thread has compressed it."""
        if len(body) <= LARGE:
            request.answer(zlib.compress(body, self._level, 16 + zlib.MAX_WBITS))
            return
        # Until then nobody else can add anything: as after any answer.
        request._is_cut = True
        packing = self._in_thread(zlib.compress, body, self._level, 16 + zlib.MAX_WBITS)
        packing.addBoth(_answer_packed, request)

    def encode(self, data: bytes) -> bytes:
        """A part of the body."""
        return self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH) if data else b""

    def finish(self) -> bytes:
        """The end of the body."""
        return self._stream.flush()

    @cached_property
    def _stream(self) -> zlib._Compress:
        return zlib.compressobj(self._level, zlib.DEFLATED, _WINDOW, _MEMORY)


def _answer_packed(packed: bytes | Failure, request: Request) -> None:
    request._is_cut = False
    if isinstance(packed, Failure):
        _log.error("%s: the response cannot be compressed", request, exc_info=packed.value)
        request.cut_short()
    else:
        request.answer(packed)


class Compressing:
    """Has a response compressed where that is worth it and its client prefers it.

    Only the body gets shorter: whoever can make a browser ask with its cookies, and sees how long the answers are,
    could guess what is secret in them (BREACH). So what a page of another site asks for in somebody's name is sent as
    it is.

    Args:
        in_thread: calls a function in a thread, and gives a Deferred of its result.
    """

    def __init__(self, options: Compression, in_thread: Callable[..., Deferred[bytes]]) -> None:
        self.options, self._in_thread = options, in_thread
        self._is_worth_it = lru_cache(maxsize=256)(_matching(options.types))

    def __call__(self, request: Request, size: int | None) -> None:
        if _is_known_as_compressed(request):
            if request.code == http.OK and request.method in (b"GET", b"HEAD"):
                request.setResponseCode(http.NOT_MODIFIED)  # Twisted's setETag has looked for the strong tag only
            # A cache would not take the strong tag for that of what it has (RFC 9111, 4.3.4).
            _weaken_tag(request)
        if request.code == http.NOT_MODIFIED:
            vary_by(request, b"Accept-Encoding")
        elif self._can_be_compressed(request, size):
            vary_by(request, b"Accept-Encoding")
            accepted = request.requestHeaders._rawHeaders.get(b"Accept-Encoding")
            if accepted is not None and prefers_gzip(b",".join(accepted)) and not _may_be_spied_on(request):
                self._compress(request, size)

    def _can_be_compressed(self, request: Request, size: int | None) -> bool:
        # Not a public name, here and below; the public ones canonise the name of each header that they are asked for.
        headers = request.responseHeaders._rawHeaders
        if request.code in http.NO_BODY_CODES or request.code == http.PARTIAL_CONTENT or b"Content-Encoding" in headers:
            return False
        if b"Content-Length" in headers and (size is None or request.method == b"HEAD"):
            length = headers[b"Content-Length"][-1]
            size = int(length) if length.isdigit() else size
        if size is not None and size < self.options.min_size:
            return False
        kinds = headers.get(b"Content-Type")
        kind = request.defaultContentType if kinds is None else kinds[-1]
        if kind is None or not self._is_worth_it(kind):
            return False
        return b"Cache-Control" not in headers or not _NO_TRANSFORM.search(b",".join(headers[b"Cache-Control"]))

    def _compress(self, request: Request, size: int | None) -> None:
        headers = request.responseHeaders._rawHeaders
        headers[b"Content-Encoding"] = [b"gzip"]
        headers.pop(b"Content-Length", None)
        # A range would be one of the compressed body, which is another one each time.
        headers.pop(b"Accept-Ranges", None)
        _weaken_tag(request)
        if size or request.method != b"HEAD":
            encoder: Any = Gzip(self.options.level, self._in_thread)
            request._encoder = encoder


def _matching(types: Iterable[str]) -> Callable[[bytes], bool]:
    """Whether the value of a header Content-Type is of one of these types."""
    written = [re.escape(one.lower()).replace(r"\*", "[^;]*").encode() for one in types]
    pattern = re.compile(b"|".join(written))

    def matches(content_type: bytes) -> bool:
        kind = content_type.partition(b";")[0].strip().lower()
        return kind != _EVENTS and pattern.fullmatch(kind) is not None

    return matches


def _may_be_spied_on(request: Request) -> bool:
    """Whether a page of another site asks in the name of somebody who may not know of it."""
    headers = request.requestHeaders._rawHeaders
    if headers.get(b"Sec-Fetch-Site", [b""])[-1] != b"cross-site":
        return False
    return b"Cookie" in headers or b"Authorization" in headers


def _weaken_tag(request: Request) -> None:
    """Say that the tag is that of a content, and not of bytes, which the compressed body does not share.

    Source: RFC 9110, 8.8.1.
    """
    headers = request.responseHeaders._rawHeaders
    if b"ETag" in headers:
        headers[b"ETag"] = [weak(headers[b"ETag"][-1])]
    if request.etag is not None:
        request.etag = weak(request.etag)


def weak(tag: bytes) -> bytes:
    """A tag that says nothing of single bytes.

    Example:
        >>> weak(b'"17"'), weak(b'W/"17"')
        (b'W/"17"', b'W/"17"')
    """
    return tag if tag.startswith(b"W/") else b"W/" + tag


def _is_known_as_compressed(request: Request) -> bool:
    """Whether the client has the present version of the response, compressed."""
    known = request.requestHeaders._rawHeaders.get(b"If-None-Match")
    if known is None:
        return False
    tag = request.etag or request.responseHeaders._rawHeaders.get(b"ETag", [b""])[-1]
    return bool(tag) and weak(tag) in map(bytes.strip, b",".join(known).split(b","))
