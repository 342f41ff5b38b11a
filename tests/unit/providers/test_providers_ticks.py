"""Tests of ticks."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from providers_stage import Needy, Offer, assembled, fail, recorder, resource
from twisted.internet.task import Clock

from piped import ConfigurationError, ProcessorPath, RuntimeEnvironment, processor
from piped.providers.tick_provider import TickInterval, TickIntervalOptions
from piped.providers.tick_schedule import CronExpression, TimeZone
from piped.runtime.draining import drain
from piped.testing import Stage


class Ticking:
    """A site with the ticks of the interval `often`, and the batons that its pipeline recorded."""

    def __init__(
        self,
        options: str = "interval: 10",
        steps: str = "record",
        *plugins: Callable[..., Any],
        above: str = "",
        **offers: Offer,
    ) -> None:
        record, self.batons = recorder()
        self.clock, self.wall = Clock(), Clock()
        self.wall.advance(1_000_000)
        text = (
            f"ticks: {{{above}interval: {{often: {{{options}, processor: main}}}}}}\npipelines: {{main: [{steps}]}}\n"
        )
        into = RuntimeEnvironment(reactor=self.clock, wall_clock=self.wall_clock)
        self.environment = assembled(text, record, fail, Needy, *plugins, offers=offers, into=into)

    def wall_clock(self) -> float:
        return self.wall.seconds()

    def start(self) -> None:
        self.environment.application.startService()
        self.clock.advance(0)

    def advance(self, *seconds: float) -> list[int]:
        """How many ticks there have been after each of so many seconds."""
        counts = []
        for each in seconds:
            self.clock.advance(each)
            counts.append(len(self.batons))
        return counts

    @property
    def interval(self) -> TickInterval:
        interval: TickInterval = resource(self.environment, "ticks.interval.often")
        return interval


class OnTheWall(Ticking):
    """The same on a second of June at 12:00 UTC; the clock on the wall goes like the other until somebody sets it."""

    NOON = 1_780_401_600
    #: By how much it was set forward.
    set_by = 0.0

    def wall_clock(self) -> float:
        return self.NOON + self.set_by + self.clock.seconds()

    def go_on(self, *seconds: float) -> list[int]:
        """How many ticks there have been after each of so many seconds, in which all timers come in time."""
        counts = []
        for each in seconds:
            end = self.clock.seconds() + each
            while self.clock.seconds() < end:
                [*timers] = self.clock.getDelayedCalls()
                self.clock.advance(min([end, *(timer.getTime() for timer in timers)]) - self.clock.seconds())
            counts.append(len(self.batons))
        return counts

    @property
    def times(self) -> list[str]:
        """The time of each tick in UTC."""
        return [datetime.fromtimestamp(baton["tick"], UTC).strftime("%d %H:%M:%S") for baton in self.batons]


EVERY_QUARTER = 'cron: "*/15 * * * *", timezone: UTC'


def test_ticks_come_at_once_and_then_at_the_interval() -> None:
    """The first one when the process starts, the next one `interval` seconds after the former."""
    site = Ticking()
    site.clock.advance(60)
    assert site.batons == []
    site.start()
    assert len(site.batons) == 1
    assert site.advance(9.9, 0.1, 10, 9, 1) == [1, 2, 3, 3, 4]


def test_a_tick_knows_the_time() -> None:
    """Seconds since 1970 by the clock on the wall; the first one counts from when the interval was made."""
    site = Ticking()
    site.wall.advance(2)
    site.start()
    site.wall.advance(10.5)
    site.advance(10)
    assert site.batons == [
        {"interval": 10, "previous_tick": 1_000_000, "tick": 1_000_002, "delta": 2, "missed": 0},
        {"interval": 10, "previous_tick": 1_000_002, "tick": 1_000_012.5, "delta": 10.5, "missed": 0},
    ]


def test_the_interval_counts_from_the_creation_of_a_tick() -> None:
    """Processing that is shorter than the interval does not delay the next tick."""
    site = Ticking(steps="record, wait: {delay: 7}")
    site.start()
    assert site.advance(7, 2.9, 0.1, 10) == [1, 1, 2, 3]


def test_a_step_that_blocks_does_not_shift_the_ticks() -> None:
    """The time that is spent before the pipeline waits for anything counts as well."""

    @processor("block")
    def block(baton: Any) -> None:
        site.clock.rightNow += 3

    site = Ticking("interval: 10", "record, block", block)
    site.start()
    assert site.advance(6.9, 0.1) == [1, 2]


def test_processing_that_takes_longer_delays_the_next_tick() -> None:
    """One at a time: the next tick comes when the former has been processed, and there is no queue of missed ones."""
    site = Ticking(steps="record, wait: {delay: 25}")
    site.start()
    assert site.advance(10, 10, 4.9) == [1, 1, 1]
    assert site.advance(0.1, 0, 24.9) == [2, 2, 2]
    assert site.advance(0.1, 0) == [3, 3]


def test_several_ticks_may_be_processed_at_a_time() -> None:
    """With max_running: 2 a slow tick does not delay the next one, two do."""
    site = Ticking("interval: 10, max_running: 2", "record, wait: {delay: 25}")
    site.start()
    assert site.advance(10, 10) == [2, 2]
    assert site.advance(5) == [3]  # 25: the first has ended
    assert site.advance(9, 1, 9, 1) == [3, 4, 4, 4]  # 35: the second has; 45: two are running
    assert site.advance(5) == [5]


def test_an_interval_of_0_ticks_in_every_turn() -> None:
    """As often as the reactor can; here until it has been enough."""
    batons = []

    @processor("enough")
    def enough(baton: Any) -> None:
        batons.append(baton)
        if len(batons) == 10:
            site.interval.stop_ticking()

    site = Ticking("interval: 0", "enough", enough)
    site.start()
    assert len(batons) == 10


def test_stop_and_start_while_it_sleeps() -> None:
    """A restart gives a tick at once, and one series of ticks, not two."""
    site = Ticking()
    site.start()
    site.advance(4)
    site.interval.stop_ticking()
    assert site.advance(30) == [1]
    site.interval.start_ticking()
    site.interval.start_ticking()
    assert site.advance(0, 9, 1, 10) == [2, 2, 3, 4]


def test_stop_and_start_while_it_processes() -> None:
    """A restart waits for the tick that is being processed, and there is one series of ticks, not two."""
    site = Ticking(steps="record, wait: {delay: 5}")
    site.start()
    site.interval.stop_ticking()
    site.interval.start_ticking()
    assert site.advance(0, 4.9, 0.1, 0) == [1, 1, 2, 2]
    assert site.advance(9.9, 0.1, 10) == [2, 3, 4]


def test_stop_while_it_processes() -> None:
    """What is being processed goes on; no tick follows."""
    ended = []

    @processor("end")
    def end(baton: Any) -> None:
        ended.append(baton)

    site = Ticking("interval: 1", "record, wait: {delay: 5}, end", end)
    site.start()
    site.advance(2)
    site.interval.stop_ticking()
    assert site.advance(10) == [1]
    assert len(ended) == 1


@pytest.mark.parametrize("max_running", [1, 2])
def test_a_tick_may_restart_its_own_interval(max_running: int) -> None:
    """A pipeline that stops and starts the interval it is fed by leaves one series of ticks."""

    @processor("restart")
    def restart(baton: Any) -> None:
        if len(site.batons) < 3:
            site.interval.stop_ticking()
            site.interval.start_ticking()

    site = Ticking(f"interval: 10, max_running: {max_running}", "record, restart", restart)
    site.start()
    assert site.advance(0, 9.9, 0.1, 10) == [3, 3, 4, 5]
    assert len(site.clock.getDelayedCalls()) == 1


def test_auto_start_false_waits_to_be_started() -> None:
    """The resource, or `start-tick-interval`, lets it begin."""
    site = Ticking("interval: 10, auto_start: false")
    site.start()
    assert site.advance(100) == [0]
    site.interval.start_ticking()
    assert site.advance(0, 10) == [1, 2]


def test_the_steps_start_and_stop_an_interval() -> None:
    """`start-tick-interval` and `stop-tick-interval` find it by its name, also one with dots."""
    record, batons = recorder()
    text = """
        ticks: {interval: {a.b: {interval: 10, processor: tick, auto_start: false}}}
        pipelines:
            tick: [record, stop-tick-interval: {interval: a.b}]
            go: [start-tick-interval: {interval: a.b}]
    """
    site = assembled(text, record)
    site.application.startService()
    assert resource(site, "pipeline.go")("baton").result == ["baton"]
    for _ in range(3):
        site.reactor.advance(10)
    assert len(batons) == 1


@pytest.mark.parametrize(
    ("options", "above"), [("interval: 10, enabled: false", ""), ("interval: 10", "enabled: false, ")]
)
def test_what_is_disabled_does_not_exist(options: str, above: str) -> None:
    """One interval, or all, can be switched off: no ticks, and no resource."""
    site = Ticking(options, above=above)
    site.start()
    assert site.advance(100) == [0]
    assert "ticks.interval.often" not in site.environment.resource_manager.get_registered_resources()


def test_an_interval_that_is_disabled_cannot_be_started() -> None:
    """Who names it is told at the start."""
    text = """
        ticks: {enabled: false, interval: {a: {interval: 1, processor: go}}}
        pipelines: {go: [start-tick-interval: {interval: a}]}
    """
    with pytest.raises(ConfigurationError, match=r"there is no 'ticks\.interval\.a'"):
        assembled(text)


def test_there_are_no_ticks_while_the_processor_is_not_ready() -> None:
    """The first one waits; later ones are left out without so much as a timer, and one comes when it is back."""
    outside = Offer()
    site = Ticking("interval: 10", "record, needy", outside=outside)
    site.start()
    assert site.advance(35) == [0]
    [(waits, _)] = site.environment.dependency_manager.waiting()
    assert waits == "ticks.interval.often"
    outside.deliver("it")
    assert site.advance(0, 10) == [1, 2]
    outside.lose()
    assert site.advance(100) == [2]
    assert not site.clock.getDelayedCalls()
    outside.deliver("it")
    assert site.advance(0, 9.9, 0.1) == [3, 3, 4]


def test_a_processor_that_was_away_between_two_ticks_costs_none() -> None:
    """Only a tick that is due is left out."""
    outside = Offer("it")
    site = Ticking("interval: 10", "record, needy", outside=outside)
    site.start()
    site.advance(4)
    outside.lose()
    outside.deliver("it")
    assert site.advance(0, 5.9, 0.1) == [1, 1, 2]


def test_a_failure_is_logged_once_and_ticking_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """Each failing tick is one line with the traceback; the next tick comes as if nothing had happened."""
    site = Ticking(steps="record, fail")
    site.start()
    assert site.advance(10) == [2]
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 2
    assert (
        lines[0]
        .getMessage()
        .startswith("tick often failed: ValueError: this step fails (in pipeline main, step fail-1")
    )
    assert lines[0].exc_info


def test_ticks_stop_with_the_process_and_start_with_it() -> None:
    """A stop leaves no timer behind; a new start ticks at once."""
    site = Ticking()
    site.start()
    site.environment.application.stopService()
    assert not site.clock.getDelayedCalls()
    assert site.advance(100) == [1]
    site.start()
    assert site.advance(0, 10) == [2, 3]


def test_a_stop_waits_for_the_tick_that_is_processed() -> None:
    """While the process drains, no tick is made; what was made is processed to its end."""
    site = Ticking(steps="record, wait: {delay: 15}")
    site.start()
    drained = drain(site.environment.sources, 60, site.clock)
    assert site.advance(14) == [1]
    assert not drained.called
    assert site.advance(1, 0) == [1, 1]
    assert drained.called
    site.environment.application.stopService()
    site.start()
    assert len(site.batons) == 2


# What was missed


def missed(site: Ticking) -> list[int]:
    return [baton["missed"] for baton in site.batons]


def test_a_tick_says_how_many_were_missed_by_a_busy_processor() -> None:
    """Of three that were due during 35 seconds one comes late, and the other two are counted."""
    site = Ticking(steps="record, wait: {delay: 35}")
    site.start()
    site.advance(10, 25, 0, 35, 0)
    assert missed(site) == [0, 2, 2]


def test_a_tick_says_how_many_were_missed_while_the_processor_was_away() -> None:
    """Also the first one, from the start on; what comes in time afterwards missed nothing."""
    outside = Offer()
    site = Ticking("interval: 10", "record, needy", outside=outside)
    site.start()
    site.advance(35)
    outside.deliver("it")
    site.advance(0, 10)
    outside.lose()
    site.advance(15)
    outside.deliver("it")
    site.advance(0)
    assert missed(site) == [3, 0, 0]


def test_a_tick_says_how_many_were_missed_by_a_blocked_process() -> None:
    """When the timer itself comes too late."""
    site = Ticking()
    site.start()
    site.advance(30)
    assert missed(site) == [0, 2]


def test_nothing_is_missed_while_an_interval_is_stopped() -> None:
    """What nobody asked for is not left out; nor is there anything to count in every turn of the reactor."""
    site = Ticking()
    site.start()
    site.interval.stop_ticking()
    site.advance(100)
    site.interval.start_ticking()
    site.advance(0)
    assert missed(site) == [0, 0]

    @processor("halt")
    def halt(baton: Any) -> None:
        every_turn.interval.stop_ticking()

    outside = Offer()
    every_turn = Ticking("interval: 0", "record, needy, halt", halt, outside=outside)
    every_turn.start()
    every_turn.advance(100)
    outside.deliver("it")
    every_turn.advance(0)
    assert missed(every_turn) == [0]


# Jitter


def spread(site: Ticking, delays: list[float], **options: Any) -> list[tuple[float, float]]:
    """Start a series whose jitter is no matter of chance; gives what chance was asked for."""
    asked = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return delays[len(asked) - 1]

    interval = TickInterval("spread", TickIntervalOptions(processor=ProcessorPath("pipeline.main"), **options), uniform)
    interval.configure(site.environment)
    site.environment.dependency_manager.resolve_initial_states()
    interval.startService()
    return asked


def test_jitter_delays_cron_ticks() -> None:
    """One tick for each moment; a delay that goes beyond the next moment costs that one, and tells so."""
    site = OnTheWall("interval: 100, enabled: false")
    every_quarter = {"cron": CronExpression("*/15 * * * *"), "timezone": TimeZone("UTC")}
    spread(site, [0.1, 600, 1000, 0, 0], jitter=1000, **every_quarter)
    site.go_on(2 * 3600 - 2701)
    assert site.times == ["02 12:15:00", "02 12:40:00", "02 13:01:40"]
    assert missed(site) == [0, 0, 1]


def test_jitter_delays_each_tick_and_does_not_add_up() -> None:
    """The first one too, at random up to the jitter; the next one is due an interval after the former was due."""
    site = Ticking("interval: 100, enabled: false")
    asked = spread(site, [5, 0, 20, 0, 0], interval=100, jitter=30)
    assert site.advance(4, 1, 94, 1, 119, 1, 79, 1) == [0, 1, 1, 2, 2, 3, 3, 4]
    assert set(asked) == {(0, 30)}
    assert missed(site) == [0, 0, 0, 0]


def test_without_a_random_source_jitter_is_random() -> None:
    """Two processes do not tick at the same moment."""
    moments = set()
    for _ in range(5):
        site = Ticking("interval: 1000, jitter: 1000")
        site.start()
        [due] = site.clock.getDelayedCalls()
        moments.add(due.getTime())
    assert len(moments) > 1
    assert all(0 <= moment <= 1000 for moment in moments)


# Cron


def test_cron_ticks_come_when_the_clock_on_the_wall_says() -> None:
    """Not at the start, but at each moment of the expression, to the second."""
    site = OnTheWall(EVERY_QUARTER)
    site.start()
    assert site.go_on(899, 1, 899, 1, 3600) == [0, 1, 1, 2, 6]
    assert site.times[:3] == ["02 12:15:00", "02 12:30:00", "02 12:45:00"]
    noon = OnTheWall.NOON
    first = {"cron": "*/15 * * * *", "previous_tick": noon, "tick": noon + 900, "delta": 900, "missed": 0}
    assert site.batons[0] == first


def test_cron_may_have_seconds() -> None:
    """Six fields begin with the second."""
    site = OnTheWall('cron: "*/20 * * * * *", timezone: UTC')
    site.start()
    site.go_on(60)
    assert site.times == ["02 12:00:20", "02 12:00:40", "02 12:01:00"]


def test_cron_means_the_time_of_its_zone() -> None:
    """Half past four in New York is half past eight in UTC, in summer."""
    site = OnTheWall('cron: "30 4 * * *", timezone: America/New_York')
    site.start()
    site.go_on(86400)
    assert site.times == ["03 08:30:00"]


def test_cron_means_the_time_of_the_machine_unless_a_zone_is_named() -> None:
    """What TZ says, as for every program."""
    record, batons = recorder()
    text = 'ticks: {interval: {a: {cron: "0 14 * * *", processor: main}}}\npipelines: {main: [record]}'
    clock = Clock()
    clock.advance(OnTheWall.NOON - 60)
    into = RuntimeEnvironment(reactor=clock, wall_clock=clock.seconds)
    assembled(text, record, into=into, environ={"TZ": "Europe/Oslo"}).application.startService()
    clock.advance(60)
    assert len(batons) == 1


def test_a_machine_that_sleeps_gets_one_tick_and_is_told_of_the_others() -> None:
    """Within a minute after it wakes up, as does one whose clock is set forward."""
    site = OnTheWall(EVERY_QUARTER)
    site.start()
    site.go_on(600)
    site.set_by = 3600
    assert site.go_on(60) == [1]
    assert missed(site) == [3]  # 12:15 comes late; 12:30, 12:45 and 13:00 do not come
    assert site.go_on(180, 60) == [1, 2]
    assert missed(site) == [3, 0]
    assert site.times[-1] == "02 13:15:00"


def test_a_clock_that_is_set_back_makes_moments_due_again() -> None:
    """Within a minute the next tick is planned anew; a correction of some seconds makes none come twice."""
    site = OnTheWall('cron: "0 * * * *", timezone: UTC')
    site.start()
    site.go_on(3600)
    site.set_by = -2.0
    assert site.go_on(60) == [1]
    site.set_by = -2 * 3600
    assert site.go_on(3599 - 60, 1) == [1, 2]
    assert site.times == ["02 13:00:00", "02 12:00:00"]
    assert missed(site) == [0, 0]


def test_a_correction_of_the_clock_lets_no_moment_come_twice() -> None:
    """Though it is a little earlier now than when the next tick was planned."""
    site = OnTheWall('cron: "*/20 * * * * *", timezone: UTC')
    site.start()
    site.go_on(20)
    site.set_by = -30
    site.go_on(60)
    assert site.times == ["02 12:00:20", "02 12:00:40"]


def test_a_cron_tick_that_could_not_be_taken_comes_as_soon_as_it_can() -> None:
    """Once, and it tells how many it stands for; no timer is needed meanwhile."""
    outside = Offer()
    site = OnTheWall(EVERY_QUARTER, "record, needy", outside=outside)
    site.start()
    site.go_on(900)
    assert not site.clock.getDelayedCalls()
    site.clock.advance(2000)
    outside.deliver("it")
    assert site.go_on(1, 698, 1) == [1, 1, 2]
    assert missed(site) == [2, 0]


def test_cron_ticks_can_be_stopped_and_started() -> None:
    """A stop leaves no timer; a start waits for the next moment, and missed nothing."""
    site = OnTheWall(EVERY_QUARTER)
    site.start()
    site.go_on(60)
    site.interval.stop_ticking()
    assert not site.clock.getDelayedCalls()
    site.clock.advance(3600)
    site.interval.start_ticking()
    assert site.go_on(839, 1) == [0, 1]
    assert missed(site) == [0]


def test_the_example_can_run() -> None:
    """What `examples/ticks.yaml` shows is a configuration; its slow ticks are left out instead of piling up."""
    example = Path(__file__).parents[3] / "examples" / "ticks.yaml"
    stage = Stage(example.read_text())
    stage.environment.application.startService()
    slow = stage.get("ticks.interval.slow")
    stage.clock.advance(0)
    stage.clock.pump([1] * 13)
    assert slow.source.running == 1
    assert slow.is_ticking


def test_nobody_who_needs_no_cron_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it intervals tick; a cron expression is told how to get it."""
    monkeypatch.setitem(sys.modules, "cronsim", None)
    site = Ticking()
    site.start()
    assert len(site.batons) == 1
    with pytest.raises(ConfigurationError) as raised:
        Ticking(EVERY_QUARTER)
    told = "site.yml:1:34: a cron expression needs the package cronsim – pip install 'piped[cron]'"
    assert [str(problem) for problem in raised.value.problems] == [told]


def test_the_processor_may_be_a_mapping() -> None:
    """`{provider: …}` means the same; one without a provider is told where it is written."""
    record, batons = recorder()
    text = "ticks: {interval: {a: {interval: 1, processor: {provider: main}}}}\npipelines: {main: [record]}"
    site = assembled(text, record)
    site.application.startService()
    site.reactor.advance(0)
    assert len(batons) == 1
    with pytest.raises(ConfigurationError, match=r"site\.yml:1:37: .*ticks\.interval\.a needs the option 'provider'"):
        assembled(text.replace("provider", "provder"), record)


def test_mistakes_in_the_options_are_told() -> None:
    """A wrong number, no or two schedules, what does not go together: each at its place, and all at once."""
    text = """
        ticks:
            interval:
                a: {interval: -1, processor: main}
                b: {interval: 1, processor: main, max_running: 0}
                c: {processor: main}
                d: {interval: 1, cron: "* * * * *", processor: main}
                e: {interval: 1, timezone: UTC, processor: main}
                f: {interval: 1, jitter: 1.5, processor: main}
                g: {cron: "* * * * *", timezone: Europe/Olso, processor: main}
        pipelines: {main: [passthrough]}
    """
    with pytest.raises(ConfigurationError) as raised:
        assembled(text)
    assert [str(problem) for problem in raised.value.problems] == [
        "site.yml:4:23: option 'interval' of ticks.interval.a must be a number of at least 0 (s), not -1",
        "site.yml:5:56: option 'max_running' of ticks.interval.b must be a number of at least 1, not 0",
        "site.yml:6:9: ticks.interval.c: when is a tick due? – add interval: seconds, or cron: an expression",
        "site.yml:7:9: ticks.interval.d: interval and cron exclude each other – remove one",
        "site.yml:8:9: ticks.interval.e: an interval has no time zone – remove timezone, or write cron instead",
        "site.yml:9:9: ticks.interval.f: a jitter of 1.5 s is longer than the interval – make it less",
        "site.yml:10:42: timezone must be the name of a time zone, such as Europe/Oslo, not 'Europe/Olso'"
        " – did you mean 'Europe/Oslo'?",
    ]
