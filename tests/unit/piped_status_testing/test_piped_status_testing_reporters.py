"""Tests of how results are kept, shown, and sent to a processor."""
# ruff: noqa: PT009 - these are the assertions that users write

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from status_cases import Failing, Passing
from status_stage import Running, ended, source
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped_status_testing.reporters import LogReporter, Reporter, TreeReporter
from piped_status_testing.reports import Report
from piped_status_testing.statustest import StatusTestCase


class Todone(StatusTestCase):
    """A test that passes though it is still to do, and one that is skipped."""

    def statustest_todone(self) -> None:
        pass

    statustest_todone.todo = "soon"  # type: ignore[attr-defined] # as with trial

    def statustest_skips(self) -> None:
        self.skipTest("not now")


def test_each_result_is_a_baton() -> None:
    """With the test, its status, the result and the reporter; the failure or what was to do, if there is one."""
    batons: list[Any] = []
    running = Running(Passing, Failing, Todone, reporter=Reporter(source(batons.append)))
    passed, failed, todone, skipped = batons
    assert isinstance(passed.pop("test"), Passing)
    assert passed == {"status": "success", "result": running.results[0], "reporter": running.reporter}
    assert failed["test"].id() == "status_cases.Failing.statustest_fails"
    assert failed["failure"].check(AssertionError)
    assert [frame[0] for frame in failed["failure"].frames] == ["statustest_fails"]
    assert (todone["status"], todone["todo"], "failure" in todone) == ("todone", "soon", False)
    assert (skipped["status"], skipped["failure"].getErrorMessage()) == ("skipped", "not now")


def test_variables_are_kept_on_request() -> None:
    """With capture_vars, a failure knows the locals and globals of its frames."""

    class Case(StatusTestCase):
        def statustest_it(self) -> None:
            answer = 42
            self.assertEqual(answer, 43)

    for capture_vars in (True, False):
        batons: list[Any] = []
        Running(Case, reporter=Reporter(source(batons.append), capture_vars=capture_vars))
        [(_, _, _, local, glob)] = batons[0]["failure"].frames
        assert (("answer", 42) in local, "StatusTestCase" in dict(glob)) == (capture_vars, capture_vars)


def test_results_are_waited_for() -> None:
    """wait() is over when each baton so far has been processed; to cancel one wait ends no other."""
    taken: list[Deferred[None]] = []

    def take(baton: Any) -> Deferred[None]:
        taken.append(Deferred())
        return taken[-1]

    running = Running(Passing, Passing, reporter=Reporter(source(take)))
    running.call.result()
    waiter, other = running.reporter.wait(), running.reporter.wait()
    other.addErrback(lambda failure: None)
    other.cancel()
    taken[0].callback(None)
    assert not waiter.called
    taken[1].callback(None)
    ended(waiter)
    ended(running.reporter.wait())


def test_a_result_that_cannot_be_processed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The log names the test; the report is not touched, and nobody waits for ever."""

    def take(baton: Any) -> None:
        raise ValueError("full")

    running = Running(Passing, reporter=Reporter(source(take)))
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "status_cases.Passing.statustest_passes could not be processed: ValueError: full" in record.getMessage()
    assert running.reporter.report.is_successful
    ended(running.reporter.wait())


def test_a_result_that_nobody_takes_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """While the processor is not ready, results are in the report only, and the log says why."""
    closed = source(lambda baton: None)
    closed.pause()
    running = Running(Passing, reporter=Reporter(closed))
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "Passing.statustest_passes was not processed: the source is paused" in record.getMessage()
    ended(running.reporter.wait())


def test_failures_and_the_summary_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Each failure is an error with its place, the summary is for information; what passes is not told."""
    caplog.set_level(logging.INFO)
    running = Running(Passing, Failing, reporter=LogReporter(report=Report("smoke")))
    running.reporter.done()
    failure, summary = caplog.records
    assert (failure.levelno, summary.levelno) == (logging.ERROR, logging.INFO)
    result = running.results[1]
    assert failure.getMessage() == f"status test {result.test}: {result.failure}"
    assert summary.getMessage() == f"status tests smoke: {running.reporter.report.summary}"


def test_an_unexpected_success_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It has no failure to show, so that it says what is wrong."""

    class Case(Passing):
        __unittest_expecting_failure__ = True

    Running(Case, reporter=LogReporter())
    assert "expected to fail" in caplog.records[0].getMessage()


def test_the_tree_grows() -> None:
    """Module, class, test: each is shown once, when it begins; then the failures and the summary."""
    stream = io.StringIO()
    running = Running(Passing, Failing, Todone, reporter=TreeReporter(stream=stream))
    shown = stream.getvalue().split("\n")
    assert [" ".join(line.split()) for line in shown] == [
        "status_cases",
        "Passing",
        "statustest_passes ... [OK]",
        "Failing",
        "statustest_fails ... [FAIL]",
        "test_piped_status_testing_reporters",
        "Todone",
        "statustest_todone ... [SUCCESS!?!] soon",
        "statustest_skips ... [SKIPPED] not now",
        "",
    ]
    running.reporter.done()
    end = stream.getvalue().removeprefix("\n".join(shown))
    result, summary = running.results[1], running.reporter.report.summary
    assert end == f"\n[FAIL] {result.test}\n{result.failure}\n\nFAILED: {summary}\n"


def test_a_tree_without_failures_has_passed() -> None:
    """The last line says so; it goes to the standard output by default."""
    stream = io.StringIO()
    running = Running(Passing, reporter=TreeReporter(stream=stream))
    running.reporter.done()
    assert stream.getvalue().endswith(f"\n\nPASSED: {running.reporter.report.summary}\n")


def test_a_reporter_keeps_no_failures() -> None:
    """Its report holds texts only: a failure would keep the variables of all its frames alive."""
    running = Running(Failing)
    values = [value for result in running.results for value in (result.test, result.failure, result.reason)]
    assert all(isinstance(value, str) for value in values)
    assert not any(isinstance(value, Failure) for value in vars(running.reporter).values())
