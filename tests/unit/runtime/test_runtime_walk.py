"""Walks: loops, waiting and cancelling; their failures have a file of their own."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from runtime_steps import Step, chain, fails, guarded, outcome_of, pipeline, same
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from piped.pipelines.processor import Processor
from piped.runtime.running import Walk

# Loops


def rounds(count: int) -> dict[str, int]:
    return {"n": 0, "until": count}


def looping() -> Processor:
    def more(baton: Any) -> Any:
        baton["n"] += 1
        return baton

    loop, body = Step("loop", more), Step("body", same)
    loop.consumers = [chain(body, loop), Step("end", same)]
    loop.get_consumers = lambda baton: loop.consumers[:1] if baton["n"] < baton["until"] else loop.consumers[1:]  # type: ignore[method-assign]
    return loop


def retrying() -> Processor:
    def until(baton: Any) -> Any:
        baton["n"] += 1
        if baton["n"] < baton["until"]:
            raise ValueError(baton["n"])
        return baton

    tries = Step("try", until)
    return guarded(tries, chain(Step("again", same), tries))


@pytest.mark.parametrize("source", [looping, retrying])
def test_loops_are_flat(source: Callable[[], Processor]) -> None:
    """Neither stack nor memory grows with the rounds of a loop, or of retries over an error edge."""
    walked = pipeline(source())
    walked.run(rounds(100))
    gc.disable()
    tracemalloc.start()
    try:
        walked.run(rounds(5_000))
        assert tracemalloc.get_traced_memory()[1] < 50_000
    finally:
        tracemalloc.stop()
        gc.enable()


def test_a_long_walk_gives_the_reactor_turns() -> None:
    """A loop that has held the reactor for 50 ms pauses once, and goes on where it was."""
    pauses: list[float] = []

    class Pausing(Clock):
        def callLater(self, *what: Any) -> Any:
            pauses.append(self.seconds())
            return super().callLater(*what)

    def slow(baton: Any) -> Any:
        clock.rightNow += 0.001
        return baton

    clock, loop = Pausing(), looping()
    loop.consumers[0].process = slow  # type: ignore[method-assign]
    walk = pipeline(loop, reactor=clock).run(rounds(500))
    assert isinstance(walk, Walk)
    clock.advance(0)
    assert walk.result() == [{"n": 500, "until": 500}]
    assert 8 <= len(pauses) <= 10
    assert isinstance(pipeline(looping(), reactor=clock).run(rounds(500)), list)


def test_retries_give_the_reactor_turns() -> None:
    """The same holds for a loop over an error edge; when it goes on, the failure is told as before."""
    causes: list[Any] = []

    def slow(baton: Any) -> Any:
        clock.rightNow += 0.001
        causes.append(sys.exc_info()[1])
        return baton

    clock, tries = Clock(), retrying()
    tries.error_consumers[0].process = slow  # type: ignore[method-assign]
    walk = pipeline(tries, reactor=clock).run(rounds(200))
    assert isinstance(walk, Walk)
    assert len(causes) < 100
    clock.advance(0)
    clock.advance(0)
    clock.advance(0)
    assert walk.result() == [rounds(200) | {"n": 200}]
    assert [cause.args for cause in causes] == [(number,) for number in range(1, 200)]


def test_a_pausing_walk_can_be_stopped() -> None:
    """Also while it waits for nothing but its turn."""
    clock = Clock()

    def slow(baton: Any) -> Any:
        clock.rightNow += 1
        return baton

    loop = guarded(Step("loop", slow), Step("never", fails))
    loop.get_consumers = lambda baton: [loop]  # type: ignore[method-assign]
    deferred = pipeline(loop, reactor=clock)("-")
    deferred.cancel()
    assert outcome_of(deferred).check(CancelledError)
    assert not clock.getDelayedCalls()


# Waiting and cancelling


def test_counters() -> None:
    """They tell how many batons succeeded, failed, and wait right now."""
    turn: Deferred[Any] = Deferred()
    walked = pipeline(Step("a", lambda baton: turn), Step("b"))
    outcome = walked("-")
    assert outcome_of(outcome) is None
    assert (walked.succeeded, walked.failed, walked.waiting) == (0, 0, 1)
    turn.callback(5)
    assert (walked.succeeded, walked.failed, walked.waiting) == (1, 0, 0)


def test_cancelling_runs_no_error_consumers() -> None:
    """What is awaited is cancelled, the walk stops there, and the Deferred fails with CancelledError."""
    turn: Deferred[Any] = Deferred()
    never = Step("never", lambda baton: pytest.fail("called"))
    walked = pipeline(guarded(chain(Step("a", lambda baton: turn), never), never))
    deferred = walked("-")
    deferred.cancel()
    assert outcome_of(deferred).check(CancelledError)
    assert outcome_of(turn) is None  # it was cancelled, and its failure is the walk's
    assert (walked.failed, walked.waiting, len(walked.last_failures)) == (1, 0, 0)
    deferred.cancel()


def test_cancelling_reaches_nested_pipelines_and_waits_for_them() -> None:
    """It fires once the innermost step has cleaned up, and no error consumer of any pipeline runs."""
    turn, cleaning, log = Deferred[Any](), Deferred[Any](), list[str]()

    async def cleans_up(baton: Any) -> Any:
        try:
            await turn
        finally:
            log.append("cleaning up")
            await cleaning
            log.append("cleaned up")

    never = Step("never", lambda baton: pytest.fail("called"))
    inner = pipeline(guarded(Step("i", cleans_up), never))
    outer = pipeline(guarded(Step("run", inner.run), never))
    deferred = outer("-")
    deferred.addErrback(lambda failure: log.append(failure.type.__name__))
    deferred.cancel()
    assert log == ["cleaning up"]
    assert (outer.waiting, inner.waiting) == (1, 1)
    cleaning.callback(None)
    assert log == ["cleaning up", "cleaned up", "CancelledError"]
    assert (outer.waiting, inner.waiting) == (0, 0)


def test_a_step_may_answer_its_cancelling() -> None:
    """A Deferred that turns its cancelling into a value does not make a cancelled walk go on."""
    turn: Deferred[Any] = Deferred()
    turn.addErrback(lambda failure: "a value after all")
    deferred = pipeline(chain(Step("a", lambda baton: turn), Step("never", lambda baton: pytest.fail("called"))))("-")
    deferred.cancel()
    assert outcome_of(deferred).check(CancelledError)


def test_a_step_may_stop_its_own_walk() -> None:
    """What is started after that is cancelled as well."""
    first, second, walks = Deferred[Any](), Deferred[Any](), list[Walk]()
    last = chain(Step("b", lambda baton: walks[0].stop()), Step("c", lambda baton: second))
    walk = pipeline(chain(Step("a", lambda baton: first), last)).run("-")
    assert isinstance(walk, Walk)
    walks.append(walk)
    first.callback(None)
    assert second.called
    with pytest.raises(CancelledError):
        walk.result()


def test_a_step_that_stops_its_walk_may_fail() -> None:
    """No error consumer runs for a failure that comes with the stopping."""
    first, walks, never = Deferred[Any](), list[Walk](), Step("never", lambda baton: pytest.fail("called"))

    def stops(baton: Any) -> Any:
        walks[0].stop()
        raise ValueError

    walk = pipeline(guarded(chain(Step("a", lambda baton: first), Step("b", stops)), never)).run("-")
    assert isinstance(walk, Walk)
    walks.append(walk)
    first.callback(None)
    assert isinstance(walk.exception(), ValueError)


def test_a_walk_tells_everybody_of_its_end() -> None:
    """Listeners are told once, also late ones, and one that fails does not silence the others."""
    turn, told = Deferred[Any](), list[Any]()
    walk = pipeline(Step("a", lambda baton: turn)).run("-")
    assert isinstance(walk, Walk)
    assert not walk.done()
    walk.when_ended(lambda walk: told.append(1))
    walk.when_ended(lambda walk: told.append(walk.result()))
    turn.callback(5)
    walk.when_ended(told.append)
    assert told == [1, [5], walk]
