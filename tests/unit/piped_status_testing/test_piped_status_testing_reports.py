"""Tests of the report of a run."""

from __future__ import annotations

import doctest
import json

import pytest

from piped_status_testing import reports
from piped_status_testing.reports import STATUSES, Report, Result, Status


def report_of(*statuses: Status) -> Report:
    results = [Result(f"case.{number}", status, 0.5) for number, status in enumerate(statuses)]
    return Report("suite", results, finished=1000.0)


@pytest.mark.parametrize("status", STATUSES)
def test_what_fails_a_run(status: Status) -> None:
    """Failures, errors and unexpected successes do; skipped tests and todos do not."""
    is_bad = status in ("failure", "error", "unexpected_success")
    assert report_of("success", status).is_successful is not is_bad
    assert report_of(status).results[0].is_bad is is_bad


def test_results_are_counted() -> None:
    """By status; one that did not occur counts 0."""
    report = report_of("success", "error", "success")
    assert report.counts == {"success": 2, "error": 1}
    assert report.counts["failure"] == 0
    assert report.seconds == 1.5


def test_the_summary_is_for_people() -> None:
    """How many tests in how many seconds, and what became of them, passes first."""
    assert report_of().summary == "0 tests in 0.000 s"
    assert report_of("success").summary == "1 test in 0.500 s: 1 passed"
    told = report_of("skipped", "todone", "expected_failure", "unexpected_success", "error", "failure", "success")
    assert told.summary == (
        "7 tests in 3.500 s: 1 passed, 1 failed, 1 in error, 1 passed unexpectedly, 1 failed as expected, "
        "1 passed though still to do, 1 skipped"
    )


def test_a_report_becomes_json() -> None:
    """All of it, with a number for every status."""
    mapping = json.loads(json.dumps(report_of("success", "failure").as_mapping()))
    assert mapping["counts"] == {status: int(status in ("success", "failure")) for status in STATUSES}
    assert (mapping["name"], mapping["is_successful"], mapping["finished"]) == ("suite", False, 1000.0)
    assert mapping["results"][1] == {
        "test": "case.1",
        "status": "failure",
        "seconds": 0.5,
        "failure": "",
        "reason": "",
    }
    assert report_of("success").as_mapping()["is_successful"] is True


def test_an_unfinished_report_is_no_success() -> None:
    """Whoever asks whether all is well hears yes only after a run."""
    assert Report("suite").as_mapping()["is_successful"] is False


def test_the_examples_run() -> None:
    """What the docstrings show is so."""
    assert doctest.testmod(reports).failed == 0
