"""Job: one piece of work on a connection, which ends when it has really ended, also if it was cancelled."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from threading import Thread
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from piped import Seconds

_log = Logger()
#: How long an interrupted query may go on before its connection is cut.
CUT_AFTER: Final[Seconds] = 2
#: How long before nobody waits for it any more.
GIVE_UP_AFTER: Final[Seconds] = 5


class Job(Deferred[Any]):
    """A Deferred of what some work gives. Cancelled or late, it interrupts the work, and fires when that has ended.

    Work that cannot be interrupted is given up after a while: this fires, and `when_over` tells when it has ended. It
    is rolled back in any case, for `check` is asked before everything is made lasting.

    Args:
        clock: the reactor.
    """

    def __init__(self, clock: Any) -> None:
        super().__init__()
        self._clock = clock
        #: Why it has to stop, if it has to.
        self.stopped: BaseException | None = None
        self.is_over = False
        #: The driver's connection while there is one.
        self.raw: Any = None
        self._overs: list[Callable[[], object]] = []
        self._timers: list[Any] = []
        #: How the work is interrupted; set by who starts it.
        self.interrupt: Callable[[], object] = lambda: None
        #: Called with what the work gave and nobody takes any more.
        self.unwanted: Callable[[Any], object] = lambda outcome: None

    def limit(self, seconds: Seconds, late: Callable[[], Exception]) -> Job:
        """Stop it after so many seconds, 0 for never, and let it fail with what `late` gives."""
        if seconds and not self.is_over:
            self._timers.append(self._clock.callLater(seconds, lambda: self.stop(late())))
        return self

    def when_over(self, callback: Callable[[], object]) -> None:
        """Call something when the work has really ended."""
        if self.is_over:
            callback()
        else:
            self._overs.append(callback)

    def check(self) -> None:
        """Nothing; called by the work, in its thread, before it goes on.

        Raises:
            BaseException: it has to stop.
        """
        if self.stopped is not None:
            raise self.stopped

    def cancel(self) -> None:
        if self.called:
            super().cancel()
        else:
            self.stop(CancelledError())

    def stop(self, error: BaseException) -> None:
        """Interrupt the work, and fail with that error."""
        if self.stopped is not None or self.is_over:
            return
        self.stopped = error
        self.interrupt()
        if not self.is_over:
            self._timers += [
                self._clock.callLater(CUT_AFTER, self._cut),
                self._clock.callLater(GIVE_UP_AFTER, self._give_up),
            ]

    def ended(self, outcome: Any) -> None:
        """Called with what the work gave, or the Failure."""
        self.is_over, self.raw = True, None
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        overs, self._overs = self._overs, []
        for callback in overs:
            callback()
        is_failure = isinstance(outcome, Failure)
        # What came too late has been done all the same; but who was cancelled must not go on.
        is_wanted = not self.called and not isinstance(self.stopped, CancelledError)
        if not (is_failure or is_wanted):
            self.unwanted(outcome)
        if self.called:  # given up
            return
        if self.stopped is not None and (is_failure or not is_wanted):
            self.errback(Failure(self.stopped))
        else:
            self.callback(outcome)  # a Failure, too, goes its way

    def _cut(self) -> None:
        self.interrupt()
        cut(self.raw)

    def _give_up(self) -> None:
        if not self.called:
            assert self.stopped is not None
            self.errback(Failure(self.stopped))


def interrupt(raw: Any) -> None:
    """Ask the database to give up what it does on a connection of a driver, from whatever thread."""
    if raw is None:
        return
    if hasattr(raw, "interrupt"):  # sqlite3
        raw.interrupt()
    elif hasattr(raw, "cancel_safe"):  # psycopg, which asks on a connection of its own
        _aside(lambda: raw.cancel_safe(timeout=CUT_AFTER))
    elif hasattr(raw, "cancel"):  # psycopg2, oracledb
        _aside(raw.cancel)


def cut(raw: Any) -> None:
    """Shut the socket of a connection, where the driver tells which it is: who waits for it gets an error."""
    if not hasattr(raw, "fileno"):
        return
    try:
        with socket.socket(fileno=os.dup(raw.fileno())) as shut:
            shut.shutdown(socket.SHUT_RDWR)
    except Exception as error:  # each driver has its own for a connection that is closed already
        _log.debug("a connection could not be cut: {error}", error=error)


def _aside(function: Callable[[], object]) -> None:
    def run() -> None:
        try:
            function()
        except Exception as error:  # each driver has its own; whatever comes, the connection is cut next
            _log.debug("a query could not be interrupted: {error}", error=error)

    Thread(target=run, name="interrupts a query", daemon=True).start()
