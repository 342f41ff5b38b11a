"""Server-Sent Events: what a browser's EventSource understands, and the responses that are kept open for it.

Source: WHATWG HTML, section 9.2.
"""

from __future__ import annotations

import logging
import re
import weakref
from math import inf
from typing import TYPE_CHECKING, Any, Final

from piped import Seconds
from piped.web.streaming import Outlet, cut_off, outlet_of
from piped.web.topics import Message

if TYPE_CHECKING:
    from piped.web.request import Request

_log = logging.getLogger("piped.web")
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_COMMENT: Final = b":\n\n"


def event_of(message: Message) -> bytes:
    """A message as an event, with its empty line.

    Raises:
        ValueError: its event or its id is no single line, or its data are bytes that are no UTF-8.

    Example:
        >>> event_of(Message("two\\nlines", event="news", id="7"))
        b'event: news\\nid: 7\\ndata: two\\ndata: lines\\n\\n'
    """
    data = message.data if isinstance(message.data, str) else message.data.decode()
    lines = []
    for field, value in ((b"event", message.event), (b"id", message.id)):
        if value is not None:
            check_line(field.decode(), value)
            lines.append(b"%s: %s\n" % (field, value.encode()))
    lines += [b"data: %s\n" % line for line in _LINE_END.split(data.encode())]
    return b"".join(lines) + b"\n"


def check_line(field: str, value: str) -> None:
    """Nothing, where a text can be the value of a field.

    Raises:
        ValueError: it is no single line: what follows would be another field.
    """
    if any(sign in value for sign in "\r\n\0"):
        raise ValueError(f"the {field} of an event must be a single line, not {value!r}")


def _in_chunks(message: Message) -> tuple[bytes, int]:
    """What is written for a message over HTTP/1.1, and how long it is before that."""
    event = message.encoded(event_of)
    return _chunk(event), len(event)


def _whole(message: Message) -> tuple[bytes, int]:
    """The same over HTTP/1.0 and HTTP/2, which have no chunks."""
    event = message.encoded(event_of)
    return event, len(event)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class EventOutlet(Outlet):
    """Counts what an event stream's client does not take."""

    #: How many bytes may wait for the client, besides those that the connection has taken already.
    max_unsent: float = inf
    unsent = 0

    def resumeProducing(self) -> None:
        # Not when it is told to pause: Twisted's transports say that again with each write.
        self.unsent = 0
        super().resumeProducing()


class EventStream:
    """A response that is an open event stream; it can be a member of topics, which then keep its request.

    Args:
        request: one whose response was opened with `open_stream`.
    """

    __slots__ = ("_encode", "_outlet", "_request")

    def __init__(self, request: Request) -> None:
        self._request: Request = request
        self._outlet: EventOutlet = outlet_of(request)
        self._encode = _in_chunks if request.chunked else _whole

    def __repr__(self) -> str:
        return f"<EventStream {self._request}>"

    def deliver(self, message: Message) -> None:
        """Send a message; a client that has not taken too much of what it was sent before is hung up on."""
        self._put(*message.encoded(self._encode))

    def comment(self) -> None:
        """Send something that says nothing, so that nobody on the way takes the connection for dead."""
        self._put(_chunk(_COMMENT) if self._request.chunked else _COMMENT, len(_COMMENT))

    def _put(self, data: bytes, size: int) -> None:
        request, outlet = self._request, self._outlet
        if not request.is_open:
            return
        if outlet.is_paused:
            outlet.unsent += size
            if outlet.unsent > outlet.max_unsent:
                _log.info(
                    "%s is hung up on: it does not take its events, %d bytes wait, of at most %d (max_unsent)",
                    request,
                    outlet.unsent,
                    outlet.max_unsent,
                )
                cut_off(request)
                return
        request.sentLength += size
        # Not by the request, which would make the chunk anew for each client.
        request.channel.write(data)


def open_stream(request: Request, clock: Any, *, retry: Seconds | None, heartbeat: Seconds) -> None:
    """Begin a response that is an event stream; it stays open until the request is finished or its client leaves.

    Args:
        clock: IReactorTime.
        retry: how long the client is to wait before it comes again.
        heartbeat: how often a comment is sent; 0 for never.
    """
    request.setHeader(b"Content-Type", b"text/event-stream")
    request.setHeader(b"Cache-Control", b"no-store")
    # nginx would collect events until they are worth it.
    request.setHeader(b"X-Accel-Buffering", b"no")
    request.lift_limit()
    outlet_of(request, EventOutlet)
    request.write(_COMMENT if retry is None else b"retry: %d\n\n" % round(retry * 1000))
    if heartbeat:
        beating = _Heartbeat(clock, request, heartbeat)
        request.notifyFinish().addBoth(lambda _: beating.stop())


def is_event_stream(request: Request) -> bool:
    """Whether events can be sent to the client of a request."""
    return isinstance(request.producer, EventOutlet)


class _Heartbeat:
    """Sends comments to a client, without keeping its request alive."""

    def __init__(self, clock: Any, request: Request, interval: Seconds) -> None:
        self._clock, self._request, self._interval = clock, weakref.ref(request), interval
        self._next = clock.callLater(interval, self._beat)

    def stop(self) -> None:
        if self._next.active():
            self._next.cancel()

    def _beat(self) -> None:
        request = self._request()
        if request is not None and request.is_open:
            self._next = self._clock.callLater(self._interval, self._beat)
            EventStream(request).comment()
