"""Consumers: what one has been sent, and whether it may get more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from piped_amqp.memory.messages import Entry
from piped_amqp.memory.queues import Queue

if TYPE_CHECKING:
    from piped_amqp.memory.channel import Channel


@dataclass(slots=True, eq=False)
class Consumer:
    """A consumer of one queue on one channel."""

    tag: str
    channel: Channel
    queue: Queue
    no_ack: bool
    is_exclusive: bool
    priority: int
    #: How many deliveries may be unsettled; 0: any number.
    limit: int
    unsettled: int = 0

    @property
    def has_room(self) -> bool:
        """Whether it may be sent one more now."""
        if not self.channel.may_send:
            return False
        return self.no_ack or ((not self.limit or self.unsettled < self.limit) and self.channel.has_room)

    def deliver(self, queue: Queue, entry: Entry) -> None:
        """Send a message that was taken out of its queue."""
        self.channel.deliver(self, queue, entry)

    def cancelled(self) -> None:
        """Its queue is gone."""
        self.channel.consumer_cancelled(self)
