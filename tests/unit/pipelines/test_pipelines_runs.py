"""Runs: how a graph is folded."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Sequence
from typing import Any

import pytest

from piped.pipelines.processor import Processor
from piped.pipelines.runs import LONGEST, Halt, Runs


class Step(Processor):
    def __init__(self, name: str) -> None:
        super().__init__(name)

    def process(self, baton: str) -> Any:
        return baton + self.label


class Decider(Step):
    def get_consumers(self, baton: Any) -> Sequence[Processor]:
        return self.consumers[:1]


def steps(names: str, kind: type[Step] = Step) -> list[Step]:
    return [kind(name) for name in names]


def chain(*chained: Processor) -> Processor:
    for number, step in enumerate(chained[1:]):
        chained[number].consumers.append(step)
    return chained[0]


def heads(runs: Runs) -> set[str]:
    return {"".join(step.label for step in run.steps) for run in runs.values()}


def test_a_chain_is_one_run() -> None:
    """Steps that follow each other without a choice are called one after another by one loop."""
    runs = Runs([chain(*steps("abc"))])
    assert heads(runs) == {"abc"}
    assert runs.entry is not None
    assert runs.entry[0].go("-") == "-abc"


def test_branches_merges_guards_and_loops_begin_runs() -> None:
    """A run begins where a baton may arrive from two sides, by a choice, or where a failure may have to go back to."""
    a, b, c, d, e = steps("abcde")
    chain(a, b, d, e)
    chain(a, c, d)
    assert heads(Runs([a])) == {"a", "b", "c", "de"}

    a, b, c, d = steps("abcd")
    chain(a, b, c)
    b.error_consumers.append(d)
    assert heads(Runs([a])) == {"a", "bc", "d"}

    a, b, c = steps("abc")
    chain(a, b, c, b)
    assert heads(Runs([a])) == {"a", "bc"}


def test_a_step_that_chooses_ends_its_run() -> None:
    """A class or an instance with its own get_consumers is asked with every baton; others never are."""
    (a,), (b,), (c,) = steps("a"), steps("b", Decider), steps("c")
    run = Runs([chain(a, b, c)])[a]
    assert run.steps == (a, b)
    assert run.choose == b.get_consumers
    c.get_consumers = lambda baton: []  # type: ignore[method-assign]
    assert Runs([c])[c].choose is not None


def test_a_step_in_the_middle_of_a_run_can_be_chosen() -> None:
    """A choice may name any step of the graph; the way on from there is folded when it is first asked for."""
    a, b, c = steps("abc")
    runs = Runs([chain(a, b, c)])
    branch = runs.branch([b])
    assert branch is not None
    assert branch[0].go("-") == "-bc"
    assert runs[b] is branch[0]


def test_one_function_may_be_several_steps() -> None:
    """Steps that share their `process` are told apart, by a halt and by a failure."""
    a, b, c = steps("abc")
    made = [1, object(), 2, 3]
    a.process = b.process = c.process = lambda baton: made.pop(0)  # type: ignore[method-assign, assignment]
    run = Runs([chain(a, b, c)])[a]
    assert run.steps[run.go("-").index] is b
    with pytest.raises(IndexError) as caught:
        run.go("-")
    assert run.failed_at(caught.value) is c


def test_a_halt_tells_the_step() -> None:
    """What may have to be awaited stops a run, and behind it there is a way on, which is made once."""
    (a, b, c), made = steps("abc"), object()
    b.process = lambda baton: made  # type: ignore[method-assign]
    run = Runs([chain(a, b, c)])[a]
    halt = run.go("-")
    assert isinstance(halt, Halt)
    assert (halt.produced, run.steps[halt.index]) == (made, b)
    rest = run.rest(halt.index)
    assert rest is not None
    assert rest[0].go("-") == "-c"
    assert run.rest(halt.index) is rest


def test_a_failure_tells_the_step() -> None:
    """Its traceback does, again and again, and shows a line of the run; one from elsewhere tells nothing."""
    a, b, c = steps("abc")
    b.process = lambda baton: baton / 0  # type: ignore[method-assign]
    run = Runs([chain(a, b, c)])[a]
    for baton, error, step in (("-", TypeError, b), (1, TypeError, a), ("-", TypeError, b)):
        with pytest.raises(error) as caught:
            run.go(baton)
        assert run.failed_at(caught.value) is step
    linecache.clearcache()  # as some libraries do
    assert "baton := c1(baton)" in "".join(traceback.format_exception(caught.value))
    with pytest.raises(ZeroDivisionError) as other:
        b.process(1)
    assert run.failed_at(other.value) is None
    assert run.failed_at(ValueError()) is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_passes(error: type[BaseException]) -> None:
    """An interrupt is not caught with the failures of steps."""

    def process(baton: Any) -> Any:
        raise error

    (a,) = steps("a")
    a.process = process  # type: ignore[method-assign]
    with pytest.raises(error):
        Runs([a])[a].go("-")


def test_a_chain_may_be_longer_than_the_stack() -> None:
    """Two thousand steps are folded, and walked, without recursion; the code for them is bounded."""
    branch, baton = Runs([chain(*steps("x" * 2_000))]).entry, ""
    while branch is not None:
        run, _ = branch
        assert len(run.steps) <= LONGEST
        baton, branch = run.go(baton), run.then
    assert baton == "x" * 2_000
