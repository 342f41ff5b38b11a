"""Happenings: what becomes of a client, told to pipelines in the order in which it happened."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from piped import Refusal, RuntimeEnvironment, Source, told
from piped.resources.dependency import InstanceDependency
from piped_zookeeper.options import EventOptions

_log = logging.getLogger("piped.zookeeper")

#: So many batons of one event are processed at a time: more than that is a connection that comes and goes.
MOST_RUNNING: Final = 10


class Happenings:
    """Tells pipelines of the events of one client.

    An event whose pipeline is not ready waits for it until the next event comes; then it is left out, so that no
    pipeline hears of them in another order.

    Args:
        name: what the configuration calls the client.
        client: what the batons have as `client`.
    """

    def __init__(self, name: str, client: Any, options: EventOptions) -> None:
        self._client, self._options = client, options
        self._called = f"zookeeper.clients.{name}.events"
        self._sources: dict[str, Source] = {}
        self._late: str | None = None

    def __bool__(self) -> bool:
        """Whether somebody wants to hear of any."""
        return any(True for _ in self._options)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        for event, processor in self._options:
            called = f"{self._called}.{event}"
            dependency = runtime_environment.add_processor(InstanceDependency(_Hook(), called), processor)
            source = self._sources[event] = Source(called, dependency, max_running=MOST_RUNNING)
            source.on_open += partial(self._opened, event)
            if event != "stopping":  # which is told when the others have been drained
                runtime_environment.sources.add(source)

    def reopen(self) -> None:
        """Tell again, after the process was stopped."""
        for source in self._sources.values():
            source.reopen()

    def tell(self, event: str) -> None:
        if self._late is not None:
            _log.warning("%s.%s is left out: its pipeline was not ready in time", self._called, self._late)
            self._late = None
        source = self._sources.get(event)
        if source is not None:
            self._try(event, source)

    def tell_stopping(self) -> Deferred[None]:
        """Tell that the process stops; fires when that has been processed, and cancelling it cancels that."""
        source = self._sources.get("stopping")
        if source is None:
            return succeed(None)
        processed: Deferred[None] = Deferred(lambda _: source.stop_running())

        def settled(outcome: list[Any] | Failure) -> None:
            _settled(f"{self._called}.stopping", outcome)
            if not processed.called:
                processed.callback(None)

        baton = {"event": "stopping", "client": self._client}
        taken = source.take(baton, settled)
        if isinstance(taken, Refusal):
            _log.warning("%s is left out: %s", source.name, taken.value)
            processed.callback(None)
        return processed

    def _try(self, event: str, source: Source) -> None:
        taken = source.take({"event": event, "client": self._client}, partial(_settled, source.name))
        if taken in (Refusal.NOT_READY, Refusal.FULL):
            self._late = event

    def _opened(self, event: str) -> None:
        if self._late == event:
            self._late = None
            self._try(event, self._sources[event])


class _Hook:
    """Stands for one wish to hear of an event among the dependencies."""


def _settled(called: str, outcome: list[Any] | Failure) -> None:
    if isinstance(outcome, Failure):
        _log.error("%s failed: %s", called, told(outcome.value), exc_info=outcome.value)
