"""Pipelines: what a baton, its sender and a curious person are promised."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from piped.ground.errors import Mark
from piped.pipelines.graph import Graph
from piped.pipelines.processor import Processor
from piped.runtime.running import Pipeline, Walk, current_failure


class Step(Processor):
    """Adds its name to the baton, or does what it is given to do."""

    def __init__(self, name: str, function: Callable[[Any], Any] | None = None) -> None:
        super().__init__(name)
        self.where = Mark("site.yml", 3, 5)
        if function is not None:
            self.process = function  # type: ignore[method-assign]

    def process(self, baton: Any) -> Any:
        return baton + self.label


def fails(baton: Any) -> Any:
    raise ValueError(baton)


def same(baton: Any) -> Any:
    return baton


def chain(*chained: Processor) -> Processor:
    for number, step in enumerate(chained[1:]):
        chained[number].consumers.append(step)
    return chained[0]


def guarded(step: Processor, *error_consumers: Processor) -> Processor:
    step.error_consumers += error_consumers
    return step


def pipeline(*sources: Processor, name: str = "p", **options: Any) -> Pipeline:
    return Pipeline(Graph(name, sources), **options)


def outcome_of(deferred: Deferred[Any]) -> Any:
    """What a Deferred has fired with; None if it has not."""
    got: list[Any] = [None]
    deferred.addBoth(got.append)
    return got[-1]


# Results


def test_results_keep_the_order_of_completion() -> None:
    """Depth first, in declared order; all consumers get the same baton, and each end gives a result."""
    a, b, c, d, e = map(Step, "abcde")
    a.consumers = [b, d]
    b.consumers = [c]
    assert pipeline(a, e).run("-") == ["-abc", "-ad", "-e"]


def test_the_public_call_gives_a_deferred() -> None:
    """It has fired already if no step waits, and `process` is the same call."""
    walked = pipeline(chain(Step("a"), Step("b")))
    assert outcome_of(walked("-")) == outcome_of(walked.process("-")) == ["-ab"]
    assert outcome_of(pipeline(Step("a", fails))("-")).check(ValueError)


@pytest.mark.parametrize(
    "made", [5, succeed(5), succeed(succeed(5)), pytest.param(lambda: None, id="a function is just a baton")]
)
def test_fired_deferreds_are_unwrapped_in_place(made: Any) -> None:
    """A step may return a Deferred; what it fired with goes on, at once."""
    assert pipeline(Step("a", lambda baton: made)).run("-") == [made if callable(made) else 5]


@pytest.mark.parametrize(
    "failing",
    [
        lambda: fails(1),
        lambda: fail(ValueError()),
        lambda: Failure(ValueError()),
        lambda: succeed(Failure(ValueError())),
    ],
)
def test_every_way_to_fail_is_the_same(failing: Callable[[], Any]) -> None:
    """Raising, a failed Deferred and a returned Failure all go to the error consumers."""
    assert pipeline(guarded(Step("a", lambda baton: failing()), Step("e"))).run("-") == ["-e"]


def test_iterating_and_indexing_give_the_processors() -> None:
    """In the order of the graph, from both ends."""
    a, b = Step("a"), Step("b")
    walked = pipeline(chain(a, b))
    assert (list(walked), walked[0], walked[-1], len(walked)) == ([a, b], a, b, 2)


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

    inner = pipeline(guarded(Step("i", fails_twice), Step("e", same)), Step("j", fails_twice))
    outer = pipeline(guarded(Step("a", fails), Step("run", inner.run)))
    with pytest.raises(KeyError) as caught:
        outer.run("outer")
    assert str(caught.value.__context__) == "first"


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
    walks = [pipeline(guarded(chain(Step("a"), Step("b", fails)), Step("e"))), pipeline(Step("a", fails))]
    gc.collect()
    gc.disable()
    try:
        for walked in walks:
            for _ in range(10):
                walked(" ").addErrback(lambda failure: None)
        assert gc.collect() < 10
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


# Contexts


def test_each_baton_has_its_own_context() -> None:
    """Steps see what the sender has set, also after a wait; what they set reaches neither sender nor next baton."""
    variable: ContextVar[str] = ContextVar("variable", default="nobody")
    turns: list[Deferred[Any]] = []
    seen: list[str] = []

    def sets(baton: Any) -> Any:
        seen.append(variable.get())
        baton["token"] = variable.set("step")
        turns.append(Deferred())
        return turns[-1].addCallback(lambda _: baton)

    def gives_back(baton: Any) -> Any:
        seen.append(variable.get())
        variable.reset(baton["token"])
        seen.append(variable.get())
        return baton

    walked = pipeline(chain(Step("a", sets), Step("b", gives_back)))
    for sender in ("first", "second"):
        token = variable.set(sender)
        walked({})
        assert variable.get() == sender
        variable.reset(token)
    for turn in turns:
        turn.callback(None)
    assert seen == ["first", "second", "step", "first", "step", "second"]
    assert walked.succeeded == 2


def test_a_single_run_has_its_own_context_too() -> None:
    """Nothing leaks from a baton that meets no branch and no wait either."""
    variable: ContextVar[int] = ContextVar("variable", default=0)
    pipeline(Step("a", variable.set)).run(1)
    assert variable.get() == 0


# Traces


def test_a_trace_tells_each_step() -> None:
    """Its order, times, failure and cause; of the baton only on request."""
    ticks = iter(range(100))
    walked = pipeline(chain(Step("a"), guarded(Step("b", fails), Step("e"))), now=lambda: next(ticks))
    outcome, trace = walked.trace("-")
    assert outcome == ["-ae"]
    a, b, e = trace.visits
    assert [visit.step.label for visit in trace.visits] == ["a", "b", "e"]
    assert (a.ended, b.ended, a.baton) == (a.started + 1, b.started + 1, None)
    assert isinstance(b.failure, ValueError)
    assert (a.cause, e.cause) == (None, b.failure)
    assert (trace.started, trace.ended, trace.failure) == (0, 7, None)
    assert (walked[0].time_spent, walked.time_spent) == (1, 3)
    assert walked.last_trace is trace


def test_a_traced_failure_is_given() -> None:
    """The call itself does not fail; Failure and trace are its result, and batons are shown before and after."""
    (failure, trace) = outcome_of(pipeline(chain(Step("a"), Step("b", fails))).traced_process("-"))
    assert failure.check(ValueError)
    assert trace.failure is failure.value
    assert [(visit.baton, visit.produced) for visit in trace.visits] == [("-", "-a"), ("-a", None)]


def test_untraced_batons_cost_no_time_accounts() -> None:
    """Times are counted for traced and sampled batons only."""
    walked = pipeline(Step("a"), sampled=None)
    walked.run("-")
    assert (walked.time_spent, walked.last_trace) == (0, None)


def test_one_baton_in_so_many_is_watched() -> None:
    """Without being asked, and without copies of the baton."""
    walked, watched = pipeline(Step("a"), sampled=10), 0
    for _ in range(100):
        before = walked.last_trace
        walked.run("-")
        watched += walked.last_trace is not before
    assert 8 <= watched <= 10
    assert walked.last_trace is not None
    assert walked.last_trace.visits[0].baton is None


def test_traces_of_timers_that_outlive_them() -> None:
    """What a traced step has left behind for later is not traced when the walk has ended."""
    clock, inner = Clock(), pipeline(Step("i"), sampled=None)
    outer = pipeline(Step("a", lambda baton: later.append(inner.run) or baton))
    later: list[Any] = []
    _, trace = outer.trace("-")
    later[0]("-")
    assert inner.last_trace is None
    assert trace.visits[0].walks == []
    assert not clock.getDelayedCalls()
