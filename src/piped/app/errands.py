"""An errand: one piece of work for which the reactor runs, until it is done or a signal cancels it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from piped.app.signals import listen_to_signals

T = TypeVar("T")


def run_errand(reactor: Any, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What the work gives; raises what it fails with.

    A signal cancels it, and its end is waited for; a second one ends the process.

    Raises:
        CancelledError: a signal came before the work had begun, or the work lets its cancellation pass.
    """
    outcomes: list[T | Failure] = []

    def begin() -> None:
        listen_to_signals(reactor, lambda _: working.cancel())  # in a later turn, even if it comes at once
        working = Deferred.fromCoroutine(work())
        working.addBoth(outcomes.append).addBoth(lambda _: reactor.stop())

    # Not callWhenRunning: that comes before asyncio's loop runs.
    reactor.callLater(0, begin)
    reactor.run()
    if not outcomes:
        raise CancelledError
    [outcome] = outcomes
    if isinstance(outcome, Failure):
        outcome.raiseException()
    return outcome
