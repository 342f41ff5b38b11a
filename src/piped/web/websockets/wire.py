"""The wire of a WebSocket: Twisted's, within limits of size and time, and closed as RFC 6455 wants it."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import Any, Final, Protocol

from twisted.python.failure import Failure

from piped.web.request import Request
from piped.web.streaming import Sent
from piped.web.topics import Message
from piped.web.websockets.options import WebSocketOptions
from piped.web.websockets.outgoing import Outgoing

#: Close codes. Source: RFC 6455, 7.4.1, and the registry of IANA that it sets up.
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
ABNORMAL: Final = 1006
POLICY_VIOLATION: Final = 1008
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011
#: Seconds that a client is given to answer when it is told that the connection is closed.
_PATIENCE: Final = 5.0
#: Seconds of that for a client that broke the protocol: whatever it answers cannot be understood.
_LINGER: Final = 1.0
#: Frames that are read in one turn of the reactor: 64 KiB may hold ten thousand.
_A_TURN: Final = 200


@cache
def _twisted() -> Any:
    """Twisted's implementation; late, as it needs an extra and every start of Piped imports this module.

    Of the private names of `twisted.web._websocket_impl` these are used: `_WebSocketWireProtocol`, with its `_wsconn`,
    `_textBuffer` and `_bytesBuffer`, and `_handleEvent`. Its resource has no limits, no subprotocols and no origins.
    """
    from twisted.web import _websocket_impl

    return _websocket_impl


class _TooBig(Exception):
    """A message of the client is longer than allowed."""


class _Parts:
    """Collects the parts of a message, in place of Twisted's buffer, which copies all that is there for each part."""

    def __init__(self, most: int, new: Callable[[], Any]) -> None:
        self._most, self._new = most, new
        self._size, self._kept = 0, new()

    def add(self, part: Any) -> None:
        self._size += len(part) if isinstance(part, bytes) or part.isascii() else len(part.encode())
        if self._size > self._most:
            raise _TooBig
        self._kept.write(part)

    def done(self) -> Any:
        message = self._kept.getvalue()
        self._size, self._kept = 0, self._new()
        return message


class Listener(Protocol):
    """Who is told what comes over a wire: the part of Twisted's WebSocketProtocol that is called, and more."""

    def textMessageReceived(self, message: str) -> None: ...

    def bytesMessageReceived(self, data: bytes) -> None: ...

    def pongReceived(self, payload: bytes) -> None: ...

    def closing(self, code: int, reason: str, is_by_client: bool) -> None:
        """Called once, when nothing can be sent any more; `connectionLost` follows."""

    def connectionLost(self, reason: Failure) -> None: ...

    def go_away(self) -> None:
        """Called when the site stops."""


class Wire:
    """The connection of one WebSocket; the protocol that its channel is given.

    Args:
        listener: is told of messages and of the end.
        call_later: of the reactor.
    """

    def __init__(
        self, listener: Listener, request: Request, options: WebSocketOptions, call_later: Callable[..., Any]
    ) -> None:
        self._options, self._call_later = options, call_later
        #: The listener, what goes out, Twisted's part and the transport; None once the connection is lost.
        self._listener: Any = listener
        self._outgoing: Any = Outgoing(request.channel, request, options.max_unsent, self._too_slow)
        twisted = self._impl = _twisted()
        self._wire: Any = twisted._WebSocketWireProtocol(
            twisted.Connection(twisted.ConnectionType.SERVER),
            twisted.serverBootstrap,
            listener,
            _textBuffer=_Parts(options.max_message_size, io.StringIO),
            _bytesBuffer=_Parts(options.max_message_size, io.BytesIO),
        )
        self._wire.transport = self._outgoing
        self._network: Any = None
        #: A message can be sent; messages of the client are delivered.
        self.is_open = True
        self._is_lost = False
        #: What comes cannot be understood, or is of no interest any more.
        self._is_deaf = False
        self._is_held = self._is_reading = self._is_paused = False
        #: The next turn of reading, the next look at the client, and the end of its time to answer a close.
        self._turn: Any = None
        self._look: Any = None
        self._end: Any = None
        self._is_heard = True

    # What the channel calls

    def makeConnection(self, transport: Any) -> None:
        self._network = transport
        if self._options.ping_interval is not None:
            self._look = self._call_later(self._options.ping_interval, self._ping)

    def dataReceived(self, data: bytes) -> None:
        self._is_heard = True
        if not self._is_deaf:
            self._wire._wsconn.receive_data(data)
            if self._turn is None:
                self._read()

    def connectionLost(self, reason: Failure) -> None:
        self._is_lost = self._is_deaf = True
        for timer in (self._turn, self._look, self._end):
            _stop(timer)
        self._closing(ABNORMAL, "", is_by_client=True)
        self._outgoing.lose("the client has left")
        listener = self._listener
        # They refer to each other, and hold what has come of a message: it would lie about until Python looks for such.
        self._listener = self._outgoing = self._wire = self._network = None
        listener.connectionLost(reason)

    def go_away(self) -> None:
        """The site stops."""
        self._listener.go_away()

    # Sending

    def send(self, message: str | bytes) -> Sent:
        """Send a message; see `Sent`."""
        if self.is_open:
            sent: Sent = self._outgoing.send(frame_of(message))
        else:
            sent = Sent()
            sent.lose("the connection is closed")
        return sent

    def deliver(self, message: Message) -> None:
        """Send what was published to many; the frame is made once for all of them."""
        if self.is_open:
            self._outgoing.write(message.encoded(_published))

    def close(self, code: int, reason: str = "", patience: float = _PATIENCE) -> None:
        """Close, after what still waits to be sent; the client has some seconds to take it and to answer."""
        if not self.is_open:
            return
        self._closing(code, reason, is_by_client=False)
        self._outgoing.write(self._wire._wsconn.send(self._impl.CloseConnection(code, reason)))
        self._end = self._call_later(patience, self._give_up)
        self.hold(False)  # the answer is read, whatever comes before it

    # Reading

    def hold(self, is_held: bool) -> None:
        """Read nothing more from the client, or go on."""
        if self._is_lost or (is_held and not self.is_open):
            return
        was_held, self._is_held = self._is_held, is_held
        self._regulate()
        if was_held and not is_held and not self._is_reading and self._turn is None:
            self._read()

    def _regulate(self) -> None:
        should_pause = self._is_held or self._turn is not None
        if should_pause != self._is_paused:
            self._is_paused = should_pause
            (self._network.pauseProducing if should_pause else self._network.resumeProducing)()

    def _read(self) -> None:
        """Deliver what has come, until whoever listens wants no more of it for now."""
        impl, wire, pong, left = self._impl, self._wire, None, _A_TURN
        self._is_reading = True
        try:
            for event in wire._wsconn.events():
                if isinstance(event, impl.CloseConnection):
                    self._told_to_close(event)
                    break
                if self.is_open:
                    if isinstance(event, impl.Ping):
                        pong = event
                    else:
                        impl._handleEvent(event, wire)
                left -= 1
                if not left:
                    self._turn = self._call_later(0, self._next_turn)
                    self._regulate()
                if self._is_held or not left:
                    break
        except _TooBig:
            self.close(TOO_BIG, f"a message may have {self._options.max_message_size} bytes")
        finally:
            self._is_reading = False
        if pong is not None and self.is_open:
            self._outgoing.answer(wire._wsconn.send(pong.response()))

    def _next_turn(self) -> None:
        self._turn = None
        self._regulate()
        if not self._is_held and not self._is_deaf:
            self._read()

    # The end

    def _told_to_close(self, event: Any) -> None:
        """The client closes, answers our close, or has broken the protocol, which Twisted's wsproto tells alike."""
        state, states = self._wire._wsconn.state, self._impl.ConnectionState
        self._is_deaf = True
        if state is states.OPEN:
            self.close(int(event.code), event.reason or "", patience=_LINGER)
            return
        if state is states.REMOTE_CLOSING:
            self._closing(int(event.code), event.reason or "", is_by_client=True)
            self._hang_up(self._wire._wsconn.send(event.response()))
        else:
            self._hang_up()

    def _closing(self, code: int, reason: str, is_by_client: bool) -> None:
        if self.is_open:
            self.is_open = False
            self._listener.closing(code, reason, is_by_client)

    def _give_up(self) -> None:
        """The client has not answered in time."""
        if self._outgoing.is_waiting:
            self._outgoing.cut()
        else:
            self._hang_up()

    def _hang_up(self, frame: bytes = b"") -> None:
        _stop(self._end)
        self._end = self._call_later(_PATIENCE, self._outgoing.cut)
        self._outgoing.end(frame)

    def _too_slow(self) -> None:
        # To be told why, it would have to read.
        self._closing(POLICY_VIOLATION, "it does not read what is sent to it", is_by_client=False)
        self._outgoing.cut()

    # Whether the client is there

    def _ping(self) -> None:
        options = self._options
        if not self.is_open or options.ping_interval is None:
            return
        # What it has sent is not read, or it has not read what was sent: that has limits of its own.
        if self._is_held or self._turn is not None or self._outgoing.is_waiting:
            self._look = self._call_later(options.ping_interval, self._ping)
            return
        self._is_heard = False
        self._wire.ping()
        self._look = self._call_later(options.ping_timeout, self._listen)

    def _listen(self) -> None:
        options = self._options
        if not self.is_open or options.ping_interval is None:
            return
        if self._is_heard or self._is_held or self._turn is not None or self._outgoing.is_waiting:
            self._look = self._call_later(max(options.ping_interval - options.ping_timeout, 0), self._ping)
        else:
            self.close(INTERNAL_ERROR, "it did not answer a ping")


def _stop(timer: Any) -> None:
    if timer is not None and timer.active():
        timer.cancel()


@cache
def _encoder() -> Any:
    # One for all: what is sent to a client depends on nothing that was sent before.
    return _twisted().Connection(_twisted().ConnectionType.SERVER)


def frame_of(message: str | bytes) -> bytes:
    """A message as it goes over the wire of any client."""
    impl = _twisted()
    frame: bytes = _encoder().send(
        impl.TextMessage(message) if isinstance(message, str) else impl.BytesMessage(message)
    )
    return frame


def _published(message: Message) -> bytes:
    return frame_of(message.data)
