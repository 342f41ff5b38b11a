"""The request that a pipeline is given: Twisted's, at ease with text, and safe to write to at any time."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.web import server
from twisted.web.http import NO_BODY_CODES, REQUEST_ENTITY_TOO_LARGE, parse_qs
from twisted.web.http_headers import Headers, _nameEncoder
from twisted.web.iweb import INonQueuedRequestFactory
from zope.interface import provider

from piped.web.arguments import Arguments, Cookies, text_of
from piped.web.bodies import LARGE, Form, Upload, form_of, json_of
from piped.web.sending import write_whole
from piped.web.streaming import ClientLeft, Sent, send

_log = logging.getLogger("piped.web")
_BYTES = (bytes, bytearray, memoryview)


def _expire(reference: weakref.ref[Request], give_up: Callable[[Request], object]) -> None:
    request = reference()
    if request is not None and request.is_open:
        give_up(request)


def put_header(headers: Headers, name: str | bytes, value: Any) -> None:
    """Set a header; a value that is neither text nor bytes is made text.

    Raises:
        ValueError: a line break, which would let a value add headers, or a name that is no header's.
    """
    data = value if isinstance(value, bytes) else str(value).encode("utf-8")
    if b"\r" in data or b"\n" in data or b"\0" in data:
        raise ValueError(f"a header cannot hold a line break: {name!r}: {value!r}")
    try:
        # Twisted's setRawHeaders would look for line breaks again, and ends up here.
        headers._rawHeaders[_nameEncoder.encode(name)] = [data]
    except ValueError as error:
        raise ValueError(f"{name!r} is no name of a header") from error


@provider(INonQueuedRequestFactory)
class Request(server.Request):
    """A request of a client and the response to it.

    `write` takes text (sent as UTF-8) and bytes, `setHeader` any value. `args` and `received_cookies` are read with
    text and with bytes, `postpath` is a list of text. Writing or finishing after the end, or after the client has left,
    does no harm, and the body can be read as long as somebody keeps the request.

    A form is read when `args` or `uploads` are first asked for. What a client sends instead of a form, or of JSON where
    `json` is called, is answered with 400, and raises `Rejected`.
    """

    #: Called when the client leaves before the response is finished.
    on_lost: Callable[[], object] | None = None
    #: The resource path of what processes it.
    answered_by = ""
    is_let_go = False
    #: Segments of the path: those on the way to what answers, as they came, and those below it, as text.
    prepath: Any
    postpath: Any
    #: What the path has for the parameters on the way to what answers; None where there are none.
    params: dict[str, str] | None = None
    channel: Any
    site: Any
    content: Any
    _deadline: Any = None
    _is_too_large = False
    _is_cut = False
    _is_dressed = False
    _is_unlimited = False
    _query: Mapping[bytes, list[bytes]]
    _form: Form | None = None

    def __init__(self, channel: Any) -> None:
        # What Twisted's sets, without its transport, and without a parser of forms that reads files into memory.
        self.channel = channel
        self.client, self.host = channel.getPeer(), channel.getHost()
        self.requestHeaders, self.responseHeaders = Headers(), Headers()
        self.received_cookies: Any = {}
        self.cookies: list[bytes] = []
        self.notifications: list[Deferred[None]] = []
        self.queued = False
        self._adapterCache: dict[Any, Any] = {}

    def __str__(self) -> str:
        # Escaped, as it is what some client sent and is read on terminals.
        return f"{repr(self.method)[2:-1]} {repr(self.uri)[2:-1]}"

    @property
    def is_open(self) -> bool:
        """Whether there still is a client that waits for the rest of the response."""
        return not self.finished and not self._is_cut and self.channel is not None

    @property
    def transport(self) -> Any:  # type: ignore[override]  # Twisted's requests set it, and nobody else
        """The connection to the client, as Twisted has it; None when the response has ended."""
        return None if self.channel is None else self.channel.transport

    @cached_property
    def args(self) -> Any:  # type: ignore[override]  # a cached_property can be set; mypy takes it for one that cannot
        """The arguments of the query and the fields of the form, which win; the files of a form are in `uploads`."""
        return Arguments({**self._query, **self.form.fields})

    @property
    def uploads(self) -> dict[str, list[Upload]]:
        """The files that came with a form, by the names of their fields."""
        return self.form.uploads

    @property
    def form(self) -> Form:
        """The form that the body holds, an empty one where it holds something else.

        Raises:
            Rejected: it is malformed; where nobody handles that, the client is answered with it.
        """
        if self._form is None:
            self._form = form_of(self.content, self.getHeader("Content-Type"))
        return self._form

    @property
    def has_large_form(self) -> bool:
        """Whether others would have to wait while the form is read; `load_form` does not let them."""
        if self._form is not None:
            return False
        position = self.content.tell()
        size: int = self.content.seek(0, os.SEEK_END)
        self.content.seek(position)
        return size > LARGE

    async def load_form(self, in_thread: Callable[..., Awaitable[Form]]) -> None:
        """Read the form in a thread, for whoever asks for `args` and `uploads` later.

        Raises:
            Rejected: as for `form`.
        """
        self._form = await in_thread(form_of, self.content, self.getHeader("Content-Type"))

    def json(self) -> Any:
        """The value that the body holds as JSON.

        Raises:
            Rejected: it holds none; where nobody handles that, the client is answered with it.
        """
        self.content.seek(0)
        body = self.content.read()
        self.content.seek(0)
        return json_of(body)

    def getCookie(self, key: Any) -> Any:
        """A cookie of the client: text for a name of text, bytes for one of bytes, None if it was not sent."""
        return self.received_cookies.get(key)

    def getHeader(self, key: Any) -> Any:
        """A header of the request: text for a name of text, bytes for one of bytes, None if it was not sent."""
        values = self.requestHeaders.getRawHeaders(key if isinstance(key, bytes) else key.encode("utf-8"))
        if values is None:
            return None
        return values[-1] if isinstance(key, bytes) else text_of(values[-1])

    def setHeader(self, name: str | bytes, value: Any) -> None:
        """Set a header of the response, as `put_header` does."""
        put_header(self.responseHeaders, name, value)

    def write(self, data: str | bytes) -> None:
        """Send a part of the response, the headers before the first one."""
        if isinstance(data, str):
            data = data.encode("utf-8")
        elif not isinstance(data, _BYTES):
            raise TypeError(f"a response is made of text or bytes, not of {type(data).__name__}")
        if not self._is_cut and not self.finished:
            if not self._is_dressed and self.channel is not None:
                self._dress(None)
            super().write(bytes(data))

    def send(self, data: str | bytes) -> Deferred[None]:
        """Send a part of the response, as `write` does; fires when the client takes more.

        It fails with `piped.web.streaming.ClientLeft`, which is logged by nobody, when there is no client any more.
        """
        try:
            return send(self, data) or succeed(None)
        except ClientLeft as error:
            lost = Sent()
            lost.lose(str(error))
            return lost

    def _dress(self, size: int | None) -> None:
        """Let the site have its say on the headers, once, before they are sent; `size` is that of the whole body."""
        self._is_dressed = True
        before_head = self.channel.site.before_head
        if before_head is not None:
            before_head(self, size)

    def answer(self, body: bytes) -> None:
        """Send the whole body, with its length, and finish."""
        if not self._is_dressed and self.is_open:
            self._dress(len(body))
            if self._encoder is not None:
                encoder, self._encoder = self._encoder, None
                encoder.answer(self, body)
                return
        if self.is_open and write_whole(self, body):
            self._ended()
            return
        has_body = self.code not in NO_BODY_CODES and (body or self.method != b"HEAD")
        if has_body and not self.startedWriting:
            self.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
        if body and self.is_open:
            self.write(body)
        self.finish()

    def finish(self) -> None:
        """End the response; nothing happens when it has ended already or the client has left."""
        if not self.is_open:
            return
        if not self.startedWriting:
            if not self._is_dressed:
                self._dress(0)
            self.write(b"")
        if self._encoder is not None and (rest := self._encoder.finish()):
            self._encoder = None
            self.write(rest)
        if self.chunked:
            self.channel.write(b"0\r\n\r\n")
        self._ended()

    def _ended(self) -> None:
        # What Twisted's does, but for the body of the request, which it closes: the rest of the pipeline may want it.
        self.finished, channel = 1, self.channel
        if self.is_let_go:
            self.is_let_go = False
            channel.hold(self)
        if self._deadline is not None:
            self._forget_deadline()
        self.on_lost = None
        if self.producer is not None:
            self.unregisterProducer()
        channel.site.log(self)
        channel.requestDone(self)
        self.channel = None
        if self.notifications:
            notifications, self.notifications = self.notifications, []
            for notification in notifications:
                notification.callback(None)

    def cut_short(self) -> None:
        """Hang up in the midst of the response, so that its client does not take it for whole."""
        self._is_cut = True
        is_ended_by_the_close = self.clientproto == b"HTTP/1.0" and not self.responseHeaders.hasHeader("Content-Length")
        if is_ended_by_the_close and self.startedWriting and self.channel is not None:
            self.channel.abortConnection()
        self.loseConnection()

    def limit(self, seconds: float, give_up: Callable[[Request], object]) -> None:
        """Call `give_up` with this request when it is not finished in time."""
        if self._is_unlimited:
            return
        # Referred to weakly: a request that was let go is not kept by its deadline.
        self._deadline = self.site.reactor.callLater(seconds, _expire, weakref.ref(self), give_up)

    def lift_limit(self) -> None:
        """Let the response take as long as it likes: it has begun, and goes on bit by bit."""
        self._is_unlimited = True
        self._forget_deadline()

    def _forget_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def let_go(self) -> None:
        """Leave the request to whoever still refers to it; when nobody does any more, it is finished.

        Called when a pipeline has ended without finishing it: a part of the program may have kept it, to finish it
        later. Nothing but `__del__` can tell that nobody has. (A weakref.finalize would have to write the response
        without the request; a finaliser is given it alive.)
        """
        self.is_let_go = True
        self.channel.let_go(self)

    def __del__(self) -> None:
        # May run in any thread, and in the midst of anything.
        if self.is_let_go and self.is_open:
            self.site.reactor.callFromThread(self._finish_forgotten)
        elif self.content is not None:
            self.content.close()

    def _finish_forgotten(self) -> None:
        if self.is_open:
            _log.warning(
                "%s ended without finishing %s, and nothing refers to the request any more: finishing it",
                self.answered_by,
                self,
            )
            self.answer(b"")

    # What the channel calls:

    def parseCookies(self) -> None:
        super().parseCookies()
        self.received_cookies = Cookies(self.received_cookies)

    def serve(self, method: bytes, target: bytes, version: bytes) -> None:
        """Answer the request, whose headers and body are here."""
        self.method, self.uri, self.clientproto = method, target, version
        path, _, query = target.partition(b"?")
        if not path.startswith((b"/", b"*")) and b"://" in path:
            # A proxy asks with the whole address, whose host counts and not that of the header (RFC 9112, 3.2.2).
            host, _, path = path.split(b"://", 1)[1].partition(b"/")
            self.requestHeaders._rawHeaders[b"Host"] = [host]
            path = b"/" + path
        self.path, self._query = path, parse_qs(query, True) if query else {}
        if not self.channel.site.hand_over(self):
            self.process()

    def gotLength(self, length: int | None) -> None:
        super().gotLength(length)
        if length is not None and length > self.channel.site.max_body:
            self._refuse_body()

    def handleContentChunk(self, data: bytes) -> None:
        if self._is_too_large:
            return
        super().handleContentChunk(data)
        if self.content.tell() > self.channel.site.max_body:
            self._refuse_body()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if not self._is_too_large:
            self.content.seek(0)
            self.serve(command, path, version)

    def _refuse_body(self) -> None:
        """Answer 413 and hang up: the rest of the body is never read."""
        self._is_too_large = True
        self.requestHeaders.removeHeader(b"Expect")
        self.clientproto = b"HTTP/1.1"
        self.setResponseCode(REQUEST_ENTITY_TOO_LARGE)
        self.setHeader(b"Connection", b"close")
        self.setHeader(b"Content-Length", b"0")
        self.write(b"")
        self.cut_short()

    def connectionLost(self, reason: Any) -> None:
        # Before those who wait for the client are told: what is cancelled does not go on with the next step.
        self.channel, self._disconnected = None, True
        self._forget_deadline()
        on_lost, self.on_lost = self.on_lost, None
        if on_lost is not None:
            on_lost()
        content, self.content = self.content, None
        super().connectionLost(reason)
        self.content = content
