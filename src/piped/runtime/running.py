"""Pipeline: a graph that batons can be sent through, and the Deferred that its results come in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextvars import copy_context
from time import perf_counter

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from piped.pipelines.graph import Graph
from piped.pipelines.processor import Baton, Processor
from piped.pipelines.runs import Halt, Run, Runs
from piped.pipelines.tracing import Clock, Trace, Visit, WatchedRuns, current_place, under_way
from piped.runtime.awaiting import failure_of
from piped.runtime.turns import Timer
from piped.runtime.walk import Tally
from piped.runtime.walk import Walk as Walk
from piped.runtime.walk import current_failure as current_failure

#: Of how many batons that came through one is watched, so that times are known without being asked for.
SAMPLED = 1000


class Pipeline(Tally):
    """A graph that batons can be sent through, one or many at a time.

    Iterating and indexing give its processors. `succeeded`, `failed` and `waiting` count batons; `last_failures` and
    `last_trace` tell what became of the latest.

    Args:
        reactor: gets a turn when a baton has held it for too long; None: never.
        sampled: one baton in so many is traced, without copies of it; None: only on request.
        now: tells traces the time, in seconds.
    """

    def __init__(
        self,
        graph: Graph,
        reactor: Timer | None = None,
        sampled: int | None = SAMPLED,
        now: Clock = perf_counter,
    ) -> None:
        super().__init__(graph.name, reactor)
        self.graph = graph
        self.last_trace: Trace | None = None
        self._now = now
        self._sampled = sampled or sys.maxsize
        self._sample_at = self._sampled
        self._runs = Runs(graph.sources)
        self._only = _only_run(self._runs)
        # Not a cached_property, which touches `__dict__` and makes every attribute of a pipeline slower ever after.
        self._watched: WatchedRuns | None = None

    def __call__(self, baton: Baton) -> Deferred[list[Baton]]:
        """A Deferred of the results; it has already fired unless a step waits. Cancelling it stops the walk."""
        try:
            outcome = self.run(baton)
        except Exception:
            return fail()
        return succeed(outcome) if isinstance(outcome, list) else Outcome(outcome)

    process = __call__

    def run(self, baton: Baton) -> list[Baton] | Walk:
        """The results, or the Walk that will have them if a step has to wait. Raises what no error consumer handled."""
        if (under_way or self.succeeded >= self._sample_at) and (trace := self._new_trace()) is not None:
            return self._run_traced(baton, trace)
        only = self._only
        if only is None:
            walk = Walk(self, self._runs, copy_context())
            return walk.begin(walk.enter, baton)
        # Most batons need no Walk: a walk over one run that does not halt is nothing but that run.
        # What steps set in their context must reach neither the next baton nor whoever sent this one.
        context = copy_context()
        try:
            produced = context.run(only.go, baton)
        except Exception as error:
            walk = Walk(self, self._runs, context)
            del context  # a failure's traceback keeps this frame, and the context keeps the failure
            return walk.begin(walk.rescue, (only, baton, error))
        except BaseException:
            self.failed += 1
            raise
        if type(produced) is not Halt:
            self.succeeded += 1
            return [produced]
        walk = Walk(self, self._runs, context)
        del context
        return walk.begin(walk.resume, (only, baton, produced))

    def trace(self, baton: Baton, with_batons: bool = False) -> tuple[list[Baton] | Walk | Failure, Trace]:
        """Like `run`, with every step noted in a trace, which is complete once the walk has ended."""
        trace = Trace(self.graph, self._now, self._step_above(), with_batons)
        try:
            return self._run_traced(baton, trace), trace
        except Exception as error:
            return failure_of(error), trace

    def traced_process(self, baton: Baton) -> Deferred[tuple[list[Baton] | Failure, Trace]]:
        """The results, or the failure that nobody handled, and a trace with copies of the baton."""
        return self.traced(baton, with_batons=True)

    def traced(self, baton: Baton, with_batons: bool = False) -> Deferred[tuple[list[Baton] | Failure, Trace]]:
        """As `traced_process`; without copies of the baton unless they are asked for."""
        outcome, trace = self.trace(baton, with_batons)
        if isinstance(outcome, Walk):
            return Outcome(outcome).addBoth(lambda ended: (ended, trace))
        return succeed((outcome, trace))

    @property
    def time_spent(self) -> float:
        """Seconds spent in all steps by the batons that were watched: traced and sampled ones only."""
        return sum(step.time_spent for step in self.graph)

    def _step_above(self) -> Visit | None:
        """The traced step that is running now; not one whose trace has ended, which timers it set remember."""
        place = current_place.get()
        return place if isinstance(place, Visit) and place.trace.outermost in under_way else None

    def _new_trace(self) -> Trace | None:
        above = self._step_above()
        if above is not None or self.succeeded >= self._sample_at:
            return Trace(self.graph, self._now, above)
        return None

    def _run_traced(self, baton: Baton, trace: Trace) -> list[Baton] | Walk:
        self._sample_at = self.succeeded + self._sampled
        self.last_trace = trace
        watched = self._watched = self._watched or WatchedRuns(self.graph.sources)
        context = copy_context()
        context.run(trace.begin)
        walk = Walk(self, watched, context)
        del context
        try:
            outcome = walk.begin(walk.enter, baton)
        except BaseException as error:
            trace.end(error)
            raise
        if isinstance(outcome, Walk):
            outcome.when_ended(lambda walk: trace.end(walk.exception()))
        else:
            trace.end(None)
        return outcome

    def __iter__(self) -> Iterator[Processor]:
        return iter(self.graph)

    def __getitem__(self, index: int) -> Processor:
        return self.graph[index]

    def __len__(self) -> int:
        return len(self.graph)

    def __repr__(self) -> str:
        return f"<Pipeline {self.name}: {len(self)} processors>"


class Outcome(Deferred[list[Baton]]):
    """The results of a walk that waits. Unlike other Deferreds it fires when a cancelled step has really ended."""

    def __init__(self, walk: Walk) -> None:
        super().__init__()
        self._walk = walk
        walk.when_ended(self._ended)

    def cancel(self) -> None:
        if self.called:
            super().cancel()
        else:
            self._walk.stop()

    def _ended(self, walk: Walk) -> None:
        error = walk.exception()
        if error is None:
            self.callback(walk.result())
        else:
            self.errback(failure_of(error))


def _only_run(runs: Runs) -> Run | None:
    """The run that all of a graph without branches is; its end must be the end of the walk."""
    if runs.entry is None:
        return None
    run, others = runs.entry
    return run if others is None and run.then is None and run.choose is None else None
