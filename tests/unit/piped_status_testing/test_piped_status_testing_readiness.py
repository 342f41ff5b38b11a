"""Tests of the ready-made test case."""

from __future__ import annotations

from status_stage import ended

from piped.testing import Stage


def test_a_process_that_waits_for_something_is_not_ready() -> None:
    """The failure names who waits, and for what; once that is there the test passes."""
    stage = Stage(
        "status_tests: {ready: {cases: [piped_status_testing.readiness], at: never}}\n"
        "pipelines: {main: [fetch-context: {context: users}]}",
        resources={"context.users": ["Ada"]},
    )
    suite = stage.get("status_tests.ready")
    stage.lose("context.users", "the cable was cut")
    report = ended(suite.run())
    assert report.results[0].failure.endswith("AssertionError: main waits for context.users (the cable was cut)")
    stage.provide("context.users", [])
    assert ended(suite.run()).is_successful
