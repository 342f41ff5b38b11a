"""Ticks: batons that are made at regular intervals."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.python.failure import Failure

from piped import Count, ProcessorPath, Refusal, RuntimeEnvironment, Seconds, Source, provider, told

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TickIntervalOptions:
    """One series of ticks.

    Args:
        interval: from one tick to the next; 0 for one in every turn of the reactor.
        processor: what gets the ticks.
        auto_start: begin with the process; otherwise `start-tick-interval` does.
        enabled: exist at all.
        max_running: how many ticks may be processed at a time; one that is due then comes as soon as one has ended.
    """

    interval: Seconds
    processor: ProcessorPath | dict[str, Any]
    auto_start: bool = True
    enabled: bool = True
    max_running: Count = 1


@dataclass(frozen=True)
class TickOptions:
    """The ticks of a process.

    Args:
        interval: each series of ticks by its name.
        enabled: whether there are any.
    """

    interval: dict[str, TickIntervalOptions] = field(default_factory=dict)
    enabled: bool = True


@provider("ticks", TickOptions)
class TickProvider(MultiService):
    """Batons at regular intervals: each comes `interval` seconds after the former, or when that has been processed.

    A tick that is due while its processor is not ready is left out.

    Resources: `ticks.interval.<name>`, with `start_ticking()` and `stop_ticking()`.

    Example:
        ticks:
            interval:
                any_name:
                    interval: 120
                    processor: processor_name
                    auto_start: true
    """

    prefixes = ("ticks.interval.",)

    @staticmethod
    def offers(options: TickOptions) -> Iterable[str]:
        return (f"ticks.interval.{name}" for name, each in _enabled(options))

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        for name, options in _enabled(runtime_environment.get_options(self)):
            interval = TickInterval(name, options)
            interval.configure(runtime_environment)
            interval.setServiceParent(self)
            runtime_environment.resource_manager.register(f"ticks.interval.{name}", self)
        self.setServiceParent(runtime_environment.application)

    def add_consumer(self, resource_dependency: Any) -> None:
        name = resource_dependency.provider.removeprefix("ticks.interval.")
        resource_dependency.on_resource_ready(self.getServiceNamed(name))


def _enabled(options: TickOptions) -> list[tuple[str, TickIntervalOptions]]:
    return [(name, each) for name, each in options.interval.items() if options.enabled and each.enabled]


class TickInterval(Service):
    """One series of ticks.

    A tick is a baton with `interval`, and in seconds since 1970 `tick` and `previous_tick`, and `delta` between the
    two; the first one counts from when the series was made.
    """

    def __init__(self, name: str, options: TickIntervalOptions) -> None:
        self.setName(name)
        self.options = options
        self.is_ticking = False
        self._due: Any = None
        #: A tick is due and could not be taken, because others are running or none was ever taken.
        self._is_late = False
        self._was_taken = False

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._environment = runtime_environment
        self._previous = runtime_environment.wall_clock()
        dependency = runtime_environment.add_processor(self, self.options.processor)
        self.source = Source(f"ticks.interval.{self.name}", dependency, max_running=self.options.max_running)
        self.source.on_open += self._opened
        runtime_environment.sources.add(self.source)

    def startService(self) -> None:
        super().startService()
        self.source.reopen()
        if self.options.auto_start:
            self.start_ticking()

    def stopService(self) -> None:
        super().stopService()
        self.stop_ticking()

    def start_ticking(self) -> None:
        """Make a tick now and then regularly; does nothing while it ticks."""
        if not self.is_ticking:
            self.is_ticking = True
            self._tick()

    def stop_ticking(self) -> None:
        """Make no more ticks; those that are being processed go on."""
        self.is_ticking = self._is_late = False
        if self._due is not None and self._due.active():
            self._due.cancel()

    def _tick(self) -> None:
        reactor, started = self._environment.reactor, self._environment.reactor.seconds()
        now = self._environment.wall_clock()
        interval = self.options.interval
        baton = {"interval": interval, "previous_tick": self._previous, "tick": now, "delta": now - self._previous}
        taken = self.source.take(baton, self._settled)
        if taken:
            self._previous, self._was_taken, self._is_late = now, True, False
        elif taken is Refusal.DRAINING:
            return
        else:
            self._is_late = taken is Refusal.FULL or not self._was_taken
            logger.debug("tick %s is not taken: %s", self.name, taken)
        if self.is_ticking and not self._is_late:
            self._due = reactor.callLater(max(interval - (reactor.seconds() - started), 0), self._tick)

    def _opened(self) -> None:
        if self.is_ticking and self._is_late:
            self._is_late = False
            self._due = self._environment.reactor.callLater(0, self._tick)

    def _settled(self, outcome: list[Any] | Failure) -> None:
        if isinstance(outcome, Failure):
            logger.error("tick %s failed: %s", self.name, told(outcome.value), exc_info=outcome.value)
