"""Deliveries: what one channel brings to a consumer, processed in order and settled once."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped import Outcome, Source
from piped.resources.events import Event
from piped.runtime.turns import LONGEST_HOLD
from piped_amqp.retrying import Tries

if TYPE_CHECKING:
    from piped_amqp.channels import AMQPChannel
    from piped_amqp.consumer_options import ConsumerOptions
    from piped_amqp.failing import Failing

_log = logging.getLogger("piped.amqp")


class Deliveries:
    """What one channel brings, from the first message until all are settled and the channel is closed.

    Args:
        channel: an AMQPChannel.
        source: processes the batons of the consumer.
        tries: counts for the consumer how often messages were tried.
        freed: called when one more may be processed.
        clock: the reactor.
    """

    def __init__(
        self,
        channel: AMQPChannel,
        options: ConsumerOptions,
        source: Source,
        tries: Tries,
        *,
        freed: Callable[[], None],
        clock: Any,
    ) -> None:
        self.channel = channel
        #: Settles those that fail; to be set before the first comes.
        self.failing: Failing
        self._source, self._tries, self._freed, self._clock = source, tries, freed, clock
        self._no_ack, self._limit = options.no_ack, options.max_running
        self._acks = options.ack_after_successful_processing and not options.no_ack
        #: Those that wait until fewer are running, or for the next turn; the prefetch count bounds them.
        self._backlog: deque[tuple[Any, Any, bytes]] = deque()
        self._is_going_on = self._is_resting = self._is_finished = False
        self._running = 0
        #: For how long the reactor was held since it had a turn.
        self._held_for = 0.0
        self.is_taking = True
        #: Fires when no more are taken: with why the broker has ended it, or None if it was meant to end.
        self.ended: Deferred[Exception | None] = Deferred()
        #: Called when all is settled, and the channel is being closed.
        self.on_finished: Event[[Deliveries]] = Event()
        channel.on_closed.addCallback(self._channel_closed)

    # Taking

    def deliver(self, method: Any, properties: Any, body: bytes) -> None:
        """Process a message, as soon as there may be one more."""
        if self._backlog or self._is_resting or self._is_full():
            self._backlog.append((method, properties, body))
        else:
            self._start(method, properties, body)

    def go_on(self) -> None:
        """Process what has waited, in order, as far as there may be more."""
        if self._is_going_on:  # one that ends at once comes here from within
            return
        self._is_going_on = True
        try:
            while self._backlog and not self._is_resting and not self._is_full():
                self._start(*self._backlog.popleft())
        finally:
            self._is_going_on = False

    def _is_full(self) -> bool:
        # Those of a former channel count, too.
        return self._limit is not None and self._source.running >= self._limit

    def _start(self, method: Any, properties: Any, body: bytes) -> None:
        baton = {"channel": self.channel, "method": method, "properties": properties, "body": body}
        self._running += 1
        began = self._clock.seconds()
        if not self._source.take(baton, partial(self._settle, method, properties, body)):
            self._running -= 1
            self._give_back(method.delivery_tag)
        self._held_for += self._clock.seconds() - began
        if self._held_for >= LONGEST_HOLD and not self._no_ack:  # without a prefetch count nothing bounds the backlog
            self._held_for, self._is_resting = 0.0, True
            self._clock.callLater(0, self._rested)

    def _rested(self) -> None:
        self._is_resting = False
        self.go_on()

    # Settling

    def _settle(self, method: Any, properties: Any, body: bytes, outcome: Outcome) -> None:
        self._running -= 1
        try:
            if isinstance(outcome, Failure):
                self.failing.failed(method, properties, body, outcome.value)
                return
            if method.redelivered:
                self._tries.redeliveries(method, properties, body)  # and so forgotten
            if self._acks:
                self.channel.basic_ack(method.delivery_tag)
        finally:
            if not self.is_taking:
                self.check_finished()
            if self._limit is not None:
                self._freed()

    def _give_back(self, tag: int) -> None:
        if self._no_ack:
            name = self._source.name
            _log.warning("%s lost a message that came while it stopped: with no_ack none can be given back", name)
        else:
            self.channel.basic_nack(tag, requeue=True)

    # The end

    def stop(self, reason: Exception | None = None) -> None:
        """Take no more, and give back what was not begun; the channel is closed when all that runs is settled.

        Args:
            reason: why the broker has ended it; None if it was meant to end.
        """
        if not self.is_taking:
            return
        self.is_taking = False
        if self.channel.is_open:
            for consumer in self.channel.consumer_tags:  # first, or what is given back would come again
                self.channel.basic_cancel(consumer).addErrback(_gone)
        self.failing.stop()
        backlog, self._backlog = self._backlog, deque()
        for method, _, _ in backlog:
            self._give_back(method.delivery_tag)
        if not self.ended.called:
            self.ended.callback(reason)
        self.check_finished()

    def check_finished(self) -> None:
        """Close the channel if nothing more happens on it."""
        if self.is_taking or self._running or self.failing.sending or self._is_finished:
            return
        self._is_finished = True
        if self.channel.is_open:
            self.channel.close()
        self.on_finished(self)

    def _channel_closed(self, reason: Any) -> Any:
        self.stop(reason)
        return reason


def _gone(failure: Failure) -> None:
    """The channel was closed while its consumer was being cancelled, which is as good."""
