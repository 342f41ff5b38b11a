"""Tests of work that is interrupted."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from piped_database.jobs import CUT_AFTER, GIVE_UP_AFTER, Job


def job() -> tuple[Job, Clock, list[Any], list[str]]:
    """A job, its clock, what it gives in the end, and how often it was interrupted."""
    clock, outcomes, interrupts = Clock(), [], []
    made = Job(clock)
    made.interrupt = lambda: interrupts.append("!")
    made.addBoth(lambda outcome: outcomes.append(outcome.value if isinstance(outcome, Failure) else outcome))
    return made, clock, outcomes, interrupts


def test_work_that_is_done() -> None:
    """It gives what the work gave, and nothing is left to wait for."""
    made, clock, outcomes, interrupts = job()
    made.limit(5, ZeroDivisionError)
    made.ended("done")
    assert (outcomes, interrupts, clock.getDelayedCalls()) == (["done"], [], [])


def test_work_that_is_cancelled() -> None:
    """It is interrupted, and ends as cancelled once it has really ended; also if it was done just before."""
    for ends_with in (Failure(ValueError()), "done"):
        made, _, outcomes, interrupts = job()
        unwanted: list[Any] = []
        made.unwanted = unwanted.append
        made.cancel()
        assert (outcomes, interrupts) == ([], ["!"])
        made.ended(ends_with)
        assert isinstance(outcomes[0], CancelledError)
        assert unwanted == (["done"] if ends_with == "done" else [])


def test_work_that_is_late() -> None:
    """It fails with its own error if it was interrupted; if it was done all the same, it is done."""
    for ends_with, expected in ((Failure(ValueError()), ZeroDivisionError), ("done", str)):
        made, clock, outcomes, interrupts = job()
        made.limit(5, ZeroDivisionError)
        clock.advance(5)
        made.ended(ends_with)
        assert isinstance(outcomes[0], expected)
        assert interrupts == ["!"]


def test_work_that_nobody_can_interrupt() -> None:
    """It is given up after a while; whoever wants to know when it is over is told then, and what it gave is let go."""
    made, clock, outcomes, interrupts = job()
    over: list[bool] = []
    unwanted: list[Any] = []
    made.unwanted = unwanted.append
    made.when_over(lambda: over.append(True))
    made.cancel()
    clock.advance(CUT_AFTER)
    assert interrupts == ["!", "!"]
    clock.advance(GIVE_UP_AFTER)
    assert isinstance(outcomes[0], CancelledError)
    assert over == []
    made.ended("connection")
    assert (over, unwanted) == ([True], ["connection"])
