"""AMQPChannel: a channel whose consumers are called directly, and whose deliveries are settled once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from pika import spec
from pika.adapters.twisted_connection import TwistedChannel
from pika.exceptions import ChannelClosed, ConsumerCancelled
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from piped_amqp.settling import SettlingChannel

if TYPE_CHECKING:
    from piped_amqp.protocol import AMQProtocol

_log = logging.getLogger("piped.amqp")
OnDelivery = Callable[[spec.Basic.Deliver, spec.BasicProperties, bytes], object]
OnCancelled = Callable[[Exception], object]


class AMQPChannel(TwistedChannel):
    """A channel of an AMQProtocol: pika's methods as Deferreds, and what follows.

    `basic_ack`, `basic_nack` and `basic_reject` give whether there was something to settle: a delivery is settled once,
    whoever does it first, and on a channel that is closed the broker has taken everything back.

    `on_closed` is a Deferred that fires with the reason when the channel is closed, by whomever.
    """

    _channel: SettlingChannel

    def __init__(self, channel: SettlingChannel, protocol: AMQProtocol) -> None:
        super().__init__(channel)
        #: The connection that it was opened on.
        self.protocol = protocol
        #: Who hears that the broker has ended a consumer, by its tag.
        self._direct: dict[str, OnCancelled] = {}

    def consume(
        self,
        queue: str,
        on_delivery: OnDelivery,
        *,
        on_cancelled: OnCancelled,
        no_ack: bool = False,
        exclusive: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> Deferred[str]:
        """Have each message of a queue handed over as soon as it was read; gives the tag of the consumer.

        Args:
            on_delivery: called with the method, the properties and the body; set a prefetch count before, or as many
                come as the queue holds. What it raises is logged, and the message not settled.
            on_cancelled: called with the reason when the broker ends it, as it does when the queue is deleted; not when
                the channel is closed, nor for a `basic_cancel`.
        """
        if self._closed:
            return fail(self._closed)

        def accepted(answer: Any) -> None:
            tag = answer.method.consumer_tag
            if consuming in self._calls:
                self._calls.discard(consuming)
                self._direct[tag] = on_cancelled
                consuming.callback(tag)
            elif self._channel.is_open:  # nobody waits for it any more
                self._channel.basic_cancel(tag)

        def deliver(_: object, method: Any, properties: Any, body: bytes) -> None:
            try:
                on_delivery(method, properties, body)
            except Exception:  # it must not end the connection of all others
                _log.exception(
                    "%s: a consumer of %r has failed with a message, and not settled it", self.protocol.name, queue
                )

        consuming: Deferred[str] = Deferred(self._calls.discard)
        self._calls.add(consuming)
        try:
            self._channel.basic_consume(
                queue, deliver, auto_ack=no_ack, exclusive=exclusive, arguments=dict(arguments or {}), callback=accepted
            )
        except Exception:  # pika checks what it is given, and the state
            self._calls.discard(consuming)
            return fail()
        return consuming

    def basic_cancel(self, consumer_tag: str = "") -> Deferred[Any]:
        """End a consumer; at once, if it has ended already."""
        if consumer_tag not in self._channel.consumer_tags:
            return succeed(None)
        return super().basic_cancel(consumer_tag)

    def is_unsettled(self, tag: int) -> bool:
        """Whether a delivery waits to be settled."""
        return tag in self._channel.tags

    @property
    def unsettled(self) -> int:
        """How many deliveries wait to be settled."""
        return len(self._channel.tags)

    def basic_ack(self, delivery_tag: int = 0, multiple: bool = False) -> bool:  # type: ignore[override] # pika's says nothing
        """Acknowledge a delivery, or with `multiple` all up to it; gives whether there was one."""
        return self._channel.basic_ack(delivery_tag, multiple)

    def basic_nack(self, delivery_tag: int = 0, multiple: bool = False, requeue: bool = True) -> bool:  # type: ignore[override] # as above
        """Give a delivery back to the queue, or without `requeue` to the dead letters; gives whether there was one."""
        return self._channel.basic_nack(delivery_tag, multiple, requeue)

    def basic_reject(self, delivery_tag: int, requeue: bool = True) -> bool:  # type: ignore[override] # as above
        """Give one delivery back; see `basic_nack`."""
        return self._channel.basic_reject(delivery_tag, requeue)

    def close(self, reply_code: int = 0, reply_text: str = "Normal shutdown") -> Deferred[Any]:  # type: ignore[override] # as above
        """Close it; fires when that is done, at once if it was."""
        if self._closed:
            return succeed(None)
        closed: Deferred[Any] = Deferred()
        self._channel.add_on_close_callback(lambda _, reason: closed.callback(None))
        if not self.is_closing:
            self._channel.close(reply_code, reply_text)
        return closed

    def _on_consumer_cancelled(self, frame: Any) -> Any:
        on_cancelled = self._direct.pop(frame.method.consumer_tag, None)
        if on_cancelled is None:
            return super()._on_consumer_cancelled(frame)
        if isinstance(frame.method, spec.Basic.Cancel):
            on_cancelled(ConsumerCancelled(f"the broker has ended the consumer {frame.method.consumer_tag}"))
        return frame

    def _wrap_channel_method(self, name: str) -> Callable[..., Deferred[Any]]:
        method = super()._wrap_channel_method(name)

        @wraps(method)
        def wrapped(*args: Any, **kwargs: Any) -> Deferred[Any]:
            before = self._calls.copy()
            answer = method(*args, **kwargs)
            if answer.called and isinstance(answer.result, Failure):  # pika keeps what it could not send, too
                self._calls &= before
            return answer

        return wrapped

    def _on_channel_closed(self, channel: Any, reason: Exception | None) -> None:
        self._direct.clear()
        # pika keeps those that were cancelled, and could not fail them again.
        self._calls = {call for call in self._calls if not call.called}
        super()._on_channel_closed(channel, reason)


def reason_of(error: BaseException) -> str:
    """Why the broker has closed a channel or connection, in its own words."""
    if isinstance(error, ChannelClosed):
        return f"{error.reply_text} ({error.reply_code})"
    return str(error) or type(error).__name__
