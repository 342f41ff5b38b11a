"""Walks: failures, their consumers, and what they are told."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest
from runtime_steps import Step, chain, fails, guarded, pipeline, same
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from piped.runtime.running import Walk, current_failure


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


def test_a_choice_that_fails_is_the_cause() -> None:
    """An outer error consumer sees in `except` what it is called for: the failure of the inner choice."""
    seen: list[Any] = []

    def looks(baton: Any) -> Any:
        seen.extend([sys.exc_info()[0], Failure().type])
        return baton

    inner = Step("b", lambda baton: {}[baton])
    inner.get_error_consumers = fails  # type: ignore[method-assign]
    for outer in (guarded(chain(Step("a"), inner), Step("f", looks)), guarded(inner, Step("never"))):
        walked = pipeline(guarded(chain(Step("z"), outer), Step("f", looks)))
        assert walked.run("-") in (["-z"], ["-"])
    assert seen == [ValueError] * 4


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

    async def fails_at_once(baton: Any) -> Any:
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
        pipeline(guarded(Step("a", fails), Step("e", fails))),
        pipeline(guarded(Step("a", fails), guarded(Step("e", fails), Step("f", fails)))),
        pipeline(guarded(Step("a", fails_later), Step("e", same))),
        pipeline(guarded(Step("a", fails_at_once), Step("e", same))),
        pipeline(guarded(Step("a", fails_at_once), Step("e", fails))),
        pipeline(Step("a", fails_at_once)),
    ]
    run_all()
    gc.collect()
    gc.disable()
    try:
        run_all()
        assert gc.collect() == 0
    finally:
        gc.enable()
