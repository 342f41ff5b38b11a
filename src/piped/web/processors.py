"""Steps that read requests and write responses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Final, cast

from annotated_types import Ge
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.http_headers import Headers

from piped import (
    ConfigurationError,
    Count,
    MappingProcessor,
    Path,
    PipedError,
    Processor,
    RuntimeEnvironment,
    did_you_mean,
    get_path,
)
from piped.ground.batons import getter
from piped.web.request import Request, put_header
from piped.web.streaming import ClientLeft

_MISSING: Final = object()
_BYTES: Final = (bytes, bytearray, memoryview)
#: The names under which `twisted.web.http` has the codes, such as NOT_FOUND.
_CODES: Final = {name: code for name, code in vars(http).items() if type(code) is int and code in http.RESPONSES}
#: Part of a length of time.
Amount = Annotated[float, Ge(0)]
#: Source: RFC 9111, section 1.2.2.
_LONGEST_LIFETIME: Final = 2**31


def request_of(baton: Any, path: str, step: Processor) -> Request:
    """The request that lies at a path of a baton.

    Raises:
        PipedError: there is none.
    """
    request = get_path(baton, path)
    if request is None:
        raise PipedError(f"{step.label} finds no request at {path!r}", hint="request_path says where it is")
    return cast(Request, request)


def _unless_left(failure: Failure) -> None:
    failure.trap(ClientLeft)


class RequestProcessor(Processor):
    """A step that works with the request in a baton: a subclass says how in `process_request`.

    Args:
        request_path: where the request is.
        skip_if_request_stopped: pass on batons whose client has left or was answered, untouched.
    """

    def __init__(
        self, request_path: Path = "request", skip_if_request_stopped: bool = True, node_name: str | None = None
    ) -> None:
        super().__init__(node_name)
        self.request_path, self.skip_if_request_stopped = request_path, skip_if_request_stopped
        self._find_request = getter(request_path)

    def process(self, baton: Any) -> Any:
        request = self._find_request(baton, None) or request_of(baton, self.request_path, self)
        if not self.skip_if_request_stopped or request.is_open:
            waiting = self.process_request(request, baton)
            if waiting is not None:
                return waiting.addErrback(_unless_left).addCallback(lambda _: baton)
        return baton

    def process_request(self, request: Request, baton: Any) -> Deferred[None] | None:
        """What is done with the request; may give what to wait for before the baton is passed on."""
        raise NotImplementedError(f"{type(self).__name__} has no process_request()")


class WriteWebResponse(RequestProcessor):
    """Write a response: its code, its type and its content.

    Args:
        content_path: where the content is: text, bytes, or anything else, which is made text.
        body_path: the same.
        content_type: such as text/plain.
        response_code: a number, or a name such as NOT_FOUND; 200 if left out.
        encoding: how text becomes bytes.
        finish: the response is complete with this; else the pipeline goes on when the client takes more.
        fallback_content: what is written when there is nothing at `content_path`; nothing if left out.

    Example:
        - write-web-response:
            content_type: text/plain
            fallback_content: Piped says hello.
    """

    name = "write-web-response"

    def __init__(
        self,
        content_path: Path | None = None,
        body_path: Path | None = None,
        content_type: str | None = None,
        response_code: int | str | None = None,
        encoding: str = "utf8",
        finish: bool = True,
        fallback_content: Any = None,
        **request: Any,
    ) -> None:
        super().__init__(**request)
        if content_path is not None and body_path is not None:
            raise ConfigurationError("content_path and body_path mean the same", hint="remove one of them")
        self.content_path: Path = next((path for path in (content_path, body_path) if path is not None), "content")
        self.content_type = type_of(content_type)
        self._find_content = getter(self.content_path)
        self.response_code = None if response_code is None else code_of(response_code)
        self.encoding, self.finish = encoding, finish
        try:
            self.fallback_content = self._encoded(fallback_content)
        except (LookupError, UnicodeEncodeError) as error:
            raise ConfigurationError(str(error), hint="utf8 can encode every text") from error

    def process_request(self, request: Request, baton: Any) -> Deferred[None] | None:
        content = self._find_content(baton, _MISSING)
        body = self.fallback_content if content is _MISSING else self._encoded(content)
        if self.response_code is not None:
            request.setResponseCode(self.response_code)
        if self.content_type is not None:
            # `setHeader` would look anew at what was looked at once.
            request.responseHeaders._rawHeaders[b"Content-Type"] = [self.content_type]
        if self.finish:
            request.answer(body)
        elif body:
            return request.send(body)
        return None

    def _encoded(self, content: Any) -> bytes:
        if content is None:
            return b""
        return bytes(content) if isinstance(content, _BYTES) else str(content).encode(self.encoding)


def code_of(written: int | str) -> int:
    """The number of a response code.

    Raises:
        ConfigurationError: it is none.

    Example:
        >>> code_of("NOT_FOUND"), code_of("404"), code_of(418)
        (404, 404, 418)
    """
    text = str(written).strip()
    code = int(text) if text.isdecimal() else _CODES.get(text.upper(), 0)
    if not 200 <= code <= 999:
        advice = did_you_mean(text.upper(), _CODES) or "write a number from 200 on, or a name such as NOT_FOUND"
        raise ConfigurationError(f"{written!r} is no response code", hint=advice)
    return code


def type_of(written: str | None) -> bytes | None:
    """The value of the header Content-Type for an option `content_type`; None if that is left out.

    Raises:
        ConfigurationError: no header can have it.
    """
    if written is None:
        return None
    try:
        put_header(Headers(), "content-type", written)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    return written.encode()


class SetHTTPHeaders(RequestProcessor):
    """Set headers of the response; others that were set stay.

    Args:
        headers: values by the names of the headers.

    Example:
        - set-http-headers:
            headers: {cache-control: no-store}
        - write-web-response: {fallback_content: hello}
    """

    name = "set-http-headers"

    def __init__(self, headers: dict[str, Any], **request: Any) -> None:
        super().__init__(**request)
        self.headers = headers
        for name, value in headers.items():
            try:
                put_header(Headers(), name, value)
            except ValueError as error:
                raise ConfigurationError(str(error)) from error

    def process_request(self, request: Request, baton: Any) -> None:
        for name, value in self.headers.items():
            request.setHeader(name, value)


@dataclass(frozen=True)
class Lifetime:
    """How long something is good; the parts are added up.

    Args:
        days: of 24 hours.
        hours: beside the days.
        minutes: beside the hours.
        seconds: beside the minutes.
    """

    days: Amount = 0
    hours: Amount = 0
    minutes: Amount = 0
    seconds: Amount = 0

    def __post_init__(self) -> None:
        if self.in_seconds > _LONGEST_LIFETIME:
            raise ConfigurationError("caches count no further than 68 years", hint="a year is days: 365")

    @property
    def in_seconds(self) -> float:
        return self.days * 86400 + self.hours * 3600 + self.minutes * 60 + self.seconds


class SetHTTPExpires(RequestProcessor):
    """Let browsers and proxies keep the response for a while, by the headers `expires` and `cache-control: public`.

    Any cache may then give it to anybody: not for what only one user may see.

    Args:
        timedelta: for how long, from now.

    Example:
        - set-http-expires:
            timedelta: {days: 1, hours: 12}
        - write-web-response: {fallback_content: hello}

    Source: RFC 9110, section 5.6.7, and RFC 9111, section 5.
    """

    name = "set-http-expires"

    def __init__(self, timedelta: Lifetime, **request: Any) -> None:
        super().__init__(**request)
        self.lifetime = int(timedelta.in_seconds)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._wall_clock = runtime_environment.wall_clock

    def process_request(self, request: Request, baton: Any) -> None:
        request.setHeader(b"expires", http.datetimeToString(self._wall_clock() + self.lifetime))
        request.setHeader(b"cache-control", f"public,max-age={self.lifetime}")


class ExtractWebRequestArguments(MappingProcessor):
    """Put arguments of the query, or of a form that was sent, into the baton.

    Names are taken as they are: a dot is part of one. What an entry may say besides `output_path`: `only_first` (on by
    default) takes the first of several values and not their list, `load_json` reads the values as JSON.

    The files of a form are in `request.uploads` then: each name has a list of objects with a `filename`, a
    `content_type`, a `size` and the `content`, which is an open file. A malformed form is answered with 400, and
    the step fails with `piped.Rejected`.

    Args:
        request_path: where the request is.

    Example:
        - extract-web-request-arguments:
            mapping:
                - name
                - numbers: {output_path: given.numbers, load_json: true}
    """

    name = "extract-web-request-arguments"

    def __init__(self, mapping: list[Any] | dict[str, Any], request_path: Path = "request", **options: Any) -> None:
        super().__init__(mapping=mapping, **options)
        self.request_path = request_path

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._in_thread = runtime_environment.in_thread

    def process(self, baton: Any) -> Any:
        request = request_of(baton, self.request_path, self)
        # What another house puts in the place of a request need have no more than its arguments.
        if getattr(request, "has_large_form", False):
            return self._once_loaded(request, baton)
        return self._extracted(request, baton)

    async def _once_loaded(self, request: Request, baton: Any) -> Any:
        await request.load_form(self._in_thread)
        return self._extracted(request, baton)

    def _extracted(self, request: Request, baton: Any) -> Any:
        arguments = request.args
        for entry in self.entries:
            values = arguments.get(entry.input_path)
            if values is not None:
                value = self.process_mapping(values, entry.input_path, entry.output_path, baton, **entry.extras)
            elif self.skip_if_nonexistent:
                continue
            else:
                value = self.input_fallback
            baton = self.get_resulting_baton(baton, entry.output_path, value)
        return baton

    def process_mapping(
        self,
        input: list[str],
        input_path: Path,
        output_path: Path | None,
        baton: Any,
        *,
        only_first: bool = True,
        load_json: bool = False,
    ) -> Any:
        values = [_loaded(value, input_path) for value in input] if load_json else list(input)
        return values[0] if only_first else values


def _loaded(value: str, name: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the argument {name!r} is no JSON: {error}") from error


class DetermineIP(RequestProcessor):
    """Put the address of the client into the baton.

    Behind a proxy the address is in a header, where each proxy adds the one that it saw at the end. Whoever can reach
    Piped can write that header, and a client can write the beginning of it: say how many proxies are your own.

    Args:
        output_path: where the address is put.
        proxied: take the first address of the header. A client can choose that one: prefer `trusted_proxies`.
        proxy_header: the header with the addresses.
        fail_if_not_proxied: a request without the header fails; else the address of the connection is taken.
        trusted_proxies: how many proxies of your own a request passes; takes the address that the outermost saw.

    Example:
        - determine-ip: {trusted_proxies: 1}
    """

    name = "determine-ip"

    def __init__(
        self,
        output_path: Path = "ip",
        proxied: bool = False,
        proxy_header: str = "x-forwarded-for",
        fail_if_not_proxied: bool = False,
        trusted_proxies: Count | None = None,
        skip_if_request_stopped: bool = False,
        **request: Any,
    ) -> None:
        super().__init__(skip_if_request_stopped=skip_if_request_stopped, **request)
        self.output_path = output_path
        # Counted from the end of the header, as everything before our own proxies' part may be made up.
        self.position = 0 if trusted_proxies is None else -trusted_proxies
        self.is_proxied = proxied or trusted_proxies is not None
        self.proxy_header, self.fail_if_not_proxied = proxy_header, fail_if_not_proxied

    def process(self, baton: Any) -> Any:
        request = request_of(baton, self.request_path, self)
        if self.skip_if_request_stopped and not request.is_open:
            return baton
        address = self._forwarded(request) if self.is_proxied else None
        if address is None:
            if self.is_proxied and self.fail_if_not_proxied:
                raise PipedError(f"{request} came without {self.proxy_header}", hint="it did not pass the proxy")
            address = getattr(request.getClientAddress(), "host", None)  # there is none for a Unix socket
        return self.get_resulting_baton(baton, self.output_path, address)

    def _forwarded(self, request: Request) -> str | None:
        lines = request.requestHeaders.getRawHeaders(self.proxy_header.encode(), [])
        addresses = [part.strip() for part in b",".join(lines).decode("utf-8", "replace").split(",") if part.strip()]
        try:
            return addresses[self.position]
        except IndexError:
            return None
