"""Tests of one timeout for many."""

from __future__ import annotations

from typing import Any

from publishing_stage import outcome
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock

from piped import TimeoutError  # noqa: A004 - Piped's own
from piped_amqp.deadlines import Deadlines


def deadlines(timeout: float | None = 10) -> tuple[Clock, Deadlines]:
    clock = Clock()
    return clock, Deadlines(clock, timeout, lambda: "too late")


def test_what_takes_too_long_fails() -> None:
    """Each after its own time, with one timer for all."""
    clock, watched = deadlines()
    cancelled: list[str] = []
    first = watched.watch(Deferred(lambda _: cancelled.append("first")))
    clock.advance(4)
    second = watched.watch(Deferred(lambda _: cancelled.append("second")))
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(6)
    assert (cancelled, second.called) == (["first"], False)
    clock.advance(4)
    errors = outcome(first), outcome(second)
    assert [type(error) for error in errors] == [TimeoutError, TimeoutError]
    assert errors[0].msg == "too late"
    assert not clock.getDelayedCalls()


def test_what_is_in_time_leaves_nothing_behind() -> None:
    """Values and failures pass through, and the timer is gone with the last one."""
    clock, watched = deadlines()
    waiting: list[Deferred[Any]] = [Deferred(), Deferred()]
    seen = [watched.watch(each) for each in waiting]
    waiting[0].callback("value")
    waiting[1].errback(KeyError("x"))
    assert (outcome(seen[0]), type(outcome(seen[1]))) == ("value", KeyError)
    assert not clock.getDelayedCalls()
    assert (outcome(watched.watch(succeed(1))), type(outcome(watched.watch(fail(KeyError()))))) == (1, KeyError)
    assert not clock.getDelayedCalls()


def test_what_is_cancelled_by_others_stays_so() -> None:
    """A baton that is given up has no timeout."""
    clock, watched = deadlines()
    waiting = watched.watch(Deferred())
    waiting.cancel()
    assert type(outcome(waiting)) is CancelledError
    assert not clock.getDelayedCalls()


def test_what_begins_when_another_is_too_late_needs_no_second_timer() -> None:
    """As when it is tried again at once."""
    clock, watched = deadlines()
    watched.watch(Deferred()).addErrback(lambda _: watched.watch(Deferred()).addErrback(lambda _: None) and None)
    clock.advance(5)
    watched.watch(Deferred()).addErrback(lambda _: None)
    clock.advance(5)
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(5)
    clock.advance(5)
    assert not clock.getDelayedCalls()


def test_without_a_timeout_nothing_is_watched() -> None:
    """None is any time."""
    clock, watched = deadlines(None)
    assert not watched.watch(Deferred()).called
    assert not clock.getDelayedCalls()
