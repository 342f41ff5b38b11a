"""Process: a configuration as it starts, runs, waits for what is not there, and stops within a deadline."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from piped.ground.errors import Problem
from piped.runtime.assembly import Assembly, configure
from piped.runtime.draining import drain
from piped.runtime.environment import RuntimeEnvironment
from piped.runtime.logs import told

logger = logging.getLogger("piped")

#: Seconds between two looks at what is being waited for: ever longer, as most is ready soon.
FIRST_LOOK, LOOK = 0.05, 2.0
#: The same is told again after so many seconds at first, and then ever more rarely.
FIRST_REPEAT, RAREST_REPEAT = 10.0, 300.0
#: What services get for stopping when the deadline has already passed.
LEAST_SECONDS = 1.0


def environment_of(assembly: Assembly, reactor: Any, is_debugging: bool) -> RuntimeEnvironment:
    """The environment in which a configuration comes to life; `-D` is for Deferreds, and for components that ask."""
    environment = RuntimeEnvironment(assembly.document, reactor=reactor)
    if is_debugging:
        environment.is_debugging = True
        defer.setDebugging(True)
    return environment


class Process:
    """One running service.

    Args:
        assembly: what was checked.
        environment: in which it comes to life; its reactor runs or will run.
        deadline: seconds that a stop gives what is running.
        after_start: called when the start has succeeded and every port is open.
    """

    def __init__(
        self,
        assembly: Assembly,
        environment: RuntimeEnvironment,
        *,
        deadline: float,
        after_start: Callable[[], object] | None = None,
    ) -> None:
        self.assembly, self.environment, self.deadline = assembly, environment, deadline
        self.after_start = after_start
        self.reactor: Any = environment.reactor
        #: 0 when stopped as asked; 1 or 78 when it could not start, 1 when it was cut short.
        self.exit_code = 0
        self._is_stopping = False
        self._reports = _Reports(environment)
        environment.ask_for_stop = self.ask_for_stop

    # Starting

    def start(self) -> Deferred[None]:
        """Configure, resolve, start the services, open the ports; stops again when one of these is not possible."""
        starting: Deferred[None] = Deferred.fromCoroutine(self._start())
        return starting.addErrback(self._failed_to_start)

    async def _start(self) -> None:
        environment = self.environment
        if problems := configure(self.assembly, environment):
            return self._refuse(problems, 78)
        await self._as_deferred(environment.application.startService())
        environment.after_start()
        if self._is_stopping:
            return
        if problems := await environment.listeners.open():
            return self._refuse(problems, 1)
        for listener in environment.listeners.members:
            logger.info("%s listens on %s", listener.owner, listener.address)
        if self.after_start:
            self.after_start()
        self._reports.begin()

    def _refuse(self, problems: Sequence[Problem], exit_code: int) -> None:
        for problem in problems:
            logger.critical("%s", problem)
        self.exit_code = exit_code
        self.ask_for_stop()

    def _failed_to_start(self, failure: Failure) -> None:
        logger.critical("the start failed: %s", told(failure.value), exc_info=failure.value)
        self.exit_code = 1
        self.ask_for_stop()

    # Stopping

    def ask_for_stop(self) -> None:
        """Stop the process, after whoever asks has gone on."""
        if not self._is_stopping:
            self._is_stopping = True
            self.reactor.callLater(0, self.reactor.stop)

    def signalled(self, name: str) -> None:
        """A signal asks for the stop."""
        logger.info("%s: stopping, what is running has %g s to end", name, self.deadline)
        self.ask_for_stop()

    def stop(self) -> Deferred[None]:
        """Close the ports, let what is running end, tell the shutdown, stop the services; in this order."""
        self._is_stopping = True
        return Deferred.fromCoroutine(self._stop()).addErrback(
            lambda failure: logger.error("the stop failed: %s", told(failure.value), exc_info=failure.value)
        )

    async def _stop(self) -> None:
        self._reports.end()
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
        # A Deferred of its own times out: whoever else waits for the other one gets no CancelledError to wonder about.
        ended: Deferred[Any] = Deferred()
        waited_for.chainDeferred(ended)
        try:
            await ended.addTimeout(self._left(ends), self.reactor)
        except (defer.TimeoutError, CancelledError):
            logger.warning("%s did not end in time", what)
            self.exit_code = self.exit_code or 1
            waited_for.addErrback(lambda failure: failure.trap(CancelledError) and None)
            waited_for.cancel()
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


class _Reports:
    """Tells what a process waits for: not at once, then when it changes, and now and then; until all is ready."""

    def __init__(self, environment: RuntimeEnvironment) -> None:
        self.environment, self.clock = environment, environment.reactor
        self._next_look: Any = None
        self._wait = FIRST_LOOK
        self._told = ""
        #: When the same is told again, and how long to wait after that.
        self._due = self._pause = 0.0

    def begin(self) -> None:
        self._due, self._pause = self.clock.seconds() + LOOK, FIRST_REPEAT
        self._look()

    def end(self) -> None:
        if self._next_look is not None and self._next_look.active():
            self._next_look.cancel()

    def _look(self) -> None:
        waiting = self.environment.dependency_manager.waiting()
        if not waiting:
            logger.info("ready: nothing is being waited for any more" if self._told else "ready")
            return
        report = "; ".join(f"{name} waits for {', '.join(causes)}" for name, causes in waiting)
        now = self.clock.seconds()
        if now >= self._due or (self._told and report != self._told):
            logger.info("%s", report)
            self._told = report
            self._due, self._pause = now + self._pause, min(2 * self._pause, RAREST_REPEAT)
        self._next_look = self.clock.callLater(min(self._wait, self._due - now), self._look)
        self._wait = min(2 * self._wait, LOOK)
