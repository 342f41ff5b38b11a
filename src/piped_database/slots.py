"""Slots: who may use a connection now; the others wait for a bounded time in a bounded queue."""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from piped import PipedError, Seconds, TimeoutError  # noqa: A004 - Piped's own


class Slots:
    """A number of places that are taken and given back; in order of coming.

    Args:
        most: how many there are.
        max_waiting: how many may wait for one.
        timeout: how long each of them may wait.
        called: whose connections these are, as messages say it.
        clock: the reactor.
    """

    def __init__(self, most: int, max_waiting: int, timeout: Seconds, called: str, clock: Any) -> None:
        self.most, self.max_waiting, self.timeout = most, max_waiting, timeout
        self._called, self._clock = called, clock
        self.taken = 0
        self._waiting: deque[Deferred[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def take(self, timeout: Seconds | None = None) -> Deferred[None]:
        """Fires when there is a place; who is cancelled does not wait any more.

        Fails with TimeoutError after `timeout`, and with PipedError at once where too many wait.
        """
        if self.taken < self.most:
            self.taken += 1
            return succeed(None)
        if len(self._waiting) >= self.max_waiting:
            what = f"{self._called}: all {self.most} connections are in use, and {len(self._waiting)} wait for one"
            return _failed(PipedError(what, hint="raise engine.pool_size, or send less at a time"))
        turn: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(turn)
        turn.addTimeout(self.timeout if timeout is None else timeout, self._clock, self._too_late)
        return turn

    def give_back(self) -> None:
        """Let the next one have the place."""
        if self._waiting:
            self._waiting.popleft().callback(None)
        else:
            self.taken -= 1

    def _too_late(self, result: Any, seconds: Seconds) -> Any:
        if not isinstance(result, Failure):
            return result
        what = f"{self._called}: none of its {self.most} connections has come free within {seconds:g} s"
        raise TimeoutError(what, hint="raise engine.pool_size, or look for what holds them so long")


def _failed(error: Exception) -> Deferred[None]:
    failed: Deferred[None] = Deferred()
    failed.errback(Failure(error))
    return failed
