"""How often a message was tried, and how long it waits for the next try."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

from piped import Backoff, Seconds

#: Set by the broker on what a quorum queue delivers again.
DELIVERY_COUNT: Final = "x-delivery-count"
#: Beyond so many doublings every delay is the longest one.
_DOUBLINGS: Final = 60


def delay(redeliveries: int, first: Seconds, longest: Seconds, chance: Callable[[], float] = random.random) -> Seconds:
    """How long a message waits that has failed: each time twice as long, and up to a quarter more or less.

    Args:
        redeliveries: how often it was tried again before.

    Example:
        >>> [delay(n, 1, 60, chance=lambda: 0.5) for n in (0, 1, 2, 5, 1000)]
        [1.0, 2.0, 4.0, 32.0, 48.0]
    """
    doubled: Seconds = first * 2 ** min(redeliveries, _DOUBLINGS)
    # `longest` holds with the quarter that chance may add.
    return min(Backoff(min(doubled, max(first, longest / 1.25)), chance=chance).next(), longest)


def identity(method: Any, properties: Any, body: bytes) -> bytes:
    """What a message is known by when it comes again: its `message_id`, or all of it where it has none."""
    known: tuple[Any, ...] = (method.exchange, method.routing_key, properties.message_id)
    if properties.message_id is None:
        known += (properties.correlation_id, properties.timestamp, properties.type)
    digest = blake2b(repr(known).encode("utf-8", "backslashreplace"), digest_size=16)
    if properties.message_id is None:
        digest.update(body)
    return digest.digest()


class Tries:
    """How often messages were tried again by this process, for queues that do not count.

    Only what has failed and not come back yet is remembered, and of that the newest: a message that is forgotten, or
    that another process gave back, counts from 0. Messages that cannot be told apart share their counts in order.

    Args:
        most: how many are remembered.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most, self._size = most, 0
        self._counts: dict[bytes, deque[int]] = {}

    def __len__(self) -> int:
        return self._size

    def keep(self, message: bytes, count: int) -> None:
        """Remember that a message, which now goes back, has been tried again so often."""
        self._counts.setdefault(message, deque()).append(count)
        self._size += 1
        if self._size > self._most:
            self.take(next(iter(self._counts)))

    def take(self, message: bytes) -> int:
        """How often a message was tried again, which has come back; it is forgotten with that."""
        counts = self._counts.get(message)
        if counts is None:
            return 0
        self._size -= 1
        count = counts.popleft()
        if not counts:
            del self._counts[message]
        return count

    def redeliveries(self, method: Any, properties: Any, body: bytes) -> int:
        """How often a delivery was tried again before; to be asked once, when its pipeline has ended."""
        if not method.redelivered:
            return 0
        own = self.take(identity(method, properties, body)) if self._counts else 0
        counted = (properties.headers or {}).get(DELIVERY_COUNT)
        return counted if isinstance(counted, int) else own
