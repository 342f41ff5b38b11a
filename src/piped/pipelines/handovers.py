"""Hand-overs: a trace told as the list of steps that Piped 0.7 gave, from whom to whom the baton went and why."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import twisted
from twisted.python.reflect import qual

from piped.pipelines.processor import Processor
from piped.pipelines.runs import chooses
from piped.pipelines.tracing import Trace, Visit, snapshot

Handover = dict[str, Any]
#: Frames below these say how a step was called, not what it did.
_FRAMEWORK = (Path(twisted.__file__).parent, Path(__file__).parent, Path(__file__).parents[1] / "runtime")


def handovers(trace: Trace, outside: Any = None) -> list[Handover]:
    """Every hand-over of a walk in order, those of the walks below a step right behind the one that entered it.

    Each is a dict of `source` and `destination` (processors; None behind a result; `outside` before the first step
    and for a failure that nobody handled), `baton` (as it was handed over; None unless the trace has batons),
    `time_spent` (seconds in `source`, None for entries and failures), `is_error_consumer`, and `failure` (None or a
    dict of `type`, `args` and `traceback`).

    A trace notes only what cannot be known otherwise; whom a baton came from follows from the graph.
    """
    told: list[Handover] = []
    walks = [_Retelling(trace, outside, told).tell()]
    while walks:  # no recursion: pipelines that run themselves may nest deeper than Python's stack
        inner = next(walks[-1], None)
        if inner is None:
            walks.pop()
        else:
            walks.append(_Retelling(*inner, told).tell())
    return told


class _Cut(Exception):
    """The walk was stopped, has not ended yet, or its trace was cut."""


@dataclass(eq=False, slots=True)
class _Node:
    """A visit, who handed it the baton, and what for; `depth` is how much was left to do when it began."""

    visit: Visit
    giver: _Node | None
    handles: BaseException | None
    depth: int


class _Retelling:
    """The walk once more, on paper: the same rules, with the outcomes that the trace has noted."""

    def __init__(self, trace: Trace, outside: Any, told: list[Handover]) -> None:
        self._trace, self._outside, self._told = trace, outside, told
        self._log = iter(trace.log)
        #: Steps still to be visited, the next one last: (step, who hands over, the failure it is to handle).
        self._left: list[tuple[Processor, _Node | None, BaseException | None]] = []

    def tell(self) -> Iterator[tuple[Trace, Processor]]:
        """Adds what happened to what is told; yields each inner walk with its step where it is to be told."""
        self._left = [(source, None, None) for source in reversed(self._trace.graph.sources)]
        try:
            while self._left:
                _, giver, handles = self._left.pop()
                node = _Node(self._next(Visit), giver, handles, len(self._left))
                self._enter(node)
                for walk in node.visit.walks:
                    yield walk, node.visit.step
                self._leave(node)
        except _Cut:
            pass

    def _next(self, kind: Any) -> Any:
        entry = next(self._log, None)
        if entry is None:
            raise _Cut
        assert isinstance(entry, kind), f"the trace of {self._trace.name} does not fit its graph"
        return entry

    def _enter(self, node: _Node) -> None:
        visit, giver, step = node.visit, node.giver, node.visit.step
        if giver is None:
            self._tell(self._outside, step, visit.baton)
        elif node.handles is not None:
            self._tell(giver.visit.step, step, visit.baton, failure=node.handles, is_error_consumer=True)
        else:
            self._tell(giver.visit.step, step, visit.baton, time_spent=_spent(giver.visit))

    def _leave(self, node: _Node) -> None:
        visit, step = node.visit, node.visit.step
        if visit.failure is not None:
            return self._fail(node, visit.failure)
        if visit.ended is None:
            raise _Cut
        following = self._chosen(step, "get_consumers", step.consumers)
        if isinstance(following, Exception):
            return self._fail(node, following)
        if not following:
            self._tell(step, None, visit.produced, time_spent=_spent(visit))
        self._left += [(consumer, node, None) for consumer in reversed(following)]
        return None

    def _fail(self, node: _Node, failure: BaseException) -> None:
        """Climb to the nearest step with error consumers, but from an error consumer past the step it belongs to."""
        while True:
            step = node.visit.step
            handlers = self._chosen(step, "get_error_consumers", step.error_consumers, failure)
            if isinstance(handlers, Exception):
                failure, handlers = handlers, ()
            if handlers:
                del self._left[node.depth :]
                self._left += [(handler, node, failure) for handler in reversed(handlers)]
                return
            is_handler = True
            while is_handler:
                giver, is_handler = node.giver, node.handles is not None
                destination = self._outside if giver is None else giver.visit.step
                self._tell(node.visit.step, destination, node.visit.baton, failure=failure)
                if giver is None:
                    self._left.clear()
                    return
                node = giver

    def _chosen(
        self, step: Processor, method: str, configured: Sequence[Processor], failure: BaseException | None = None
    ) -> Sequence[Processor] | Exception:
        if failure is not None and not isinstance(failure, Exception):
            return ()  # nobody is asked about a KeyboardInterrupt
        return self._next(Sequence | Exception) if chooses(step, method) else configured

    def _tell(
        self,
        source: Any,
        destination: Any,
        baton: Any,
        time_spent: float | None = None,
        failure: BaseException | None = None,
        is_error_consumer: bool = False,
    ) -> None:
        self._told.append(
            {
                "source": source,
                "destination": destination,
                "baton": baton,
                "time_spent": time_spent,
                "is_error_consumer": is_error_consumer,
                "failure": None if failure is None else _brief(failure),
            }
        )


def _spent(visit: Visit) -> float | None:
    return None if visit.ended is None else visit.ended - visit.started


def _brief(failure: BaseException) -> dict[str, Any]:
    frames = traceback.extract_tb(failure.__traceback__)
    lines = [f"{frame.filename}:{frame.lineno}:{frame.name}" for frame in frames if not _is_framework(frame.filename)]
    return {"type": qual(type(failure)), "args": snapshot(failure.args), "traceback": "\n".join(lines)}


def _is_framework(filename: str) -> bool:
    return any(folder in Path(filename).parents for folder in _FRAMEWORK)
