"""Where a redirect leads, and what is asked for there: with which method, which headers, and whether at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from twisted.web.http import FOUND, MOVED_PERMANENTLY, PERMANENT_REDIRECT, SEE_OTHER, TEMPORARY_REDIRECT

REDIRECTS: Final = (MOVED_PERMANENTLY, FOUND, SEE_OTHER, TEMPORARY_REDIRECT, PERMANENT_REDIRECT)
#: Headers for the server that they were written for, and no other one.
_FOR_ONE_SERVER: Final = ("authorization", "cookie", "host", "proxy-authorization")
#: Whether a redirect of a code, which answers a method, is followed with GET and without the body.
Rewrites = Callable[[int, str], bool]


def as_browsers(code: int, method: str) -> bool:
    """What browsers do, which RFC 9110 lets them.

    Source: RFC 9110, section 15.4.

    Example:
        >>> as_browsers(301, "POST"), as_browsers(301, "PUT"), as_browsers(303, "PUT"), as_browsers(307, "POST")
        (True, False, True, False)
    """
    return code == SEE_OTHER or (code in (MOVED_PERMANENTLY, FOUND) and method == "POST")


def as_told(code: int, method: str) -> bool:
    """Only where the server says so."""
    return code == SEE_OTHER


def as_told_or_found(code: int, method: str) -> bool:
    """Where the server says so, and with 302, too."""
    return code in (SEE_OTHER, FOUND)


def origin_of(url: str) -> tuple[str, str | None, int | None]:
    """What two URLs of the same server have in common.

    Example:
        >>> origin_of("https://example.org/a") == origin_of("https://EXAMPLE.org:443/b")
        True
    """
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def leads_out_of_tls(url: str, target: str) -> bool:
    """Whether a redirect would send over the net as plain text what was asked for over TLS."""
    return origin_of(url)[0] == "https" and origin_of(target)[0] == "http"


def target_of(url: str, location: bytes) -> str:
    """The URL that the header `location` of an answer to another one stands for.

    Example:
        >>> target_of("http://example.org/a/b", b"../c?d#e")
        'http://example.org/c?d#e'
    """
    written = location.decode("utf-8", "replace")
    try:
        return urljoin(url, written)
    except ValueError:  # such as a bracket that is not closed; whoever wants to ask for it is told
        return written


def followed(
    method: str, headers: Mapping[str, Any], url: str, target: str, *, with_get: bool
) -> tuple[str, dict[str, Any]]:
    """The method and the headers for a redirect from one URL to another; `with_get` leaves the body out."""
    kept = dict(headers)
    if origin_of(url) != origin_of(target):
        kept = {name: value for name, value in kept.items() if name.lower() not in _FOR_ONE_SERVER}
    if not with_get:
        return method, kept
    kept = {name: value for name, value in kept.items() if not name.lower().startswith("content-")}
    return ("HEAD" if method == "HEAD" else "GET"), kept
