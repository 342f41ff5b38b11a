"""One connection of a client over HTTP/2 that carries many requests at a time, within the limits of the site.

It stands on the library h2, as Twisted's own `twisted.web._http2` does, and not on that: with a client that opens its
windows by a byte Twisted's keeps the reactor busy for ever, with one that opens them wide and reads nothing it keeps
the whole response in memory, and it does not see windows that are opened by SETTINGS.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from piped.web.connection import LINGER
from piped.web.http2.limits import TABLE, TAKEN_BACK, USELESS, Allowance, Code
from piped.web.http2.outgoing import FRAME, Outgoing
from piped.web.http2.stream import BUFFER, Stream

if TYPE_CHECKING:
    from piped.web.site import Site

#: How many bytes of bodies a client may send before it hears that they have come.
_WINDOW: Final = 1024 * 1024
#: How long the rest is, the kind of frame, its flags and stream; the last stream and the code. Source: RFC 9113, 6.8.
_GOAWAY: Final = Struct(">xHBBLLL")
_GOAWAY_HEAD: Final = 8, 7, 0, 0


class Http2Connection(Outgoing):
    """A connection of a client to a site, with a stream for each request.

    The site looks now and then whether its deadline has passed, as for a channel.
    """

    #: Whether the client may begin no further request, or has said that it will not.
    _is_leaving = False
    #: How many bytes have come of what is no whole frame yet, or no whole head.
    _pending = 0
    #: When a client is hung up on that has no request, and one that does not complete a head.
    _until_used = _until_complete = inf

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._most_pending = site.options.max_header_size + 2 * FRAME
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
        gone = {event.stream_id: event for event, name in zip(came, names, strict=True) if name == "StreamReset"}
        for event in gone.values():
            self._reset_received(event)
        for event, name in zip(came, names, strict=True):
            if self._is_closing:
                return
            take = _TAKE.get(name)
            if take is not None and not (name == "RequestReceived" and event.stream_id in gone):
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
            stream.lost(Failure(ConnectionLost(f"the request was ended with the code {event.error_code}")))
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

    def _goodbye_received(self, event: Any) -> None:
        """The client begins no further request; where nothing is wrong it still waits for what it has begun."""
        self._useless_received(event)
        self._is_leaving = True
        if event.error_code or not self.streams:
            self._hang_up()

    def _useless_received(self, event: Any) -> None:
        if not self._useless.spend(self.site.now()):
            self.hang_up(Code.ENHANCE_YOUR_CALM)

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
        elif self._until_complete < now:
            self.hang_up(Code.ENHANCE_YOUR_CALM)
        is_stuck = self._until_taken < now
        if is_stuck:
            self._until_taken = inf
        for stream in list(self.streams.values()):
            if stream.deadline < now or (is_stuck and stream.unsent):
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
        # Who leaves in peace may be slow with what it was sent.
        self._until_used = self.until_sent(BUFFER) if self._is_leaving else self.site.now() + LINGER
        # TLS says no goodbye as long as there is somebody who may write, and waits for that of the client.
        self.transport.unregisterProducer()
        self._listen()
        self.transport.loseConnection()


#: By the names of the events, most of them of h2, which is imported late.
_TAKE: Final[dict[str, Callable[[Http2Connection, Any], None]]] = {
    "RequestReceived": Http2Connection._request_received,
    "DataReceived": Http2Connection._data_received,
    "StreamEnded": Http2Connection._end_received,
    "WindowUpdated": Http2Connection._window_opened,
    "RemoteSettingsChanged": Http2Connection._settings_received,
    "Goodbye": Http2Connection._goodbye_received,
    "Malformed": Http2Connection._reset_received,
    "PingReceived": Http2Connection._useless_received,
    "PriorityUpdated": Http2Connection._useless_received,
    "UnknownFrameReceived": Http2Connection._useless_received,
}
