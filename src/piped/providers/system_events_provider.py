"""System events: batons that tell pipelines of the start and the stop of the process."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from piped import ProcessorPath, Refusal, RuntimeEnvironment, Source, provider, told

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SystemEventsOptions:
    """What is told of the events of the process.

    Args:
        startup: processors by a name of your choice; each gets one baton as soon as it is ready.
        shutdown: processors that get a baton when the process is asked to stop, and may take until the deadline.
    """

    startup: dict[str, ProcessorPath] = field(default_factory=dict)
    shutdown: dict[str, ProcessorPath] = field(default_factory=dict)


@dataclass(frozen=True)
class _Hook:
    """Stands for one processor's wish among the dependencies, where messages call it by this name."""

    name: str


@provider("system-events", SystemEventsOptions)
class SystemEventsProvider:
    """Batons `{event_type: startup}` and `{event_type: shutdown}` for the processors that want to hear of it.

    The shutdown is told when nothing else is running any more, and before connections are closed.

    Example:
        system-events:
            startup:
                logical_name: processor_name
            shutdown:
                logical_name: another_processor_name
    """

    prefixes = ()

    @staticmethod
    def offers(options: SystemEventsOptions) -> Iterable[str]:
        return ()

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._environment = runtime_environment
        options: SystemEventsOptions = runtime_environment.get_options(self)
        self._starting = self._sources("startup", options.startup)
        self._stopping = self._sources("shutdown", options.shutdown)
        for source in self._starting:
            runtime_environment.sources.add(source)
        runtime_environment.after_start += self._started

    def _sources(self, event: str, processors: Mapping[str, ProcessorPath]) -> list[Source]:
        sources = []
        for name, processor in processors.items():
            hook = _Hook(f"system-events.{event}.{name}")
            sources.append(Source(hook.name, self._environment.add_processor(hook, processor), max_running=1))
        return sources

    def _started(self) -> None:
        # Only now: of a start that failed no stop is told.
        self._environment.before_stop += self._stop
        for source in self._starting:
            _Startup(source)

    def _stop(self) -> Deferred[Any]:
        return gatherResults([_tell_shutdown(source) for source in self._stopping], consumeErrors=True)


class _Startup:
    """Gives a source the one baton that tells of the start, as soon as it takes it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        source.on_open += self.tell
        if source.is_open:
            self.tell()

    def tell(self) -> None:
        # Left before the baton is taken: to have settled it opens the source again.
        self.source.on_open -= self.tell
        if not self.source.take({"event_type": "startup"}, partial(_log, self.source)):
            self.source.on_open += self.tell


def _tell_shutdown(source: Source) -> Deferred[None]:
    """Fires when the shutdown was processed; cancelling it cancels that."""
    processed: Deferred[None] = Deferred(lambda _: source.stop_running())

    def settled(outcome: list[Any] | Failure) -> None:
        _log(source, outcome)
        if not processed.called:
            processed.callback(None)

    taken = source.take({"event_type": "shutdown"}, settled)
    if isinstance(taken, Refusal):
        logger.warning("%s is left out: %s", source.name, taken.value)
        processed.callback(None)
    return processed


def _log(source: Source, outcome: list[Any] | Failure) -> None:
    if isinstance(outcome, Failure):
        logger.error("%s failed: %s", source.name, told(outcome.value), exc_info=outcome.value)
