"""Ticks: batons that are made at regular intervals."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.python.failure import Failure

from piped import Count, ProcessorPath, Refusal, RuntimeEnvironment, Seconds, Source, provider, told
from piped.resources.dependency import InstanceDependency

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TickIntervalOptions:
    """One series of ticks.

    Args:
        interval: from one tick to the next; 0 for one in every turn of the reactor.
        processor: what gets the ticks.
        auto_start: begin with the process; otherwise `start-tick-interval` does.
        enabled: exist at all.
        max_running: how many ticks may be processed at a time.
    """

    interval: Seconds
    processor: ProcessorPath
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

    While the processor is not ready there are no ticks; the next one comes as soon as it is.

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
        #: The call that makes the next tick. While it ticks there is either one, or a tick is late.
        self._due: Any = None
        #: A tick was due and could not be taken; it comes as soon as the source is open.
        self._is_late = False

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._environment = runtime_environment
        self._previous = runtime_environment.wall_clock()
        consumer = InstanceDependency(self, f"ticks.interval.{self.name}")
        dependency = runtime_environment.add_processor(consumer, self.options.processor)
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
        """Make a tick in the next turn of the reactor and then regularly; does nothing while it ticks."""
        if not self.is_ticking:
            self.is_ticking = True
            self._tick_in(0)

    def stop_ticking(self) -> None:
        """Make no more ticks; those that are being processed go on."""
        self.is_ticking = self._is_late = False
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _tick_in(self, seconds: float) -> None:
        self._due = self._environment.reactor.callLater(seconds, self._tick)

    def _tick(self) -> None:
        self._due = None
        reactor, interval = self._environment.reactor, self.options.interval
        began, now = reactor.seconds(), self._environment.wall_clock()
        baton = {"interval": interval, "previous_tick": self._previous, "tick": now, "delta": now - self._previous}
        taken = self.source.take(baton, self._settled)
        if isinstance(taken, Refusal):
            self._is_late = True
            logger.debug("tick %s waits: %s", self.name, taken.value)
        else:
            self._previous = now
        # Its own pipeline may have stopped it meanwhile, or started it anew.
        if self.is_ticking and not self._is_late and self._due is None:
            self._tick_in(max(interval - (reactor.seconds() - began), 0))

    def _opened(self) -> None:
        if self._is_late:
            self._is_late = False
            self._tick_in(0)

    def _settled(self, outcome: list[Any] | Failure) -> None:
        if isinstance(outcome, Failure):
            logger.error("tick %s failed: %s", self.name, told(outcome.value), exc_info=outcome.value)
