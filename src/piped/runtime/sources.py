"""Source: takes batons while what processes them is ready, and settles each once its whole graph has ended."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from piped.pipelines.graph import Graph
from piped.pipelines.processor import Processor
from piped.resources.dependency import Dependency
from piped.resources.events import Event
from piped.resources.intake import Admission, Intake, Refusal, Ticket
from piped.runtime.awaiting import failure_of
from piped.runtime.running import Pipeline, Walk
from piped.runtime.signing import current_baton

Baton = Any
#: What became of a baton: the results of the graph, or the Failure that no error consumer handled.
Outcome = list[Baton] | Failure
log = Logger()


class Source:
    """The two rules of every source: it takes batons only while what it feeds is ready, and it settles each one once.

    Args:
        name: how log lines and messages call it, such as "web.site".
        dependency: stands for the processor: a pipeline, or anything callable with a baton. None for a source that
            names one with each baton; see `feed`.
        max_running: how many batons at most are being processed at a time; None for as many as come.
    """

    def __init__(self, name: str, dependency: Dependency | None = None, *, max_running: int | None) -> None:
        self.name = name
        #: Called when batons are taken again.
        self.on_open: Event[[]] = Event()
        #: Called when no more batons are taken: the processor was lost, too many are running, pause or drain.
        self.on_closed: Event[[]] = Event()
        self._intake = Intake(max_running, name, is_ready=dependency is None)
        self._dependency = dependency
        #: How to run a baton through each processor that is ready; None stands for the source's own.
        self._runs: dict[Dependency | None, Callable[[Baton], Any]] = {}
        self._walks: dict[Ticket, Walk] = {}
        self._drains: list[Deferred[None]] = []
        self._context = copy_context()
        if dependency is not None:
            self.feed(dependency)

    def feed(self, dependency: Dependency) -> None:
        """Let batons be taken for this processor as well, named with `take`."""
        dependency.on_ready += self._processor_ready
        dependency.on_lost += self._processor_lost
        if dependency.is_ready:
            self._processor_ready(dependency)

    @property
    def is_open(self) -> bool:
        """Whether a baton would be taken now."""
        return self._intake.is_open

    @property
    def running(self) -> int:
        """How many batons were taken and not settled yet."""
        return self._intake.running

    @property
    def is_drained(self) -> bool:
        return self._intake.is_drained

    # Batons

    def take(self, baton: Baton, settle: Callable[[Outcome], Any], dependency: Dependency | None = None) -> Admission:
        """Process a baton, unless there is a reason not to.

        `settle` is called once, when every branch of the graph has ended; before this returns, if no step waits.

        Raises:
            ValueError: the source has no processor of its own, and none is named.
        """
        run = self._runs.get(dependency)
        if run is None:
            if dependency is None and self._dependency is None:
                raise ValueError(f"{self.name} has no processor of its own: take() needs a dependency")
            return self._intake.refusal or Refusal.NOT_READY
        ticket = self._intake.admit()
        if not ticket:
            return ticket
        sign = current_baton.set(ticket)
        try:
            try:
                outcome = run(baton)
            except BaseException as error:
                outcome = failure_of(error)
            if not isinstance(outcome, Walk):
                self._settle(ticket, settle, outcome)
                return ticket
        finally:
            current_baton.reset(sign)
        self._walks[ticket] = outcome
        self._report()
        outcome.when_ended(lambda walk: self._ended(ticket, settle, walk))
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Stop what a baton waits for; it is settled with the failure once it has ended. Too late, it does nothing."""
        walk = self._walks.get(ticket)
        if walk is not None:
            walk.stop()

    # Pausing and draining

    def pause(self) -> None:
        """Take no batons until `resume`; what is running goes on."""
        self._intake.is_paused = True
        self._report()

    def resume(self) -> None:
        self._intake.is_paused = False
        self._report()

    def drain(self) -> Deferred[None]:
        """Take nothing more; fires when all that is running has been settled."""
        self._intake.drain()
        drained: Deferred[None] = Deferred()
        self._drains.append(drained)
        self._report()
        return drained

    def stop_running(self) -> None:
        """Cancel whatever is still running."""
        for ticket in list(self._walks):
            self.cancel(ticket)

    def reopen(self) -> None:
        """Take batons again after a drain, as a service that is started anew does."""
        self._intake.reopen()
        self._report()

    # Inner workings

    def _processor_ready(self, dependency: Dependency) -> None:
        run = _runner(dependency.get_resource(), dependency.name)
        self._runs[dependency] = run
        if dependency is self._dependency:
            self._runs[None] = run
            self._intake.is_ready = True
            self._report()

    def _processor_lost(self, dependency: Dependency, reason: object) -> None:
        self._runs.pop(dependency, None)
        if dependency is self._dependency:
            self._runs.pop(None, None)
            self._intake.is_ready = False
            self._report()

    def _ended(self, ticket: Ticket, settle: Callable[[Outcome], Any], walk: Walk) -> None:
        del self._walks[ticket]
        error = walk.exception()
        # Whoever ends a walk is in its context, which must not go on in what `settle` takes or starts next.
        outcome = walk.result() if error is None else failure_of(error)
        self._context.copy().run(self._settle_later, ticket, settle, outcome)

    def _settle_later(self, ticket: Ticket, settle: Callable[[Outcome], Any], outcome: Outcome) -> None:
        current_baton.set(ticket)
        self._settle(ticket, settle, outcome)

    def _settle(self, ticket: Ticket, settle: Callable[[Outcome], Any], outcome: Outcome) -> None:
        # Counted first: a source that takes one at a time may take the next from within `settle`.
        self._intake.settle(ticket)
        try:
            settle(outcome)
        except Exception:
            log.failure("{source} could not settle baton {number}", source=self.name, number=ticket.number)
        if self._drains or not self._intake.was_open:  # nothing else changes when there is one less
            self._report()

    def _report(self) -> None:
        """Tell of what has changed: open or closed, and drained."""
        is_open = self._intake.flipped()
        if is_open is not None:
            (self.on_open if is_open else self.on_closed)()
        if self._drains and self._intake.is_drained:
            drains, self._drains = self._drains, []
            for drained in drains:
                drained.callback(None)

    def __repr__(self) -> str:
        return f"<Source {self.name}: {self.running} running>"


class _Call(Processor):
    """A step that is any callable."""

    def __init__(self, process: Callable[[Baton], Any]) -> None:
        super().__init__()
        self.process = process  # type: ignore[method-assign, assignment] # that is its purpose


def _runner(resource: Any, name: str) -> Callable[[Baton], Any]:
    """What processes a baton at once or gives a Walk; a callable that is no pipeline becomes one of a single step."""
    if isinstance(resource, Pipeline):
        return resource.run
    step = _Call(resource)
    step.id = step.pipeline_name = name
    return Pipeline(Graph(name, [step])).run
