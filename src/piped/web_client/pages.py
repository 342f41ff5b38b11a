"""The step that fetches a page from another web server, as it was in Piped 0.7."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from annotated_types import Ge
from twisted.web.error import Error, PageRedirect

from piped import BatonPath, Bytes, OrPath, Path, Processor, RuntimeEnvironment, Seconds
from piped.web_client.asking import known, mapping_in, seconds_of
from piped.web_client.connections import Trust, expanded
from piped.web_client.errors import told_url
from piped.web_client.exchange import Answer
from piped.web_client.fetching import Asked, client_of
from piped.web_client.outgoing import outgoing
from piped.web_client.receiving import Body
from piped.web_client.redirecting import REDIRECTS, as_told, as_told_or_found
from piped.web_client.responses import ResponseHeaders

_URL = BatonPath("url")
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
        stream: do not wait for the body: what is put at `output_path` is an async iterator of bytes, which comes no
            faster than it is read. `timeout` is for its beginning, and then for each part.
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
        stream: bool = False,
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
            "cookies": cookies,
            "follow_redirect": follow_redirect,
            "redirect_limit": redirect_limit,
            "after_found_get": after_found_get,
            "postdata": postdata,
        }
        self.output_path, self.response_path, self._timeout = output_path, response_path, timeout
        self._max_body, self._stream, self._trust = max_body, stream, Trust(expanded(ca_file))

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._in_thread = runtime_environment.in_thread
        self._client = client_of(runtime_environment)
        self._client.trust(self._trust)

    async def process(self, baton: Any) -> Any:
        timeout = await seconds_of(baton, self._timeout)
        options = {name: await known(baton, option) for name, option in self._options.items()}
        asked = await self._asked(options, timeout)
        answer, body = await self._client.fetch(asked, self._trust, partial(self._received, timeout or None))
        if self.response_path is not None:
            told = dict(ResponseHeaders(answer.headers))
            baton = self.get_resulting_baton(
                baton, self.response_path, {"code": answer.code, "headers": told, "url": answer.url}
            )
        if isinstance(body, bytes) and not 200 <= answer.code < 300:
            raise _error(answer, body)
        return self.get_resulting_baton(baton, self.output_path, body)

    async def _asked(self, options: dict[str, Any], timeout: Seconds) -> Asked:
        url, headers = options["url"], dict(mapping_in(options, "headers"))
        cookies: Any = mapping_in(options, "cookies")
        if isinstance(url, list | tuple):
            url = "/".join(map(str, url))
        if options["agent"] is not None and "user-agent" not in map(str.lower, headers):
            headers["user-agent"] = options["agent"]
        return Asked(
            url=f"{options['base_url'] or ''}{url}",
            method=str(options["method"]).upper(),
            headers=headers,
            body=await outgoing(options["postdata"], self._in_thread),
            cookies=cookies,
            timeout=timeout,
            follow_redirect=bool(options["follow_redirect"]),
            redirect_limit=max(int(options["redirect_limit"]), 0),
            rewrites=as_told_or_found if options["after_found_get"] else as_told,
            max_body=self._max_body,
        )

    async def _received(self, patience: Seconds | None, answer: Answer) -> tuple[Answer, bytes | Body]:
        if self._stream and 200 <= answer.code < 300:
            answer.body.patience = patience
            return answer, answer.body
        return answer, await answer.body.read()


def _error(answer: Answer, body: bytes) -> Error:
    location = answer.headers.getRawHeaders(b"Location")
    error = Error(answer.code, answer.phrase, body)
    if answer.code in REDIRECTS and location:
        error = PageRedirect(answer.code, answer.phrase, body, location[0])
    error.add_note(f"from {told_url(answer.url)}")
    return error
