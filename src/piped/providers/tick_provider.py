"""Ticks: batons that are made at regular intervals, or at the moments of a cron expression."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from twisted.application.service import MultiService, Service
from twisted.python.failure import Failure

from piped import ConfigurationError, Count, ProcessorPath, Refusal, RuntimeEnvironment, Seconds, Source, provider, told
from piped.providers.tick_schedule import Cron, CronExpression, Every, Schedule, TimeZone, local_zone
from piped.resources.dependency import InstanceDependency

logger = logging.getLogger(__name__)

#: A clock that was set back by more than so many seconds lets ticks come again; less is no more than a correction.
SET_BACK = 60.0

Uniform: TypeAlias = Callable[[float, float], float]


@dataclass(frozen=True, kw_only=True)
class TickIntervalOptions:
    """One series of ticks.

    Args:
        interval: from one tick to the next; 0 for one in every turn of the reactor.
        cron: instead of an interval, when ticks are due: minute, hour, day of month, month and day of week.
        timezone: of `cron`; by default that of the machine.
        jitter: each tick comes up to so much later, at random, so that not all machines begin at the same moment.
        processor: what gets the ticks.
        auto_start: begin with the process; otherwise `start-tick-interval` does.
        enabled: exist at all.
        max_running: how many ticks may be processed at a time.
    """

    interval: Seconds | None = None
    cron: CronExpression | None = None
    timezone: TimeZone | None = None
    jitter: Seconds = 0
    processor: ProcessorPath
    auto_start: bool = True
    enabled: bool = True
    max_running: Count = 1

    def __post_init__(self) -> None:
        if self.interval is None and self.cron is None:
            raise ConfigurationError("when is a tick due?", hint="add interval: seconds, or cron: an expression")
        if self.interval is not None and self.cron is not None:
            raise ConfigurationError("interval and cron exclude each other", hint="remove one")
        if self.cron is None and self.timezone is not None:
            raise ConfigurationError("an interval has no time zone", hint="remove timezone, or write cron instead")
        if self.interval is not None and self.jitter > self.interval:
            raise ConfigurationError(f"a jitter of {self.jitter:g} s is longer than the interval", hint="make it less")


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
    """Batons at regular intervals, or at the moments of a cron expression.

    With `interval` the first one comes at once, and each further one `interval` seconds after the former, or when that
    has been processed. The seconds are those of the process: an interval stands still while the machine sleeps.

    With `cron` they come when the clock on the wall says so, also after somebody has set it. The five fields are
    minute, hour, day of month, month and day of week; of six, the first is the second. When the clocks go forward, a
    moment that is left out comes right after the gap; when they go back, one that comes twice counts the first time.
    Expressions whose minute or hour begins with `*` go on through both.

    Each baton has the `interval` or the `cron` of its series; the times `tick` and `previous_tick` in seconds since
    1970, and `delta` between the two; and `missed`.

    Ticks never pile up. While the processor is not ready, or as busy as `max_running` allows, or the machine sleeps
    through moments of `cron`, those that are due are left out, and one comes as soon as it can. How many were left out
    since the former one, it says with `missed`; of `cron`, no more than 1000 are counted.

    Resources: `ticks.interval.<name>`, with `start_ticking()` and `stop_ticking()`.

    Example:
        ticks:
            interval:
                any_name:
                    interval: 120
                    processor: processor_name
                    auto_start: true
                another_name:
                    cron: "30 4 * * MON-FRI"
                    timezone: Europe/Oslo
                    processor: another_processor_name
    """

    prefixes = ("ticks.interval.",)

    def __init__(self, uniform: Uniform = random.uniform) -> None:
        super().__init__()
        self._uniform = uniform

    @staticmethod
    def offers(options: TickOptions) -> Iterable[str]:
        return (f"ticks.interval.{name}" for name, each in _enabled(options))

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        for name, options in _enabled(runtime_environment.get_options(self)):
            interval = TickInterval(name, options, self._uniform)
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

    A tick is a baton with the `interval` or the `cron` of its series; in seconds since 1970 `tick` and `previous_tick`,
    and `delta` between the two, where the first one counts from when the series was made; and `missed`: how many
    ticks were left out since the previous one, or since the start.

    Args:
        uniform: a random number between two others.
    """

    def __init__(self, name: str, options: TickIntervalOptions, uniform: Uniform = random.uniform) -> None:
        self.setName(name)
        self.options, self._uniform = options, uniform
        self.is_ticking = False
        #: When the next tick is due, and how much later it comes.
        self._due = self._jitter = 0.0
        #: The call that makes the next tick, or looks at the clock again. While it ticks there is either one, or a
        #: tick is late.
        self._next_look: Any = None
        #: A tick was due and could not be taken; it comes as soon as the source is open.
        self._is_late = False

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._environment = runtime_environment
        self._previous = runtime_environment.wall_clock()
        self._schedule, self._now = self._scheduled()
        consumer = InstanceDependency(self, f"ticks.interval.{self.name}")
        dependency = runtime_environment.add_processor(consumer, self.options.processor)
        self.source = Source(f"ticks.interval.{self.name}", dependency, max_running=self.options.max_running)
        self.source.on_open += self._opened
        runtime_environment.sources.add(self.source)

    def _scheduled(self) -> tuple[Schedule, Callable[[], float]]:
        """When ticks are due, and by which clock."""
        environment, options = self._environment, self.options
        if options.cron is None:
            return Every(options.interval or 0), environment.reactor.seconds
        name, environ = options.timezone, environment.configuration_manager.environ
        zone = local_zone(environ) if name is None else ZoneInfo(name)
        return Cron(options.cron, zone), environment.wall_clock

    def startService(self) -> None:
        super().startService()
        self.source.reopen()
        if self.options.auto_start:
            self.start_ticking()

    def stopService(self) -> None:
        super().stopService()
        self.stop_ticking()

    def start_ticking(self) -> None:
        """Make a tick in the next turn of the reactor, or at the next moment of `cron`, and then regularly.

        Does nothing while it ticks.
        """
        if not self.is_ticking:
            self.is_ticking = True
            self._plan(self._schedule.first(self._now()))

    def stop_ticking(self) -> None:
        """Make no more ticks; those that are being processed go on."""
        self.is_ticking = self._is_late = False
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None

    def _plan(self, due: float) -> None:
        """Make the next tick when it is due, or a little later."""
        self._due, self._jitter = due, self._uniform(0, self.options.jitter)
        self._planned_at = self._now()
        self._wait()

    def _wait(self) -> None:
        left = max(self._due + self._jitter - self._now(), 0)
        self._next_look = self._environment.reactor.callLater(min(left, self._schedule.longest_wait), self._look)

    def _look(self) -> None:
        """Make a tick, if it is time for one."""
        self._next_look = None
        now = self._now()
        if now < self._planned_at - SET_BACK:  # what comes next now has been there before
            self._plan(self._schedule.first(now))
        elif now < self._due + self._jitter:
            self._wait()
        else:
            self._tick()

    def _tick(self) -> None:
        began, now = self._now(), self._environment.wall_clock()
        cron, interval = self.options.cron, self.options.interval
        baton = {
            **({"interval": interval} if cron is None else {"cron": cron}),
            "previous_tick": self._previous,
            "tick": now,
            "delta": now - self._previous,
            "missed": self._schedule.missed(self._due, began),
        }
        taken = self.source.take(baton, self._settled)
        if isinstance(taken, Refusal):
            self._is_late = True
            logger.debug("tick %s waits: %s", self.name, taken.value)
        else:
            self._previous = now
        # Its own pipeline may have stopped it meanwhile, or started it anew.
        if self.is_ticking and not self._is_late and self._next_look is None:
            self._plan(self._schedule.after(began, self._jitter))

    def _opened(self) -> None:
        if self._is_late:
            self._is_late = False
            self._next_look = self._environment.reactor.callLater(0, self._look)

    def _settled(self, outcome: list[Any] | Failure) -> None:
        if isinstance(outcome, Failure):
            logger.error("tick %s failed: %s", self.name, told(outcome.value), exc_info=outcome.value)
