"""The step that asks another web server, and takes its answer as a value, as a file or as a stream."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from os import PathLike
from os.path import expanduser
from typing import Annotated, Any, Final, Literal

from annotated_types import Ge, Gt, Le

from piped import (
    Bytes,
    ConfigurationError,
    Count,
    OrPath,
    Path,
    PipedError,
    Processor,
    RuntimeEnvironment,
    Seconds,
)
from piped.web_client.asking import check_written, either, known, request_of, seconds_of
from piped.web_client.connections import Trust, Turns, expanded
from piped.web_client.errors import ResponseError, told_url
from piped.web_client.exchange import Answer
from piped.web_client.fetching import Asked, client_of
from piped.web_client.receiving import Body
from piped.web_client.redirecting import as_browsers
from piped.web_client.responses import Response, ResponseHeaders
from piped.web_client.retrying import Retries, Times
from piped.web_client.saving import save

_log = logging.getLogger("piped.web")
#: Bytes of the body of a failure that are kept.
_MOST_OF_A_FAILURE: Final = 64 * 1024
_MOST_IN_MEMORY: Final = 10 * 1024 * 1024
Failing = Annotated[int, Ge(200), Le(599)] | Literal["3xx", "4xx", "5xx"]
Output = Literal["response", "body", "text", "json", "status"]


class _Reaching(Processor):
    """A step that reaches another web server: in what time, how often, through redirects, and whom it trusts.

    Args:
        timeout: for everything together, retries too; 0 for any time. If the body is saved or streamed, for the
            beginning of the answer, and then for each part of the body.
        connect_timeout: for a connection, all addresses of the server together.
        attempt_timeout: for each try, if there are several; 0 for no other than `timeout`.
        retries: how often to try again what has failed, or when and how.
        max_redirects: how many are followed; with 0 a redirect is the answer. POST becomes GET with 301, 302 and 303,
            as in browsers. Cookies and the header authorization stay with the server that they are for, other headers
            go along. https does not lead to http.
        max_connections_per_host: how many requests of this step to one server run at a time; others wait.
        verify: check the certificate of the server. Without that anybody can be the server.
        ca_file: certificates (PEM), one of which must vouch for the server, instead of those of the system.
        cert_file: a certificate to show to the server (PEM), with those between it and its authority.
        key_file: its key (PEM), if it is not in the same file.
    """

    def __init__(
        self,
        timeout: OrPath[Seconds] = 30,
        connect_timeout: Annotated[Seconds, Gt(0)] = 10,
        attempt_timeout: Seconds = 0,
        retries: Times | Retries = 0,
        max_redirects: Times = 10,
        max_connections_per_host: Count = 20,
        verify: bool = True,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        node_name: str | None = None,
    ) -> None:
        super().__init__(node_name)
        if key_file is not None and cert_file is None:
            raise ConfigurationError("a key_file without its certificate", hint="add `cert_file`")
        if ca_file is not None and not verify:
            raise ConfigurationError("ca_file is of no use with verify: false", hint="remove `verify`")
        self.timeout = timeout
        #: What is the same for every request.
        self.fixed: dict[str, Any] = {
            "connect_timeout": connect_timeout,
            "attempt_timeout": attempt_timeout,
            "retries": retries if isinstance(retries, Retries) else Retries(retries),
            "follow_redirect": max_redirects > 0,
            "redirect_limit": max_redirects,
            "rewrites": as_browsers,
            "leaves_tls": False,
            "turns": Turns(max_connections_per_host),
        }
        self.trust = Trust(expanded(ca_file), expanded(cert_file), expanded(key_file), verify)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.in_thread = runtime_environment.in_thread
        self.client = client_of(runtime_environment)
        self.client.trust(self.trust)
        if not self.trust.verify:
            place = f"{self.label} at {self.where}" if self.where is not None else self.label
            _log.warning("%s checks no certificates (verify: false): anybody can be its server", place)


class HttpRequest(_Reaching):
    """Ask a web server, and put what it answers into the baton.

    A `!path` may stand for a value of these options, or anywhere inside of one. The result has `status`, `reason`,
    `headers` (by names in any capitals; `headers.get_all(name)` is a list), `body`, `text`, `json()` and `url`, which
    is that of the last redirect.

    A failing answer makes the step fail with `piped.web_client.errors.ResponseError`, which has the `status` and the
    `response`; unless only a part of that is wanted, it is at `output_path` for error consumers, too.

    Connections are kept for the next request. Packed bodies (gzip, deflate) are unpacked. Proxies that the environment
    names are not used. What may be secret – headers, the query, a password – is in no message.

    Args:
        url: the URL; of a list the parts are joined with `/`, all but the first encoded as one segment each.
        url_path: where the URL is in the baton, as `url: !path …`.
        method: such as PUT; left out it is GET, or POST if there is a body.
        params: added to the query of the URL: values by their names, lists for several of one name, null for none.
        headers: values by their names, lists for several of one name, null for none.
        headers_path: where they are in the baton.
        json: sent as JSON.
        json_path: where what is sent as JSON is in the baton.
        form: sent as a form: values by the names of the fields, as for `params`.
        form_path: where the fields are in the baton.
        body: sent as it is: text, bytes, or an open file or an upload, which is read while it is sent.
        body_path: where the body is in the baton.
        user: whose password is sent (basic authentication).
        password: the password.
        bearer: a token that is sent instead.
        output_path: where the result is put; '' makes it the baton, null discards it.
        output: what is put there: all of the response, or a part of it.
        fail_on: the codes that are failures; an empty list for none.
        max_body: how long the body may be, unpacked; if left out 10 MiB in memory, any length in a file or a stream.
        save_to: a file that the body is written to as it comes; it gets its name when it is whole. `response.file`
            names it, `response.size` is its length.
        save_sync: wait until the disk has it.
        stream: do not wait for the body: it is an async iterator of bytes, and comes no faster than it is read.

    Example:
        - http-request:
            url: [https://api.example.org/users, !path user.id]
            params: {fields: [name, age]}
            bearer: ${API_TOKEN:-none}
            retries: 2
            output: json
            output_path: user
        - http-request:
            url: https://api.example.org/visits
            json: {name: !path user.name}
            retries: {times: 2, repeatable: true}
            output_path: null
    """

    name = "http-request"

    def __init__(
        self,
        url: OrPath[str | list[Any]] | None = None,
        url_path: Path | None = None,
        method: OrPath[str] | None = None,
        params: OrPath[dict[str, Any]] | None = None,
        headers: OrPath[dict[str, Any]] | None = None,
        headers_path: Path | None = None,
        json: OrPath[Any] = None,
        json_path: Path | None = None,
        form: OrPath[dict[str, Any]] | None = None,
        form_path: Path | None = None,
        body: OrPath[Any] = None,
        body_path: Path | None = None,
        user: OrPath[str] | None = None,
        password: OrPath[str] | None = None,
        bearer: OrPath[str] | None = None,
        output_path: Path | None = "response",
        output: Output = "response",
        fail_on: Sequence[Failing] = ("4xx", "5xx"),
        max_body: Bytes | None = None,
        save_to: OrPath[str] | None = None,
        save_sync: bool = False,
        stream: bool = False,
        **reaching: Any,
    ) -> None:
        super().__init__(**reaching)
        self._written = {"method": method, "params": params, "user": user, "password": password, "bearer": bearer}
        self._written["url"] = either("url", url, url_path)
        self._written["headers"] = either("headers", headers, headers_path)
        self._written["json"] = either("json", json, json_path)
        self._written["form"] = either("form", form, form_path)
        self._written["body"] = either("body", body, body_path)
        check_written(self._written)
        _check_output(output, stream, save_to)
        self.output_path, self._output, self._fail_on = output_path, output, frozenset(fail_on)
        self._stream, self._save_to, self._save_sync = stream, save_to, save_sync
        self._is_kept = not stream and save_to is None
        self._max_body = _MOST_IN_MEMORY if max_body is None and self._is_kept else max_body

    async def process(self, baton: Any) -> Any:
        timeout = await seconds_of(baton, self.timeout)
        file = None if self._save_to is None else _file_name(await known(baton, self._save_to))
        request = await request_of(self._written, baton, self.in_thread)
        how = {"timeout": timeout, "is_patient": not self._is_kept, "max_body": self._max_body, **self.fixed}
        asked, receive = Asked(**request, **how), partial(self._received, timeout or None, file)
        response = await self.client.fetch(asked, self.trust, receive)
        if self._is_failure(response.status):
            if self._output == "response":
                self.get_resulting_baton(baton, self.output_path, response)
            what = f"{asked.method} {told_url(response.url)} was answered with {response.status} {response.reason}"
            begun = response.begins_with()
            raise ResponseError(f"{what}: {begun}" if begun else what, response)
        return self.get_resulting_baton(baton, self.output_path, self._wanted(response))

    async def _received(self, patience: Seconds | None, file: str | None, answer: Answer) -> Response:
        """The response, with as much of its body as is wanted."""
        body, size = answer.body, None
        if not self._is_kept:
            body.patience = patience
        content: bytes | Body = b""
        try:
            if self._is_failure(answer.code):
                content, file = await body.beginning(_MOST_OF_A_FAILURE), None
            elif file is not None:
                size = await save(body, file, self.in_thread, sync=self._save_sync)
            else:
                content = body if self._stream else await body.read()
        except BaseException:
            await body.aclose()
            raise
        reason = answer.phrase.decode("latin-1")
        return Response(answer.url, answer.code, reason, ResponseHeaders(answer.headers), content, file, size)

    def _is_failure(self, status: int) -> bool:
        return status in self._fail_on or f"{status // 100}xx" in self._fail_on

    def _wanted(self, response: Response) -> Any:
        if self._output == "response":
            return response
        return response.json() if self._output == "json" else getattr(response, self._output)


def _check_output(output: str, stream: bool, save_to: Any) -> None:
    """Refuse what does not go together.

    Raises:
        ConfigurationError: with what is wrong.
    """
    if stream and save_to is not None:
        raise ConfigurationError("stream and save_to exclude each other", hint="remove one of them")
    if (stream or save_to is not None) and output in ("text", "json"):
        raise ConfigurationError(f"output: {output} needs the body in memory", hint="remove stream and save_to")
    if save_to is not None and output == "body":
        raise ConfigurationError("the body that is saved is not there", hint="remove output: body")
    if save_to == "":
        raise ConfigurationError("save_to is empty", hint="name a file")


def _file_name(value: Any) -> str:
    """The file that a value of the baton names, `~` expanded.

    Raises:
        PipedError: it names none.
    """
    if not isinstance(value, str | PathLike) or not str(value):
        raise PipedError(f"save_to must be the name of a file, not {value!r}")
    return expanduser(value)
