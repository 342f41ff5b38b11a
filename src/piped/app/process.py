"""Process: a configuration as it starts, runs, waits for what is not there, and stops within a deadline."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from piped.ground.errors import Problem
from piped.runtime.assembly import Assembly, configure
from piped.runtime.draining import drain
from piped.runtime.environment import RuntimeEnvironment
from piped.runtime.logs import told

logger = logging.getLogger("piped")

#: A person is told what is being waited for after so many seconds, and then ever more rarely.
FIRST_REPORT, RAREST_REPORT = 2.0, 300.0
#: What services get for stopping when the deadline has already passed.
LEAST_SECONDS = 1.0


class Process:
    """One running service.

    Args:
        assembly: what was checked.
        environment: in which it comes to life; its reactor runs or will run.
        deadline: seconds that a stop gives what is running.
        tell: is given the Problems of a start that failed.
    """

    def __init__(
        self,
        assembly: Assembly,
        environment: RuntimeEnvironment,
        *,
        deadline: float,
        tell: Callable[[Sequence[Problem]], object],
    ) -> None:
        self.assembly, self.environment, self.deadline, self.tell = assembly, environment, deadline, tell
        self.reactor: Any = environment.reactor
        #: 0 when stopped as asked; 1 or 78 when it could not start, 1 when it was cut short.
        self.exit_code = 0
        self._stopping: Deferred[None] | None = None
        self._waiting: Any = None
        self._reported = ""
        environment.ask_for_stop = self.ask_for_stop

    # Starting

    def start(self) -> Deferred[None]:
        """Configure, resolve, start the services, open the ports; stops again when one of these is not possible."""
        starting: Deferred[None] = Deferred.fromCoroutine(self._start())
        return starting.addErrback(self._failed_to_start)

    async def _start(self) -> None:
        if problems := configure(self.assembly, self.environment):
            return self._refuse(problems, 78)
        await self._as_deferred(self.environment.application.startService())
        self.environment.after_start()
        if problems := await self.environment.listeners.open():
            return self._refuse(problems, 1)
        for listener in self.environment.listeners.members:
            logger.info("%s listens on %s", listener.owner, listener.address)
        self._report(FIRST_REPORT)

    def _refuse(self, problems: Sequence[Problem], exit_code: int) -> None:
        self.tell(problems)
        self.exit_code = exit_code
        self.ask_for_stop()

    def _failed_to_start(self, failure: Failure) -> None:
        logger.critical("the start failed: %s", told(failure.value), exc_info=failure.value)
        self.exit_code = 1
        self.ask_for_stop()

    def _report(self, delay: float) -> None:
        """Say what is being waited for: when it changed, and now and then; and that all is ready, once it is."""
        waiting = self.environment.dependency_manager.waiting()
        if not waiting:
            logger.info("ready" if not self._reported else "ready: nothing is being waited for any more")
            self._waiting = None
            return
        report = "; ".join(f"{name} waits for {', '.join(causes)}" for name, causes in waiting)
        if self._reported or delay > FIRST_REPORT:
            logger.info("%s", report)
        self._reported = report
        self._waiting = self.reactor.callLater(delay, self._report, min(delay * 2, RAREST_REPORT))

    # Stopping

    def ask_for_stop(self) -> None:
        """Stop the process, after whoever asks has gone on."""
        if self._stopping is None:
            self._stopping = Deferred()
            self.reactor.callLater(0, self.reactor.stop)

    def signalled(self, name: str) -> None:
        """A signal asks for the stop; a second one ends at once."""
        if self._stopping is not None:
            logger.critical("a second %s: ending at once", name)
            logging.shutdown()
            os._exit(1)
        logger.info("%s: stopping, what is running has %g s to end", name, self.deadline)
        self.ask_for_stop()

    def stop(self) -> Deferred[None]:
        """Close the ports, let what is running end, tell the shutdown, stop the services; in this order."""
        self._stopping = self._stopping or Deferred()
        return Deferred.fromCoroutine(self._stop()).addErrback(
            lambda failure: logger.error("the stop failed: %s", told(failure.value), exc_info=failure.value)
        )

    async def _stop(self) -> None:
        if self._waiting is not None and self._waiting.active():
            self._waiting.cancel()
        ends = self.reactor.seconds() + self.deadline
        environment = self.environment
        await self._within(ends, "closing the ports", environment.listeners.close())
        unfinished = await drain(environment.sources, self._left(ends), self.reactor)
        if unfinished:
            self.exit_code = self.exit_code or 1
            logger.warning("cut short at the deadline: %s", ", ".join(unfinished))
        await self._within(ends, "the shutdown event", environment.before_stop())
        await self._within(ends, "stopping the services", self._as_deferred(environment.application.stopService()))
        logger.info("stopped")

    def _left(self, ends: float) -> float:
        left: float = ends - self.reactor.seconds()
        return max(left, LEAST_SECONDS)

    async def _within(self, ends: float, what: str, waited_for: Deferred[Any]) -> None:
        """Wait for one part of the stop, no longer than the deadline allows; one that fails does not stop the stop."""
        waited_for.addTimeout(self._left(ends), self.reactor)
        try:
            await waited_for
        except (TimeoutError, CancelledError):
            logger.warning("%s did not end in time", what)
        except Exception as error:
            logger.error("%s failed: %s", what, told(error), exc_info=error)

    @staticmethod
    def _as_deferred(result: Any) -> Deferred[Any]:
        """What a service returned on starting or stopping; Twisted allows None."""
        if isinstance(result, Deferred):
            return result
        done: Deferred[Any] = Deferred()
        done.callback(result)
        return done
