"""Deadlines: one timeout for many Deferreds, at the price of one timer for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped import Seconds, TimeoutError  # noqa: A004 - Piped's own

T = TypeVar("T")


class Deadlines:
    """Cancels what takes too long.

    `Deferred.addTimeout` sets a timer for each, which costs as much as publishing a message.

    Args:
        clock: the reactor.
        timeout: how long each may take; None for any time.
        told: gives the text of the TimeoutError.
    """

    def __init__(self, clock: Any, timeout: Seconds | None, told: Callable[[], str]) -> None:
        self.clock, self._timeout, self._told = clock, timeout, told
        #: When each is due; the first one is the next one.
        self._due: dict[Deferred[Any], float] = {}
        self._timer: Any = None

    def watch(self, awaited: Deferred[T]) -> Deferred[T]:
        """Let it fail with a TimeoutError when the time is over; gives back what it is given."""
        if self._timeout is None or awaited.called:
            return awaited
        self._due[awaited] = self.clock.seconds() + self._timeout
        if self._timer is None:
            self._timer = self.clock.callLater(self._timeout, self._expire)
        return awaited.addBoth(self._ended, awaited)

    def _ended(self, result: Any, awaited: Deferred[Any]) -> Any:
        if self._due.pop(awaited, None) is None:
            return Failure(TimeoutError(self._told())) if isinstance(result, Failure) else result
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return result

    def _expire(self) -> None:
        self._timer = None
        while self._due:
            awaited, due = next(iter(self._due.items()))
            left = due - self.clock.seconds()
            if left > 0:
                if self._timer is None:  # who hears that one was too late may have begun another
                    self._timer = self.clock.callLater(left, self._expire)
                return
            del self._due[awaited]
            awaited.cancel()
