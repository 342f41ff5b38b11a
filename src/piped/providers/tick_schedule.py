"""Schedules of ticks: when the next one is due, and how many were missed; they know no clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo, available_timezones

from piped import ConfigurationError, Problem, did_you_mean

if TYPE_CHECKING:
    from piped.config.nodes import Node
    from piped.spec.checking import Checker

#: More moments of cron are not counted as missed: after a year of sleep a machine must not be busy with counting.
MOST_MISSED = 1000
#: What ZoneInfo raises for a name that is no time zone's: a wrong path, a folder, nothing.
_NO_ZONE = (ValueError, OSError, KeyError)


class Schedule(Protocol):
    """When ticks are due; all moments are seconds of the same clock."""

    #: How many seconds may pass until the clock is looked at again, as somebody may set it.
    longest_wait: float

    def first(self, now: float) -> float:
        """When the first tick is due, after a start at `now`."""
        ...

    def after(self, tick: float, jitter: float) -> float:
        """When the next tick is due, after one that came at `tick`, which was so much later than it was due."""
        ...

    def missed(self, due: float, now: float) -> int:
        """How many more were due since the one at `due`, until `now`."""
        ...


@dataclass(frozen=True)
class Every:
    """A tick at once, and then one every `interval` seconds."""

    interval: float
    longest_wait = float("inf")

    def first(self, now: float) -> float:
        return now

    def after(self, tick: float, jitter: float) -> float:
        return tick - jitter + self.interval

    def missed(self, due: float, now: float) -> int:
        return int((now - due) // self.interval) if self.interval else 0


@dataclass(frozen=True)
class Cron:
    """Ticks at the moments of a cron expression in a time zone, in seconds since 1970.

    A moment that does not exist as the clocks go forward comes right after the gap; one that exists twice as they go
    back comes the first time only. What recurs within the hour, as minute or hour begin with `*`, goes on through both.

    Source: cron(8) of Debian, on daylight saving time.
    """

    expression: str
    zone: tzinfo
    longest_wait = 60.0

    def first(self, now: float) -> float:
        return next(self._after(now))

    def after(self, tick: float, jitter: float) -> float:
        return self.first(tick)

    def missed(self, due: float, now: float) -> int:
        count = 0
        for moment in self._after(due):
            if moment > now or count == MOST_MISSED:
                break
            count += 1
        return count

    def _after(self, moment: float) -> Iterator[float]:
        from cronsim import CronSim  # in an extra: needed, and imported, only where there is a cron expression

        begin = datetime.fromtimestamp(moment, self.zone)
        if not self._recurs:
            # By the clock on the wall alone; cronsim's own care for its changes ends where there are seconds.
            begin = begin.replace(tzinfo=None)
        for found in CronSim(self.expression, begin):
            seconds = (found if self._recurs else self._shown(found)).timestamp()
            # Moments in a gap are all the same one; in the second of two equal hours it begins with those of the first.
            if seconds > moment:
                yield seconds
                moment = seconds

    @property
    def _recurs(self) -> bool:
        minute, hour = self.expression.split()[-5:-3]
        return minute.startswith("*") or hour.startswith("*")

    def _shown(self, time: datetime) -> datetime:
        """When the clock on the wall first shows a time; one that it leaves out, as soon as it goes on."""
        shown = time.replace(tzinfo=self.zone)
        while shown != shown.astimezone(UTC).astimezone(self.zone):
            time = time.replace(second=0) + timedelta(minutes=1)
            shown = time.replace(tzinfo=self.zone)
        return shown


class CronExpression(str):
    """A cron expression: minute, hour, day of month, month and day of week; with six fields, seconds come first."""

    __shape__ = str

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> CronExpression | None:
        text = checker.value(str, node, owner="cron")
        if text is None:
            return None
        try:
            from cronsim import CronSim, CronSimError  # as above
        except ImportError:
            what = "a cron expression needs the package cronsim"
            checker.problems.append(Problem(what, node.where, "pip install 'piped[cron]'"))
            return None
        fix = "write minute, hour, day of month, month and day of week, such as '30 4 * * MON-FRI'"
        try:
            if next(CronSim(text, datetime(2000, 1, 1)), None) is not None:
                return cls(text)
            why = "there is no such day"
        except CronSimError as error:
            why = str(error)
        checker.problems.append(Problem(f"{text!r} is no cron expression: {why}", node.where, fix))
        return None


class TimeZone(str):
    """The name of a time zone: `Europe/Oslo`, `UTC`."""

    __shape__ = str

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> TimeZone | None:
        text = checker.value(str, node, owner="timezone")
        if text is None:
            return None
        try:
            ZoneInfo(text)
        except _NO_ZONE:
            known = available_timezones()
            fix = did_you_mean(text, known) if known else "this machine knows none: pip install tzdata"
            checker.refuse("timezone", "the name of a time zone, such as Europe/Oslo", node, fix)
            return None
        return cls(text)


def local_zone(environ: Mapping[str, str], file: str = "/etc/localtime") -> tzinfo:
    """The time zone of the machine, with its daylight saving time: what TZ names, else what `file` holds, else UTC.

    Raises:
        ConfigurationError: TZ is no name of a time zone, or the file holds none.
    """
    hint = "name the time zone with the option timezone"
    if name := environ.get("TZ", "").removeprefix(":"):
        try:
            return ZoneInfo(name)
        except _NO_ZONE as error:
            raise ConfigurationError(f"TZ={name} is no name of a time zone", hint=hint) from error
    try:
        with open(file, "rb") as opened:
            return ZoneInfo.from_file(opened, key="local")
    except FileNotFoundError:  # as the C library has it
        return ZoneInfo("UTC")
    except _NO_ZONE as error:
        raise ConfigurationError(f"{file} holds no time zone", detail=str(error), hint=hint) from error
