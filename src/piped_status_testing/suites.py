"""Suites: test cases of a configuration, run when the process starts, now and then, or when somebody asks."""

from __future__ import annotations

import logging
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Gt
from twisted.internet.defer import CancelledError, Deferred, DeferredList, succeed
from twisted.internet.task import deferLater

from piped import (
    ConfigurationError,
    PipedService,
    ProcessorPath,
    ResourcePath,
    RuntimeEnvironment,
    Seconds,
    Source,
    TimeoutError,  # noqa: A004 - the documented name
    told,
)
from piped.ground.units import Unit
from piped.resources.dependency import InstanceDependency
from piped.runtime.awaiting import failure_of
from piped_status_testing.reporters import LogReporter
from piped_status_testing.reports import Report, Result
from piped_status_testing.running import TIMEOUT, Call, Runner
from piped_status_testing.statustest import NamedCases, statustests_of

logger = logging.getLogger(__name__)
#: Seconds between two looks at whether the ports are open: nobody tells of it.
LOOK = 0.02
SomeSeconds = Annotated[float, Unit("s"), Gt(0)]


class SuiteName(ResourcePath):
    """The name of a suite of status tests."""

    prefix = "status_tests."


@dataclass(frozen=True)
class SuiteOptions:
    """One suite of status tests.

    Args:
        cases: the full names of classes derived from `piped_status_testing.statustest.StatusTestCase`, and of modules
            that define some.
        at: `startup` runs it once all ports are open, `never` only when it is asked for, as by
            `report-status-tests`.
        interval: run it again so long after each end; left out, it is run once.
        timeout: what each test may take, and each method around it, unless it says so itself.
        wait: how long a run waits for what the tests need before it begins without it.
        arguments: values for `setUp`, which gets those that it names as parameters.
        dependencies: resources by a name of your choice, for the tests in `self.dependencies`.
        processor: what gets a baton for each result.
    """

    cases: list[NamedCases]
    at: Literal["startup", "never"] = "startup"
    interval: SomeSeconds | None = None
    timeout: SomeSeconds = TIMEOUT
    wait: Seconds = 10.0
    arguments: dict[str, Any] = field(default_factory=dict)
    dependencies: dict[str, ResourcePath] = field(default_factory=dict)
    processor: ProcessorPath | None = None

    def __post_init__(self) -> None:
        if not self.cases:
            raise ConfigurationError("there are no cases", hint="name a class or a module of tests")
        if self.at == "never" and self.interval is not None:
            raise ConfigurationError("`at: never` and an interval exclude each other", hint="remove one of them")


class Suite:
    """Some test cases that run together; never twice at a time."""

    def __init__(self, name: str, options: SuiteOptions) -> None:
        self.name = f"status_tests.{name}"
        self.options = options
        #: Of the last run that has ended; None before.
        self.last_report: Report | None = None
        # A module and a case of it may both be named.
        self._cases = list(dict.fromkeys(case for cases in options.cases for case in cases))
        self._call: Call | None = None
        self._context = copy_context()

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        """Join the graph of dependencies."""
        self._environment = environment = runtime_environment
        self._needs = InstanceDependency(self, self.name)
        self._dependencies = environment.create_dependency_map(self._needs, **self.options.dependencies)
        self._source: Source | None = None
        if self.options.processor is not None:
            dependency = environment.add_processor(self._needs, self.options.processor)
            # A processor that hangs keeps no more than the results of one run.
            most = sum(len(statustests_of(case)) + 1 for case in self._cases)
            self._source = environment.sources.add(Source(self.name, dependency, max_running=most))

    @property
    def is_running(self) -> bool:
        return self._call is not None

    def run(self) -> Deferred[Report]:
        """Run the tests; gives the report. While they run already it gives the report of that run.

        Cancelling the Deferred ends the wait for the report, not the run.
        """
        call = self._call or self._begin()
        waiter: Deferred[Report] = Deferred()
        call.when_ended(lambda _: _tell(waiter, call))
        return waiter

    def stop(self) -> Deferred[None]:
        """Cancel what is running; fires when it has ended."""
        if self._call is None:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self._call.when_ended(lambda _: ended.callback(None))
        self._call.stop()
        return ended

    def _begin(self) -> Call:
        # In a context of its own: what whoever asks has set is nothing for tests that others wait for too.
        self._call = call = Call(self._run, self._context.copy(), self._environment.reactor)
        call.when_ended(self._ended)
        call.begin()
        return call

    def _ended(self, call: Call) -> None:
        self._call = None

    async def _run(self) -> Report:
        environment, options = self._environment, self.options
        await self._wait_for_needs()
        report = Report(self.name.removeprefix(SuiteName.prefix))
        reporter = LogReporter(self._source, capture_vars=environment.is_debugging, report=report)
        runner = Runner(
            reporter,
            environment,
            timeout=options.timeout,
            namespace=options.arguments,
            dependencies=self._dependencies,
        )
        try:
            await runner.run(self._cases)
        except CancelledError:
            raise
        except Exception as error:  # of what tests are made of, such as a constructor
            logger.error("%s broke off: %s", self.name, told(error), exc_info=error)
            report.results.append(Result(self.name, "error", 0.0, f"the run broke off: {told(error)}"))
        report.finished = environment.wall_clock()
        reporter.done()
        replace_report(environment, self.last_report, report)
        self.last_report = report
        return report

    async def _wait_for_needs(self) -> None:
        try:
            await self._needs.wait_for_resource(self.options.wait)
        except TimeoutError as error:
            logger.warning("%s, it runs all the same: %s", error.msg, error.hint)


def _tell(waiter: Deferred[Report], call: Call) -> None:
    error = call.exception()
    if error is None:
        waiter.callback(call.result())
    else:
        waiter.errback(failure_of(error))


def replace_report(environment: RuntimeEnvironment, former: Report | None, report: Report) -> None:
    """Let those who look for reports find the new one of a suite in place of the former."""
    if former is not None:
        environment.reports.remove(former)
    environment.reports.append(report)


class SuiteService(PipedService):
    """Runs a suite when its time has come, and stops it with the process."""

    def __init__(self, suite: Suite) -> None:
        super().__init__()
        self.setName(suite.name)
        self._suite = suite

    async def run(self) -> None:
        """Run the suite once all ports are open, and then at its interval."""
        reactor, options = self.runtime_environment.reactor, self._suite.options
        if options.at == "never":
            return
        while any(listener.port is None for listener in self.runtime_environment.listeners.members):
            await deferLater(reactor, LOOK)
        await self._suite.run()
        while options.interval is not None:
            await deferLater(reactor, options.interval)
            await self._suite.run()

    def stopService(self) -> Deferred[None]:
        """Stop the suite too."""
        stopping = [super().stopService(), self._suite.stop()]
        return DeferredList(stopping).addCallback(lambda _: None)
