"""Backoff: how long to wait before the next try, ever longer while it does not help."""

from __future__ import annotations

import random
from collections.abc import Callable

from piped.ground.units import Seconds

#: The longest wait, unless another is given or the first one is longer already.
LONGEST: Seconds = 60
#: What has lasted that long did well: the next wait is the first one again.
WELL: Seconds = 60
#: After a first wait of 0 the second one is at least this.
SHORTEST: Seconds = 0.1


class Backoff:
    """Gives the waits between tries: each twice the former, and up to a quarter more or less.

    Args:
        first: the first wait, and the one after a try that did well.
        longest: what no wait is longer than, unless the first one is.
        chance: a number from 0 to below 1, another one each time.

    Example:
        >>> backoff = Backoff(1, longest=10, chance=lambda: 0.5)
        >>> [backoff.next() for _ in range(6)]
        [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
        >>> backoff.next(lasted=3600)
        1.0
    """

    def __init__(
        self, first: Seconds, longest: Seconds = LONGEST, *, chance: Callable[[], float] = random.random
    ) -> None:
        self.first, self._chance = first, chance
        # A quarter is kept for chance: with it, the wait is never longer than `longest`.
        self._most = max(first, longest / 1.25)
        self._wait = first

    def next(self, lasted: Seconds = 0) -> Seconds:
        """How long to wait now.

        Args:
            lasted: how long what is to be tried again has worked.
        """
        if lasted >= WELL:
            self.reset()
        wait, self._wait = self._wait, min(max(2 * self._wait, SHORTEST), self._most)
        return self._vary(wait)

    def reset(self) -> None:
        """Wait shortly again: it has worked."""
        self._wait = self.first

    def most(self) -> Seconds:
        """How long to wait after what will hardly be better soon."""
        return self._vary(self._most)

    def _vary(self, wait: Seconds) -> Seconds:
        return wait * (0.75 + self._chance() / 2)
