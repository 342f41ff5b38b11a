"""Queues: messages in their order, who consumes them, and when they die."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from operator import le, lt
from typing import Any, Protocol

from piped_amqp.memory.messages import EXPIRED, REJECTED, TOO_MANY, TOO_OFTEN, Entry, Message
from piped_amqp.memory.settings import Settings

_log = logging.getLogger("piped.amqp")

#: What a queue of a development broker holds, delivered messages included: with more of it publishing is refused.
MOST_MESSAGES = 100_000
MOST_BYTES = 256 * 2**20


class Taker(Protocol):
    """A consumer, as a queue sees it."""

    is_exclusive: bool
    #: Who has the highest one and room is served first.
    priority: int

    @property
    def has_room(self) -> bool: ...

    def deliver(self, queue: Queue, entry: Entry) -> None:
        """Send it to the client; whoever needs no acknowledgement settles it at once."""

    def cancelled(self) -> None:
        """The queue is gone."""


class Queue:
    """One queue. Every entry that is taken out of it is settled or given back exactly once.

    Args:
        owner: the connection that it is exclusive to.
        clock: gives the time in seconds, and calls later.
        bury: takes a message that died, with the reason.
    """

    def __init__(
        self, name: str, settings: Settings, owner: object, clock: Any, bury: Callable[[Queue, Message, str], None]
    ) -> None:
        self.name = name
        self.settings = settings
        self.owner = owner
        #: Who was served last stands last.
        self.consumers: list[Taker] = []
        self.is_deleted = False
        #: Called when nobody has used it for as long as `x-expires` says.
        self.on_unused: Callable[[Queue], object] = lambda queue: None
        self._clock = clock
        self._bury = bury
        #: Never delivered: their positions grow. What was given back was in front of all of them.
        self._fresh: deque[Entry] = deque()
        self._returned: list[Entry] = []
        self._next_position = 0
        self._unsettled = 0
        self._bytes = 0
        self._has_told = False
        self._expiry: Any = None
        self._unused: Any = None
        self.used()

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._fresh) + len(self._returned)

    def put(self, message: Message) -> bool:
        """Take a message in; False: it is refused, as there are too many."""
        if self._is_full(message):
            if self.settings.overflow == "reject-publish-dlx":
                self._bury(self, message, TOO_MANY)
            return False
        now = self._clock.seconds()
        self._fresh.append(Entry(message, self._next_position, self._expires_at(message, now)))
        self._next_position += 1
        self._bytes += len(message.body)
        # At that very time, so that what lives for no time at all has its chance.
        self._deliver(now)
        while self._is_over():
            self._die(self._pop(), TOO_MANY)
        return True

    def deliver(self) -> None:
        """Hand out what waits, to one consumer after the other, as long as one has room."""
        self._deliver(self._clock.seconds())

    def _deliver(self, now: float) -> None:
        self._drop(lt, now)
        while len(self) and (consumer := self._next_consumer()):
            consumer.deliver(self, self.take())
        self._drop(le, now)
        self._watch(now)

    def take(self) -> Entry:
        """The next message, which is to be settled or given back; there must be one."""
        entry = self._pop()
        self._unsettled += 1
        return entry

    def get(self) -> Entry | None:
        """The next message for who asks for a single one."""
        self.used()
        self._drop(le, self._clock.seconds())
        return self.take() if len(self) else None

    def settle(self, entry: Entry) -> None:
        """Forget a message that was taken."""
        self._unsettled -= 1
        self._bytes -= len(entry.message.body)

    def reject(self, entry: Entry) -> None:
        """Settle a message that nobody wants: it may go on as a dead letter."""
        self._unsettled -= 1
        self._die(entry, REJECTED)

    def give_back(self, entries: Iterable[Entry]) -> None:
        """Let messages that were taken wait again, each in its old position."""
        limit = self.settings.delivery_limit if self.settings.type == "quorum" else None
        for entry in entries:
            self._unsettled -= 1
            entry.returns += 1
            if limit is not None and entry.returns > limit:
                self._die(entry, TOO_OFTEN)
            else:
                heappush(self._returned, entry)
        self.deliver()

    def add(self, consumer: Taker) -> None:
        """Have another consumer, who gets what waits."""
        self.consumers.append(consumer)
        self.used()
        self.deliver()

    def remove(self, consumer: Taker) -> None:
        """Have a consumer less."""
        self.consumers.remove(consumer)
        self.used()

    def used(self) -> None:
        """Somebody uses it: it lives on for as long as `x-expires` says."""
        if self._unused is not None and self._unused.active():
            self._unused.cancel()
        if self.settings.expires is not None and not self.consumers:
            self._unused = self._clock.callLater(self.settings.expires / 1000, lambda: self.on_unused(self))

    def purge(self) -> int:
        """Forget all that wait; how many they were."""
        count = len(self)
        self._bytes -= sum(len(entry.message.body) for waiting in (self._fresh, self._returned) for entry in waiting)
        self._fresh.clear()
        self._returned.clear()
        return count

    def delete(self) -> int:
        """Forget everything and tell the consumers; how many messages waited."""
        self.is_deleted = True
        count = self.purge()
        for call in (self._expiry, self._unused):
            if call is not None and call.active():
                call.cancel()
        consumers, self.consumers = self.consumers, []
        for consumer in consumers:
            consumer.cancelled()
        return count

    def _is_full(self, message: Message) -> bool:
        if len(self) + self._unsettled >= MOST_MESSAGES or self._bytes + len(message.body) > MOST_BYTES:
            if not self._has_told:
                self._has_told = True
                held = len(self) + self._unsettled
                _log.warning("queue %r in memory holds %d messages and takes no more", self.name, held)
            return True
        most = self.settings.max_length
        if self.settings.overflow == "drop-head" or most is None or len(self) < most:
            return False
        return not any(consumer.has_room for consumer in self.consumers)

    def _is_over(self) -> bool:
        return self.settings.max_length is not None and len(self) > self.settings.max_length

    def _expires_at(self, message: Message, now: float) -> float | None:
        own = message.time_to_live()
        common = None if self.settings.message_ttl is None else self.settings.message_ttl / 1000
        lives = [seconds for seconds in (own, common) if seconds is not None]
        return now + min(lives) if lives else None

    def _next_consumer(self) -> Taker | None:
        """Of those with room and the highest priority the one that has waited longest."""
        ready = [consumer for consumer in self.consumers if consumer.has_room]
        if not ready:
            return None
        chosen = max(ready, key=lambda consumer: consumer.priority)
        self.consumers.remove(chosen)
        self.consumers.append(chosen)
        return chosen

    def _head(self) -> Entry:
        return self._returned[0] if self._returned else self._fresh[0]

    def _pop(self) -> Entry:
        return heappop(self._returned) if self._returned else self._fresh.popleft()

    def _die(self, entry: Entry, reason: str) -> None:
        self._bytes -= len(entry.message.body)
        if not self.is_deleted:
            self._bury(self, entry.message, reason)

    def _drop(self, is_over: Callable[[float, float], bool], now: float) -> None:
        """Bury what has expired. As in RabbitMQ only the next message is looked at, not those behind it."""
        while len(self) and (expires_at := self._head().expires_at) is not None and is_over(expires_at, now):
            self._die(self._pop(), EXPIRED)

    def _watch(self, now: float) -> None:
        """Wake up when the next message expires; an earlier call that is no longer needed just looks again."""
        expires_at = self._head().expires_at if len(self) else None
        if expires_at is None or self.is_deleted:
            return
        if self._expiry is not None and self._expiry.active():
            if self._expiry.getTime() <= expires_at:
                return
            self._expiry.cancel()
        self._expiry = self._clock.callLater(max(0, expires_at - now), self.deliver)
