"""Tests of what is told of a client, and when."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zookeeper_fakes import Offer, Reactor

from piped import ProcessorPath, RuntimeEnvironment
from piped_zookeeper.happenings import Happenings
from piped_zookeeper.options import EventOptions


class Stage:
    """What becomes of a client, with a pipeline for each of two events."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.offers = {name: Offer(self.told.append) for name in ("one", "two")}
        self.environment = RuntimeEnvironment(reactor=Reactor())
        for name, offer in self.offers.items():
            self.environment.resource_manager.register(name, offer)
        events = EventOptions(connected=ProcessorPath("one"), reconnecting=ProcessorPath("two"))
        self.happenings = Happenings("main", "the client", events)
        self.happenings.configure(self.environment)
        self.environment.dependency_manager.resolve_initial_states()


def test_a_baton_has_the_event_and_the_client():
    """A pipeline knows what has happened, and to whom; who has not asked for an event is told nothing."""
    stage = Stage()
    for event in ("starting", "connected"):
        stage.happenings.tell(event)
    assert stage.told == [{"event": "connected", "client": "the client"}]


def test_what_is_over_is_not_told_any_more(caplog):
    """An event that nobody could take is left out when another one has come, and the log says so."""
    stage = Stage()
    stage.offers["one"].go()
    stage.happenings.tell("connected")
    stage.happenings.tell("reconnecting")
    stage.offers["one"].come()
    assert [baton["event"] for baton in stage.told] == ["reconnecting"]
    assert "zookeeper.clients.main.events.connected is left out" in caplog.text


def test_a_process_that_drains_is_told_nothing():
    """When the sources of a process come to rest, those of events do too."""
    stage = Stage()
    for source in stage.environment.sources:
        source.drain()
    stage.happenings.tell("connected")
    assert stage.told == []


def test_a_stop_waits_for_its_pipeline():
    """The stop goes on when the pipeline of `stopping` has ended; whether it failed is told in the log only."""
    stage = Stage()
    going: Deferred[Any] = Deferred()
    stage.environment.resource_manager.register("slow", Offer(lambda baton: going))
    happenings = Happenings("main", None, EventOptions(stopping=ProcessorPath("slow")))
    happenings.configure(stage.environment)
    stage.environment.dependency_manager.resolve_initial_states()
    stopped = happenings.tell_stopping()
    assert not stopped.called
    going.errback(ValueError("no"))
    assert stopped.called
    assert stage.happenings.tell_stopping().called
