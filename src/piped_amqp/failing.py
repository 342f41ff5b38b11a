"""Failing: what becomes of deliveries whose pipeline has failed: tried again, given back, dead letters, told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, maybeDeferred
from twisted.python.failure import Failure

from piped import Rejected, Source, told
from piped_amqp.acking import Ending, Settlement, decide
from piped_amqp.dead_letters import DeadLetters, Reason
from piped_amqp.retrying import Tries, delay, identity

if TYPE_CHECKING:
    from piped_amqp.channels import AMQPChannel
    from piped_amqp.consumer_options import ConsumerOptions

_log = logging.getLogger("piped.amqp")


@dataclass(frozen=True, slots=True, eq=False)
class FailedDelivery:
    """A message whose pipeline has failed."""

    method: Any
    properties: Any
    body: bytes
    error: BaseException | None
    ending: Ending
    #: How often it was tried again before.
    redeliveries: int

    @property
    def tag(self) -> int:
        return int(self.method.delivery_tag)

    @property
    def times(self) -> str:
        count = self.redeliveries + 1
        return "1 try" if count == 1 else f"{count} tries"


class Failing:
    """Settles what has failed on one channel.

    Args:
        channel: an AMQPChannel.
        source: processes the batons of the consumer; it is paused where nothing else helps.
        tries: counts for the consumer how often messages were tried.
        dead_letters: where what cannot be processed goes.
        is_ready: whether what processes them is.
        settled: called when a dead letter has been sent, or could not be.
        clock: the reactor.
        wall_clock: seconds since 1970.
    """

    def __init__(
        self,
        channel: AMQPChannel,
        options: ConsumerOptions,
        source: Source,
        tries: Tries,
        dead_letters: DeadLetters | None = None,
        *,
        is_ready: Callable[[], bool],
        settled: Callable[[], None],
        clock: Any,
        wall_clock: Callable[[], float],
    ) -> None:
        self.channel, self.options, self.name = channel, options, source.name
        #: Where the messages come from, once that is known.
        self.queue = ""
        self._source, self._tries, self._dead_letters = source, tries, dead_letters
        self._is_ready, self._settled, self._clock, self._wall_clock = is_ready, settled, clock, wall_clock
        self._acking = options.acking
        self._is_stopped = False
        #: What waits to be given back, by the delivery's number.
        self._held: dict[int, Any] = {}
        #: How many dead letters are under way.
        self.sending = 0

    def failed(self, method: Any, properties: Any, body: bytes, error: BaseException | None) -> None:
        """Do what the configuration says with one that has failed."""
        tries = self._tries.redeliveries(method, properties, body)
        delivery = FailedDelivery(method, properties, body, error, self._ending(error), tries)
        # On a channel that is gone nothing can be settled: the broker delivers it again.
        is_gone = not self.channel.is_open and not self.options.no_ack
        is_settled = not is_gone and not self.channel.is_unsettled(delivery.tag)
        settlement = decide(self._acking, delivery.ending, redeliveries=tries, is_settled=is_settled)
        if settlement in (Settlement.RETRY, Settlement.GIVE_BACK, Settlement.PAUSE) or is_gone:
            self._remember(delivery, more=settlement is Settlement.RETRY)
        if is_gone:
            self._tell(delivery, "its channel was closed meanwhile, so that the broker delivers it again")
        else:
            _SETTLE[settlement](self, delivery)

    def _ending(self, error: BaseException | None) -> Ending:
        if isinstance(error, Rejected):
            return Ending.REJECTED
        was_stopped = isinstance(error, CancelledError) and self._is_stopped
        return Ending.INTERRUPTED if was_stopped or not self._is_ready() else Ending.FAILED

    def _remember(self, delivery: FailedDelivery, *, more: bool) -> None:
        """Count one that comes again; what was interrupted, or pauses the consumer, is not tried once more by that."""
        count = delivery.redeliveries + more
        if count:
            self._tries.keep(identity(delivery.method, delivery.properties, delivery.body), count)

    def _tell(self, delivery: FailedDelivery, fate: str) -> None:
        """Log that a message has failed, and what becomes of it."""
        error = delivery.error
        if delivery.ending is Ending.INTERRUPTED:
            _log.info("%s was interrupted with a message: %s; %s", self.name, told(error), fate)
        elif delivery.ending is Ending.REJECTED:
            _log.info("%s refuses a message: %s; %s", self.name, told(error), fate)
        elif self.options.log_processor_exceptions is not None:
            level = self.options.log_processor_exceptions
            _log.log(level, "%s failed with a message: %s; %s", self.name, told(error), fate, exc_info=error)

    # Each by the name of its Settlement

    def _nothing(self, delivery: FailedDelivery) -> None:
        self._tell(delivery, "it is gone" if self.options.no_ack else "the pipeline settles it")

    def _ack(self, delivery: FailedDelivery) -> None:
        self._tell(delivery, "it is acknowledged nonetheless")
        self.channel.basic_ack(delivery.tag)

    def _retry(self, delivery: FailedDelivery) -> None:
        wait = self._hold(delivery)
        self._tell(delivery, f"it is tried again in {wait:.1f} s" if wait else "it is given back")

    def _give_back(self, delivery: FailedDelivery) -> None:
        self._tell(delivery, "it is given back")
        self.channel.basic_nack(delivery.tag, requeue=True)

    def _reject(self, delivery: FailedDelivery) -> None:
        is_kept = self.options.queue.dead_letters
        fate = "" if is_kept else ", and so gone, unless the broker knows where the queue's dead letters go"
        self._tell(delivery, f"it is rejected after {delivery.times}{fate}")
        self.channel.basic_reject(delivery.tag, requeue=False)

    def _dead_letter(self, delivery: FailedDelivery) -> None:
        assert self._dead_letters is not None  # or it would not have been decided so
        self._tell(delivery, f"it goes to the dead letters after {delivery.times}")
        why = "rejected" if delivery.ending is Ending.REJECTED else "failed"
        reason = Reason(delivery.error, why, self.queue, delivery.redeliveries + 1, self._wall_clock())
        self.sending += 1
        sent = maybeDeferred(self._dead_letters.send, delivery.method, delivery.properties, delivery.body, reason)
        sent.addCallbacks(lambda _: self.channel.basic_ack(delivery.tag), self._not_sent, errbackArgs=(delivery,))
        sent.addBoth(self._sent)

    def _not_sent(self, failure: Failure, delivery: FailedDelivery) -> None:
        self._remember(delivery, more=True)
        if self.channel.is_open:
            wait = self._hold(delivery)
            when = f"tried again in {wait:.1f} s" if wait else "given back"
            text = "%s could not send a message to the dead letters, so that it is kept, and %s: %s"
            _log.error(text, self.name, when, told(failure.value))

    def _sent(self, _: object) -> None:
        self.sending -= 1
        self._settled()

    def _pause(self, delivery: FailedDelivery) -> None:
        if self._is_stopped:  # consuming has ended already, perhaps as another one has failed as often
            self._give_back(delivery)
            return
        text = "%s has paused: a message has failed after %s, and there is no place for such: %s; %s"
        hint = "mend what fails and start the process again, or add a dead_letter, or requeue: false"
        _log.error(text, self.name, delivery.times, told(delivery.error), hint, exc_info=delivery.error)
        self._source.pause()  # first, or it would come again
        self.channel.basic_nack(delivery.tag, requeue=True)

    # Waiting for another try

    def _hold(self, delivery: FailedDelivery) -> float:
        """Give a delivery back after a delay, which is returned; at once when stopped."""
        if self._is_stopped:
            self.channel.basic_nack(delivery.tag, requeue=True)
            return 0
        options = self.options
        wait = delay(delivery.redeliveries, options.redelivery_delay, options.max_redelivery_delay)
        self._held[delivery.tag] = self._clock.callLater(wait, self._due, delivery.tag)
        return wait

    def _due(self, tag: int) -> None:
        del self._held[tag]
        self.channel.basic_nack(tag, requeue=True)

    def stop(self) -> None:
        """Give back at once what waits for another try, and what fails from now on."""
        self._is_stopped = True
        held, self._held = self._held, {}
        for tag, timer in held.items():
            timer.cancel()
            self.channel.basic_nack(tag, requeue=True)


_SETTLE: dict[Settlement, Callable[[Failing, FailedDelivery], None]] = {
    Settlement.NOTHING: Failing._nothing,
    Settlement.ACK: Failing._ack,
    Settlement.RETRY: Failing._retry,
    Settlement.GIVE_BACK: Failing._give_back,
    Settlement.REJECT: Failing._reject,
    Settlement.DEAD_LETTER: Failing._dead_letter,
    Settlement.PAUSE: Failing._pause,
}
