"""HTTP/2 over TLS: one connection of a client that carries many requests at a time, within the limits of the site.

It stands on the library h2, as Twisted's own `twisted.web._http2` does, and not on that: with a client that opens its
windows by a byte Twisted's keeps the reactor busy for ever, with one that opens them wide and reads nothing it keeps
the whole response in memory, and it does not see windows that are opened by SETTINGS.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from piped.web.connection import LINGER
from piped.web.http2_limits import TABLE, TAKEN_BACK, USELESS, Allowance, Code, rules_for
from piped.web.http2_stream import BUFFER, Stream

if TYPE_CHECKING:
    from piped.web.site import Site

#: How many bytes of bodies a client may send before it hears that they have come.
_WINDOW: Final = 1024 * 1024
#: Bytes of a response that are sent before it is the turn of another; what every client takes in one frame.
_FRAME: Final = 16384
#: How long the rest is, the kind of frame, its flags and stream; the last stream and the code. Source: RFC 9113, 6.8.
_GOAWAY: Final = Struct(">xHBBLLL")
_GOAWAY_HEAD: Final = 8, 7, 0, 0


@implementer(IPushProducer)
class Http2Connection(Protocol):
    """A connection of a client to a site, with a stream for each request.

    The site looks now and then whether its deadline has passed, as for a channel.
    """

    transport: Any
    _is_closing = False
    #: Whether the client was told that it may begin no further request.
    _is_leaving = False
    #: Whether the transport asks to wait.
    _is_blocked = False
    #: Whether what the client has sent is being looked at; what is answered meanwhile is sent together.
    _is_reading = False
    _next_turn: Any = None
    #: How many bytes have come of what is no whole frame yet, or no whole head.
    _pending = 0
    #: Bytes of bodies that were sent.
    _sent = 0
    #: When a client is hung up on that has no request, that does not complete a head, that takes nothing.
    _until_used = _until_complete = _until_taken = inf

    def __init__(self, site: Site) -> None:
        self.site = site
        self.streams: dict[int, Stream] = {}
        #: Those that have something to send, in the order of their turns.
        self._line: deque[Stream] = deque()
        self._rules = rules_for(site.options)
        self._most_pending = site.options.max_header_size + 2 * _FRAME
        self._taken_back = Allowance(*TAKEN_BACK, site.now())
        self._useless = Allowance(*USELESS, site.now())

    def connectionMade(self) -> None:
        self.peer, self.host = self.transport.getPeer(), self.transport.getHost()
        self.is_secure: bool = ISSLTransport.providedBy(self.transport)
        self.transport.registerProducer(self, True)
        self._rules.initiate_connection()
        self._rules.increment_flow_control_window(_WINDOW - self._rules.inbound_flow_control_window)
        self._flush()
        self._wait()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_closing = True
        self._lose_streams(reason)
        self.site.gone(self)

    # What comes in

    def dataReceived(self, data: bytes) -> None:
        if self._is_closing:
            return
        came = self._rules.understand(data)
        if came is None:
            self._hang_up()
            return
        # What h2 answers by itself was whole, too.
        self._notice_pending(len(data), bool(came) or self._flush())
        self._is_reading = True
        self._take_all(came)
        self._is_reading = False
        self._take_turns()

    def _take_all(self, came: list[Any]) -> None:
        """Take what has come; first what was taken back, so that nothing is begun for nobody."""
        names = [type(event).__name__ for event in came]
        if "ConnectionTerminated" in names:
            # The client leaves, and h2 lets nothing be sent from here on, not even the rest of a response.
            self._hang_up()
            return
        gone = {event.stream_id: event for event, name in zip(came, names, strict=True) if name == "StreamReset"}
        for event in gone.values():
            self._reset_received(event)
        for event, name in zip(came, names, strict=True):
            if self._is_closing:
                return
            take = _TAKE.get(name)
            if take is not None and getattr(event, "stream_id", None) not in gone:
                take(self, event)

    def _notice_pending(self, size: int, is_complete: bool) -> None:
        if is_complete:
            self._pending, self._until_complete = 0, inf
            return
        self._pending += size
        if self._until_complete == inf and all(stream.is_whole for stream in self.streams.values()):
            self._until_complete = self.site.now() + self.site.options.header_timeout
        if self._pending > self._most_pending:
            self.hang_up(Code.ENHANCE_YOUR_CALM)

    def _request_received(self, event: Any) -> None:
        self._useless.earn()
        if self._is_leaving:
            self._rules.reset_stream(event.stream_id, Code.REFUSED_STREAM)
            return
        self._until_used = inf
        stream = self.streams[event.stream_id] = Stream(self, event.stream_id)
        stream.read_head(event.headers, event.stream_ended is not None)

    def _data_received(self, event: Any) -> None:
        # Also for a stream that is gone: it counts for the window of the connection.
        self._rules.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if event.data:
            self._useless.earn()
        elif event.stream_ended is None:
            self._useless_received(event)
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.read_body(event.data)

    def _end_received(self, event: Any) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is None:
            return
        if stream.is_open:
            stream.read_end()
        else:
            self._forget(stream)  # it was only heard out

    def _reset_received(self, event: Any) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            self._forget(stream)
            stream.lost(Failure(ConnectionLost(f"the request was taken back with the code {event.error_code}")))
        if not self._taken_back.spend(self.site.now()):
            self.hang_up(Code.ENHANCE_YOUR_CALM)

    def _window_opened(self, event: Any) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None and stream.unsent:
            self.wake(stream)

    def _settings_received(self, event: Any) -> None:
        self._useless_received(event)
        encoder = self._rules.encoder
        encoder.header_table_size = min(encoder.header_table_size, TABLE)
        for stream in self.streams.values():
            if stream.unsent:  # its window may be another one
                self.wake(stream)

    def _useless_received(self, event: Any) -> None:
        if not self._useless.spend(self.site.now()):
            self.hang_up(Code.ENHANCE_YOUR_CALM)

    # What goes out

    def send_head(self, stream: Stream, fields: Iterable[tuple[bytes, bytes]], ends: bool = False) -> None:
        """Send the head of a response, or one that announces it, without the headers of HTTP/1.1 (RFC 9113, 8.2.2)."""
        if stream.is_open and not self._is_closing:
            self._rules.send_headers(stream.number, fields, end_stream=ends)
            self._wake()

    def wake(self, stream: Stream) -> None:
        """A stream has something to send, or somebody who produces it."""
        if stream.is_open and not stream.is_ready and not self._is_closing:
            stream.is_ready = True
            self._line.append(stream)
            self._wake()

    def _wake(self) -> None:
        if not self._is_reading and self._next_turn is None:
            self._next_turn = self.site.reactor.callLater(0, self._turn)

    def _turn(self) -> None:
        self._next_turn = None
        self._take_turns()

    def _take_turns(self) -> None:
        """Let each stream in the line send a frame in turn, until the windows or the transport are full."""
        unflushed = 0
        while self._line and not self._is_blocked and not self._is_closing:
            if self._rules.outbound_flow_control_window <= 0 and all(stream.unsent for stream in self._line):
                break
            stream = self._line.popleft()
            stream.is_ready = False
            unflushed += self._send_part(stream)
            if unflushed > BUFFER:
                unflushed = 0
                self._flush()
        if not self._is_closing:
            self._flush()
            self._hurry()

    def _send_part(self, stream: Stream) -> int:
        """Send the next frame of a stream, and have it stand in the line again if there is more; gives its size."""
        if not stream.is_open:
            return 0
        data = stream.take(min(self._rules.local_flow_control_window(stream.number), _FRAME))
        ends = stream.is_ended and not stream.unsent
        if data or ends:
            self._rules.send_data(stream.number, data, end_stream=ends)
            self._sent += len(data)
            self._until_taken = inf
        if ends:
            self.end(stream)
        elif not stream.unsent:
            stream.rest()
        elif self._rules.outbound_flow_control_window <= 0 or self._rules.local_flow_control_window(stream.number) > 0:
            self.wake(stream)  # else its own window is full, and it comes back when that is opened
        return len(data)

    def _hurry(self) -> None:
        """Give those who take no more for now their deadlines."""
        unsent = 0
        for stream in self.streams.values():
            if stream.unsent:
                unsent += stream.unsent
                stream.hurry()
        if not self._is_blocked and not unsent:
            self._until_taken = inf
        elif self._until_taken == inf:
            self._until_taken = self.until_sent(min(unsent, BUFFER))

    def until_sent(self, size: int) -> float:
        """When a client has to have taken so many bytes."""
        options = self.site.options
        return self.site.now() + options.send_timeout + size / options.min_rate

    def _flush(self) -> bool:
        """Hand over what is to be sent; False if there is nothing."""
        data = self._rules.data_to_send()
        if data:
            self.transport.write(data)
        return bool(data)

    def pauseProducing(self) -> None:
        self._is_blocked = True
        self._until_taken = self.until_sent(BUFFER)
        # Whoever does not listen is not heard: what he sends would be answered, with frames that pile up.
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._is_blocked = False
        self._until_taken = inf
        self.transport.resumeProducing()
        self._take_turns()

    def stopProducing(self) -> None:
        """Nothing: `connectionLost` is called, too."""

    # The end of streams

    def end(self, stream: Stream) -> None:
        """The response was sent to its end.

        What still comes of the request is not read, but heard out for a moment: clients that are told at once to stop
        may not see what they were told before.
        """
        stream.is_open = False
        if stream.is_whole:
            self._forget(stream)
        else:
            stream.deadline = self.site.now() + LINGER

    def cut(self, stream: Stream, code: Code) -> None:
        """Break a response off, and tell its request so in the next turn, as a connection does that is lost."""
        if self._is_closing:
            return
        if stream.is_complete:
            self._rules.send_data(stream.number, b"", end_stream=True)
            self.end(stream)
        else:
            self.reset(stream, code)
        self.site.reactor.callLater(0, stream.lost, Failure(ConnectionLost("the response was broken off")))

    def reset(self, stream: Stream, code: Code) -> None:
        """Let nothing more come or go."""
        stream.is_open = False
        self._rules.reset_stream(stream.number, code)
        self._forget(stream)
        self._wake()

    def _forget(self, stream: Stream) -> None:
        del self.streams[stream.number]
        if self.streams:
            return
        if self._is_leaving:
            self.site.reactor.callLater(0, self._hang_up)
        else:
            self._wait()

    def _lose_streams(self, reason: Failure) -> None:
        for stream in list(self.streams.values()):
            del self.streams[stream.number]
            stream.lost(reason)
        self._line.clear()

    # Limits, and the end

    def _wait(self) -> None:
        self._until_used = self.site.now() + self.site.options.keep_alive_timeout

    @property
    def deadline(self) -> float:
        """When something has taken too long, in seconds of the reactor."""
        own = min(self._until_used, self._until_complete, self._until_taken)
        return min([own, *(stream.deadline for stream in self.streams.values())])

    def expire(self) -> None:
        """Hang up on a client, or give up a request, whose deadline has passed."""
        now = self.site.now()
        if self._is_closing or (self._is_blocked and self._until_taken < now):
            self.transport.abortConnection()
        elif self._until_used < now:
            self.hang_up(Code.NO_ERROR)
        elif self._until_complete < now or self._until_taken < now:
            self.hang_up(Code.ENHANCE_YOUR_CALM)
        for stream in list(self.streams.values()):
            if stream.deadline < now:
                stream.deadline = inf
                stream.expire()

    @property
    def sent(self) -> int | None:
        """How much was sent, if there are responses that are not complete; None where there are none."""
        return self._sent if any(stream.is_open and stream.has_begun for stream in self.streams.values()) else None

    def close_when_idle(self) -> None:
        """Let the client begin no further request, and hang up as soon as there is none."""
        if self._is_leaving or self._is_closing:
            return
        self._is_leaving = True
        self._say_goodbye(Code.NO_ERROR)
        if not self.streams:
            self._hang_up()

    def hang_up(self, code: Code) -> None:
        """Tell the client why, and hang up; what is being answered is lost."""
        if not self._is_closing:
            self._say_goodbye(code)
            self._hang_up()

    def _say_goodbye(self, code: Code) -> None:
        # Not by h2, which lets nothing be sent after it, not even the rest of a response.
        self._flush()
        self.transport.write(_GOAWAY.pack(*_GOAWAY_HEAD, self._rules.highest_inbound_stream_id, code))

    def _hang_up(self) -> None:
        if self._is_closing:
            return
        self._flush()
        self._is_closing = True
        self._lose_streams(Failure(ConnectionLost("the client was hung up on")))
        self._until_complete = self._until_taken = inf
        self._until_used = self.site.now() + LINGER
        self.transport.loseConnection()


#: By the names of the events of h2, which is imported late.
_TAKE: Final[dict[str, Callable[[Http2Connection, Any], None]]] = {
    "RequestReceived": Http2Connection._request_received,
    "DataReceived": Http2Connection._data_received,
    "StreamEnded": Http2Connection._end_received,
    "WindowUpdated": Http2Connection._window_opened,
    "RemoteSettingsChanged": Http2Connection._settings_received,
    "PingReceived": Http2Connection._useless_received,
    "PriorityUpdated": Http2Connection._useless_received,
    "UnknownFrameReceived": Http2Connection._useless_received,
}
