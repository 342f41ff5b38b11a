"""What the tests of status tests stand on: cases that run on a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from twisted.internet.defer import Deferred

from piped import RuntimeEnvironment, Source
from piped_status_testing.reporters import Reporter
from piped_status_testing.reports import Result
from piped_status_testing.running import Call, Runner
from piped_status_testing.statustest import StatusTestCase


class Running:
    """Test cases that have been started; `clock` moves the time."""

    def __init__(self, *cases: type[StatusTestCase], reporter: Reporter | None = None, **options: Any) -> None:
        self.reporter = reporter or Reporter()
        environment = RuntimeEnvironment()
        self.clock = environment.reactor
        runner = Runner(self.reporter, environment, **options)
        self.call = Call(lambda: runner.run(cases), copy_context(), self.clock)
        self.call.begin()

    @property
    def results(self) -> list[Result]:
        return self.reporter.report.results

    @property
    def statuses(self) -> dict[str, str]:
        """The status of each test by the end of its name."""
        return {result.test.rpartition("_")[2]: result.status for result in self.results}


def the_result(*cases: type[StatusTestCase], **options: Any) -> Result:
    """What became of the only test of some cases, which does not wait."""
    running = Running(*cases, **options)
    running.call.result()
    [result] = running.results
    return result


def source(take: Callable[[Any], Any], name: str = "results") -> Source:
    """A source whose processor is a function."""
    environment = RuntimeEnvironment()
    manager = environment.dependency_manager
    made = Source(name, manager.add_dependency(take), max_running=None)
    manager.resolve_initial_states()
    return made


def ended(deferred: Deferred[Any]) -> Any:
    """What a Deferred that has fired holds; raises what it failed with."""
    values: list[Any] = []
    failures: list[Any] = []
    deferred.addCallbacks(values.append, failures.append)
    if failures:
        failures[0].raiseException()
    [value] = values
    return value
