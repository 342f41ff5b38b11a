"""Steps that send responses in parts, and events to whoever listens for them."""

from __future__ import annotations

import json
import logging
from codecs import getincrementalencoder
from collections.abc import Callable
from math import inf
from typing import Annotated, Any, Final, Literal
from weakref import WeakSet

from annotated_types import Ge
from twisted.internet.defer import Deferred
from twisted.web.http import NO_BODY_CODES

from piped import (
    BatonPath,
    Bytes,
    ConfigurationError,
    OrPath,
    Path,
    PipedError,
    Processor,
    RuntimeEnvironment,
    Seconds,
    get_path,
)
from piped.runtime.turns import Turns
from piped.web.events import EventStream, check_line, event_of, is_event_stream, open_stream
from piped.web.parts import parts_of
from piped.web.processors import RequestProcessor, code_of, request_of, type_of
from piped.web.request import Request
from piped.web.streaming import ClientLeft, outlet_of, send_parts
from piped.web.topics import Message, topics_of

_log = logging.getLogger("piped.web")
_MISSING: Final = object()
_JSON_LINES: Final = b"application/x-ndjson"
_to_json: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def content_of(baton: Any, path: str, step: Processor) -> Any:
    """What is to be sent.

    Raises:
        PipedError: the baton has nothing there.
    """
    content = get_path(baton, path, _MISSING)
    if content is _MISSING:
        raise PipedError(f"{step.label} finds nothing to send at {path!r}")
    return content


def text_of(baton: Any, written: Any, option: str, step: Processor) -> str:
    """What an option says, or the baton for it, as text.

    Raises:
        PipedError: the baton has nothing there.
    """
    value = step.get_input(baton, written, None)
    if value is None:
        raise PipedError(f"{step.label} finds nothing for `{option}` at {str(written)!r}")
    return str(value)


class StreamWebResponse(RequestProcessor):
    """Write a response bit by bit, as fast as its client takes it, and finish it.

    The content is an iterable, an asynchronous one, a file, or a function that gives one of these. Generators and files
    are read in threads, unless they are asynchronous, and closed at the end; also when the client leaves before that.
    The pipeline goes on when all is sent, or the client has left.

    A failure before anything was sent is answered as any other. After that the connection is cut, so that nobody takes
    the response for whole.

    Args:
        content_path: where the content is.
        content_type: such as text/csv; that of `json-lines` is application/x-ndjson.
        response_code: a number, or a name such as NOT_FOUND; 200 if left out.
        encoding: how text becomes bytes.
        format: `plain` sends text and bytes, `json-lines` any values, each as a line of JSON.

    Example:
        - eval-lambda:
            lambda: "baton: ({'number': number} for number in range(1000000))"
            output_path: content
        - stream-web-response: {format: json-lines}
    """

    name = "stream-web-response"

    def __init__(
        self,
        content_path: Path = "content",
        content_type: str | None = None,
        response_code: int | str | None = None,
        encoding: str = "utf8",
        format: Literal["plain", "json-lines"] = "plain",
        **request: Any,
    ) -> None:
        super().__init__(**request)
        self.content_path = content_path
        self.is_json_lines = format == "json-lines"
        self.content_type = type_of(content_type) or (_JSON_LINES if self.is_json_lines else None)
        self.response_code = None if response_code is None else code_of(response_code)
        try:
            "".encode(encoding)
            self._new_encoder = getincrementalencoder(encoding)
        except LookupError as error:
            raise ConfigurationError(str(error), hint="utf8 can encode every text") from error

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._environment = runtime_environment

    def process(self, baton: Any) -> Any:
        request = request_of(baton, self.request_path, self)
        if self.skip_if_request_stopped and not request.is_open:
            return baton
        return self._stream(request, baton)

    async def _stream(self, request: Request, baton: Any) -> Any:
        content = content_of(baton, self.content_path, self)
        encode = _json_line if self.is_json_lines else self._encoder()
        parts = await parts_of(content, self._environment, encode, by_lines=self.is_json_lines)
        if self.response_code is not None:
            request.setResponseCode(self.response_code)
        if self.content_type is not None:
            request.setHeader(b"Content-Type", self.content_type)
        if not _has_body(request):
            await parts.close()
            request.write(b"")  # the head as it would be with the body, whose length nobody knows
            request.finish()
            return baton
        try:
            await send_parts(request, parts, Turns(self._environment.reactor))
            self._end(request)
        except ClientLeft:
            _log.debug("%s was not sent everything: its client has left", request)
        except BaseException:
            if request.startedWriting and request.is_open:
                request.cut_short()
            raise
        return baton

    def _encoder(self) -> Callable[[Any], bytes]:
        # One for the whole response: some encodings begin with a mark, such as utf-8-sig, which is wrong between parts.
        encode = self._new_encoder().encode

        def encoded(part: Any) -> bytes:
            if isinstance(part, str):
                return encode(part)
            if isinstance(part, bytes | bytearray | memoryview):
                return bytes(part)
            what = f"a part of what lies at {self.content_path!r} is neither text nor bytes, but {type(part).__name__}"
            raise PipedError(what, hint="`format: json-lines` sends any values")

        return encoded

    def _end(self, request: Request) -> None:
        length = request.responseHeaders.getRawHeaders(b"Content-Length")
        if not request.startedWriting:
            request.answer(b"")
        elif length is not None and int(length[-1]) != request.sentLength:
            what = f"the header content-length says {length[-1].decode()}, and {request.sentLength} bytes were sent"
            raise PipedError(what, hint="leave the header out")
        else:
            request.finish()


def _json_line(value: Any) -> bytes:
    return _to_json(value).encode() + b"\n"


def _has_body(request: Request) -> bool:
    return request.method != b"HEAD" and request.code not in NO_BODY_CODES


class OpenEventStream(RequestProcessor):
    """Begin a stream of Server-Sent Events, which a page receives with `new EventSource(url)`.

    The response stays open after the pipeline has ended, until the client leaves or `send-event` finishes it. When the
    process stops, it is ended, so that the client can go elsewhere. It takes no part in `max_running` and
    `response_timeout`.

    A client that comes again says which event it has got last, and is sent those after that, as far as the topic has
    them in its history: a cut or a slow connection loses nothing that was published meanwhile.

    Args:
        topic: what is published under this name, by `send-event`, is sent to the client. Any text, or `!path`; to join
            several, let several of these steps follow each other.
        retry: how long the client is to wait before it comes again; some seconds if left out.
        heartbeat: how often a comment is sent, so that proxies keep the connection, and dead ones are found; 0 for
            never.
        max_unsent: how much a client may leave untaken, on top of the 64 KiB that its connection holds; above that it
            is hung up on, and may come again.
        history: how many of the last events the topic keeps, for a minute after its last client has left; for good
            where `topic` is a plain name.

    Example:
        - open-event-stream: {topic: prices, history: 100}
    """

    name = "open-event-stream"

    def __init__(
        self,
        topic: OrPath[str] | None = None,
        retry: Seconds | None = None,
        heartbeat: Seconds = 15,
        max_unsent: Bytes = 64 * 1024,
        history: Annotated[int, Ge(0)] = 0,
        **request: Any,
    ) -> None:
        super().__init__(**request)
        if history and topic is None:
            raise ConfigurationError("only a topic has a history", hint="add `topic`")
        self.topic, self.history = topic, history
        self.retry, self.heartbeat, self.max_unsent = retry, heartbeat, max_unsent
        self._open: WeakSet[Request] = WeakSet()

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._clock, self._topics = runtime_environment.reactor, topics_of(runtime_environment)
        if self.history and not isinstance(self.topic, BatonPath):
            self._topics.remember(str(self.topic), self.history)
        # Then nothing runs any more that could have something to tell.
        runtime_environment.before_stop += self._end_all

    def process_request(self, request: Request, baton: Any) -> None:
        topic = None if self.topic is None else text_of(baton, self.topic, "topic", self)
        if not request.is_open:
            return
        if not is_event_stream(request):
            if request.startedWriting:
                raise PipedError(f"{self.label} comes too late: the response of {request} has begun")
            open_stream(request, self._clock, retry=self.retry, heartbeat=self.heartbeat)
            if not _has_body(request):
                request.finish()
                return
            outlet_of(request).max_unsent = self.max_unsent
            self._open.add(request)
        if topic is not None:
            self._join(request, topic)

    def _join(self, request: Request, topic: str) -> None:
        outlet = outlet_of(request)
        # A client that was cut may have missed more than it is allowed to leave untaken.
        outlet.max_unsent = inf
        leave = self._topics.join(topic, EventStream(request), self.history, request.getHeader("last-event-id"))
        outlet.max_unsent, outlet.unsent = self.max_unsent, 0
        request.notifyFinish().addBoth(lambda _: leave())

    def _end_all(self) -> None:
        for request in list(self._open):
            request.finish()


class SendEvent(RequestProcessor):
    """Send an event to all clients of a topic, or to the one whose request is in the baton.

    Nobody waits for the clients of a topic. Events for the one client are sent as fast as it takes them.

    Args:
        topic: the name that `open-event-stream` has joined, or `!path`; left out, the client of the request is meant.
        message_path: where the message is: text, or any value, which is sent as JSON.
        event: what kind of event it is, which `addEventListener` names in the page; left out, it is a message.
        event_id: by which a client says which event it has got last; where it is left out, a topic with a history gives
            one to each event.
        finish: the stream of the request ends with this.

    Example:
        - set-value: {path: message, value: {price: 17}}
        - send-event: {topic: prices, event: price}
    """

    name = "send-event"

    def __init__(
        self,
        topic: OrPath[str] | None = None,
        message_path: Path = "message",
        event: OrPath[str] | None = None,
        event_id: OrPath[str] | None = None,
        finish: bool = False,
        **request: Any,
    ) -> None:
        super().__init__(**request)
        if finish and topic is not None:
            raise ConfigurationError("a topic cannot be finished", hint="remove `finish`, or `topic`")
        self.topic, self.message_path, self.finish = topic, message_path, finish
        self.event, self.event_id = event, event_id
        written = {"event": event, "id": event_id}
        for option, value in written.items():
            if isinstance(value, str) and not isinstance(value, BatonPath):
                try:
                    check_line(option, value)
                except ValueError as error:
                    raise ConfigurationError(str(error)) from error

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._topics = topics_of(runtime_environment)

    def process(self, baton: Any) -> Any:
        if self.topic is None:
            return super().process(baton)
        self._topics.publish(text_of(baton, self.topic, "topic", self), self._message(baton))
        return baton

    def process_request(self, request: Request, baton: Any) -> Deferred[None] | None:
        if not request.is_open:
            return None
        if not is_event_stream(request):
            what = f"{self.label} finds no open event stream for {request}"
            raise PipedError(what, hint="open-event-stream must come before it")
        EventStream(request).deliver(self._message(baton))
        if self.finish:
            request.finish()
            return None
        waiting: Deferred[None] | None = outlet_of(request).ready()
        return waiting

    def _message(self, baton: Any) -> Message:
        content = content_of(baton, self.message_path, self)
        event = None if self.event is None else text_of(baton, self.event, "event", self)
        id = None if self.event_id is None else text_of(baton, self.event_id, "event_id", self)
        message = Message(content, event, id)
        # Now, so that a message which cannot be sent fails here; it is kept for the clients.
        message.encoded(event_of)
        return message
