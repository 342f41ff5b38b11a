"""Declaring: what a client does to exchanges, queues and bindings over a channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pika import spec

from piped_amqp.memory.broker import REPLY_TO
from piped_amqp.memory.exchanges import Exchange
from piped_amqp.memory.refusals import Refusal, not_found, precondition_failed

if TYPE_CHECKING:
    from piped_amqp.memory.channel import Channel


def _declare_exchange(channel: Channel, method: spec.Exchange.Declare) -> Any:
    channel.broker.declare_exchange(method)
    return spec.Exchange.DeclareOk()


def _delete_exchange(channel: Channel, method: spec.Exchange.Delete) -> Any:
    channel.broker.delete_exchange(method.exchange, method.if_unused)
    return spec.Exchange.DeleteOk()


def _declare_queue(channel: Channel, method: spec.Queue.Declare) -> Any:
    if method.passive and method.queue.startswith(REPLY_TO):
        # Whether a requester still waits for its reply can be asked that way.
        if method.queue != REPLY_TO and method.queue not in channel.broker.replies:
            raise not_found("queue", method.queue)
        return spec.Queue.DeclareOk(method.queue, 0, 1)
    name = method.queue
    if not name:
        name = channel.last_queue if method.passive else f"amq.gen-{channel.broker.random_name()}"
    queue = channel.broker.declare_queue(name, method, channel.session)
    channel.last_queue = name
    return spec.Queue.DeclareOk(name, len(queue), len(queue.consumers))


def _delete_queue(channel: Channel, method: spec.Queue.Delete) -> Any:
    name = method.queue or channel.last_queue
    if name not in channel.broker.queues:
        return spec.Queue.DeleteOk(0)
    queue = channel.queue(name)
    if method.if_unused and queue.consumers:
        raise precondition_failed(f"queue '{name}' in vhost '/' in use")
    if method.if_empty and len(queue):
        raise precondition_failed(f"queue '{name}' in vhost '/' is not empty")
    return spec.Queue.DeleteOk(channel.broker.delete_queue(queue))


def _purge_queue(channel: Channel, method: spec.Queue.Purge) -> Any:
    return spec.Queue.PurgeOk(channel.queue(method.queue).purge())


def _bind(channel: Channel, method: spec.Queue.Bind) -> Any:
    exchange, queue, key = _bound(channel, method)
    exchange.bind(queue, key, method.arguments or {})
    return spec.Queue.BindOk()


def _unbind(channel: Channel, method: spec.Queue.Unbind) -> Any:
    exchange, queue, key = _bound(channel, method)
    exchange.unbind(queue, key, method.arguments or {})
    channel.broker.unbound(exchange)
    return spec.Queue.UnbindOk()


def _bound(channel: Channel, method: Any) -> tuple[Exchange, str, str]:
    """The exchange, the name of the queue and the routing key of a binding."""
    name = channel.queue(method.queue).name
    if not method.exchange:
        raise Refusal(spec.ACCESS_REFUSED, "operation not permitted on the default exchange")
    # Source: AMQP 0-9-1, queue.bind: without both names the key is the queue's, too.
    key = method.routing_key or ("" if method.queue else name)
    return channel.broker.exchange(method.exchange), name, key


ACTS: dict[type, Callable[[Channel, Any], Any]] = {
    spec.Exchange.Declare: _declare_exchange,
    spec.Exchange.Delete: _delete_exchange,
    spec.Queue.Bind: _bind,
    spec.Queue.Declare: _declare_queue,
    spec.Queue.Delete: _delete_queue,
    spec.Queue.Purge: _purge_queue,
    spec.Queue.Unbind: _unbind,
}
