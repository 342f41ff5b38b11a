"""A walk: one baton on its way over the runs of a pipeline, through branches, guards, failures and waits."""

from __future__ import annotations

from collections import deque
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
        if notes is None or not any(note.startswith(self._mark) for note in notes):
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

    #: Where to go on when what is awaited has come: a way without its baton, and the run and call that wait.
    _left: tuple[Branch, Scope, BaseException | None, Frame, Run | None, Call | None]

    def __init__(self, tally: Tally, runs: Runs, context: Context) -> None:
        BatonTask.__init__(self, context)  # not super(): every baton that branches, fails or waits comes here
        self._tally, self._runs = tally, runs
        self._results: list[Baton] = []
        self._turns: Turns | None = None

    def begin(self, branch: Branch, baton: Baton, halt: Halt | None = None) -> list[Baton] | Walk:
        """The results, or this walk if a step has to wait. Raises what no error consumer handled.

        Args:
            halt: what the first run has come to, if it has been tried already.
        """
        tally = self._tally
        try:
            has_ended = self._context.run(self._walk, (branch, baton, None, current_cause.get(), None), halt)
        except BaseException:
            tally.failed += 1
            self._context = NOWHERE
            raise
        if not has_ended:
            tally.waiting += 1
            return self
        tally.succeeded += 1
        self._context = NOWHERE
        return self._results

    def _walk(self, way: Any, halt: Halt | None = None) -> bool:
        """Go on with a baton: True at the end of all branches, False when a step waits. Raises what nobody handles."""
        branch, baton, scope, cause, below = way
        rounds = 0
        try:
            while True:
                if branch is None:
                    self._results.append(baton)
                    if below is None:
                        return True
                    former = cause
                    branch, baton, scope, cause, below = below
                    if cause is not former:
                        current_cause.set(cause)
                rounds += 1
                if rounds % RUNS_BETWEEN_LOOKS == 0 and self._pauses(branch, baton, scope, cause, below):
                    return False
                run, siblings = branch
                if siblings is not None:
                    below = (siblings, baton, scope, cause, below)
                if run.guards:
                    scope = (run, baton, below, scope)
                if halt is None:
                    produced = run.go(baton) if cause is None else amid(cause, run.go, baton)
                else:
                    produced, halt = halt, None
                if type(produced) is not Halt:
                    baton = produced
                    branch = run.then if run.choose is None else self._chosen(run, baton, cause)
                    if type(branch) is not Halt:
                        continue
                    produced = branch
                way = self._way_behind(produced, run, scope, cause, below)
                if way is None:
                    return False
                branch, baton, scope, cause, below = way
        finally:
            # A failure's traceback keeps this frame, which must not keep the failure in turn.
            way = produced = halt = branch = baton = scope = cause = former = below = None

    def _way_behind(self, halt: Halt, run: Run, scope: Scope, cause: BaseException | None, below: Frame) -> Way | None:
        """Where to go on after a halt; None when that has to be awaited. Raises what nobody handles."""
        error = halt.error
        if error is None:
            try:
                value = self.settle(halt.produced)
                if value is not WAITING:
                    return run.rest(halt.call), value, scope, cause, below
                self._left = run.rest(halt.call), scope, cause, below, run, halt.call
                return None
            except Exception as raised:
                error = raised
        halt.error = None
        try:
            return self._way_out(error, run.step_of(halt.call), scope)
        finally:
            del error  # for the same reason as in _walk

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
                    _forget_old_contexts(error)
                    # Under the outer guard, with nothing new below: a retry that leads here may go on for ever.
                    return branch, baton, scope, error, below
            if not self.stopped:
                self._tally.lose(error, step)
            _raise_again(error)
        finally:
            del error, scope  # for the same reason as in _walk

    def _chosen(self, run: Run, baton: Baton, cause: BaseException | None) -> Branch | Halt:
        choose = run.choose
        assert choose is not None
        try:
            return self._runs.branch(choose(baton) if cause is None else amid(cause, choose, baton))
        except Exception as error:
            return Halt(None, error=error)

    def _pauses(self, branch: Branch, baton: Baton, scope: Scope, cause: BaseException | None, below: Frame) -> bool:
        """Whether the walk waits, because it has held the reactor for too long."""
        reactor = self._tally.reactor
        if reactor is None:
            return False
        self._turns = self._turns or Turns(reactor)
        turn = self._turns.due()
        if turn is None:
            return False
        self._left = branch, scope, cause, below, None, None
        return self.settle(turn.addCallback(lambda _: baton)) is WAITING

    # After a wait:

    def settled(self, value: Any) -> None:
        branch, scope, cause, below, _, _ = self._left
        try:
            has_ended = self.stopped or self._walk((branch, value, scope, cause, below))
        except BaseException as error:
            return self._end(error)
        return self._end(None) if has_ended else None

    def failed(self, error: BaseException) -> None:
        _, scope, _, _, run, call = self._left
        if self.stopped or run is None or not isinstance(error, Exception):
            return self._end(error)
        try:
            has_ended = self._walk(self._way_out(error, run.step_of(call), scope))
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
        self.end(None, error)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        return None

    def __repr__(self) -> str:
        return f"<Walk through {self._tally.name}: {'ended' if self.done() else 'under way'}>"


def amid(cause: BaseException | None, call: Call, baton: Baton) -> Any:
    """Call inside `except`, so that `sys.exc_info()` and `Failure()` tell the cause to plain functions."""
    assert cause is not None
    context, traceback = cause.__context__, cause.__traceback__
    try:
        raise cause
    except BaseException:
        cause.__context__, cause.__traceback__ = context, traceback  # as they were, without these lines
        return call(baton)
    finally:
        cause = context = traceback = None  # for the same reason as in Walk._walk


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
