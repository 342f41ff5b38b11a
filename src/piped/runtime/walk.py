"""A walk: one baton on its way over the runs of a pipeline, through branches, guards, failures and waits."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any, NoReturn

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.python.reflect import safe_str

from piped.pipelines.processor import Baton, Processor
from piped.pipelines.runs import Branch, Call, Halt, Run, Runs
from piped.pipelines.tracing import current_cause
from piped.runtime.awaiting import WAITING, BatonTask, failure_of, is_cancellation
from piped.runtime.turns import Timer, Turns

#: What is left to do when a branch ends, as a linked list: (branch, its baton, scope, cause, frame below).
Frame = tuple[Any, Baton, Any, Any, Any] | None
#: The guard that is in force: (guarding run, the baton its first step received, frame below it, outer scope).
Scope = tuple[Run, Baton, Any, Any] | None
#: Where a baton goes on: like a Frame. The cause is the failure that is being handled there.
Way = tuple[Branch, Baton, Scope, BaseException | None, Frame]

RUNS_BETWEEN_LOOKS = 8  # at the clock, to see whether the reactor waits for its turn
FAILURES_KEPT = 20
CONTEXTS_KEPT = 8
#: In place of a context that is not needed any more: frames keep the walk, and the context keeps the failure.
NOWHERE = Context()


def current_failure() -> Failure | None:
    """What the error consumers around the caller are handling, also after a wait; None where nothing has failed."""
    cause = current_cause.get()
    return None if cause is None else failure_of(cause)


@dataclass(frozen=True, slots=True)
class Lost:
    """A failure that no error consumer handled: when (reactor's seconds, 0 without one), at which step, and what."""

    when: float
    step: Processor
    what: str


class Tally:
    """What is known of all walks through one pipeline; `waiting` is how many wait right now."""

    def __init__(self, name: str, reactor: Timer | None) -> None:
        self.name, self.reactor = name, reactor
        self.succeeded = self.failed = self.waiting = 0
        self._mark = f"in pipeline {name}, step "
        self._notes: dict[Processor, str] = {}
        self.last_failures: deque[Lost] = deque(maxlen=FAILURES_KEPT)

    def sign(self, error: BaseException, step: Processor) -> None:
        """Note on an error where it passed this pipeline, the first time it does."""
        notes = getattr(error, "__notes__", None)
        if notes is None:  # cheaper than add_note
            error.__notes__ = [self._notes.get(step) or self._note_of(step)]
        elif not any(note.startswith(self._mark) for note in notes):
            error.add_note(self._notes.get(step) or self._note_of(step))

    def _note_of(self, step: Processor) -> str:
        place = f" ({step.where})" if step.where else ""
        self._notes[step] = f"{self._mark}{step.label}{place}"
        return self._notes[step]

    def lose(self, error: BaseException, step: Processor) -> None:
        """Remember a failure that nobody handled, in words: the error itself would keep batons alive."""
        when = self.reactor.seconds() if self.reactor is not None else 0.0
        self.last_failures.append(Lost(when, step, f"{type(error).__name__}: {safe_str(error)[:200]}"))


class Walk(BatonTask):
    """A baton on its way; `stop` ends it without error consumers.

    No call nests per step and the frames are a linked list, so that what is on the way back is all that is kept: a
    last sibling leaves no frame, and a guard ends by itself when a frame below it is taken up.
    """

    __slots__ = ("_left", "_results", "_runs", "_tally", "_turns")

    #: Where to go on when what is awaited has come: a way without its baton, and the step that waits.
    _left: tuple[Branch, Scope, BaseException | None, Frame, Processor | None]

    def __init__(self, tally: Tally, runs: Runs, context: Context) -> None:
        BatonTask.__init__(self, context)  # not super(): every baton that branches, fails or waits comes here
        self._tally, self._runs = tally, runs
        self._results: list[Baton] = []
        self._turns: Turns | None = None

    def begin(self, start: Callable[[Any], bool], given: Any) -> list[Baton] | Walk:
        """The results, or this walk if a step has to wait. Raises what no error consumer handled.

        Args:
            start: `enter`, `resume` or `rescue`.
            given: the argument of `start`.
        """
        tally = self._tally
        try:
            has_ended = self._context.run(start, given)
        except BaseException:
            tally.failed += 1
            self._context = NOWHERE
            raise
        finally:
            given = None  # for the same reason as in _advance
        if not has_ended:
            tally.waiting += 1
            return self
        tally.succeeded += 1
        self._context = NOWHERE
        return self._results

    def enter(self, baton: Baton) -> bool:
        """Start at the entry of the graph."""
        return self._walk((self._runs.entry, baton, None, current_cause.get(), None))

    def resume(self, halted: tuple[Run, Baton, Halt]) -> bool:
        """Start where the only run of a graph has halted that was tried with a baton."""
        run, baton, halt = halted
        scope = (run, baton, None, None) if run.guards else None
        branch, step = run.rest(halt.index), run.steps[halt.index]
        try:
            value = self.settle(halt.produced)
        except Exception as error:
            return self._walk(self._way_out(error, step, scope))
        finally:
            del halted, halt  # for the same reason as in _advance
        way = branch, value, scope, current_cause.get(), None
        return self._wait(way, step) if value is WAITING else self._walk(way)

    def rescue(self, failed: tuple[Run, Baton, Exception]) -> bool:
        """Start where the only run of a graph has failed; called in the `except` that has caught the failure."""
        run, baton, error = failed
        scope = (run, baton, None, None) if run.guards else None
        try:
            return self._walk(self._way_out(error, run.failed_at(error) or run.steps[0], scope))
        finally:
            del failed, error  # for the same reason as in _advance

    def _walk(self, way: Any) -> bool:
        """Go on with a baton: True at the end of all branches, False when a step waits. Raises what nobody handles.

        Each new cause comes back to this loop, so that retries do not nest.
        """
        rounds = 0
        try:
            while type(way) is tuple:
                cause = way[3]
                rounds += 1
                if rounds % RUNS_BETWEEN_LOOKS == 0 and self._pauses(*way):
                    return False
                if cause is None or cause is sys.exception():
                    way = self._advance(way)
                else:
                    way = amid(cause, self._advance, way)
            return way is True
        finally:
            way = cause = None  # for the same reason as in _advance

    def _advance(self, way: Any) -> Any:
        """Go on as long as the cause stays the same; then the way on under another one, or what `_walk` gives."""
        branch, baton, scope, cause, below = way
        produced: Any = None
        rounds = 0
        try:
            while True:
                if branch is None:
                    self._results.append(baton)
                    if below is None:
                        return True
                    if below[3] is not cause:
                        current_cause.set(below[3])
                        return below
                    branch, baton, scope, cause, below = below
                rounds += 1
                if rounds % RUNS_BETWEEN_LOOKS == 0 and self._pauses(branch, baton, scope, cause, below):
                    return False
                run, siblings = branch
                if siblings is not None:
                    below = (siblings, baton, scope, cause, below)
                if run.guards:
                    scope = (run, baton, below, scope)
                produced = run.go(baton)
                if type(produced) is not Halt:
                    baton = produced
                    branch = run.then if run.choose is None else self._runs.branch(run.choose(baton))
                    continue
                branch = run.rest(produced.index)
                baton = self.settle(produced.produced)
                if baton is WAITING:
                    return self._wait((branch, baton, scope, cause, below), run.steps[produced.index])
        except Exception as error:
            way = self._way_out(error, _failed_at(run, error, produced), scope)
            # Within this `except` nobody has to raise it again for plain functions to see; but retries must not nest.
            return self._advance(way) if cause is None and way[3] is error else way
        finally:
            # A failure's traceback keeps this frame, which must not keep the failure in turn.
            way = produced = baton = scope = cause = below = None

    def _way_out(self, error: Exception, step: Processor, scope: Scope) -> Way:
        """The way on at the nearest guard: its error consumers, the baton it received, what lay below it."""
        try:
            self._tally.sign(error, step)
            while scope is not None and not self.stopped:
                guard, baton, below, scope = scope
                current_cause.set(error)
                choose = guard.choose_on_error
                try:
                    branch = guard.on_error if choose is None else self._runs.branch(amid(error, choose, baton))
                except Exception as another:
                    error, step = another, guard.steps[0]
                    self._tally.sign(error, step)
                    continue
                if branch is not None:
                    if error.__context__ is not None:
                        _forget_old_contexts(error)
                    # Under the outer guard, with nothing new below: a retry that leads here may go on for ever.
                    return branch, baton, scope, error, below
            if not self.stopped:
                self._tally.lose(error, step)
            _raise_again(error)
        finally:
            del error, scope  # for the same reason as in _advance

    def _pauses(self, branch: Branch, baton: Baton, scope: Scope, cause: BaseException | None, below: Frame) -> bool:
        """Whether the walk waits, because it has held the reactor for too long."""
        reactor = self._tally.reactor
        if reactor is None:
            return False
        self._turns = self._turns or Turns(reactor)
        turn = self._turns.due()
        if turn is None:
            return False
        self._wait((branch, baton, scope, cause, below), None)
        return self.settle(turn.addCallback(lambda _: baton)) is WAITING

    def _wait(self, way: Way, step: Processor | None) -> bool:
        branch, _, scope, cause, below = way
        self._left = branch, scope, cause, below, step
        return False

    # After a wait:

    def settled(self, value: Any) -> None:
        branch, scope, cause, below, _ = self._left
        try:
            has_ended = self.stopped or self._walk((branch, value, scope, cause, below))
        except BaseException as error:
            return self._end(error)
        return self._end(None) if has_ended else None

    def failed(self, error: BaseException) -> None:
        _, scope, _, _, step = self._left
        if self.stopped or step is None or not isinstance(error, Exception):
            return self._end(error)
        try:
            has_ended = self._walk(self._way_out(error, step, scope))
        except BaseException as unhandled:
            return self._end(unhandled)
        return self._end(None) if has_ended else None

    def _end(self, error: BaseException | None) -> None:
        tally = self._tally
        tally.waiting -= 1
        self._context = NOWHERE
        if self.stopped and (error is None or is_cancellation(error)):
            error = CancelledError()
        if error is None:
            tally.succeeded += 1
            return self.end(self._results)
        tally.failed += 1
        return self.end(None, error)

    def __repr__(self) -> str:
        return f"<Walk through {self._tally.name}: {'ended' if self.done() else 'under way'}>"


def amid(cause: BaseException, call: Call, argument: Any) -> Any:
    """Call inside `except`, so that `sys.exc_info()` and `Failure()` tell the cause to plain functions."""
    context, traceback = cause.__context__, cause.__traceback__
    try:
        raise cause
    except BaseException:
        cause.__context__, cause.__traceback__ = context, traceback  # as they were, without these lines
        return call(argument)
    finally:
        argument = cause = context = traceback = None  # type: ignore[assignment]  # as in Walk._advance


def _failed_at(run: Run, error: Exception, produced: Any) -> Processor:
    """The step where `_advance` has failed: a call of the run, or what it has to await, or the choice at its end."""
    return run.failed_at(error) or run.steps[produced.index if type(produced) is Halt else -1]


def _raise_again(error: BaseException) -> NoReturn:
    """Raise an error from elsewhere, without telling it that it happened while something else was handled here."""
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
        del error, context


def _forget_old_contexts(error: BaseException) -> None:
    """A step that fails while a failure is handled links the two; a million retries must not keep a million of them."""
    for _ in range(CONTEXTS_KEPT):
        if error.__context__ is None:
            return
        error = error.__context__
    error.__context__ = None
