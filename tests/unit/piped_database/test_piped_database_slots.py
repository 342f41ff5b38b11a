"""Tests of who may use a connection."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from piped import PipedError, TimeoutError  # noqa: A004 - Piped's own
from piped_database.slots import Slots


def slots(clock: Clock, max_waiting: int = 2) -> Slots:
    return Slots(1, max_waiting, 3, "database.engine.main", clock)


def failure_of(deferred: Deferred[None]) -> Exception:
    failures: list[Exception] = []
    deferred.addErrback(lambda failure: failures.append(failure.value))
    [failure] = failures
    return failure


def test_one_after_another() -> None:
    """Whoever waits gets the place in the order of coming; who is cancelled is passed over."""
    places = slots(Clock())
    assert places.take().called
    first, second = places.take(), places.take()
    first.cancel()
    assert isinstance(failure_of(first), CancelledError)
    assert not second.called
    places.give_back()
    assert second.called
    assert (places.taken, places.waiting) == (1, 0)
    places.give_back()
    assert places.taken == 0


def test_waiting_is_bounded() -> None:
    """Too many are refused at once, and whoever waits too long hears so."""
    clock = Clock()
    places = slots(clock, max_waiting=1)
    places.take()
    waiting = places.take()
    assert isinstance(failure_of(places.take()), PipedError)
    clock.advance(3)
    assert isinstance(failure_of(waiting), TimeoutError)
    places.give_back()
    assert places.taken == 0


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_than_there_are(most: int) -> None:
    """As many are taken at a time as there are."""
    places = Slots(most, 10, 3, "", Clock())
    assert [places.take().called for _ in range(most + 2)] == [True] * most + [False] * 2
