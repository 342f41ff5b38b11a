"""SettlingChannel: pika's channel, which settles each delivery once, and acknowledges many with one frame."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from pika import spec
from pika.channel import Channel

from piped_amqp.tags import Tags

if TYPE_CHECKING:
    from piped_amqp.link import Link

#: So many acknowledgements are sent at once, so that the broker goes on sending while we go on working.
MOST_DUE: Final = 64

#: A frame of Basic.Ack: kind, channel, size, class and method, the tag, whether those before are meant, the end.
_ACK: Final = Struct(">BHIIQBB").pack


class SettlingChannel(Channel):
    """A channel of pika that knows which deliveries are not settled.

    What settles gives False where there is nothing to settle: the delivery is settled already, or the channel is
    closed, so that the broker gives it to somebody again. Acknowledgements of one turn of the reactor go out together.
    """

    connection: Link

    def __init__(self, connection: Link, number: int, on_open: Callable[[Channel], Any] | None) -> None:
        super().__init__(connection, number, on_open)
        self.tags = Tags()
        self._is_due = False
        self._gets_with_ack = False

    # Deliveries

    def deliver(self, method: spec.Basic.Deliver, properties: spec.BasicProperties, body: bytes) -> None:
        """Hand a delivery to its consumer; one that nobody waits for any more goes back to the queue."""
        name = method.consumer_tag
        consumer = self._consumers.get(name)
        has_to_be_settled = name not in self._consumers_with_noack
        if consumer is None or name in self._cancelled:
            if has_to_be_settled and self.is_open:
                self._send_method(spec.Basic.Reject(method.delivery_tag, True))
            return
        if has_to_be_settled:
            self.tags.delivered(method.delivery_tag)
        consumer(self, method, properties, body)

    def _on_deliver(self, method_frame: Any, header_frame: Any, body: bytes) -> None:
        self.deliver(method_frame.method, header_frame.properties, body)

    def basic_get(self, queue: str, callback: Any, auto_ack: bool = False) -> None:
        self._gets_with_ack = not auto_ack
        super().basic_get(queue, callback, auto_ack)

    def _on_getok(self, method_frame: Any, header_frame: Any, body: bytes) -> None:
        if self._gets_with_ack:
            self.tags.delivered(method_frame.method.delivery_tag)
        super()._on_getok(method_frame, header_frame, body)

    # Settling

    def basic_ack(self, delivery_tag: int = 0, multiple: bool = False) -> bool:  # type: ignore[override] # pika's gives nothing
        """Acknowledge a delivery, or with `multiple` all up to it; it is sent with the others of this turn."""
        if self._state != Channel.OPEN:
            return False
        tags = self.tags
        if multiple or not delivery_tag:
            settled = [tags.ack(each) for each in tags.up_to(delivery_tag)]
            if not settled:
                return False
        elif not tags.ack(delivery_tag):
            return False
        if not self._is_due:
            self._is_due = True
            self.connection.flush_soon(self)
        elif tags.due >= MOST_DUE:
            self.flush()
        return True

    def basic_nack(self, delivery_tag: int = 0, multiple: bool = False, requeue: bool = True) -> bool:  # type: ignore[override] # as above
        """Give a delivery back to the queue, or without `requeue` to the dead letters."""
        if self._state != Channel.OPEN:
            return False
        if multiple or not delivery_tag:
            self.flush()  # or it would be meant for those as well
            settled = self.tags.up_to(delivery_tag)
            if not settled:
                return False
            multiple, delivery_tag = True, settled[-1]  # and not 0, which would be meant for what is on its way, too
            for tag in settled:
                self.tags.settle(tag)
        elif not self.tags.settle(delivery_tag):
            return False
        self._send_method(spec.Basic.Nack(delivery_tag, multiple, requeue))
        return True

    def basic_reject(self, delivery_tag: int = 0, requeue: bool = True) -> bool:  # type: ignore[override] # as above
        """Give one delivery back; see `basic_nack`."""
        if self._state != Channel.OPEN or not self.tags.settle(delivery_tag):
            return False
        self._send_method(spec.Basic.Reject(delivery_tag, requeue))
        return True

    def basic_recover(self, requeue: bool = False, callback: Any = None) -> None:
        self.flush()
        super().basic_recover(requeue, callback)
        self.tags.clear()

    def flush(self) -> None:
        """Send the acknowledgements that are due."""
        if self._state != Channel.OPEN:
            return
        number = self.channel_number
        frames = [
            _ACK(spec.FRAME_METHOD, number, 13, spec.Basic.Ack.INDEX, tag, multiple, spec.FRAME_END)
            for tag, multiple in self.tags.take()
        ]
        if frames:
            self.connection.emit(frames)

    def flushed(self) -> None:
        """Called at the end of a turn in which acknowledgements were made."""
        self._is_due = False
        self.flush()

    def _rpc(self, method: Any, callback: Any = None, acceptable_replies: Any = None) -> None:
        method.encode()  # or what cannot be sent would fail when it is its turn, where it ends the connection
        super()._rpc(method, callback, acceptable_replies)

    # The end

    def close(self, reply_code: int = 0, reply_text: str = "Normal shutdown") -> None:
        self.flush()
        super().close(reply_code, reply_text)

    def _set_state(self, connection_state: int) -> None:
        super()._set_state(connection_state)
        if connection_state == Channel.CLOSED:
            self.tags.clear()
