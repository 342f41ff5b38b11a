"""Tests of suites: when they run, what they wait for, whom they tell."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest
import status_cases
from status_stage import ended
from twisted.internet.defer import CancelledError, Deferred

from piped import ConfigurationError, RuntimeEnvironment, processor
from piped.testing import Stage
from piped_status_testing.statustest import NamedCases
from piped_status_testing.suites import Suite, SuiteOptions, SuiteService

asked_by: ContextVar[str] = ContextVar("asked_by", default="nobody")


@pytest.fixture(autouse=True)
def waiting() -> Iterator[list[Deferred[Any]]]:
    """What the waiting tests wait for."""
    status_cases.waiting.clear()
    yield status_cases.waiting
    status_cases.waiting.clear()


def stage(options: str, *processors: Any, more: str = "", **arguments: Any) -> Stage:
    return Stage(f"status_tests: {{smoke: {{{options}}}}}\n{more}", *processors, **arguments)


def suite_of(stage: Stage) -> Suite:
    suite: Suite = stage.get("status_tests.smoke")
    return suite


ON_REQUEST = "cases: [status_cases.Passing, status_cases.Failing], at: never"
WAITING = "cases: [status_cases.Waiting], at: never"


def test_a_suite_runs_on_request() -> None:
    """run() gives the report; the last one is kept, and so it is among the reports of the process, once."""
    made = stage(ON_REQUEST)
    made.environment.application.startService()
    made.clock.advance(1000)
    suite = suite_of(made)
    assert suite.last_report is None
    first, second = ended(suite.run()), ended(suite.run())
    assert suite.last_report is second
    assert first is not second
    assert made.environment.reports == [second]
    assert (second.name, second.counts, second.is_successful) == ("smoke", {"success": 1, "failure": 1}, False)
    assert second.finished == 1000


def test_a_run_that_breaks_off_is_no_success(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot even be made into tests is an error in the report and the log; a suite with an interval goes on."""

    class Broken(status_cases.Passing):
        runs = 0

        def __init__(self, name: str) -> None:
            super().__init__(name)
            type(self).runs += 1
            raise ValueError("no database")

    suite = Suite("smoke", SuiteOptions([NamedCases([Broken])], interval=60))
    suite.configure(environment := RuntimeEnvironment())
    service = SuiteService(suite)
    service.configure(environment)
    environment.dependency_manager.resolve_initial_states()
    service.startService()
    report = suite.last_report
    assert report is not None
    assert report.finished is not None
    assert not report.is_successful
    assert [result.failure for result in report.results] == ["the run broke off: ValueError: no database"]
    assert "status_tests.smoke broke off: ValueError: no database" in caplog.text
    environment.reactor.advance(60)
    assert Broken.runs == 2
    assert environment.reports == [suite.last_report]


def test_a_case_that_is_named_twice_runs_once() -> None:
    """By its module and by its own name."""
    suite = suite_of(
        stage("cases: [status_cases.Passing, piped_status_testing.readiness, status_cases.Passing], at: never")
    )
    assert ended(suite.run()).counts == {"success": 2}


def test_a_suite_never_runs_twice_at_a_time(waiting: list[Deferred[Any]]) -> None:
    """Whoever asks meanwhile gets the report of the run that goes on; also a test of its own."""
    suite = suite_of(stage(WAITING))
    one, other = suite.run(), suite.run()
    assert suite.is_running
    assert len(waiting) == 1
    waiting[0].callback(None)
    assert ended(one) is ended(other)
    assert not suite.is_running
    suite.run()
    assert len(waiting) == 2


def test_a_suite_runs_in_no_context_of_who_asks() -> None:
    """What a pipeline that asks has set in its context is not seen by the tests."""
    found: list[Any] = []

    class Case(status_cases.Passing):
        def statustest_looks(self) -> None:
            found.append(asked_by.get())

    suite = Suite("smoke", SuiteOptions([NamedCases([Case])]))
    suite.configure(environment := RuntimeEnvironment())
    environment.dependency_manager.resolve_initial_states()
    sign = asked_by.set("a pipeline")
    ended(suite.run())
    asked_by.reset(sign)
    assert found == ["nobody"]


def test_a_suite_limits_the_time_of_its_tests() -> None:
    """By `timeout`."""
    made = stage(f"{WAITING}, timeout: 3")
    running = suite_of(made).run()
    made.clock.pump([2.9, 0])
    assert not running.called
    made.clock.pump([0.1, 0])
    assert ended(running).counts == {"error": 1}


def test_who_does_not_want_to_wait_stops_nothing(waiting: list[Deferred[Any]]) -> None:
    """A request that is cancelled leaves the run, and others that wait for it, alone."""
    suite = suite_of(stage(WAITING))
    one, other = suite.run(), suite.run()
    one.cancel()
    with pytest.raises(CancelledError):
        ended(one)
    waiting[0].callback(None)
    assert ended(other).is_successful


def test_a_suite_runs_when_the_process_has_started() -> None:
    """Once, when every port is open."""
    made = stage("cases: [status_cases.Passing]")
    listener = made.environment.add_listener("me", "http", None, None)
    suite = suite_of(made)
    made.environment.application.startService()
    made.clock.pump([0.1] * 10)
    assert suite.last_report is None
    listener.port = object()
    made.clock.advance(0.1)
    report = suite.last_report
    assert report is not None
    assert report.is_successful
    made.clock.pump([60] * 10)
    assert suite.last_report is report


def test_a_suite_runs_at_intervals(waiting: list[Deferred[Any]]) -> None:
    """The interval begins when the former run has ended, however long that took."""
    made = stage("cases: [status_cases.Waiting], interval: 60, timeout: 1000")
    made.environment.application.startService()
    made.clock.advance(100)
    assert len(waiting) == 1
    waiting[0].callback(None)
    made.clock.advance(59)
    assert len(waiting) == 1
    made.clock.advance(1)
    assert len(waiting) == 2


def test_a_suite_that_fails_goes_on_at_its_interval() -> None:
    """Failures are what it is for."""
    made = stage("cases: [status_cases.Failing], interval: 60")
    made.environment.application.startService()
    first = suite_of(made).last_report
    made.clock.advance(60)
    assert suite_of(made).last_report not in (first, None)


def test_a_suite_stops_with_the_process(waiting: list[Deferred[Any]]) -> None:
    """Whatever runs is cancelled, also what somebody asked for; whoever waits is told; no run follows."""
    for options in (WAITING, WAITING.replace("at: never", "interval: 60")):
        made = stage(options)
        made.environment.application.startService()
        asked = suite_of(made).run()
        stopped = made.environment.application.stopService()
        made.clock.pump([0, 0, 0, 60, 60])
        ended(stopped)
        with pytest.raises(CancelledError):
            ended(asked)
        assert not suite_of(made).is_running
        assert suite_of(made).last_report is None
    assert len(waiting) == 2
    assert made.clock.getDelayedCalls() == []


def test_a_suite_stops_between_two_runs() -> None:
    """No run follows, and nothing is left in the reactor."""
    made = stage("cases: [status_cases.Passing], interval: 60")
    made.environment.application.startService()
    report = suite_of(made).last_report
    ended(made.environment.application.stopService())
    assert made.clock.getDelayedCalls() == []
    made.clock.advance(60)
    assert suite_of(made).last_report is report


def test_tests_have_their_surroundings() -> None:
    """Arguments for setUp, resources as dependencies, and the environment of the process."""
    database = object()
    options = "cases: [status_cases.Surrounded], at: never, arguments: {url: 'http://x', unused: 1}"
    made = stage(f"{options}, dependencies: {{database: database.main}}", resources={"database.main": database})
    assert ended(suite_of(made).run()).is_successful
    assert status_cases.Surrounded.found.pop() == ("http://x", database, made.environment)


def test_a_suite_waits_for_what_it_needs() -> None:
    """It begins when that is there."""
    options = (
        "cases: [status_cases.Surrounded], at: never, arguments: {url: ''}, dependencies: {database: database.main}"
    )
    made = stage(options, resources={"database.main": 7})
    made.lose("database.main")
    running = suite_of(made).run()
    made.clock.advance(9)
    assert not running.called
    made.provide("database.main", 8)
    assert ended(running).is_successful
    assert status_cases.Surrounded.found.pop()[1] == 8


def test_a_suite_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """After `wait` it runs all the same: tests fail for what is missing, and say so."""
    options = (
        "cases: [status_cases.Surrounded], at: never, arguments: {url: ''}, dependencies: {database: database.main}"
    )
    made = stage(f"{options}, wait: 3", resources={"database.main": 7})
    made.lose("database.main", "the cable was cut")
    running = suite_of(made).run()
    made.clock.advance(3)
    report = ended(running)
    assert "UnsatisfiedDependencyError: database is not available" in report.results[0].failure
    assert caplog.messages[0] == (
        "status_tests.smoke was not ready within 3.0 s, it runs all the same: "
        "waits for database.main (the cable was cut)"
    )


def test_results_go_to_a_processor(caplog: pytest.LogCaptureFixture) -> None:
    """It gets a baton for each result; and the log has the failures and the summary, under the name of the suite."""
    batons: list[Any] = []

    @processor("note")
    def note(baton: Any) -> None:
        batons.append(baton["status"])

    caplog.set_level(logging.INFO)
    made = stage(f"{ON_REQUEST}, processor: results", note, more="pipelines: {results: [note]}")
    report = ended(suite_of(made).run())
    assert batons == ["success", "failure"]
    assert [source.name for source in made.environment.sources] == ["status_tests.smoke"]
    assert caplog.messages[-1] == f"status tests smoke: {report.summary}"


def test_results_that_hang_do_not_pile_up(caplog: pytest.LogCaptureFixture) -> None:
    """A processor that never ends holds no more results than a run has; the rest is refused, and told."""
    started: list[Any] = []

    @processor("hang")
    def hang(baton: Any) -> Deferred[None]:
        started.append(baton)
        return Deferred()

    made = stage(f"{ON_REQUEST}, processor: results", hang, more="pipelines: {results: [hang]}")
    for _ in range(10):
        ended(suite_of(made).run())
    assert len(started) == 4  # two tests, and what may be wrong with tearing down their two classes
    assert "as many batons as allowed are being processed" in caplog.text


def test_failures_keep_variables_when_debugging() -> None:
    """With `piped -D`, the failures in the batons know the variables of their frames."""
    batons: list[Any] = []

    @processor("note")
    def note(baton: Any) -> None:
        batons.append(baton)

    made = stage(f"{ON_REQUEST}, processor: results", note, more="pipelines: {results: [note]}")
    made.environment.is_debugging = True
    ended(suite_of(made).run())
    assert batons[1]["failure"].captureVars


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("cases: []", "there are no cases – name a class or a module of tests"),
        ("at: never", "status_tests.smoke needs the option 'cases'"),
        ("cases: [status_cases], at: never, interval: 5", "`at: never` and an interval exclude each other"),
        ("cases: [status_cases], interval: 0", "must be a number above 0 (s), not 0"),
        ("cases: [status_cases], timeout: 0", "must be a number above 0 (s), not 0"),
        ("cases: [status_cases], at: noon", "must be 'startup' or 'never', not 'noon'"),
        ("cases: [status_cases], dependencies: {a: contxt.b}", "contxt.b"),
        ("cases: [status_cases], processor: resuls", "resuls"),
    ],
)
def test_mistakes_are_told_at_their_place(options: str, told: str) -> None:
    """What cannot be is a Problem, before anything starts."""
    with pytest.raises(ConfigurationError) as raised:
        stage(options, more="contexts: {b: 1}\npipelines: {results: [passthrough]}")
    [problem] = raised.value.problems
    assert told in str(problem)
    assert problem.where is not None
