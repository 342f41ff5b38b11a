"""The broker: exchanges and queues by name, and the way of a message through them."""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from pika import spec

from piped_amqp.memory.exchanges import KINDS, Exchange
from piped_amqp.memory.messages import Message, buried, goes_round
from piped_amqp.memory.queues import Queue
from piped_amqp.memory.refusals import Refusal, inequivalent, not_found, precondition_failed
from piped_amqp.memory.settings import check_same, locked, settings_of

_log = logging.getLogger("piped.amqp")

#: What a client consumes from to get replies without a queue. Source: RabbitMQ, "Direct Reply-to".
REPLY_TO = "amq.rabbitmq.reply-to"


class Replies(Protocol):
    """A channel that replies are sent to directly."""

    def reply(self, message: Message) -> None: ...


class Broker:
    """One broker of one process; nothing that it holds outlives the process.

    It has one virtual host, whatever a client calls it, and takes any credentials.

    Args:
        clock: gives the time in seconds, and calls later.
        wall_clock: seconds since 1970.
        random_name: a name that nobody has had before, for queues and consumers without one.
    """

    def __init__(
        self,
        clock: Any,
        *,
        wall_clock: Callable[[], float] = time.time,
        random_name: Callable[[], str] = secrets.token_urlsafe,
    ) -> None:
        self.clock = clock
        self.random_name = random_name
        self.queues: dict[str, Queue] = {}
        self.exchanges = {name: Exchange(name, kind) for name, kind in _predeclared()}
        #: The channels that consume from `REPLY_TO`, by the address that stands in `reply_to` instead.
        self.replies: dict[str, Replies] = {}
        self._wall_clock = wall_clock
        self._dead: deque[tuple[Queue, Message, str]] = deque()
        self._is_burying = False

    # -- messages

    def publish(self, message: Message) -> tuple[bool, bool]:
        """Route a message: whether it came anywhere, and whether all queues on its way took it.

        Raises:
            Refusal: 404 for the exchange, 403, 406 for the message's `expiration`.
        """
        message.time_to_live()
        if not message.exchange and message.routing_key in self.replies:
            self.replies[message.routing_key].reply(message)
            # Source: RabbitMQ, "Direct Reply-to": such an address is no queue where a message is mandatory.
            return False, True
        queues = self._route(self.exchange(message.exchange), message)
        taken = [queue.put(message) for queue in queues]
        return bool(queues), all(taken)

    def _route(self, exchange: Exchange, message: Message) -> list[Queue]:
        if not exchange.name:
            return [self.queues[message.routing_key]] if message.routing_key in self.queues else []
        return [self.queues[name] for name in exchange.route(message.routing_key, message.headers)]

    def _bury(self, queue: Queue, message: Message, reason: str) -> None:
        """Send a message that died where its queue says. One after the other: a dead letter may kill another one."""
        self._dead.append((queue, message, reason))
        if self._is_burying:
            return
        self._is_burying = True
        try:
            while self._dead:
                self._send_dead(*self._dead.popleft())
        finally:
            self._is_burying = False

    def _send_dead(self, queue: Queue, message: Message, reason: str) -> None:
        settings = queue.settings
        if settings.dead_letter_exchange is None:
            return
        exchange = self.exchanges.get(settings.dead_letter_exchange)
        if exchange is None:
            _log.warning(
                "queue %r in memory: a message is lost, as there is no exchange %r for dead letters",
                queue.name,
                settings.dead_letter_exchange,
            )
            return
        dead = buried(message, queue.name, reason, self._wall_clock())
        key = settings.dead_letter_routing_key
        dead = dead.sent_to(exchange.name, message.routing_key if key is None else key)
        for target in self._route(exchange, dead):
            if not goes_round(dead, target.name):
                target.put(dead)

    # -- exchanges

    def exchange(self, name: str) -> Exchange:
        """The exchange of that name.

        Raises:
            Refusal: 404.
        """
        if name not in self.exchanges:
            raise not_found("exchange", name)
        return self.exchanges[name]

    def declare_exchange(self, declared: Any) -> None:
        """Do what a `spec.Exchange.Declare` says."""
        name, kind = declared.exchange, declared.type
        if declared.passive:
            self.exchange(name)
            return
        if kind not in KINDS:
            raise Refusal(spec.COMMAND_INVALID, f"unknown exchange type '{kind}'")
        if name not in self.exchanges:
            _check_name("exchange", name)
            self.exchanges[name] = Exchange(name, kind, durable=declared.durable, auto_delete=declared.auto_delete)
        current = self.exchanges[name]
        for argument, received, is_now in (
            ("type", kind, current.kind),
            ("durable", declared.durable, current.durable),
            ("auto_delete", declared.auto_delete, current.auto_delete),
        ):
            if received != is_now:
                raise inequivalent(argument, "exchange", name, received, is_now)

    def delete_exchange(self, name: str, if_unused: bool) -> None:
        """Remove an exchange, if there is one.

        Raises:
            Refusal: 403 for the broker's own, 406 for one with bindings that is to be deleted `if_unused`.
        """
        _check_name("exchange", name)
        if if_unused and name in self.exchanges and self.exchanges[name].is_bound:
            raise precondition_failed(f"exchange '{name}' in vhost '/' in use")
        self.exchanges.pop(name, None)

    def unbound(self, exchange: Exchange) -> None:
        """A binding was removed: the last one of an exchange that is deleted by itself takes it along."""
        if exchange.auto_delete and not exchange.is_bound:
            self.exchanges.pop(exchange.name, None)

    # -- queues

    def queue(self, name: str, session: object) -> Queue:
        """The queue of that name, for a connection.

        Raises:
            Refusal: 404, or 405 for the exclusive queue of another connection.
        """
        if name not in self.queues:
            raise not_found("queue", name)
        queue = self.queues[name]
        if queue.owner not in (None, session):
            raise locked(name)
        return queue

    def declare_queue(self, name: str, declared: Any, session: object) -> Queue:
        """Do what a `spec.Queue.Declare` says, for a queue of this name."""
        if declared.passive or name in self.queues:
            queue = self.queue(name, session)
            if not declared.passive:
                check_same(name, settings_of(name, declared), queue.settings)
            queue.used()
            return queue
        if declared.queue:
            _check_name("queue", name)
        settings = settings_of(name, declared)
        queue = Queue(name, settings, session if settings.exclusive else None, self.clock, self._bury)
        queue.on_unused = self.delete_queue
        self.queues[name] = queue
        return queue

    def delete_queue(self, queue: Queue) -> int:
        """Remove a queue with its bindings; how many messages waited in it."""
        del self.queues[queue.name]
        for exchange in list(self.exchanges.values()):
            if exchange.forget(queue.name):
                self.unbound(exchange)
        return queue.delete()

    def leave(self, session: object) -> None:
        """A connection is gone: its exclusive queues go with it."""
        for queue in [queue for queue in self.queues.values() if queue.owner is session]:
            self.delete_queue(queue)


def _predeclared() -> list[tuple[str, str]]:
    return [("", "direct"), ("amq.match", "headers"), *((f"amq.{kind}", kind) for kind in KINDS)]


def _check_name(kind: str, name: str) -> None:
    if not name:
        raise Refusal(spec.ACCESS_REFUSED, "operation not permitted on the default exchange")
    if name.startswith("amq."):
        raise Refusal(spec.ACCESS_REFUSED, f"{kind} name '{name}' contains reserved prefix 'amq.*'")
