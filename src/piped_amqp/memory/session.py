"""A session: one client's connection to the broker, from the handshake to its end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from pika import frame, spec
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from piped_amqp.memory.broker import Broker
from piped_amqp.memory.channel import Channel
from piped_amqp.memory.contents import Contents
from piped_amqp.memory.frames import FRAME_MAX, Frames, method_frame
from piped_amqp.memory.refusals import Refusal

_log = logging.getLogger("piped.amqp")

_GREETING = b"AMQP\x00\x00\x09\x01"
_CHANNEL_MAX = 2047
#: Seconds between heartbeats, unless the client wishes otherwise.
_HEARTBEAT = 60
#: Seconds for the handshake, and for a client's answer to a close.
_PATIENCE = 10
_PROPERTIES = {
    "product": "Piped's broker in memory",
    "capabilities": {
        "authentication_failure_close": True,
        "basic.nack": True,
        "connection.blocked": True,
        "consumer_cancel_notify": True,
        "direct_reply_to": True,
        "per_consumer_qos": True,
        "publisher_confirms": True,
    },
}


class Session(Protocol):
    """The broker's side of one connection."""

    transport: Any

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.frame_max = FRAME_MAX
        #: Whether the client reads more slowly than it is sent to: nothing is delivered meanwhile.
        self.is_paused = False
        self.wants_cancel = False
        self._channels: dict[int, Channel] = {}
        #: Channels that were closed here, until the client says that it knows.
        self._closing: set[int] = set()
        self._contents = Contents()
        self._frames = Frames()
        self._greeting = b""
        self._is_open = False
        self._is_ending = False
        self._has_heard = False
        self._timer: Any = None

    # -- the transport

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        self._after(_PATIENCE, self.transport.abortConnection)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._after(None)
        self._leave()

    def pauseProducing(self) -> None:
        self.is_paused = True

    def resumeProducing(self) -> None:
        self.is_paused = False
        for channel in list(self._channels.values()):
            channel.deliver_more()

    def stopProducing(self) -> None:
        """The connection is lost, which `connectionLost` sees to."""

    def dataReceived(self, data: bytes) -> None:
        self._has_heard = True
        if len(self._greeting) < len(_GREETING):
            data = self._greeted(data)
        try:
            for number, found, whole in self._frames.feed(data) if data else ():
                self._received(number, found, whole)
        except Refusal as refusal:
            self._refuse(refusal)
        except Exception:
            _log.exception("the broker in memory failed; a connection of its ends")
            self._refuse(Refusal(spec.INTERNAL_ERROR, "the broker failed, see the log of its process"))

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    # -- the connection

    def _greeted(self, data: bytes) -> bytes:
        """Read the first bytes of a client; what follows them."""
        missing = len(_GREETING) - len(self._greeting)
        self._greeting += data[:missing]
        if len(self._greeting) == len(_GREETING):
            if self._greeting != _GREETING:
                self.write(_GREETING)
                self.transport.loseConnection()
                self._is_ending = True
                return b""
            self._send(spec.Connection.Start(0, 9, _PROPERTIES, "PLAIN AMQPLAIN EXTERNAL", "en_US"))
        return data[missing:]

    def _received(self, number: int, found: frame.Frame, whole: bytes) -> None:
        if isinstance(found, frame.Heartbeat):
            return
        if self._is_ending:
            if isinstance(found, frame.Method) and isinstance(found.method, spec.Connection.CloseOk):
                self.transport.loseConnection()
            return
        if number == 0:
            self._act(found)
        elif not self._is_open:
            raise Refusal(spec.COMMAND_INVALID, "the connection is not open")
        else:
            self._on_channel(number, found, whole)

    def _act(self, found: frame.Frame) -> None:
        method = found.method if isinstance(found, frame.Method) else None
        act = _ACTS.get(type(method))
        if act is None:
            raise Refusal(spec.COMMAND_INVALID, "nothing that belongs on channel 0")
        act(self, method)

    def _start_ok(self, method: spec.Connection.StartOk) -> None:
        capabilities = (method.client_properties or {}).get("capabilities")
        self.wants_cancel = isinstance(capabilities, dict) and bool(capabilities.get("consumer_cancel_notify"))
        self._send(spec.Connection.Tune(_CHANNEL_MAX, FRAME_MAX, _HEARTBEAT))

    def _tune_ok(self, method: spec.Connection.TuneOk) -> None:
        if method.frame_max and not spec.FRAME_MIN_SIZE <= method.frame_max <= FRAME_MAX:
            raise Refusal(spec.NOT_ALLOWED, f"negotiated frame_max = {method.frame_max} is not what was offered")
        self.frame_max = method.frame_max or FRAME_MAX
        self._after(None)
        if method.heartbeat:
            self._beat(method.heartbeat, 0)

    def _open(self, method: spec.Connection.Open) -> None:
        self._is_open = True
        self._send(spec.Connection.OpenOk())

    def _close(self, method: spec.Connection.Close) -> None:
        self._leave()
        self._send(spec.Connection.CloseOk())
        self.transport.loseConnection()

    def _beat(self, interval: int, silent: int) -> None:
        """Send a heartbeat twice in each interval; a client of whom nothing came for two of them is gone."""
        silent = 0 if self._has_heard else silent + 1
        self._has_heard = False
        if silent >= 4:
            _log.warning(
                "the broker in memory cuts a connection: missed heartbeats from client, timeout: %ss", interval
            )
            self.transport.abortConnection()
            return
        self.write(frame.Heartbeat().marshal())
        self._after(interval / 2, self._beat, interval, silent)

    # -- the channels

    def _on_channel(self, number: int, found: frame.Frame, whole: bytes) -> None:
        method = found.method if isinstance(found, frame.Method) else None
        if number in self._closing:
            self._closed_there(number, method)
            return
        channel = self._channels.get(number)
        if isinstance(method, spec.Channel.Open):
            self._open_channel(number, channel)
            return
        if channel is None:
            raise Refusal(spec.CHANNEL_ERROR, "expected 'channel.open'")
        try:
            if isinstance(method, spec.Channel.Close):
                self._forget(number)
                self._send(spec.Channel.CloseOk(), number)
            elif content := self._contents.take(number, found, whole):
                channel.publish(*content)
            elif method is not None and not isinstance(method, spec.Basic.Publish):
                channel.received(method)
        except Refusal as refusal:
            if refusal.ends_connection:
                raise
            self._forget(number)
            self._closing.add(number)
            index = method.INDEX if method is not None else spec.Basic.Publish.INDEX
            self._send(spec.Channel.Close(refusal.code, refusal.text, *divmod(index, 1 << 16)), number)

    def _open_channel(self, number: int, channel: Channel | None) -> None:
        if channel is not None:
            raise Refusal(spec.CHANNEL_ERROR, "second 'channel.open' seen")
        if number > _CHANNEL_MAX:
            raise Refusal(spec.CHANNEL_ERROR, f"channel {number} is above the limit of {_CHANNEL_MAX}")
        self._channels[number] = Channel(self, number)
        self._send(spec.Channel.OpenOk(), number)

    def _closed_there(self, number: int, method: Any) -> None:
        if isinstance(method, spec.Channel.CloseOk):
            self._closing.discard(number)
        elif isinstance(method, spec.Channel.Close):
            # Both have closed it at once.
            self._send(spec.Channel.CloseOk(), number)

    def _forget(self, number: int) -> None:
        self._contents.forget(number)
        self._channels.pop(number).close()

    # -- ends

    def _leave(self) -> None:
        """Give back what is not settled; nothing but the end of the connection follows."""
        self._is_ending = True
        channels, self._channels = list(self._channels.values()), {}
        # All at once: what one channel gives back is nothing for another one of a connection that ends.
        for channel in channels:
            channel.stop_consuming()
        for channel in channels:
            channel.close()
        self.broker.leave(self)

    def _refuse(self, refusal: Refusal) -> None:
        """Close the connection with a reason, and wait for the client to know for a while only."""
        if self._is_ending:
            self.transport.abortConnection()
            return
        self._leave()
        _log.warning("the broker in memory closes a connection: %s", refusal.text)
        self._send(spec.Connection.Close(refusal.code, refusal.text, 0, 0))
        self._after(_PATIENCE, self.transport.abortConnection)

    def _send(self, method: Any, number: int = 0) -> None:
        self.write(method_frame(number, method))

    def _after(self, seconds: float | None, call: Callable[..., object] = lambda: None, *arguments: Any) -> None:
        """Call something later, instead of what was to be called before; None: nothing."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None if seconds is None else self.broker.clock.callLater(seconds, call, *arguments)


_ACTS: dict[type, Callable[[Session, Any], None]] = {
    spec.Connection.StartOk: Session._start_ok,
    spec.Connection.TuneOk: Session._tune_ok,
    spec.Connection.Open: Session._open,
    spec.Connection.Close: Session._close,
}
