"""System events: batons that tell pipelines of the start and the stop of the process."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
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

    startup: dict[str, ProcessorPath | dict[str, Any]] = field(default_factory=dict)
    shutdown: dict[str, ProcessorPath | dict[str, Any]] = field(default_factory=dict)


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

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._environment = runtime_environment
        options: SystemEventsOptions = runtime_environment.get_options(self)
        self._starting = self._sources("startup", options.startup)
        self._stopping = self._sources("shutdown", options.shutdown)
        for source in self._starting:
            runtime_environment.sources.add(source)
        runtime_environment.after_start += self._started
        runtime_environment.before_stop += self._stop

    def _sources(self, event: str, processors: Mapping[str, Any]) -> list[Source]:
        sources = []
        for name, processor in processors.items():
            hook = _Hook(f"system-events.{event}.{name}")
            sources.append(Source(hook.name, self._environment.add_processor(hook, processor), max_running=1))
        return sources

    def _started(self) -> None:
        for source in self._starting:
            _Once(source, {"event_type": "startup"})

    def _stop(self) -> Deferred[Any]:
        return gatherResults([self._tell_shutdown(source) for source in self._stopping], consumeErrors=True)

    def _tell_shutdown(self, source: Source) -> Deferred[None]:
        told_it: Deferred[None] = Deferred(lambda _: source.stop_running())

        def settled(outcome: list[Any] | Failure) -> None:
            _log(source, outcome)
            if not told_it.called:
                told_it.callback(None)

        taken = source.take({"event_type": "shutdown"}, settled)
        if isinstance(taken, Refusal):
            logger.warning("%s is left out: %s", source.name, taken.value)
            told_it.callback(None)
        return told_it


class _Once:
    """Gives a source one baton, as soon as it takes it."""

    def __init__(self, source: Source, baton: Any) -> None:
        self.source, self.baton = source, baton
        if source.is_open:
            self._take()
        else:
            source.on_open += self._take

    def _take(self) -> None:
        if self._take in self.source.on_open:
            self.source.on_open -= self._take
        self.source.take(self.baton, lambda outcome: _log(self.source, outcome))


def _log(source: Source, outcome: list[Any] | Failure) -> None:
    if isinstance(outcome, Failure):
        logger.error("%s failed: %s", source.name, told(outcome.value), exc_info=outcome.value)
