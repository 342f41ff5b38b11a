"""Threads: a bounded number of threads for what blocks; no stop of the process waits for them."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure

#: Called in the reactor's thread with what a function gave, or the Failure.
Done = Callable[[Any], object]


class Threads:
    """Calls functions in threads, which are started as they are needed and end when this is closed.

    They are daemons: a query that nobody can interrupt must not keep the process from stopping.

    Args:
        name: what the threads are called.
        most: how many there are at most.
        reactor: whose thread uses this; with a Clock everything is called at once.
    """

    def __init__(self, name: str, most: int, reactor: Any) -> None:
        self._name, self._most, self._reactor = name, most, reactor
        self._work: SimpleQueue[tuple[Callable[[], Any], Done] | None] = SimpleQueue()
        self._started = self._running = 0

    def call(self, function: Callable[[], Any], done: Done) -> None:
        """Call a function in a thread, then `done` in this one. More of them than there are threads wait."""
        if isinstance(self._reactor, Clock):
            done(_outcome_of(function))
            return
        self._running += 1
        self._work.put((function, done))
        if self._started < min(self._running, self._most):
            self._started += 1
            Thread(target=self._live, name=f"{self._name} {self._started}", daemon=True).start()

    def close(self) -> None:
        """Let the threads end, each after what it is doing; the next call starts others."""
        for _ in range(self._started):
            self._work.put(None)
        self._work, self._started = SimpleQueue(), 0

    def _live(self) -> None:
        work = self._work
        while (task := work.get()) is not None:
            function, done = task
            self._reactor.callFromThread(self._ended, done, _outcome_of(function))
            del task, function, done  # nothing is held while it waits

    def _ended(self, done: Done, outcome: Any) -> None:
        self._running -= 1
        done(outcome)


def _outcome_of(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except BaseException:  # whatever it is, it belongs to who wanted the call
        return Failure()
