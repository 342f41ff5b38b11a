"""Tests of the steps that start and stop intervals of ticks."""

from __future__ import annotations

from processors_stage import Offer, configured
from twisted.internet.defer import Deferred

from piped.ground.units import TickIntervalName
from piped.processors.ticks import StartTickInterval, StopTickInterval
from piped.runtime.environment import RuntimeEnvironment


class Interval:
    """What an interval of ticks can do."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def start_ticking(self) -> None:
        self.done.append("start")

    def stop_ticking(self) -> None:
        self.done.append("stop")


def test_an_interval_is_started_and_stopped(environment: RuntimeEnvironment) -> None:
    """The steps start and stop the interval of that name, and pass the baton on."""
    interval = Interval()
    Offer(environment, "ticks.interval.a.b", interval)
    for step in (StartTickInterval(TickIntervalName("a.b")), StopTickInterval(TickIntervalName("a.b"))):
        assert Deferred.fromCoroutine(configured(step, environment).process("baton")).result == "baton"
    assert interval.done == ["start", "stop"]


def test_an_interval_is_waited_for(environment: RuntimeEnvironment) -> None:
    """Until the interval is there, the baton waits."""
    interval = Interval()
    offer = Offer(environment, "ticks.interval.a")
    step = configured(StartTickInterval(TickIntervalName("a")), environment)
    waiting = Deferred.fromCoroutine(step.process("baton"))
    assert not waiting.called
    offer.deliver(interval)
    assert waiting.result == "baton"
    assert interval.done == ["start"]
