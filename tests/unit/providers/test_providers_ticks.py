"""Tests of ticks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from providers_stage import Needy, Offer, assembled, fail, recorder, resource
from twisted.internet.task import Clock

from piped import ConfigurationError, RuntimeEnvironment, processor
from piped.providers.tick_provider import TickInterval
from piped.runtime.draining import drain


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
        into = RuntimeEnvironment(reactor=self.clock, wall_clock=self.wall.seconds)
        self.environment = assembled(text, record, fail, Needy, *plugins, offers=offers, into=into)

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
        {"interval": 10, "previous_tick": 1_000_000, "tick": 1_000_002, "delta": 2},
        {"interval": 10, "previous_tick": 1_000_002, "tick": 1_000_012.5, "delta": 10.5},
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
    """A negative interval, no room for a single tick, no interval at all: each at its place, and all at once."""
    text = """
        ticks:
            interval:
                a: {interval: -1, processor: main}
                b: {interval: 1, processor: main, max_running: 0}
                c: {processor: main}
        pipelines: {main: [passthrough]}
    """
    with pytest.raises(ConfigurationError) as raised:
        assembled(text)
    told = [str(problem) for problem in raised.value.problems]
    assert [" ".join(line.split()[:6]) for line in told] == [
        "site.yml:4:23: option 'interval' of ticks.interval.a must",
        "site.yml:5:56: option 'max_running' of ticks.interval.b must",
        "site.yml:6:9: ticks.interval.c needs the option 'interval'",
    ]
