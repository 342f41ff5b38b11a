"""Redirects: where a client is sent instead, and never to where it has chosen itself."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from piped import ConfigurationError, Path, PipedError, Problem, Rejected, get_path
from piped.config.nodes import Node
from piped.web.processors import RequestProcessor, code_of
from piped.web.request import Request

if TYPE_CHECKING:
    from piped.spec.checking import Checker

#: What may stand in a URL as it is: its own marks, and what is encoded already. No white space, and no backslash, which
#: browsers take for a slash.
_MARKS: Final = "%!$&'()*+,;=:@/?#[]~"
_PARAMETER: Final = re.compile(r"\{([A-Za-z_]\w*)\}")
_SCHEMES: Final = ("http", "https")
#: A name, or an address with colons; no scheme and no port.
_HOST: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f.]*:[0-9a-f.]*:[0-9a-f:.]*")
_CODES: Final = (301, 302, 303, 307, 308)


def url_of(location: str, hosts: Collection[str] | None = None) -> str:
    """A path of this site, or a whole URL, as it may be sent: what no URL can hold is encoded.

    Args:
        hosts: the only other hosts that it may lead to; None is any.

    Raises:
        ValueError: it is neither of them, or leads to another host.

    Example:
        >>> url_of("/über uns"), url_of("https://shop.example/?a=b#c")
        ('/%C3%BCber%20uns', 'https://shop.example/?a=b#c')
    """
    url = quote(location, _MARKS)
    if url.startswith("/") and not url.startswith("//"):
        return url
    parts = urlsplit(url)
    # What browsers make of it has to be what is seen here: no other scheme, no name of a user, no missing slash.
    if parts.scheme not in _SCHEMES or not parts.hostname or "@" in parts.netloc:
        raise ValueError(f"{location!r} is neither a path that begins with one slash nor a URL with http or https")
    if hosts is not None and parts.hostname not in hosts:
        raise ValueError(f"{location!r} leads to another host")
    return url


class Location(str):
    """A path of this site, or a URL; `{name}` stands for that parameter of the route."""

    __slots__ = ()
    __shape__ = str

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Location | None:
        written = checker.value(str, node, owner="where to go")
        if written is None:
            return None
        what, fix = "", "write a path such as /new, or a URL such as https://shop.example/new"
        try:
            url = _PARAMETER.sub("x", written)
            url_of(url)
            if "{" in urlsplit(written).netloc:
                what, fix = "a client could choose the host that it is sent to", "write the host itself"
            elif "{" in url or "}" in url:
                what, fix = f"{written!r} has a brace that is no parameter's", "a parameter is written as {name}"
        except ValueError as error:
            what = str(error)
        if what:
            checker.problems.append(Problem(what, node.where, fix))
        return cls(written)


@dataclass(frozen=True)
class Redirect:
    """Where the clients of a path are sent.

    Args:
        to: a path of this site, or a URL; `{name}` stands for that parameter of the route.
        code: 308 and 301 are kept by browsers, 307 and 302 are for this time; 308 and 307 keep the method and the body,
            303 makes it a GET.
        keep_query: the query goes with it.
        keep_rest: what is below this path is sent to the same place below `to`.
    """

    to: Location
    code: Literal[301, 302, 303, 307, 308] = 308
    keep_query: bool = True
    keep_rest: bool = False


def unknown_parameters(redirect: Redirect, node: Node, route: Sequence[str]) -> list[Problem]:
    """A Problem for each parameter that a redirect needs and its route does not have.

    Args:
        node: what is written for the redirect.
        route: the parameters of the route, as they are written.
    """
    where = (node.at("to") or node).where
    fix = f"there is: {', '.join(route)}" if route else "the route has none"
    return [
        Problem(f"{{{name}}} is no parameter on the way to this redirect", where, fix)
        for name in _PARAMETER.findall(redirect.to)
        if f"{{{name}}}" not in route
    ]


class Redirects:
    """Answers every request of a path with where to go."""

    def __init__(self, options: Redirect) -> None:
        self.options = options
        self._parts = urlsplit(options.to)

    def __call__(self, request: Request) -> bool:
        redirect(request, self._url(request), self.options.code)
        return True

    def _url(self, request: Request) -> str:
        scheme, host, *templates = self._parts
        path, query, fragment = (_filled(one, request.params or {}) for one in templates)
        if self.options.keep_rest:
            path = path.rstrip("/") + _rest(request)
        asked = request.uri.partition(b"?")[2]
        if self.options.keep_query and asked:
            query = "&".join(filter(None, (query, quote(asked, _MARKS))))
        # Two slashes at the beginning would lead to another site.
        return urlunsplit((scheme, host, path if host else "/" + path.lstrip("/"), query, fragment))


def _filled(template: str, params: Mapping[str, str]) -> str:
    """A part of a URL with its parameters, of which not even a slash stays as it is."""
    parts = _PARAMETER.split(template)
    parts[::2] = [quote(part, _MARKS) for part in parts[::2]]
    parts[1::2] = [quote(params[name], "") for name in parts[1::2]]
    return "".join(parts)


def _rest(request: Request) -> str:
    """What comes behind the path that answers, with its slash, as the client has sent it."""
    count = len(request.postpath) or request.path.endswith(b"/")
    segments = request.path.split(b"/")[-count:] if count else []
    return "".join("/" + quote(segment.replace(b"#", b"%23"), _MARKS) for segment in segments)


def redirect(request: Request, url: str, code: int) -> None:
    """Answer with where to go."""
    request.setResponseCode(code)
    request.setHeader(b"Location", url)
    request.answer(b"")


class RedirectWebResponse(RequestProcessor):
    """Send the client to another place.

    A path is one of this site. What is read from the baton may be what a client has sent: it leads to another site only
    if that host is named in `hosts`; anything else is refused with `piped.Rejected`, which the client sees as 400.

    Args:
        location: a path that begins with a slash, or a URL.
        location_path: where one of them is in the baton; where nothing is, `location` is taken.
        hosts: the other hosts that what is at `location_path` may lead to.
        code: 302 and 307 are for this time, 301 and 308 are kept by browsers; 307 and 308 keep the method and the body,
            303 makes it a GET. A name such as SEE_OTHER does, too.

    Example:
        - redirect-web-response:
            location: /thanks
            code: SEE_OTHER
    """

    name = "redirect-web-response"

    def __init__(
        self,
        location: str | None = None,
        location_path: Path | None = None,
        hosts: list[str] | None = None,
        code: int | str = 302,
        **request: Any,
    ) -> None:
        super().__init__(**request)
        if location is None and location_path is None:
            raise ConfigurationError("nobody says where to go", hint="write `location`, `location_path` or both")
        self.code = code_of(code)
        if self.code not in _CODES:
            raise ConfigurationError(f"{code!r} sends nobody anywhere", hint="write 301, 302, 303, 307 or 308")
        self.location_path, self.hosts = location_path, frozenset(host.lower() for host in hosts or ())
        for host in self.hosts:
            if not _HOST.fullmatch(host):
                raise ConfigurationError(f"{host!r} is no host", hint="write one such as shop.example, on any port")
        try:
            self._url = None if location is None else url_of(location)
        except ValueError as error:
            raise ConfigurationError(str(error), hint="write a path such as /thanks, or a URL") from error

    def process_request(self, request: Request, baton: Any) -> None:
        redirect(request, self._url_for(baton), self.code)

    def _url_for(self, baton: Any) -> str:
        found = None if self.location_path is None else get_path(baton, self.location_path)
        if found is None and self._url is not None:
            return self._url
        if not isinstance(found, str):
            hint = "`location` says where to go then" if found is None else ""
            what = f"{self.label} finds no text at {self.location_path!r}, but {type(found).__name__}"
            raise PipedError(what, hint=hint)
        try:
            return url_of(found, self.hosts)
        except ValueError as error:
            raise Rejected(f"no redirect: {error}") from error
