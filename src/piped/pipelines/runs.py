"""Runs: a graph folded into stretches of steps that follow each other without a choice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FunctionType, NoneType
from typing import Any, Union

from piped.pipelines.processor import Baton, Processor

Call = Callable[[Baton], Any]
Choice = Callable[[Baton], Sequence[Processor]]
#: Runs that begin with the steps to take next, as a linked list: (run, (run, None)). None stands for no step at all.
Branch = tuple["Run", Union["Branch", None]] | None

#: Classes whose instances are known not to be awaitable. It names what is harmless, not what is awaitable: a subclass
#: of Deferred, a Failure or an object with `__await__` that nobody thought of is simply unknown, and is looked at.
PLAIN: set[type] = {NoneType, bool, int, float, str, bytes, list, tuple, set, dict}

LONGEST = 64  # steps of a run: with code for the way on behind each wait, it grows with the square of this
FIRST_LINE = 4  # of a generated function: where it calls the first step


class Halt:
    """Where a run has stopped: the step with this index made something that may have to be awaited."""

    __slots__ = ("index", "produced")

    def __init__(self, index: int, produced: Any) -> None:
        self.index, self.produced = index, produced


@dataclass(slots=True, eq=False)
class Run:
    """Steps that follow each other without a choice, and the choice after the last one.

    A step with error consumers only ever *begins* a run, so that the baton it received is at hand on entering.
    """

    steps: tuple[Processor, ...]
    calls: tuple[Call, ...]
    #: Takes a baton through all steps: gives the last one's baton, or a Halt. Raises what a step raises.
    go: FunctionType
    #: Where the last step leads, unless it chooses itself.
    then: Branch = None
    choose: Choice | None = None
    #: The error consumers of the first step, unless it chooses itself.
    on_error: Branch = None
    choose_on_error: Choice | None = None
    guards: bool = False
    _rests: dict[int, Branch] = field(default_factory=dict)
    _places: dict[int, Processor] = field(default_factory=dict)

    def rest(self, index: int) -> Branch:
        """The way on behind a step, unguarded; made once for each place where a baton had to wait."""
        first = index + 1
        if first == len(self.steps) and self.choose is None:
            return self.then
        if first not in self._rests:
            calls = self.calls[first:]
            rest = Run(self.steps[first:] or self.steps[-1:], calls, _going(calls), self.then, self.choose)
            self._rests[first] = (rest, None)
        return self._rests[first]

    def failed_at(self, error: Exception) -> Processor | None:
        """The step whose call has raised what the caller of `go` has caught; None if it comes from elsewhere."""
        caught = error.__traceback__
        traceback = None if caught is None else caught.tb_next
        if traceback is None or traceback.tb_frame.f_code is not self.go.__code__:
            return None
        place = traceback.tb_lasti
        step = self._places.get(place)
        if step is None:  # a line takes long to find out
            step = self._places[place] = self.steps[traceback.tb_lineno - FIRST_LINE]
        return step


def _going(calls: tuple[Call, ...]) -> FunctionType:
    """A function that makes the calls one after another; every step of every baton passes through one.

    Its code is generated, a line for each call. CPython tunes each line to what it calls, as it cannot tune the one
    line of a loop over many functions: ten steps take 0.73 us instead of 0.87. And the line in a traceback tells
    which step has failed, so that nothing has to be noted on the way.
    """
    go: FunctionType = _maker(len(calls))(calls, PLAIN, Halt)
    go.__code__ = go.__code__.replace()  # what one maker has made shares its code, and would share the tuning
    return go


@dataclass(frozen=True)
class _Loader:
    """Gives the source of generated code to whoever prints a traceback, as the loader of a module does."""

    source: str

    def get_source(self, name: str) -> str:
        return self.source


@cache
def _maker(count: int) -> Callable[..., FunctionType]:
    names = "".join(f"c{index}, " for index in range(count))
    lines = [
        "def make(calls, PLAIN, Halt):\n",
        f"    {names and names + '= calls'}\n",
        "    def go(baton):\n",
        *(
            # Most batons are dicts, and `is not dict` is cheaper than asking the set.
            f"        if type(baton := c{index}(baton)) is not dict and type(baton) not in PLAIN:"
            f" return Halt({index}, baton)\n"
            for index in range(count)
        ),
        "        return baton\n",
        "    return go\n",
    ]
    # Below this folder, so that the frame is told for what it is; tracebacks ask the loader for its lines.
    source, filename = "".join(lines), str(Path(__file__).with_name(f"<run of {count}>"))
    namespace: dict[str, Any] = {"__name__": filename, "__loader__": _Loader(source)}
    exec(compile(source, filename, "exec"), namespace)
    made: Callable[..., FunctionType] = namespace["make"]
    return made


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
            run = self[head] = self._fold(head)
            following = _only_consumer(run.steps[-1])
            if following is not None and following not in self._heads:  # it was too long
                self._heads.add(following)
                found.append(following)
        for head in found:  # only now: runs lead to each other
            self._link(self[head])

    def _fold(self, first: Processor) -> Run:
        steps = [first]
        while (following := _only_consumer(steps[-1])) is not None and following not in self._heads:
            if len(steps) == LONGEST:
                break
            steps.append(following)
        calls = tuple(map(self.call_of, steps))
        return Run(tuple(steps), calls, _going(calls))

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
