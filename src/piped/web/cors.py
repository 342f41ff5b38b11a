"""CORS: which pages of other origins may read what a site answers."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from twisted.web import http

from piped import ConfigurationError, Seconds
from piped.config.nodes import Node
from piped.web import replies
from piped.web.headers import vary_by
from piped.web.request import Request

if TYPE_CHECKING:
    from piped.spec.checking import Checker

_log = logging.getLogger("piped.web")

ANY: Final = "*"
#: A scheme, a host, whose first labels may be `*`, and a port; as browsers write it, but for the case.
_ORIGIN: Final = re.compile(
    r"([a-z][a-z0-9+.-]*)://((?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:\d{1,5})?"
)
_ORDINARY_PORTS: Final = {"http": ":80", "https": ":443"}
#: Source: RFC 9110, 5.6.2.
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_ASKED_METHOD: Final = b"Access-Control-Request-Method"
_ALLOWED_ORIGIN: Final = b"Access-Control-Allow-Origin"


class Origin(str):
    """An origin: such as https://shop.example, https://*.shop.example for all below it, or "*" for any."""

    __slots__ = ()
    __shape__ = str

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Origin | None:
        written = checker.value(str, node, owner="an origin")
        if written is None:
            return None
        try:
            return cls(normal(written))
        except ValueError:
            must_be = "a scheme and a host, such as https://shop.example or http://localhost:3000"
            fix = "any frame can say that its origin is null: nobody can trust it" if written == "null" else ""
            checker.refuse("an origin", must_be, node, fix)
            return None


def normal(origin: str) -> str:
    """An origin as browsers write it: in small letters, without the ordinary port.

    Raises:
        ValueError: it is none.

    Example:
        >>> normal("https://Shop.Example:443"), normal("*")
        ('https://shop.example', '*')
    """
    if origin == ANY:
        return ANY
    found = _ORIGIN.fullmatch(origin.lower())
    if found is None:
        raise ValueError(f"{origin!r} is no origin")
    scheme, host, port = found.groups()
    return f"{scheme}://{host}{'' if port in (None, _ORDINARY_PORTS.get(scheme)) else port}"


@dataclass(frozen=True)
class Cors:
    """Pages of other origins, which browsers let read a response only if it says that they may.

    Args:
        origins: the origins of those pages; `https://*.shop.example` is every host below shop.example, but not that
            one; "*" is any page, without cookies.
        methods: what they may do besides GET, HEAD and POST.
        headers: which headers they may send besides those that any page may; "*" is all but authorization.
        expose_headers: which headers of a response they may read besides the common ones.
        credentials: whether their requests may come with cookies.
        max_age: how long browsers need not ask again.
    """

    origins: list[Origin]
    methods: list[str] = field(default_factory=lambda: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    headers: list[str] = field(default_factory=lambda: ["Authorization", "Content-Type"])
    expose_headers: list[str] = field(default_factory=list)
    credentials: bool = False
    max_age: Seconds = 600

    def __post_init__(self) -> None:
        if not self.origins:
            raise ConfigurationError("`origins` is empty, so that no page may read anything", hint="remove `cors`")
        if ANY in self.origins and len(self.origins) > 1:
            raise ConfigurationError('"*" is every origin', hint="remove it, or all others")
        for name in (*self.methods, *self.headers, *self.expose_headers):
            if not _TOKEN.fullmatch(name):
                raise ConfigurationError(f"{name!r} is neither a method nor the name of a header")
        if self.credentials and ANY in (*self.origins, *self.methods, *self.headers, *self.expose_headers):
            hint = 'name each instead of "*"'
            raise ConfigurationError('with `credentials` no browser takes "*"', hint=hint)


class CrossOrigin:
    """Tells browsers whether the page that asks may read the response, unless its pipeline has told them.

    Source: the Fetch standard, 3.3 (HTTP extensions).
    """

    def __init__(self, options: Cors) -> None:
        self._is_any = ANY in options.origins
        self._origins = frozenset(origin.encode() for origin in options.origins)
        self._below = _below(origin for origin in options.origins if "*." in origin)
        self._told = [(b"Access-Control-Allow-Credentials", b"true")] if options.credentials else []
        if options.expose_headers:
            self._told.append((b"Access-Control-Expose-Headers", ", ".join(options.expose_headers).encode()))

    def allows(self, origin: bytes) -> bool:
        """Whether pages of that origin may read what the site answers."""
        return self._is_any or origin in self._origins or (self._below is not None and bool(self._below(origin)))

    def __call__(self, request: Request, size: int | None) -> None:
        # Not a public name; the public ones canonise the name of each header that they are asked for.
        headers = request.responseHeaders._rawHeaders
        if _ALLOWED_ORIGIN in headers:
            return
        origin = b"*" if self._is_any else origin_of(request)
        if not self._is_any:
            vary_by(request, b"Origin")
        if origin is not None and self.allows(origin):
            headers[_ALLOWED_ORIGIN] = [origin]
            for name, value in self._told:
                headers[name] = [value]


def origin_of(request: Request) -> bytes | None:
    """The origin of the page that asks; None where it is told never, or more than once."""
    values = request.requestHeaders._rawHeaders.get(b"Origin")
    return values[0] if values is not None and len(values) == 1 else None


def _below(patterns: Iterable[str]) -> Any:
    """What matches the origins that patterns such as `https://*.shop.example` stand for; None for no pattern."""
    written = [re.escape(pattern).replace(r"\*\.", r"(?:[a-z0-9_-]+\.)+").encode() for pattern in patterns]
    return re.compile(b"|".join(written)).fullmatch if written else None


class Preflights:
    """Answers browsers that ask what a page of another origin may send; everything else is for the site.

    Args:
        site: the WebResource that answers every other request.
    """

    #: As a WebResource says it.
    answers_everything = True

    def __init__(self, site: Any, options: Cors, cross_origin: CrossOrigin) -> None:
        self.site, self._cross_origin = site, cross_origin
        self._told = {
            b"Access-Control-Allow-Methods": ", ".join(options.methods),
            b"Access-Control-Allow-Headers": ", ".join(options.headers),
            b"Access-Control-Max-Age": int(options.max_age),
        }

    def answer(self, request: Request) -> None:
        """Answer a request to the site, now or later."""
        is_preflight = request.method == b"OPTIONS" and request.requestHeaders.hasHeader(_ASKED_METHOD)
        origin = origin_of(request) if is_preflight else None
        if origin is None:
            self.site.answer(request)
        elif self._cross_origin.allows(origin):
            request.setResponseCode(http.NO_CONTENT)
            for name, value in self._told.items():
                request.setHeader(name, value)
            request.answer(b"")
        else:
            _log.debug("%s is not allowed for pages of %r, which are not among the origins", request, origin)
            replies.forbidden(request)
