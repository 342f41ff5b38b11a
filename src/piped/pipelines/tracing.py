"""Tracing: what each step of a baton's walk was given, made and cost; graphs are watched by folding them once more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from inspect import isawaitable
from itertools import islice
from math import isfinite
from reprlib import Repr
from typing import Any

from twisted.python.failure import Failure

from piped.pipelines.graph import Graph
from piped.pipelines.processor import Baton, Processor
from piped.pipelines.runs import PLAIN, Call, Choice, Runs

Clock = Callable[[], float]

#: The failure that the error consumers around the running step are handling.
current_cause: ContextVar[BaseException | None] = ContextVar("current_cause", default=None)
#: Where a traced baton is: in a step, or between two steps of a walk.
current_place: ContextVar[Trace | Visit | None] = ContextVar("current_place", default=None)
#: The traces of walks that have not ended. While it is empty, nobody has to be asked whether he is traced.
under_way: set[Trace] = set()

MOST_VISITS = 10_000  # of one trace and those below it: a loop for ever must not fill the memory


class Visit:
    """One step of a traced walk, with the walks that it started itself. Times are seconds of one clock.

    `ended` is None until the step has ended. `baton` and `produced` are snapshots, None unless they were asked for.
    """

    __slots__ = ("baton", "cause", "ended", "failure", "produced", "started", "step", "trace", "walks")

    def __init__(self, trace: Trace, step: Processor, started: float) -> None:
        self.trace, self.step, self.started = trace, step, started
        self.ended: float | None = None
        self.failure: BaseException | None = None
        self.cause = current_cause.get()
        self.walks: list[Trace] = []
        self.baton: Any = None
        self.produced: Any = None

    def __repr__(self) -> str:
        return f"<Visit {self.step.label}>"


class Trace:
    """One baton's walk through a pipeline, step by step; below each step the walks that it started.

    Args:
        graph: what the baton walks over.
        now: tells the time in seconds.
        above: the step that started the walk; None for the outermost.
        with_batons: take a snapshot of the baton before and after each step.
    """

    def __init__(self, graph: Graph, now: Clock, above: Visit | None = None, with_batons: bool = False) -> None:
        self.graph, self.name, self.now, self.above = graph, graph.name, now, above
        self.outermost: Trace = self if above is None else above.trace.outermost
        self.with_batons: bool = with_batons or (above is not None and above.trace.with_batons)
        self.started = now()
        self.ended: float | None = None
        self.failure: BaseException | None = None
        #: Visits in the order they began; also, where a step chose itself whom to go on with, its choice.
        self.log: list[Visit | Sequence[Processor] | Exception] = []
        #: Of an outermost trace: how many visits still find room.
        self.room = MOST_VISITS
        if above is not None:
            above.walks.append(self)

    @property
    def visits(self) -> list[Visit]:
        """The steps, in the order they began."""
        return [entry for entry in self.log if isinstance(entry, Visit)]

    @property
    def is_cut(self) -> bool:
        """Whether it holds only the beginning of what happened."""
        return self.outermost.room <= 0

    def note(self, entry: Visit | Sequence[Processor] | Exception) -> None:
        """Add to the log, if there is room."""
        self.outermost.room -= 1
        if self.outermost.room > 0:
            self.log.append(entry)

    def begin(self) -> None:
        """Called in the context of the walk, before its first step."""
        under_way.add(self)
        current_place.set(self)

    def end(self, failure: BaseException | None) -> None:
        """Called when the walk has ended."""
        self.ended, self.failure = self.now(), failure
        under_way.discard(self)

    def __repr__(self) -> str:
        return f"<Trace {self.name}: {len(self.visits)} visits>"


class WatchedRuns(Runs):
    """The runs of a graph for walks that are traced: the same driver walks them, only the calls are watched."""

    def call_of(self, step: Processor) -> Call:
        def process(baton: Baton) -> Any:
            visit = _enter(step, baton)
            try:
                produced = step.process(baton)
                if type(produced) not in PLAIN:
                    if isinstance(produced, Failure):
                        produced.raiseException()
                    if isawaitable(produced):
                        return _awaited(produced, visit)
            except BaseException as error:
                _leave(visit, None, error)
                raise
            _leave(visit, produced)
            return produced

        return process

    def choice_of(self, choose: Choice) -> Choice:
        def chosen(baton: Baton) -> Sequence[Processor]:
            trace = current_place.get()
            assert isinstance(trace, Trace), "a step chooses after its visit"
            try:
                steps = choose(baton)
            except Exception as error:
                trace.note(error)
                raise
            trace.note(steps)
            return steps

        return chosen


def _enter(step: Processor, baton: Baton) -> Visit:
    trace = current_place.get()
    assert isinstance(trace, Trace), "steps of one walk do not nest"
    visit = Visit(trace, step, 0.0)
    if trace.with_batons:
        visit.baton = snapshot(baton)
    trace.note(visit)
    current_place.set(visit)
    visit.started = trace.now()
    return visit


def _leave(visit: Visit, produced: Any, error: BaseException | None = None) -> None:
    trace = visit.trace
    visit.ended, visit.failure = trace.now(), error
    visit.step.time_spent += visit.ended - visit.started
    if trace.with_batons and error is None:
        visit.produced = snapshot(produced)
    current_place.set(trace)


async def _awaited(awaitable: Awaitable[Any], visit: Visit) -> Any:
    try:
        produced = await awaitable
        if isinstance(produced, Failure):
            produced.raiseException()
    except BaseException as error:
        _leave(visit, None, error)
        raise
    _leave(visit, produced)
    return produced


MOST_VALUES = 1000
MOST_SIGNS = 2000
_brief = Repr()
_brief.maxother = MOST_SIGNS


def snapshot(value: Any, depth: int = 8) -> Any:
    """A copy of a value that JSON can express, however large or strange the value is.

    Mappings, sequences and sets are copied `depth` deep, 1000 values in all, and texts up to 2000 signs; of what is
    beyond, and of anything else, there is a short `repr`.

    Example:
        >>> snapshot({"numbers": (1, 2), 3: 1j})
        {'numbers': [1, 2], '3': '1j'}
    """
    try:
        return _copy(value, depth, [MOST_VALUES])
    except Exception as error:  # from the value's own methods: looking at a baton must not stop it
        return f"<{type(value).__name__} that cannot be copied: {type(error).__name__}>"


def _copy(value: Any, depth: int, room: list[int]) -> Any:
    room[0] -= 1
    if value is None or type(value) in (bool, int) or (type(value) is float and isfinite(value)):
        return value
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, bytes | bytearray):
        return repr(bytes(value[:MOST_SIGNS]))
    if depth > 0 and room[0] > 0:
        if isinstance(value, Mapping):
            items = islice(value.items(), room[0])
            return {_cut(str(key)): _copy(member, depth - 1, room) for key, member in items if room[0] > 0}
        if isinstance(value, list | tuple | set | frozenset):
            return [_copy(member, depth - 1, room) for member in islice(value, room[0]) if room[0] > 0]
    return _brief.repr(value)


def _cut(text: str) -> str:
    return text[:] if len(text) <= MOST_SIGNS else f"{text[:MOST_SIGNS]}…"
