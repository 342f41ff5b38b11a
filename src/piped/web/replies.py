"""The short pages that a site answers with by itself: nothing there, failed, not ready, too late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from twisted.web import http

from piped.web.request import Request

#: How long a client is asked to wait before it tries again, in seconds.
RETRY_AFTER: Final = b"2"
#: What a pipeline may have said about a content that is not sent after all.
_ABOUT_CONTENT: Final = (
    b"Accept-Ranges",
    b"Cache-Control",
    b"Content-Disposition",
    b"Content-Encoding",
    b"Content-Language",
    b"Content-Length",
    b"Content-Location",
    b"Content-Range",
    b"ETag",
    b"Expires",
    b"Last-Modified",
    b"Transfer-Encoding",
)


def page(title: str) -> bytes:
    """A page that says one thing."""
    return (f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><b>{title}</b></body></html>\n").encode()


_FAILED = page("Processing Failed")
_NOTHING = page("No Such Resource")
_NOT_ALLOWED = page("Method Not Allowed")
_FORBIDDEN = page("Forbidden")
_BAD = page("Bad Request")
#: Headers of a response that are not a pipeline's.
_OF_THE_SERVER: Final = (b"connection", b"date", b"server")


def processing_failed(request: Request, code: int = http.INTERNAL_SERVER_ERROR) -> None:
    """Tell the client that its request could not be processed; with 503 also when to try again."""
    if code == http.SERVICE_UNAVAILABLE and not request.startedWriting:
        request.setHeader(b"Retry-After", RETRY_AFTER)
    _send(request, code, _FAILED)


def no_such_resource(request: Request) -> None:
    """Tell the client that there is nothing at that path."""
    _send(request, http.NOT_FOUND, _NOTHING)


def method_not_allowed(request: Request, *allowed: str) -> None:
    """Tell the client which methods there are."""
    request.setHeader(b"Allow", ", ".join(allowed))
    _send(request, http.NOT_ALLOWED, _NOT_ALLOWED)


def forbidden(request: Request) -> None:
    """Tell the client that it may not do that."""
    _send(request, http.FORBIDDEN, _FORBIDDEN)


def bad_request(request: Request) -> None:
    """Tell the client that what it sent makes no sense."""
    _send(request, http.BAD_REQUEST, _BAD)


def rejected(request: Request, why: str) -> None:
    """Tell the client why a pipeline refuses what it has sent."""
    _send(request, http.BAD_REQUEST, f"{why}\n".encode(errors="replace"), b"text/plain; charset=utf-8")


def alone(request: Request, code: int, body: bytes, headers: Mapping[str, str]) -> None:
    """Answer with these headers and no other: what a pipeline has set may open the answer to pages of other sites."""
    for name, _ in list(request.responseHeaders.getAllRawHeaders()):
        if name.lower() not in _OF_THE_SERVER:
            request.responseHeaders.removeHeader(name)
    request.cookies.clear()
    request.etag = request.lastModified = None
    request.setResponseCode(code)
    for field, value in headers.items():
        request.setHeader(field, value)
    request._is_dressed = True  # those of the site, too, would be others
    request.answer(body)


def _send(request: Request, code: int, body: bytes, content_type: bytes = b"text/html") -> None:
    """Answer with a page of our own, unless an answer has begun or ended already."""
    if not request.is_open:
        return
    if request.startedWriting:
        request.cut_short()
        return
    for name in _ABOUT_CONTENT:
        request.responseHeaders.removeHeader(name)
    request.etag = request.lastModified = None
    request.setResponseCode(code)
    request.setHeader(b"Content-Type", content_type)
    request.answer(body)
