"""The step that fetches a page from another web server."""

from __future__ import annotations

import os
import reprlib
from io import BytesIO, StringIO
from typing import Annotated, Any, Final

from annotated_types import Ge
from twisted.web.error import Error, PageRedirect

from piped import BatonPath, Bytes, OrPath, Path, PipedError, Processor, RuntimeEnvironment, Seconds, get_path
from piped.pipelines.input_output import is_awaitable
from piped.web.fetching import REDIRECTS, Asked, Page, WebClient

_MISSING: Final = object()
_URL: Final = BatonPath("url")
Redirects = Annotated[int, Ge(0)]


class WebClientGetPage(Processor):
    """Fetch a page from a web server.

    A `!path` may stand inside of a list or a mapping too, and lead to a function without arguments that gives the
    value, or to a Deferred.

    A response with another code than 2xx makes the step fail with `twisted.web.error.Error`, whose `status` and
    `response` hold the code and the body. The certificates of servers are always checked. Connections are kept for the
    next page, and closed when the process stops. What is written for one server – the headers authorization, cookie and
    host – is not sent to another that it leads to, nor cookies for https over http. Headers of a response may have
    256 KiB.

    Args:
        base_url: put in front of the URL as it is.
        url: the URL; the parts of a list are joined with `/`.
        method: such as GET, HEAD or POST.
        headers: values by the names of the headers; a list is several headers of one name.
        agent: what the server is told about who asks, as the header user-agent.
        timeout: for everything together; 0 waits as long as it takes.
        cookies: values by the names of the cookies. In a mapping that comes from the baton the cookies that the server
            sets are stored too.
        follow_redirect: ask again where the server says; else a redirect is an error, whose `location` says where.
        redirect_limit: how many redirects are followed.
        after_found_get: answer a redirect with code 302 with GET, as browsers do, and not with the same method and
            body. One with code 303 always is.
        postdata: the body that is sent: text, bytes, or something to read it from.
        output_path: where the body of the page is put, as bytes; '' makes it the baton, null discards it.
        response_path: where to put what else is known of the response: a mapping of `code`, `headers` (by their names
            in small letters) and `url` (of the last redirect). It is there for error consumers, too.
        max_body: how long the body of the page may be.
        ca_file: a file of certificates (PEM), one of which must vouch for the server, instead of those of the system.

    Example:
        - web-client-get-page:
            base_url: https://www.example.org/
            url: [users, !path user.id]
            headers: {accept: application/json}
            timeout: 10
            output_path: user
            response_path: response
        - decode-json: {input_path: user}
    """

    name = "web-client-get-page"

    def __init__(
        self,
        base_url: OrPath[str] | None = None,
        url: OrPath[str | list[Any]] = _URL,
        method: OrPath[str] = "GET",
        headers: OrPath[dict[str, Any]] | None = None,
        agent: OrPath[str] | None = "Piped",
        timeout: OrPath[Seconds] = 0,
        cookies: OrPath[dict[str, Any]] | None = None,
        follow_redirect: OrPath[bool] = True,
        redirect_limit: OrPath[Redirects] = 20,
        after_found_get: OrPath[bool] = False,
        postdata: OrPath[Any] = None,
        output_path: Path | None = "page",
        response_path: Path | None = None,
        max_body: Bytes = 10 * 1024 * 1024,
        ca_file: str | None = None,
        node_name: str | None = None,
    ) -> None:
        super().__init__(node_name)
        self._options: dict[str, Any] = {
            "base_url": base_url,
            "url": url,
            "method": method,
            "headers": headers,
            "agent": agent,
            "timeout": timeout,
            "cookies": cookies,
            "follow_redirect": follow_redirect,
            "redirect_limit": redirect_limit,
            "after_found_get": after_found_get,
            "postdata": postdata,
        }
        self.output_path, self.response_path = output_path, response_path
        self._max_body, self._ca_file = max_body, None if ca_file is None else os.path.expanduser(ca_file)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._in_thread = runtime_environment.in_thread
        self._client = client_of(runtime_environment)
        self._client.trust(self._ca_file)

    async def process(self, baton: Any) -> Any:
        options = {name: await _known(baton, option) for name, option in self._options.items()}
        page = await self._client.fetch(await self._asked(options), self._ca_file)
        if self.response_path is not None:
            response = {"code": page.code, "headers": page.headers, "url": page.url}
            baton = self.get_resulting_baton(baton, self.response_path, response)
        if not 200 <= page.code < 300:
            error = _error(page)
            error.add_note(f"from {page.url}")
            raise error
        return self.get_resulting_baton(baton, self.output_path, page.body)

    async def _asked(self, options: dict[str, Any]) -> Asked:
        url, headers, cookies = options["url"], dict(options["headers"] or {}), options["cookies"]
        if isinstance(url, list | tuple):
            url = "/".join(map(str, url))
        if options["agent"] is not None and "user-agent" not in map(str.lower, headers):
            headers["user-agent"] = options["agent"]
        return Asked(
            url=f"{options['base_url'] or ''}{url}",
            method=str(options["method"]).upper(),
            headers=headers,
            body=await self._body(options["postdata"]),
            cookies={} if cookies is None else cookies,
            timeout=float(options["timeout"] or 0),
            follow_redirect=bool(options["follow_redirect"]),
            redirect_limit=max(int(options["redirect_limit"]), 0),
            after_found_get=bool(options["after_found_get"]),
            max_body=self._max_body,
        )

    async def _body(self, postdata: Any) -> bytes | None:
        if isinstance(postdata, BytesIO | StringIO):
            postdata = postdata.read()
        elif hasattr(postdata, "read"):
            postdata = await self._in_thread(postdata.read)
        if postdata is None:
            return None
        if isinstance(postdata, str):
            return postdata.encode()
        if isinstance(postdata, bytes | bytearray | memoryview):
            return bytes(postdata)
        raise TypeError(f"postdata must be text, bytes or something to read them from, not {reprlib.repr(postdata)}")


def client_of(environment: RuntimeEnvironment) -> WebClient:
    """The client of a process, which all steps share; the first one brings it into being."""
    try:
        found: WebClient = environment.application.getServiceNamed(WebClient.name)
    except KeyError:
        found = WebClient(environment.reactor)
        found.setServiceParent(environment.application)
    return found


async def _known(baton: Any, option: Any) -> Any:
    """What an option stands for: the baton's value for a `!path`, what a function gives, what a Deferred has."""
    if isinstance(option, BatonPath):
        value = get_path(baton, option, _MISSING)
        if value is _MISSING:
            raise PipedError(f"the baton has nothing at {str(option)!r}")
    elif type(option) is dict:
        return {name: await _known(baton, member) for name, member in option.items()}
    elif type(option) is list:
        return [await _known(baton, member) for member in option]
    else:
        value = option
    if callable(value):
        value = value()
    return await value if is_awaitable(value) else value


def _error(page: Page) -> Error:
    location = page.headers.get("location")
    if page.code in REDIRECTS and location:
        return PageRedirect(page.code, page.phrase, page.body, location.encode())
    return Error(page.code, page.phrase, page.body)
