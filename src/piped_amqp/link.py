"""Link: pika's connection on Twisted, which reads fast, keeps within bounds, and remembers why it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final

from pika import spec
from pika.adapters.twisted_connection import _TwistedConnectionAdapter
from pika.connection import Connection
from pika.exceptions import AMQPError, ConnectionClosedByClient, InvalidFrameError, StreamLostError
from pika.frame import decode_frame
from twisted.python.failure import Failure

from piped_amqp.settling import SettlingChannel

#: What a frame begins with: its kind, channel and size.
_HEAD: Final = Struct(">BHL").unpack_from
_METHOD: Final = Struct(">L").unpack_from
_TAG: Final = Struct(">QB").unpack_from
_BODY_SIZE: Final = Struct(">Q").unpack_from
#: The head and the end of a frame.
_AROUND: Final = spec.FRAME_HEADER_SIZE + spec.FRAME_END_SIZE
#: How large a frame may be: so large that no connection agrees upon more.
_LARGEST: Final = spec.FRAME_MAX_SIZE


class Link(_TwistedConnectionAdapter):
    """The connection behind an AMQProtocol.

    It takes messages that have come as a whole out of what was read at once, without a step for each frame in between;
    everything else goes pika's way.
    """

    _channels: dict[int, SettlingChannel]  # type: ignore[assignment] # those that it makes
    _transport: Any

    def __init__(self, parameters: Any, on_open: Any, on_open_error: Any, on_close: Any, reactor: Any) -> None:
        super().__init__(parameters, on_open, on_open_error, on_close, reactor)
        self._is_reading = False
        self._due: list[SettlingChannel] = []
        #: Why it has ended, in the words of whoever ended it; pika's own reason may be a guess.
        self.cause: BaseException | None = None
        #: How far the handshake was when it ended.
        self.last_state = Connection.CONNECTION_INIT

    def _create_channel(self, channel_number: int, on_open_callback: Callable[[Any], Any] | None) -> SettlingChannel:
        return SettlingChannel(self, channel_number, on_open_callback)

    # Reading

    def _on_data_available(self, data_in: bytes) -> None:
        self.bytes_received += len(data_in)
        self._frame_buffer = self._frame_buffer + data_in if self._frame_buffer else data_in
        if self._is_reading:
            return  # whoever reads above goes on with it
        self._is_reading = True
        try:
            self._read()
        except AMQPError as error:
            self._terminate_stream(error)
        finally:
            self._is_reading = False
            self.flush()

    def _read(self) -> None:
        """Take all frames out of the buffer that are there as a whole."""
        at = 0
        try:
            while self._transport is not None:
                buffer = self._frame_buffer
                end = len(buffer)
                if end - at < _AROUND:
                    return
                kind, number, size = _HEAD(buffer, at)
                if buffer.startswith(b"AMQP", at):
                    size = 0
                elif size > _LARGEST:
                    raise InvalidFrameError(f"a frame of {size} bytes: {buffer[at : at + 32]!r}")
                stop = at + size + _AROUND
                if stop > end:
                    return
                if kind == spec.FRAME_METHOD and _METHOD(buffer, at + 7)[0] == spec.Basic.Deliver.INDEX:
                    after = self._read_delivery(buffer, at, stop, end, number)
                    if after:
                        at = after
                        continue
                received = _decoded(buffer[at:stop])
                at = stop
                self._process_frame(received)
        finally:
            self._frame_buffer = self._frame_buffer[at:] if self._frame_buffer else b""

    def _read_delivery(self, buffer: bytes, at: int, header: int, end: int, number: int) -> int:
        """Deliver a message that has come as a whole; gives where it ends, or 0 where pika has to assemble it.

        Args:
            header: where the frame of the delivery ends, and that of the properties begins.
        """
        if end - header < 22:
            return 0
        size: int
        kind, same, size = _HEAD(buffer, header)
        body = header + size + _AROUND
        if kind != spec.FRAME_HEADER or same != number or body > end:
            return 0
        (length,) = _BODY_SIZE(buffer, header + 11)
        stop = body
        if length:
            stop = body + length + _AROUND
            if stop > end or _HEAD(buffer, body) != (spec.FRAME_BODY, number, length):
                return 0
        channel = self._channels.get(number)
        mark = spec.FRAME_END
        if channel is None or buffer[header - 1] != mark or buffer[body - 1] != mark or buffer[stop - 1] != mark:
            return 0
        try:
            method = _delivery(buffer, at + 11)
        except UnicodeDecodeError:
            return 0
        properties = spec.BasicProperties()
        if buffer[header + 19] or buffer[header + 20]:
            properties.decode(buffer, header + 19)
        self.frames_received += 3
        channel.deliver(method, properties, buffer[body + 7 : stop - 1] if length else b"")
        return stop

    # Writing

    def emit(self, frames: Sequence[bytes]) -> None:
        """Send frames that are ready."""
        self._output_marshaled_frames(frames)

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        data = b"".join(marshaled_frames)
        self.bytes_sent += len(data)
        self.frames_sent += len(marshaled_frames)
        self._adapter_emit_data(data)

    def _adapter_emit_data(self, data: bytes) -> None:
        if self._transport is not None:  # gone already: whoever waits for an answer is about to be told
            self._transport.write(data)

    def flush_soon(self, channel: SettlingChannel) -> None:
        """Have a channel called at the end of this turn."""
        if not self._due and not self._is_reading:
            self._reactor.callLater(0, self.flush)
        self._due.append(channel)

    def flush(self) -> None:
        """Let channels send what they have kept for the end of the turn."""
        due, self._due = self._due, []
        for channel in due:
            channel.flushed()

    # The end

    def _adapter_disconnect_stream(self) -> None:
        if self._transport is None:
            return
        if isinstance(self._error, ConnectionClosedByClient):
            self._transport.loseConnection()
        else:  # the other side may take nothing more, so that what is still to be written would keep it open
            self._transport.abortConnection()

    def connection_lost(self, error: Failure) -> None:
        self._transport = None
        self.last_state = self.connection_state
        self.cause = self._error or error.value
        if self._error is None:
            self._error = StreamLostError(error.getErrorMessage())
        self._on_stream_terminated(None)


def _decoded(data: bytes) -> Any:
    try:
        return decode_frame(data)[1]
    except Exception as error:  # pika raises whatever its codec stumbles over
        raise InvalidFrameError(f"a frame that cannot be read: {data[:32]!r}") from error


def _delivery(buffer: bytes, at: int) -> spec.Basic.Deliver:
    """The Basic.Deliver whose arguments begin there."""
    stop = at + 1 + buffer[at]
    consumer = buffer[at + 1 : stop].decode()
    tag, redelivered = _TAG(buffer, stop)
    at = stop + 9
    stop = at + 1 + buffer[at]
    exchange = buffer[at + 1 : stop].decode()
    at, stop = stop, stop + 1 + buffer[stop]
    return spec.Basic.Deliver(consumer, tag, bool(redelivered & 1), exchange, buffer[at + 1 : stop].decode())
