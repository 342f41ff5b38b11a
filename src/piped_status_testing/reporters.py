"""Reporters: what becomes of tests is kept, shown, and sent to a processor."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from piped import Outcome, Refusal, RuntimeEnvironment, Source, told
from piped_status_testing.failures import told_failure, without_framework
from piped_status_testing.reports import Report, Result, Status
from piped_status_testing.statustest import StatusTestCase
from piped_status_testing.verdicts import todo_of

logger = logging.getLogger(__name__)


class Reporter:
    """Keeps the results of tests, and sends a baton for each to a processor. Shows nothing.

    A baton has `test` (the test case), `status`, `result` and `reporter`; `failure`, a Twisted Failure, if there is
    one; and `todo`, the reason, when a test that was to be done is.

    Args:
        processor: takes the batons.
        capture_vars: keep what the variables were in each frame of a failure, as text.
        report: where to keep the results.
    """

    #: Set by whoever makes it.
    runtime_environment: RuntimeEnvironment

    def __init__(
        self, processor: Source | None = None, *, capture_vars: bool = False, report: Report | None = None
    ) -> None:
        self.report = Report() if report is None else report
        self._processor, self._capture_vars = processor, capture_vars
        self._being_processed = 0
        self._waiters: list[Deferred[None]] = []

    def started(self, test: StatusTestCase) -> None:
        """Called before each test."""

    def ended(self, test: StatusTestCase, result: Result) -> None:
        """Called after each test."""

    def done(self) -> None:
        """Called when no test is to follow."""

    def add(
        self,
        test: StatusTestCase,
        status: Status,
        seconds: float,
        error: BaseException | None = None,
        after: Sequence[BaseException] = (),
    ) -> None:
        """Take what became of a test.

        Args:
            error: what it failed with; of one that is skipped, unittest's SkipTest.
            after: what failed while it was torn down and cleaned up, besides.
        """
        todo = todo_of(test)
        reason = str(error) if status == "skipped" else todo[1] if todo else ""
        errors = () if error is None or status == "skipped" else (error, *after)
        failure = "\n".join(told_failure(test, each) for each in errors)
        result = Result(test.id(), status, seconds, failure, reason)
        self.report.results.append(result)
        self.ended(test, result)
        if self._processor is not None:
            baton: dict[str, Any] = {"test": test, "status": status, "result": result, "reporter": self}
            if error is not None:
                way = without_framework(error.__traceback__)
                baton["failure"] = Failure(error, type(error), way, captureVars=self._capture_vars)
            elif status == "todone":
                baton["todo"] = reason
            self._send(self._processor, baton, result)

    def wait(self) -> Deferred[None]:
        """A Deferred that fires when every baton so far has been processed."""
        if not self._being_processed:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def _send(self, processor: Source, baton: dict[str, Any], result: Result) -> None:
        def settle(outcome: Outcome) -> None:
            if isinstance(outcome, Failure):
                text = "the result of the status test %s could not be processed: %s"
                logger.error(text, result.test, told(outcome.value), exc_info=outcome.value)
            self._being_processed -= 1
            if not self._being_processed:
                waiters, self._waiters = self._waiters, []
                for waiter in waiters:
                    waiter.callback(None)

        self._being_processed += 1
        taken = processor.take(baton, settle)
        if isinstance(taken, Refusal):
            self._being_processed -= 1
            logger.warning("the result of the status test %s was not processed: %s", result.test, taken.value)


class LogReporter(Reporter):
    """Logs each failure as an error, and at the end a summary."""

    def ended(self, test: StatusTestCase, result: Result) -> None:
        if result.is_bad:
            told = result.failure or "succeeded, though it was expected to fail"
            logger.error("status test %s: %s", result.test, told)

    def done(self) -> None:
        logger.info("status tests %s: %s", self.report.name, self.report.summary)


class TreeReporter(Reporter):
    """Shows the tests as a tree that grows while they run, at the end the failures and a summary.

    Args:
        stream: where to show them; the standard output by default.
    """

    _WORDS: dict[Status, str] = {
        "success": "OK",
        "failure": "FAIL",
        "error": "ERROR",
        "skipped": "SKIPPED",
        "expected_failure": "TODO",
        "unexpected_success": "UNEXPECTED SUCCESS",
        "todone": "SUCCESS!?!",
    }

    def __init__(
        self,
        processor: Source | None = None,
        *,
        stream: TextIO | None = None,
        capture_vars: bool = False,
        report: Report | None = None,
    ) -> None:
        super().__init__(processor, capture_vars=capture_vars, report=report)
        self._stream = sys.stdout if stream is None else stream
        #: The module and the case that were shown last.
        self._shown: tuple[str, ...] = ()

    def started(self, test: StatusTestCase) -> None:
        branch = (type(test).__module__, type(test).__qualname__)
        for depth, name in enumerate(branch):
            if self._shown[: depth + 1] != branch[: depth + 1]:
                self._write("  " * depth + name + "\n")
        self._shown = branch

    def ended(self, test: StatusTestCase, result: Result) -> None:
        reason = f" {result.reason}" if result.reason else ""
        self._write(f"{f'    {test.method_name} ...':<70} [{self._WORDS[result.status]}]{reason}\n")

    def done(self) -> None:
        bad = [result for result in self.report.results if result.is_bad]
        for result in bad:
            self._write(f"\n[{self._WORDS[result.status]}] {result.test}\n{result.failure}\n")
        self._write(f"\n{'FAILED' if bad else 'PASSED'}: {self.report.summary}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
