"""Runs: a graph folded into stretches of steps that follow each other without a choice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import NoneType
from typing import Any, Union

from piped.pipelines.processor import Baton, Processor

Call = Callable[[Baton], Any]
Choice = Callable[[Baton], Sequence[Processor]]
#: Runs that begin with the steps to take next, as a linked list: (run, (run, None)). None stands for no step at all.
Branch = tuple["Run", Union["Branch", None]] | None

#: Classes whose instances are known not to be awaitable. It names what is harmless, not what is awaitable: a subclass
#: of Deferred, a Failure or an object with `__await__` that nobody thought of is simply unknown, and is looked at.
PLAIN: set[type] = {NoneType, bool, int, float, str, bytes, list, tuple, set, dict}


class Halt:
    """Why a run did not reach its end: a step made something that may have to be awaited, or something failed.

    `call` is the call of that step; None says that the choice of what follows has failed.
    """

    __slots__ = ("call", "error", "produced")

    def __init__(self, call: Call | None, produced: Any = None, error: Exception | None = None) -> None:
        self.call: Any = call
        self.produced = produced
        self.error = error


@dataclass(slots=True, eq=False)
class Run:
    """Steps that follow each other without a choice, and the choice after the last one.

    A step with error consumers only ever *begins* a run, so that the baton it received is at hand on entering.
    """

    steps: tuple[Processor, ...]
    calls: tuple[Call, ...]
    #: Takes a baton through all steps: gives the last one's baton, or a Halt.
    go: Call
    #: Where the last step leads, unless it chooses itself.
    then: Branch = None
    choose: Choice | None = None
    #: The error consumers of the first step, unless it chooses itself.
    on_error: Branch = None
    choose_on_error: Choice | None = None
    guards: bool = False
    _rests: dict[int, Branch] = field(default_factory=dict)

    def rest(self, call: Call) -> Branch:
        """The way on behind a call, unguarded; made once for each place where a baton had to wait."""
        first = self.calls.index(call) + 1
        if first == len(self.calls) and self.choose is None:
            return self.then
        if first not in self._rests:
            calls = self.calls[first:]
            rest = Run(self.steps[first:] or self.steps[-1:], calls, _going(calls), self.then, self.choose)
            self._rests[first] = (rest, None)
        return self._rests[first]

    def step_of(self, call: Call | None) -> Processor:
        """The step that a Halt tells of."""
        return self.steps[-1] if call is None else self.steps[self.calls.index(call)]


def _going(calls: tuple[Call, ...]) -> Call:
    """A function that makes the calls one after another; every step of every baton passes through this loop.

    Generated code (`exec`, a line for each call) saves a tenth of it: not worth tracebacks without source.
    """

    def go(baton: Baton) -> Any:
        try:
            for process in calls:
                # Most batons are dicts, and `is not dict` is cheaper than asking the set.
                if type(baton := process(baton)) is not dict and type(baton) not in PLAIN:
                    return Halt(process, baton)
            return baton
        except Exception as error:
            return Halt(process, None, error)

    return go


class Runs(dict[Processor, Run]):
    """Every run of a graph by its first step; runs from any other step are made when a choice asks for them."""

    def __init__(self, sources: Sequence[Processor]) -> None:
        super().__init__()
        self._heads: set[Processor] = set()
        self._add(sources)
        self.entry = self.branch(sources)

    def branch(self, steps: Sequence[Processor]) -> Branch:
        """The runs that begin with these steps."""
        branch: Branch = None
        for step in reversed(steps):
            branch = (self[step], branch)
        return branch

    def call_of(self, step: Processor) -> Call:
        """How a step is called."""
        return step.process

    def choice_of(self, choose: Choice) -> Choice:
        """How a step that chooses itself is asked."""
        return choose

    def __missing__(self, step: Processor) -> Run:
        self._add([step])
        return self[step]

    def _add(self, sources: Sequence[Processor]) -> None:
        found = [head for head in _heads(sources) if head not in self]
        self._heads.update(found)
        for head in found:
            self[head] = self._fold(head)
        for head in found:  # only now: runs lead to each other
            self._link(self[head])

    def _fold(self, first: Processor) -> Run:
        steps, calls = [first], [self.call_of(first)]
        while (following := _only_consumer(steps[-1])) is not None and following not in self._heads:
            call = self.call_of(following)
            steps.append(following)
            # A run tells its steps by their calls, so one function that is two steps needs two faces.
            calls.append(partial(call) if call in calls else call)
        return Run(tuple(steps), tuple(calls), _going(tuple(calls)))

    def _link(self, run: Run) -> None:
        first, last = run.steps[0], run.steps[-1]
        if chooses(last, "get_consumers"):
            run.choose = self.choice_of(last.get_consumers)
        else:
            run.then = self.branch(last.consumers)
        if chooses(first, "get_error_consumers"):
            run.choose_on_error = self.choice_of(first.get_error_consumers)
        else:
            run.on_error = self.branch(first.error_consumers)
        run.guards = _guards(first)


def chooses(step: Processor, method: str) -> bool:
    """Whether a step decides itself, in its class or as an instance, what `get_consumers` or the like gives."""
    return getattr(type(step), method) is not getattr(Processor, method) or method in vars(step)


def _guards(step: Processor) -> bool:
    return bool(step.error_consumers) or chooses(step, "get_error_consumers")


def _only_consumer(step: Processor) -> Processor | None:
    return step.consumers[0] if len(step.consumers) == 1 and not chooses(step, "get_consumers") else None


def _heads(sources: Sequence[Processor]) -> dict[Processor, None]:
    """The steps that begin a run, in the order they are found: where a baton arrives by a choice, or from two sides."""
    heads = dict.fromkeys(sources)
    met: Counter[Processor] = Counter()
    todo = list(sources)
    while todo:
        step = todo.pop()
        met[step] += 1
        if met[step] > 1:
            heads[step] = None  # a merge, or the entry of a loop
            continue
        if _guards(step):
            heads[step] = None
        if _only_consumer(step) is None:
            heads.update(dict.fromkeys(step.consumers))
        heads.update(dict.fromkeys(step.error_consumers))
        todo += [*step.consumers, *step.error_consumers]
    return heads
