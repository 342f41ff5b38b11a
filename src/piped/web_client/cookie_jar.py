"""The cookies of one exchange with other servers: those that are sent, and those that are set on the way."""

from __future__ import annotations

from collections.abc import MutableMapping
from email.message import Message
from http.cookiejar import Cookie, CookieJar
from urllib.parse import urlsplit
from urllib.request import Request as CookieRequest

from twisted.web.http_headers import Headers


class Jar:
    """Cookies for the host of a URL, and those that it and others set while redirects are followed.

    Args:
        uri: where they are for.
        cookies: values by their names; `store` puts there what came.
    """

    def __init__(self, uri: str, cookies: MutableMapping[str, str]) -> None:
        self._cookies, self._jar = cookies, CookieJar()
        parts = urlsplit(uri)
        self._host = _host_as_named(parts.hostname or "")
        for name, value in cookies.items():
            self._jar.set_cookie(_cookie(name, str(value), self._host, is_secure=parts.scheme == "https"))

    def add_to(self, headers: Headers, uri: str) -> None:
        """Put the cookies for a URL into the headers of a request, unless they hold some already."""
        if not len(self._jar) or headers.hasHeader("Cookie"):
            return
        asking = CookieRequest(uri)
        self._jar.add_cookie_header(asking)
        cookies = asking.get_header("Cookie")
        if cookies:
            headers.setRawHeaders("Cookie", [cookies])

    def take_from(self, headers: Headers, uri: str) -> None:
        """Take the cookies that the answer from a URL sets."""
        if headers.hasHeader("Set-Cookie"):
            asked = CookieRequest(uri)
            self._jar.extract_cookies(_SetCookies(headers), asked)  # type: ignore[arg-type]  # asked for nothing else

    def store(self) -> None:
        """Put the cookies of the host in place of those that were sent; those of other hosts are not its business."""
        kept = {each.name: each.value or "" for each in self._jar if f".{self._host}".endswith(_domain(each))}
        for name in [name for name in self._cookies if name not in kept]:
            del self._cookies[name]
        self._cookies.update(kept)


class _SetCookies:
    """The headers of a response as http.cookiejar reads them."""

    def __init__(self, headers: Headers) -> None:
        self._message = Message()
        for value in headers.getRawHeaders(b"Set-Cookie", []):
            self._message["Set-Cookie"] = value.decode("utf-8", "replace")

    def info(self) -> Message:
        return self._message


def _domain(cookie: Cookie) -> str:
    return f".{cookie.domain.lstrip('.')}"


def _host_as_named(host: str) -> str:
    """The host as http.cookiejar names it."""
    return host if "." in host else f"{host}.local"


def _cookie(name: str, value: str, host: str, *, is_secure: bool) -> Cookie:
    """A cookie for all pages of one host, until the end of the session; one for https does not leave it."""
    return Cookie(
        version=0,
        name=name,
        value=value,
        port=None,
        port_specified=False,
        domain=host,
        domain_specified=False,
        domain_initial_dot=False,
        path="/",
        path_specified=True,
        secure=is_secure,
        expires=None,
        discard=True,
        comment=None,
        comment_url=None,
        rest={},
    )
