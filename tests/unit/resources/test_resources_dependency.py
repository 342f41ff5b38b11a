"""Dependency: what it gives, how one waits for it, and what its errors say."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from piped.ground import errors
from piped.ground.errors import Mark
from piped.ground.units import ResourcePath
from piped.resources.dependency import ResourceDependency, in_words
from piped.resources.wiring import DependencyManager


class Later:
    """Provides one path, when told to."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.manager = DependencyManager(clock=self.clock)
        self.manager.resource_manager.register("pipeline.orders", self)
        path = ResourcePath("pipeline.orders", Mark("site.yml", 31, 7))
        self.dependency = self.manager.add_dependency(self, {"provider": path})

    name = "amqp consumer 'orders'"

    def add_consumer(self, dependency: ResourceDependency) -> None:
        self.given = dependency

    def deliver(self, resource: object) -> None:
        self.given.on_resource_ready(resource)


@pytest.fixture
def later() -> Later:
    made = Later()
    made.manager.resolve_initial_states()
    return made


def outcome(deferred: Deferred[Any]) -> list[Any]:
    fired: list[Any] = []
    deferred.addBoth(fired.append)
    return fired


def test_a_resource_that_is_not_there_is_told_in_full(later: Later) -> None:
    """The error says what is not ready, who needs it, where it is written, and what it waits for."""
    later.given.on_resource_lost(ConnectionError("connection refused"))
    with pytest.raises(errors.UnprovidedResourceError) as caught:
        later.dependency.get_resource()
    error = caught.value
    assert isinstance(error, errors.NotReadyError)
    assert error.msg == "pipeline.orders is not ready"
    assert error.detail == "needed by amqp consumer 'orders'; pipeline.orders is written at site.yml:31:7"
    assert error.hint == "waits for pipeline.orders (connection refused)"
    assert error.missing == ["pipeline.orders (connection refused)"]


def test_a_dependency_that_was_not_resolved_says_so() -> None:
    """Whoever forgets to resolve, or to add, is told."""
    with pytest.raises(errors.NotReadyError, match="resolve_initial_states"):
        Later().dependency.get_resource()
    with pytest.raises(errors.NotReadyError, match="not added to a dependency manager"):
        ResourceDependency("x").get_resource()


def test_the_resource_is_given_also_while_its_own_needs_are_lost(later: Later) -> None:
    """What was delivered can be had, ready or not; a resource may well be None or false."""
    later.deliver(0)
    need = later.manager.add_dependency(later.dependency, object())
    later.manager.resolve_initial_states()
    need.fire_on_lost("x")
    assert not later.dependency.is_ready
    assert later.dependency.get_resource() == 0


def test_waiting_for_what_is_ready_gives_it_at_once(later: Later) -> None:
    """Nobody waits for what is there."""
    later.deliver("r")
    assert outcome(later.dependency.wait_for_resource(timeout=5)) == ["r"]
    assert later.clock.getDelayedCalls() == []


def test_waiting_gives_the_resource_when_it_comes(later: Later) -> None:
    """Whoever waits gets it as soon as it is ready, and no timer stays behind."""
    fired = outcome(later.dependency.wait_for_resource(timeout=5))
    assert fired == []
    later.deliver("r")
    assert fired == ["r"]
    assert later.clock.getDelayedCalls() == []


def test_waiting_too_long_tells_what_it_waited_for(later: Later) -> None:
    """After the time given, Piped's TimeoutError tells what was missing."""
    fired = outcome(later.dependency.wait_for_resource(timeout=5))
    later.clock.advance(5)
    assert isinstance(fired[0].value, errors.TimeoutError)
    assert fired[0].value.msg == "pipeline.orders was not ready within 5 s"
    assert fired[0].value.hint == "waits for pipeline.orders"


def test_a_cancelled_wait_is_cancelled(later: Later) -> None:
    """Whoever gives up waiting gets Twisted's CancelledError."""
    waiting = later.dependency.wait_for_resource()
    fired = outcome(waiting)
    waiting.cancel()
    assert isinstance(fired[0].value, CancelledError)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (None, "x"),
        (errors.InitiallyLost("not there yet"), "x"),
        (errors.ReplayedLost("before"), "x"),
        (errors.ResourceError("x was replaced"), "x (x was replaced)"),
        (ConnectionError("refused"), "x (refused)"),
        (ConnectionError(), "x (ConnectionError)"),
        (Failure(ConnectionError("refused")), "x (refused)"),
        ("stopped", "x (stopped)"),
    ],
)
def test_reasons_are_told_in_words(reason: object, words: str) -> None:
    """Whatever a provider gives as a reason, a person can read it."""
    assert in_words(ResourceDependency("x"), reason) == words
