"""A channel: publishing, consuming and settling, for one client."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pika import spec

from piped_amqp.memory import declaring
from piped_amqp.memory.broker import REPLY_TO
from piped_amqp.memory.consumers import Consumer
from piped_amqp.memory.frames import content_frames, method_frame
from piped_amqp.memory.messages import Entry, Message
from piped_amqp.memory.queues import Queue
from piped_amqp.memory.refusals import Refusal, not_found, precondition_failed
from piped_amqp.memory.unsettled import Delivery, Unsettled

if TYPE_CHECKING:
    from piped_amqp.memory.session import Session


class Channel:
    """One open channel of a connection. Raises a Refusal for what it does not do."""

    def __init__(self, session: Session, number: int) -> None:
        self.session = session
        self.broker = session.broker
        self.number = number
        #: The queue declared last, which an empty name stands for.
        self.last_queue = ""
        self.consumers: dict[str, Consumer] = {}
        self._unsettled = Unsettled()
        self._last_tag = 0
        #: The number of the last publish that was confirmed; None: nothing is confirmed.
        self._confirmed: int | None = None
        self._limit_of_next = 0
        self._limit = 0
        self._reply_tag = ""
        self._reply_address = ""

    # -- sending

    @property
    def may_send(self) -> bool:
        """Whether the client reads what it is sent."""
        return not self.session.is_paused

    @property
    def has_room(self) -> bool:
        """Whether the limit that all its consumers share leaves room for a delivery."""
        return not self._limit or self._unsettled.sent < self._limit

    def send(self, method: Any) -> None:
        """Send a method without a message."""
        self.session.write(method_frame(self.number, method))

    def _send_message(self, method: Any, message: Message) -> None:
        self.session.write(content_frames(self.number, method, message.encoded, message.body, self.session.frame_max))

    def deliver(self, consumer: Consumer, queue: Queue, entry: Entry) -> None:
        """Send a message out of a queue to one of its consumers."""
        tag = self._take(queue, entry, consumer)
        message = entry.message
        self._send_message(
            spec.Basic.Deliver(consumer.tag, tag, entry.returns > 0, message.exchange, message.routing_key),
            _counted(queue, entry),
        )

    def _take(self, queue: Queue, entry: Entry, consumer: Consumer | None, no_ack: bool = False) -> int:
        self._last_tag += 1
        if no_ack or (consumer is not None and consumer.no_ack):
            queue.settle(entry)
        else:
            self._unsettled.add(self._last_tag, Delivery(queue, entry, consumer))
        return self._last_tag

    def reply(self, message: Message) -> None:
        """Send a reply straight to who consumes from `REPLY_TO` on this channel."""
        self._last_tag += 1
        self._send_message(
            spec.Basic.Deliver(self._reply_tag, self._last_tag, False, message.exchange, message.routing_key), message
        )

    def consumer_cancelled(self, consumer: Consumer) -> None:
        """Its queue is gone; a client that asked for it is told."""
        del self.consumers[consumer.tag]
        if self.session.wants_cancel:
            self.send(spec.Basic.Cancel(consumer.tag, nowait=True))

    # -- receiving

    def received(self, method: Any) -> None:
        """Do what a method says and answer it."""
        act = _ACTS.get(type(method))
        if act is None:
            raise Refusal(spec.NOT_IMPLEMENTED, f"{method.NAME} is not implemented by a broker in memory")
        answer = act(self, method)
        if answer is not None and not getattr(method, "nowait", False):
            self.send(answer)

    def publish(
        self, method: spec.Basic.Publish, properties: spec.BasicProperties, encoded: bytes, body: bytes
    ) -> None:
        """Take in a message that has come as a whole: return it if nobody wants it, and confirm it."""
        if method.immediate:
            raise Refusal(spec.NOT_IMPLEMENTED, "immediate=true")
        message = Message(method.exchange, method.routing_key, properties, encoded, body)
        if properties.reply_to == REPLY_TO:
            if not self._reply_address:
                raise precondition_failed("fast reply consumer does not exist")
            message = message.with_properties(reply_to=self._reply_address)
        is_routed, is_taken = self.broker.publish(message)
        if method.mandatory and not is_routed:
            self._send_message(
                spec.Basic.Return(spec.NO_ROUTE, "NO_ROUTE", method.exchange, method.routing_key), message
            )
        if self._confirmed is not None:
            self._confirmed += 1
            self.send((spec.Basic.Ack if is_taken else spec.Basic.Nack)(self._confirmed))

    def close(self) -> None:
        """Give back what is not settled, and consume no more."""
        self.stop_consuming()
        self._give_back(self._unsettled.all())

    def stop_consuming(self) -> None:
        """Let nothing more be delivered."""
        self.broker.replies.pop(self._reply_address, None)
        for consumer in list(self.consumers.values()):
            self._remove(consumer)

    def deliver_more(self) -> None:
        """There may be room again."""
        for queue in {consumer.queue.name: consumer.queue for consumer in self.consumers.values()}.values():
            queue.deliver()

    # -- consuming

    def _qos(self, method: spec.Basic.Qos) -> Any:
        if method.prefetch_size:
            raise Refusal(spec.NOT_IMPLEMENTED, f"prefetch_size!=0 ({method.prefetch_size})")
        if method.global_qos:
            self._limit = method.prefetch_count
            self.deliver_more()
        else:
            self._limit_of_next = method.prefetch_count
        return spec.Basic.QosOk()

    def _consume(self, method: spec.Basic.Consume) -> None:
        tag = method.consumer_tag or f"amq.ctag-{self.broker.random_name()}"
        if tag in self.consumers or tag == self._reply_tag:
            raise Refusal(spec.NOT_ALLOWED, f"attempt to reuse consumer tag '{tag}'")
        if method.queue == REPLY_TO:
            self._consume_replies(tag, method.no_ack)
            consumer = None
        else:
            queue = self.queue(method.queue)
            if (queue.consumers and method.exclusive) or any(other.is_exclusive for other in queue.consumers):
                raise Refusal(spec.ACCESS_REFUSED, f"queue '{queue.name}' in vhost '/' in exclusive use")
            priority = (method.arguments or {}).get("x-priority", 0)
            if not isinstance(priority, int):
                raise precondition_failed(f"x-priority is no number: {priority!r}")
            consumer = Consumer(tag, self, queue, method.no_ack, method.exclusive, priority, self._limit_of_next)
        if not method.nowait:
            self.send(spec.Basic.ConsumeOk(tag))
        if consumer is not None:
            self.consumers[tag] = consumer
            consumer.queue.add(consumer)

    def _consume_replies(self, tag: str, no_ack: bool) -> None:
        if not no_ack:
            raise precondition_failed("reply consumer cannot acknowledge")
        if self._reply_tag:
            raise precondition_failed("reply consumer already set")
        self._reply_tag = tag
        self._reply_address = f"{REPLY_TO}.{self.broker.random_name()}"
        self.broker.replies[self._reply_address] = self

    def _cancel(self, method: spec.Basic.Cancel) -> Any:
        if method.consumer_tag in self.consumers:
            self._remove(self.consumers[method.consumer_tag])
        elif method.consumer_tag == self._reply_tag:
            self.broker.replies.pop(self._reply_address, None)
            self._reply_tag = self._reply_address = ""
        return spec.Basic.CancelOk(method.consumer_tag)

    def _remove(self, consumer: Consumer) -> None:
        del self.consumers[consumer.tag]
        queue = consumer.queue
        queue.remove(consumer)
        if queue.settings.auto_delete and not queue.consumers:
            self.broker.delete_queue(queue)

    def _get(self, method: spec.Basic.Get) -> Any:
        queue = self.queue(method.queue)
        entry = queue.get()
        if entry is None:
            return spec.Basic.GetEmpty()
        tag = self._take(queue, entry, None, method.no_ack)
        message = entry.message
        self._send_message(
            spec.Basic.GetOk(tag, entry.returns > 0, message.exchange, message.routing_key, len(queue)),
            _counted(queue, entry),
        )
        return None

    def queue(self, name: str) -> Queue:
        """The queue of that name, the last one declared for an empty name. Raises: Refusal."""
        if not (name or self.last_queue):
            raise not_found("queue", "")
        return self.broker.queue(name or self.last_queue, self.session)

    # -- settling

    def _ack(self, method: spec.Basic.Ack) -> None:
        for delivery in self._unsettled.take(method.delivery_tag, method.multiple):
            delivery.queue.settle(delivery.entry)
        self.deliver_more()

    def _nack(self, method: spec.Basic.Nack) -> None:
        self._refused(self._unsettled.take(method.delivery_tag, method.multiple), method.requeue)

    def _reject(self, method: spec.Basic.Reject) -> None:
        self._refused(self._unsettled.take(method.delivery_tag, multiple=False), method.requeue)

    def _recover(self, method: spec.Basic.Recover) -> Any:
        if not method.requeue:
            raise Refusal(spec.NOT_IMPLEMENTED, "requeue=false")
        self._give_back(self._unsettled.all())
        return spec.Basic.RecoverOk()

    def _refused(self, deliveries: Iterable[Delivery], requeue: bool) -> None:
        if requeue:
            self._give_back(deliveries)
        else:
            for delivery in deliveries:
                delivery.queue.reject(delivery.entry)
        self.deliver_more()

    def _give_back(self, deliveries: Iterable[Delivery]) -> None:
        """All at once for each queue, so that the first of them goes out first again."""
        queues: dict[int, tuple[Queue, list[Entry]]] = {}
        for delivery in deliveries:
            queues.setdefault(id(delivery.queue), (delivery.queue, []))[1].append(delivery.entry)
        for queue, entries in queues.values():
            queue.give_back(entries)

    def _select_confirms(self, method: spec.Confirm.Select) -> Any:
        if self._confirmed is None:
            self._confirmed = 0
        return spec.Confirm.SelectOk()

    def _flow(self, method: spec.Channel.Flow) -> Any:
        if not method.active:
            raise Refusal(spec.NOT_IMPLEMENTED, "active=false")
        return spec.Channel.FlowOk(True)


def _counted(queue: Queue, entry: Entry) -> Message:
    """The message with what a quorum queue tells of its earlier deliveries."""
    if not entry.returns or queue.settings.type != "quorum":
        return entry.message
    return entry.message.with_header("x-delivery-count", entry.returns)


_ACTS: dict[type, Callable[[Channel, Any], Any]] = {
    **declaring.ACTS,
    spec.Basic.Ack: Channel._ack,
    spec.Basic.Cancel: Channel._cancel,
    spec.Basic.CancelOk: lambda channel, method: None,
    spec.Basic.Consume: Channel._consume,
    spec.Basic.Get: Channel._get,
    spec.Basic.Nack: Channel._nack,
    spec.Basic.Qos: Channel._qos,
    spec.Basic.Recover: Channel._recover,
    spec.Basic.Reject: Channel._reject,
    spec.Channel.Flow: Channel._flow,
    spec.Channel.FlowOk: lambda channel, method: None,
    spec.Confirm.Select: Channel._select_confirms,
}
