"""Runner: runs tests one after another inside the running process, each call within its limit of time."""

from __future__ import annotations

import inspect
import unittest
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context, copy_context
from types import MappingProxyType
from typing import Any, Final

from twisted.internet.defer import CancelledError

from piped import RuntimeEnvironment
from piped.resources.dependency_map import DependencyMap
from piped.runtime.awaiting import WAITING, BatonTask
from piped_status_testing.reporters import Reporter
from piped_status_testing.statustest import StatusTestCase, statustests_of
from piped_status_testing.verdicts import skip_reason, verdict

#: Seconds that each test, and each method around it, may take by default.
TIMEOUT: Final = 10.0
#: Seconds that something cancelled gets for ending, before nobody waits for it any longer.
GRACE: Final = 1.0


class Call(BatonTask):
    """A call that may wait for Deferreds and for asyncio alike.

    Args:
        clock: the reactor.
        limit: seconds after which it is cancelled, and fails with Python's TimeoutError.
    """

    def __init__(
        self,
        function: Callable[[], Any],
        context: Context,
        clock: Any,
        limit: float | None = None,
    ) -> None:
        super().__init__(context)
        self.context = context
        self.is_late = self.is_cancelled = False
        self._function, self._clock, self._limit = function, clock, limit
        self._timer: Any = None

    def begin(self) -> None:
        """Call the function."""
        if self._limit is not None:
            self._timer = self._clock.callLater(self._limit, self._expire)
        try:
            value = self._context.run(lambda: self.settle(self._function()))
        except BaseException as error:
            self.end(None, error)
        else:
            if value is not WAITING:
                self.end(value)

    def stop(self) -> None:
        """Cancel it from outside, whatever comes of that."""
        self.is_cancelled = True
        super().stop()

    def settled(self, value: Any) -> None:
        self.end(value)

    def failed(self, error: BaseException) -> None:
        # This is called while the error is handled. In a turn of its own, it is not the context of what fails next.
        self._clock.callLater(0, self.end, None, error)

    def end(self, result: Any, error: BaseException | None = None) -> None:
        if self.done():  # it had been given up
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self.is_late:
            # With its traceback, which tells where it was waiting.
            where = None if error is None else error.__traceback__
            error = TimeoutError(f"it took longer than {self._limit:g} s").with_traceback(where)
        super().end(result, error)

    def _expire(self) -> None:
        self.is_late = True
        self._timer = self._clock.callLater(GRACE, self.end, None)
        super().stop()


class Runner:
    """Runs test cases, one test after another, and tells a reporter what becomes of them.

    Whoever cancels a run stops the test that is running; its `tearDown` and cleanups are called, no other test is.

    Args:
        environment: that of the process; each test case has it as `runtime_environment`.
        timeout: seconds that each test, and each method around it, may take, unless it says so itself.
        namespace: values for `setUp`, which gets those that it names.
        dependencies: what each test case has as `dependencies`.
    """

    def __init__(
        self,
        reporter: Reporter,
        environment: RuntimeEnvironment,
        *,
        timeout: float = TIMEOUT,
        namespace: Mapping[str, Any] = MappingProxyType({}),
        dependencies: DependencyMap | None = None,
    ) -> None:
        self._reporter, self._environment, self._clock = reporter, environment, environment.reactor
        self._timeout, self._namespace, self._dependencies = timeout, namespace, dependencies
        self._is_cancelled = False
        #: In which the next call begins: it sees the context variables that the former one has set.
        self._context = copy_context()

    async def run(self, cases: Iterable[type[StatusTestCase]]) -> None:
        """Run every test of some cases.

        Raises:
            CancelledError: the run was cancelled.
        """
        for case in cases:
            await self._run_case(case)

    async def _run_case(self, case: type[StatusTestCase]) -> None:
        names = statustests_of(case)
        # What is skipped by its author needs no preparation.
        is_prepared = any(skip_reason(case(name)) is None for name in names)
        self._context = copy_context()
        unprepared = await self._call(case.setUpClass, case) if is_prepared else None
        for name in names:
            if not self._is_cancelled:
                await self._run_test(case(name), unprepared)
        if is_prepared and unprepared is None:
            error = await self._call(case.tearDownClass, case)
            if error is not None:
                self._reporter.add(case("tearDownClass"), "error", 0.0, error)
        if self._is_cancelled:
            raise CancelledError("the run of status tests was cancelled")

    async def _run_test(self, test: StatusTestCase, unprepared: BaseException | None) -> None:
        self._reporter.started(test)
        began = self._clock.seconds()
        reason = skip_reason(test)
        error: BaseException | None = unittest.SkipTest(reason) if reason is not None else unprepared
        after: list[BaseException] = []
        if error is None:
            context_of_case = self._context
            error, after = await self._play(test)
            self._context = context_of_case
        if not self._is_cancelled:
            status = verdict(test, error)
            if after and status not in ("failure", "error"):
                status, error = "error", after.pop(0)
            self._reporter.add(test, status, self._clock.seconds() - began, error, after)

    async def _play(self, test: StatusTestCase) -> tuple[BaseException | None, list[BaseException]]:
        """What setting up or the test failed with, and then whatever came after it."""
        test.runtime_environment = self._environment
        if self._dependencies is not None:
            test.dependencies = self._dependencies
        after = []
        error = await self._call(test.setUp, test, lambda: test.setUp(**self._arguments_of(test)))
        if error is None:
            if not self._is_cancelled:
                error = await self._call(getattr(test, test.method_name), test)
            after.append(await self._call(test.tearDown, test))
        while test.cleanups:
            after.append(await self._call(test.cleanups.pop(), test))
        return error, [each for each in after if each is not None]

    async def _call(
        self, function: Callable[..., Any], test: Any, calling: Callable[[], Any] | None = None
    ) -> BaseException | None:
        """What a call fails with."""
        if inspect.isgeneratorfunction(function):
            return TypeError(f"{function.__qualname__} would never run: decorate it with inlineCallbacks")
        limit = getattr(function, "timeout", None) or test.timeout or self._timeout
        if not isinstance(limit, int | float) or not limit > 0:
            return TypeError(f"timeout must be a number of seconds above 0, not {limit!r}")
        # A copy, as it may go on in the middle of the former call's end, which has entered its own.
        call = Call(calling or function, self._context.copy(), self._clock, limit)
        call.begin()
        try:
            await call
        except BaseException as error:
            if not call.done():  # it is the run that is being closed
                raise
            return error
        finally:
            self._context = call.context
            if call.is_cancelled:  # also when the test has gone on, as if nothing had happened
                self._is_cancelled = True
        return None

    def _arguments_of(self, test: StatusTestCase) -> dict[str, Any]:
        parameters = inspect.signature(test.setUp).parameters.values()
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return dict(self._namespace)
        return {each.name: self._namespace[each.name] for each in parameters if each.name in self._namespace}
