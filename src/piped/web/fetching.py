"""Fetches pages from other web servers over connections that are kept: through redirects, with cookies, in time."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from email.message import Message
from http.cookiejar import Cookie, CookieJar
from typing import Any, Final
from urllib.parse import urljoin, urlsplit
from urllib.request import Request as CookieRequest

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure
from twisted.web.error import InfiniteRedirection
from twisted.web.http import FOUND, MOVED_PERMANENTLY, PERMANENT_REDIRECT, SEE_OTHER, TEMPORARY_REDIRECT
from twisted.web.http_headers import Headers

from piped import (
    ConfigurationError,
    TimeoutError,  # noqa: A004 - the documented name
)
from piped.web.exchange import Answer, Connections, exchange, headers_of, uri_of

REDIRECTS: Final = (MOVED_PERMANENTLY, FOUND, SEE_OTHER, TEMPORARY_REDIRECT, PERMANENT_REDIRECT)
#: Connections to one server that are kept for the next requests, and for how many seconds.
_MOST_KEPT: Final = 16
_KEPT_FOR: Final = 60
#: Headers for the server that they were written for, and no other one.
_FOR_ONE_SERVER: Final = ("authorization", "cookie", "host", "proxy-authorization")


@dataclass(frozen=True)
class Asked:
    """What a server is asked for.

    `timeout` is in seconds for everything together, 0 is none. `cookies` are for the host of the URL; those that it
    sets are put there, too.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    cookies: MutableMapping[str, str] = field(default_factory=dict)
    timeout: float = 0
    follow_redirect: bool = True
    redirect_limit: int = 20
    after_found_get: bool = False
    max_body: int = 10 * 1024 * 1024

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


@dataclass(frozen=True)
class Page:
    """What a server has answered; the names of the headers are in small letters, `url` is where it was found."""

    url: str
    code: int
    phrase: bytes
    headers: dict[str, str]
    body: bytes


class WebClient(Service):
    """The connections of a process to web servers; they are closed when it stops.

    Args:
        reactor: makes the connections, and gives the time.
    """

    name = "web client"

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pools: dict[str | None, Any] = {}
        self._agents: dict[str | None, Any] = {}

    def trust(self, ca_file: str | None) -> None:
        """Get ready for servers that certificates of this file vouch for, or those of the system (None).

        Raises:
            ConfigurationError: the file cannot be read, or holds no certificate.
        """
        if ca_file in self._agents:
            return
        from twisted.web.client import (  # late, as it brings OpenSSL along
            Agent,
            BrowserLikePolicyForHTTPS,
            HostnameCachingHTTPSPolicy,
            HTTPConnectionPool,
        )

        policy: Any = BrowserLikePolicyForHTTPS(None if ca_file is None else _trust_root(ca_file))
        # A pool for each: a connection that one trusts may not be given to another.
        pool: Any = HTTPConnectionPool(self._reactor)
        self._pools[ca_file] = pool
        pool._factory = Connections
        pool.maxPersistentPerHost, pool.cachedConnectionTimeout = _MOST_KEPT, _KEPT_FOR
        self._agents[ca_file] = Agent(self._reactor, HostnameCachingHTTPSPolicy(policy), pool=pool)

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        return gatherResults([pool.closeCachedConnections() for pool in self._pools.values()])

    async def fetch(self, asked: Asked, ca_file: str | None = None) -> Page:
        """What the server answers, whatever its code; cancelled, it closes the connection.

        Args:
            ca_file: one that was given to `trust`.

        Raises:
            PipedError: the URL is none, or the answer was cut or too large.
            TimeoutError: it took too long.
            InfiniteRedirection: there were too many redirects.
        """
        fetching = Deferred.fromCoroutine(self._follow(asked, self._agents[ca_file]))
        if asked.timeout:
            fetching.addTimeout(max(asked.timeout, 0), self._reactor, lambda result, seconds: _too_late(asked, result))
        return await fetching

    async def _follow(self, asked: Asked, agent: Any) -> Page:
        jar, host = CookieJar(), _host_of(asked.url)
        for name, value in asked.cookies.items():
            jar.set_cookie(_cookie(name, str(value), host, is_secure=_origin_of(asked.url)[0] == "https"))
        given = asked.cookies
        for _ in range(asked.redirect_limit + 1):
            uri = uri_of(asked.url)
            answer = await _with_cookies(agent, asked, uri, jar)
            location = answer.headers.getRawHeaders(b"Location")
            if not (asked.follow_redirect and answer.code in REDIRECTS and location):
                _store(jar, host, given)
                return Page(uri, answer.code, answer.phrase, _told(answer.headers), answer.body)
            asked = _redirected(asked, answer.code, urljoin(uri, location[0].decode("utf-8", "replace")))
        raise InfiniteRedirection(answer.code, b"too many redirects", answer.body, asked.url.encode())


def _trust_root(ca_file: str) -> Any:
    from OpenSSL.crypto import Error
    from twisted.internet.ssl import Certificate, trustRootFromCertificates

    try:
        with open(ca_file, "rb") as file:
            _, *blocks = file.read().split(b"-----BEGIN CERTIFICATE-----")
        certificates = [Certificate.loadPEM(b"-----BEGIN CERTIFICATE-----" + block) for block in blocks]
    except (OSError, Error) as error:
        raise ConfigurationError(f"the certificates in {ca_file!r} cannot be read: {error}") from error
    if not certificates:
        raise ConfigurationError(f"{ca_file!r} holds no certificate", hint="it must be a PEM file")
    return trustRootFromCertificates(certificates)


def _too_late(asked: Asked, result: Any) -> Any:
    if not isinstance(result, Failure):
        return result
    raise TimeoutError(f"{asked} was not answered within {asked.timeout:g} s")


def _origin_of(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _redirected(asked: Asked, code: int, url: str) -> Asked:
    """What to ask for next. 303 is answered with GET, 302 as well if it was said so, others with the same once more."""
    headers = dict(asked.headers)
    if _origin_of(url) != _origin_of(asked.url):
        headers = {name: value for name, value in headers.items() if name.lower() not in _FOR_ONE_SERVER}
    if code == SEE_OTHER or (code == FOUND and asked.after_found_get):
        headers = {name: value for name, value in headers.items() if not name.lower().startswith("content-")}
        method = "HEAD" if asked.method == "HEAD" else "GET"
        return replace(asked, url=url, method=method, headers=headers, body=None)
    return replace(asked, url=url, headers=headers)


async def _with_cookies(agent: Any, asked: Asked, uri: str, jar: CookieJar) -> Answer:
    """One request with the cookies that are for it; takes those that the answer sets."""
    headers, asking = headers_of(asked.headers), CookieRequest(uri)
    jar.add_cookie_header(asking)
    cookies = asking.get_header("Cookie")
    if cookies and not headers.hasHeader("Cookie"):
        headers.setRawHeaders("Cookie", [cookies])
    answer = await exchange(agent, asked.method, uri, headers, asked.body, asked.max_body)
    jar.extract_cookies(_SetCookies(answer.headers), asking)  # type: ignore[arg-type]  # it is asked for nothing else
    return answer


def _told(headers: Headers) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): b", ".join(values).decode("utf-8", "replace")
        for name, values in headers.getAllRawHeaders()
    }


class _SetCookies:
    """The headers of a response as http.cookiejar reads them."""

    def __init__(self, headers: Headers) -> None:
        self._message = Message()
        for value in headers.getRawHeaders(b"Set-Cookie", []):
            self._message["Set-Cookie"] = value.decode("utf-8", "replace")

    def info(self) -> Message:
        return self._message


def _host_of(url: str) -> str:
    """The host as http.cookiejar names it."""
    host = urlsplit(uri_of(url)).hostname or ""
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


def _store(jar: CookieJar, host: str, cookies: MutableMapping[str, str]) -> None:
    """Put the cookies of a host in place of those that were sent; those of other hosts are none of its business."""
    kept = {cookie.name: cookie.value or "" for cookie in jar if f".{host}".endswith(f".{cookie.domain.lstrip('.')}")}
    for name in [name for name in cookies if name not in kept]:
        del cookies[name]
    cookies.update(kept)
