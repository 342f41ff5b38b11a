"""Running: a case is played on a stage of its own, where nothing is started and the time moves as the case says."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from piped import ConfigurationError, NotReadyError, PipedError, Problem, Processor, did_you_mean, told
from piped.cases.differing import differences, shown
from piped.cases.notation import Case
from piped.cases.reading import steps_named
from piped.cases.standing_in import Answers, StandInStep, stand_in_for, with_stand_ins
from piped.config.document import Document
from piped.pipelines.compiling import compile_pipelines
from piped.pipelines.names import find_pipeline
from piped.pipelines.tracing import Trace
from piped.providers.context_provider import PersistedContextProvider
from piped.runtime.assembly import PIPELINES, Assembly
from piped.runtime.logs import TextFormatter, traceback_of
from piped.runtime.running import Outcome, Pipeline, Walk
from piped.spec.checking import Checker
from piped.testing import Stage

#: Log lines of a case of which no more are kept, the latest.
MOST_LINES = 200
#: Steps of which no more are named.
MOST_STEPS = 20
#: What ends a process; a step that raises it shall not end the other cases.
_ENDS = (SystemExit, KeyboardInterrupt)
#: Seconds by which sums of times since 1970 may be wrong.
ROUNDING = 1e-6


@dataclass
class Played:
    """What became of a case: it has passed if nothing was found.

    Attributes:
        found: what is not as expected, each at the place of the expectation.
        asides: what else helps to understand what was found.
        traceback: of the failure that nobody expected, if it has one to show.
        log: the latest lines that were logged meanwhile.
    """

    case: Case
    seconds: float = 0.0
    found: list[Problem] = field(default_factory=list)
    asides: list[str] = field(default_factory=list)
    traceback: str = ""
    log: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_LINES))

    @property
    def has_passed(self) -> bool:
        return not self.found


async def play(case: Case, assembly: Assembly, reactor: Any) -> Played:
    """Plays a case; what goes wrong is told in what it gives, not raised.

    Args:
        assembly: a configuration without mistakes; it can be used for many cases.
        reactor: runs; steps that wait for asyncio or threads get its turns. The clock of the case is another one.
    """
    played = Played(case)
    began = reactor.seconds()
    with _logged(played.log):
        try:
            played.found += await _Play(case, assembly, reactor, played).found()
        except CancelledError:
            raise
        except (Exception, *_ENDS) as error:  # of whatever the configuration is made of
            _fail(played, error)
    played.seconds = reactor.seconds() - began
    return played


@contextmanager
def _logged(lines: deque[str]) -> Iterator[None]:
    """Keep what is logged, in place of showing it."""
    root = logging.getLogger()
    shows, root.handlers[:] = root.handlers[:], [_Keeper(lines)]
    try:
        yield
    finally:
        root.handlers[:] = shows


class _Keeper(logging.Handler):
    def __init__(self, lines: deque[str]) -> None:
        super().__init__()
        self._lines = lines
        self.setFormatter(TextFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


def _fail(played: Played, error: BaseException) -> None:
    """Note a failure that was not expected."""
    case = played.case
    if isinstance(error, ConfigurationError) and error.problems:
        played.found += error.problems
        return
    hint = "stand in for what it needs in 'resources'" if isinstance(error, NotReadyError) else ""
    expected = f", expected {case.expected_error.described}" if case.expected_error else ""
    played.found.append(Problem(f"it failed with {told(error)}{expected}", case.expectation, hint))
    if not isinstance(error, PipedError):  # which says it all
        played.traceback = traceback_of(error)


class CaseClock(Clock):
    """A time that stands still, and tells of every call that is to be made later."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self.rightNow = now
        #: Fires when a call was added, or when somebody stirs; then it is another one.
        self.stirred: Deferred[None] = Deferred()

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:
        call = super().callLater(delay, callable, *args, **kw)
        self.stir()
        return call

    def stir(self) -> None:
        stirred, self.stirred = self.stirred, Deferred()
        stirred.callback(None)

    def due(self) -> float | None:
        """When the next call is to be made."""
        return self.calls[0].getTime() if self.calls else None

    def make_next_call(self) -> None:
        """Let the time go on to the next call, and make it. `advance` would come to no end where calls bring calls."""
        call: Any = self.calls.pop(0)
        self.rightNow = max(self.rightNow, call.getTime())
        call.called = 1
        call.func(*call.args, **call.kw)


class _Play:
    """One case while it is played."""

    def __init__(self, case: Case, assembly: Assembly, reactor: Any, played: Played) -> None:
        self.case, self.reactor, self.played = case, reactor, played
        self.clock = CaseClock(case.now)
        self.assembly = _anew(assembly)
        self.pipeline = find_pipeline(case.pipeline, assembly.graphs) or str(case.pipeline)
        #: Of the stand-ins of steps, by the names that the case gives them.
        self.answers: dict[str, Answers] = {}

    async def found(self) -> list[Problem]:
        """Sends the baton in, waits, and compares."""
        self._put_steps_in()
        resources = {path: stand_in_for(path, each, self._send) for path, each in self.case.resources.items()}
        self.stage = Stage.of(self.assembly, self.clock, _kept_contexts(self.assembly) | resources)
        pipeline = self.stage.get(f"pipeline.{self.pipeline}")
        try:
            outcome, trace = pipeline.trace(self.case.baton_.value())
            if isinstance(outcome, Walk):
                outcome = await self._waited_for(outcome, trace)
        except _ENDS as error:
            outcome, trace = Failure(error), pipeline.last_trace
        found = [*(self._compared(outcome) if outcome is not None else []), *self._unasked()]
        if found or self.played.found:
            self.played.asides += self._asides(trace)
        return found

    def _send(self, name: str, baton: Any) -> Any:
        pipeline: Pipeline = self.stage.get(f"pipeline.{name}")
        return pipeline(baton)

    def _put_steps_in(self) -> None:
        """Put the stand-ins of steps into the graphs."""
        stand_ins: dict[Processor, Processor] = {}
        named = [(name, steps_named(name, self.pipeline, self.assembly)) for name in self.case.processors]
        for name, steps in sorted(named, key=lambda each: len(each[1]), reverse=True):  # for one step wins over for all
            stand_in = self.case.processors[name]
            answers = self.answers[name] = Answers(stand_in, f"the stand-in of {name}")
            stand_ins |= {step: StandInStep(step, stand_in, answers) for step in steps}
        graphs = self.assembly.graphs
        graphs.update({name: with_stand_ins(graph, stand_ins) for name, graph in graphs.items()})

    # Waiting

    async def _waited_for(self, walk: Walk, trace: Trace) -> Any:
        """What a walk has ended with: results or a Failure; None, and a Problem noted, if it does not end."""
        ended: list[Any] = []
        outcome = Outcome(walk)
        outcome.addBoth(ended.append).addCallback(lambda _: self.clock.stir())
        moves_until = self.clock.seconds() + self.case.advance + ROUNDING
        waits_until = self.reactor.seconds() + self.case.timeout
        try:
            while not ended:
                due = self.clock.due()
                left = waits_until - self.reactor.seconds()
                if due is not None and due <= moves_until and left >= 0:  # there may be no end of calls that are due
                    self.clock.make_next_call()
                else:
                    await self.clock.stirred.addTimeout(max(left, 0), self.reactor)
        except defer.TimeoutError:
            self.played.found.append(self._still_waits(trace))
            return None
        finally:
            if not ended:
                outcome.cancel()
        return ended[0]

    def _still_waits(self, trace: Trace) -> Problem:
        case, due = self.case, self.clock.due()
        steps = [f"step {step.label}{f' ({step.where})' if step.where else ''}" for step in _waiting(trace)]
        moved = f"after {case.timeout:g} s, while the time moved {case.advance:g} s"
        what = f"{self.pipeline} still waits {moved}: {', '.join(steps)}"
        fix = f"'advance: {round(due - case.now, 3):.12g}' lets the next thing happen" if due is not None else ""
        return Problem(what, case.expectation, fix)

    # Comparing

    def _compared(self, outcome: Any) -> list[Problem]:
        error = self.case.expected_error
        if isinstance(outcome, Failure):
            raised: Any = outcome.value
            text = raised.msg if isinstance(raised, PipedError) else str(raised)
            if error is None or not error.fits(raised, text):
                _fail(self.played, raised)
            return []
        if error is not None:
            what = f"it did not fail, expected {error.described}: its results are {shown(outcome)}"
            return [Problem(what, error.where)]
        found = list(self._differences(outcome))
        if found:
            self.played.asides.append(f"its results: {shown(outcome)}")
        return found

    def _differences(self, results: list[Any]) -> Iterator[Problem]:
        case = self.case
        if case.results.node is not None:
            yield from differences(case.results.node, results, case.results.scalar, "results")
        for expected, is_partial in ((case.result, False), (case.contains, True)):
            if expected.node is not None:
                yield from differences(expected.node, results[-1], expected.scalar, "result", is_partial=is_partial)

    def _asides(self, trace: Trace) -> Iterator[str]:
        """Which way the baton went, and past which stand-ins."""
        steps = [visit.step.label for visit in trace.visits]
        more = f", and {len(steps) - MOST_STEPS} more" if len(steps) > MOST_STEPS else ""
        yield f"its steps: {', '.join(steps[:MOST_STEPS])}{more}"
        if unused := [repr(str(name)) for name, answers in self.answers.items() if not answers.calls]:
            yield f"stand-ins of steps that it did not come to: {', '.join(unused)}"

    def _unasked(self) -> list[Problem]:
        """Stand-ins that stand in for nothing: most likely the path is wrong."""
        offered = self.stage.environment.resource_manager.get_registered_resources()
        unasked = [path for path in self.case.resources if path in self.stage.unasked()]
        return [
            Problem(f"nobody asks for the resource {str(path)!r}", path.where, _close(path, offered.keys() - unasked))
            for path in unasked
        ]


def _close(path: str, known: Any) -> str:
    advice = did_you_mean(path, known)
    return advice if advice.startswith("did you mean") else "correct it, or take the stand-in out"


def _waiting(trace: Trace) -> Iterator[Processor]:
    """The steps that have not ended, and run nothing that has not ended itself."""
    for visit in trace.visits:
        if visit.ended is None:
            inner = [step for walk in visit.walks for step in _waiting(walk)]
            yield from inner or [visit.step]


def _anew(assembly: Assembly) -> Assembly:
    """The same configuration with steps and options of its own: what one case changes, no other sees."""
    document = Document(assembly.document.root, environ=assembly.document.environ, used=assembly.document.read)
    checker = Checker(document.environ)
    graphs = compile_pipelines(document.node(PIPELINES), assembly.catalog, checker)
    options = {}
    for entry in assembly.options:
        section = document.node(entry.section or "")
        if section is not None:
            is_ours = entry.section == PIPELINES
            options[entry] = graphs if is_ours else checker.value(entry.shape, section, owner=str(entry.section))
    return replace(assembly, document=document, graphs=graphs, options=options)


def _kept_contexts(assembly: Assembly) -> dict[str, Any]:
    """The persisted contexts as they begin: a case must not depend on what a process has left in a file."""
    return {
        f"persisted_context.{name}": options.initial_data
        for entry, section in assembly.options.items()
        if entry.factory is PersistedContextProvider
        for name, options in section.items()
    }
