"""Walks: failures and their consumers, loops, waiting and cancelling."""

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
from twisted.python.failure import Failure

from piped.pipelines.processor import Processor
from piped.runtime.running import Walk, current_failure

# Failures


def test_the_nearest_guard_gets_the_baton_it_received() -> None:
    """Error consumers guard all that follows their step, as an except around it would; then the next sibling runs."""
    a, b, c, z = Step("a"), guarded(Step("b"), Step("e")), Step("c", fails), Step("z")
    a.consumers = [chain(b, c), z]
    assert pipeline(guarded(a, Step("never"))).run("-") == ["-ae", "-az"]


def test_an_error_consumer_that_fails_goes_up() -> None:
    """Its failure is for the next guard above; error consumers beside it are passed over."""
    inner = guarded(Step("b", fails), Step("e", fails), Step("never"))
    assert pipeline(guarded(chain(Step("a"), inner), Step("f"))).run("-") == ["-f"]


def test_an_unhandled_failure_is_raised() -> None:
    """It aborts the other sources, is counted, and remembered in words."""
    walked = pipeline(Step("a", fails), Step("never", lambda baton: pytest.fail("not aborted")), reactor=Clock())
    with pytest.raises(ValueError, match="-"):
        walked.run("-")
    assert (walked.succeeded, walked.failed) == (0, 1)
    (lost,) = walked.last_failures
    assert (lost.step, lost.what) == (walked[0], "ValueError: -")


def test_only_the_last_failures_are_kept() -> None:
    """Twenty are enough; a pipeline that fails for ever must not fill the memory."""
    walked = pipeline(Step("a", fails))
    for number in range(30):
        walked(number).addErrback(lambda failure: None)
    assert [lost.what for lost in walked.last_failures] == [f"ValueError: {number}" for number in range(10, 30)]


def test_failures_are_signed_once_by_each_pipeline() -> None:
    """A note names pipeline, step and place; the exception itself stays what it was."""
    inner = pipeline(Step("i", fails), name="inner")

    def again(baton: Any) -> Any:
        failure = current_failure()
        assert failure is not None
        failure.raiseException()

    outer = pipeline(guarded(Step("run", inner.run), Step("again", again)), name="outer")
    for _ in range(2):
        with pytest.raises(ValueError, match="x") as caught:
            outer.run("x")
        assert caught.value.__notes__ == [
            "in pipeline inner, step i (site.yml:3:5)",
            "in pipeline outer, step run (site.yml:3:5)",
        ]


def test_the_cause_is_told_to_error_consumers() -> None:
    """Explicitly, in `except` for plain functions, after a wait, and not any more when they have ended."""
    seen: list[Any] = []

    async def looks_twice(baton: Any) -> Any:
        seen.append(current_failure())
        await turn
        seen.append(current_failure())
        return baton

    def looks(baton: Any) -> Any:
        seen.extend([current_failure(), Failure(), sys.exc_info()[1]])
        return baton

    turn: Deferred[None] = Deferred()
    a, b, after = (
        Step("a"),
        Step("b", fails),
        Step("z", lambda baton: seen.append((current_failure(), sys.exc_info()[1]))),
    )
    a.consumers = [guarded(b, chain(Step("e", looks_twice), Step("f", looks))), after]
    walk = pipeline(a).run("-")
    turn.callback(None)
    assert isinstance(walk, Walk)
    assert walk.result() == ["-a", None]
    *causes, error, last = seen
    assert [failure.type for failure in causes] == [ValueError] * 4
    assert error is causes[0].value
    assert last == (None, None)


@pytest.mark.parametrize("waits", [False, True])
def test_an_inner_pipeline_gives_the_outer_cause_back(waits: bool) -> None:
    """In it the outer cause holds; its own error branch has another; then the outer one is back, there and outside."""
    seen: list[str] = []
    turns: list[Deferred[Any]] = []

    def looks(baton: Any) -> Any:
        failure = current_failure()
        seen.append(str(failure and failure.value))
        turns.append(Deferred())
        return turns[-1].addCallback(lambda _: baton) if waits else baton

    def fails_inside(baton: Any) -> Any:
        raise ValueError("inner")

    first = Step("i", looks)
    first.consumers = [guarded(Step("j", fails_inside), Step("e", looks)), Step("k", looks)]
    inner = pipeline(first)
    outer = pipeline(guarded(Step("a", fails), chain(Step("run", inner.run), Step("after", looks))))
    outcome = outer.run("outer")
    while turns:
        turns.pop().callback(None) if waits else turns.clear()
    assert seen == ["outer", "inner", "outer", "outer"]
    assert outer.succeeded == 1
    assert isinstance(outcome, Walk) is waits


def test_an_own_context_of_a_failure_is_kept() -> None:
    """`raise ... ` in an `except` of a step is told as it was, although error consumers are called in another one."""

    def fails_twice(baton: Any) -> Any:
        try:
            fails("first")
        except ValueError:
            raise KeyError("second")  # noqa: B904 - its context is what is tested

    def looks(baton: Any) -> Any:
        failure = current_failure()
        assert failure is not None
        seen.append(str(failure.value.__context__))
        return baton

    seen: list[str] = []
    inner = pipeline(guarded(Step("i", fails_twice), chain(Step("e", looks), Step("f", looks))), Step("j", fails_twice))
    outer = pipeline(guarded(Step("a", fails), Step("run", inner.run)))
    with pytest.raises(KeyError) as caught:
        outer.run("outer")
    assert [*seen, str(caught.value.__context__)] == ["first"] * 3


def test_the_choice_of_error_consumers_knows_the_failure() -> None:
    """A step may decide by what has failed; if its decision fails in turn, the next guard above handles that."""
    seen: list[Any] = []

    def by_failure(baton: Any) -> Any:
        failure = current_failure()
        assert failure is not None
        seen.extend([failure.type, Failure().type])
        return chosen if baton == "-" else fails("undecided")

    a, b, chosen = Step("a"), Step("b", fails), [Step("e")]
    chain(a, b).get_error_consumers = by_failure  # type: ignore[method-assign]
    assert pipeline(a).run("-") == ["-e"]
    assert seen == [ValueError, ValueError]
    assert pipeline(guarded(chain(Step("z"), a), Step("f"))).run("=") == ["=f"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_pass_by_error_consumers(error: type[BaseException]) -> None:
    """What is no Exception ends the walk at once."""

    def interrupted(baton: Any) -> Any:
        raise error

    walked = pipeline(guarded(Step("a", interrupted), Step("never")))
    with pytest.raises(error):
        walked("-")
    assert walked.failed == 1


def test_failures_leave_no_circles() -> None:
    """A failure, its frames and the batons in them are freed at once, without the garbage collector."""

    async def fails_later(baton: Any) -> Any:
        await baton["turn"]
        raise ValueError

    def run_all() -> None:
        for walked in walks:
            turn: Deferred[Any] = Deferred()
            walked({"turn": turn}).addErrback(lambda failure: None)
            turn.callback(None)

    branching = Step("a", same)
    branching.consumers = [guarded(Step("b", fails), Step("e", same)), guarded(Step("c", fails), Step("f", same))]
    walks = [
        pipeline(guarded(chain(Step("a", same), Step("b", fails)), Step("e", same))),
        pipeline(Step("a", fails)),
        pipeline(branching),
        pipeline(guarded(Step("a", fails_later), Step("e", same))),
    ]
    run_all()
    gc.collect()
    gc.disable()
    try:
        run_all()
        assert gc.collect() == 0
    finally:
        gc.enable()


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
