"""Turns: who may hold the reactor, and for how long."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from piped.runtime.turns import LONGEST_HOLD, Turns


def test_a_short_loop_needs_no_turn() -> None:
    """Nothing is due, and nothing is scheduled, while a loop has held the reactor for less than 50 ms."""
    clock = Clock()
    turns = Turns(clock)
    clock.rightNow += LONGEST_HOLD * 0.9
    assert turns.due() is None
    assert not clock.getDelayedCalls()


def test_a_long_loop_gives_one_turn() -> None:
    """After 50 ms there is one turn to wait for, and the next only 50 ms later."""
    clock, ended = Clock(), list[object]()
    turns = Turns(clock)
    clock.rightNow += LONGEST_HOLD
    turn = turns.due()
    assert turn is not None
    assert turns.due() is None
    turn.addCallback(ended.append)
    assert ended == []
    clock.advance(0)
    assert ended == [None]


def test_a_turn_can_be_cancelled() -> None:
    """A loop that is cancelled while it pauses leaves nothing behind."""
    clock, ended = Clock(), list[object]()
    turns = Turns(clock)
    clock.rightNow += LONGEST_HOLD
    turn = turns.due()
    assert turn is not None
    turn.addErrback(lambda failure: ended.append(failure.check(CancelledError)))
    turn.cancel()
    assert ended == [CancelledError]
    assert not clock.getDelayedCalls()
