"""Pipelines: what a baton, its sender and a curious person are promised."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest
from runtime_steps import Step, chain, fails, guarded, outcome_of, pipeline
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

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
    inner, contexts = pipeline(Step("i"), sampled=None), list[Context]()
    _, trace = pipeline(Step("a", lambda baton: contexts.append(copy_context()))).trace("-")
    pipeline(Step("b", lambda baton: contexts[0].run(inner.run, "-"))).trace("-")
    assert inner.last_trace is None
    assert trace.visits[0].walks == []
