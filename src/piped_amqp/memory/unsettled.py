"""Unsettled: what a channel has sent and its client has not settled."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from piped_amqp.memory.consumers import Consumer
from piped_amqp.memory.messages import Entry
from piped_amqp.memory.queues import Queue
from piped_amqp.memory.refusals import precondition_failed


@dataclass(slots=True)
class Delivery:
    """A message on its way to a client."""

    queue: Queue
    entry: Entry
    #: None where it was asked for by `basic.get`.
    consumer: Consumer | None


class Unsettled:
    """The deliveries of a channel by their tags, the oldest first."""

    def __init__(self) -> None:
        #: How many of them were sent to consumers.
        self.sent = 0
        # Ordered, as to take the first out of a plain dict again and again takes ever longer.
        self._deliveries: OrderedDict[int, Delivery] = OrderedDict()

    def add(self, tag: int, delivery: Delivery) -> None:
        """Wait for a delivery to be settled; its tag is higher than all before."""
        self._deliveries[tag] = delivery
        if delivery.consumer is not None:
            delivery.consumer.unsettled += 1
            self.sent += 1

    def take(self, tag: int, multiple: bool) -> list[Delivery]:
        """Those that are settled with a tag: with `multiple` all up to it, or all there are where it is 0.

        Raises:
            Refusal: 406; even with `multiple` the tag must be one that is not settled.
        """
        if multiple and not tag:
            tags = list(self._deliveries)
        elif tag not in self._deliveries:
            raise precondition_failed(f"unknown delivery tag {tag}")
        elif multiple:
            tags = []
            for unsettled in self._deliveries:
                tags.append(unsettled)
                if unsettled == tag:
                    break
        else:
            tags = [tag]
        return [self._settled(tag) for tag in tags]

    def all(self) -> list[Delivery]:
        """Everything."""
        return self.take(0, multiple=True)

    def _settled(self, tag: int) -> Delivery:
        delivery = self._deliveries.pop(tag)
        if delivery.consumer is not None:
            delivery.consumer.unsettled -= 1
            self.sent -= 1
        return delivery
