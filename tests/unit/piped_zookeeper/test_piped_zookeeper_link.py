"""Tests of the link between kazoo's threads and the reactor."""

from __future__ import annotations

from typing import Any

import pytest
from kazoo.exceptions import NoNodeError
from kazoo.protocol.states import KeeperState
from twisted.internet.defer import CancelledError, Deferred, execute
from zookeeper_fakes import FakeKazoo, Reactor, Tree

from piped_zookeeper.errors import DisconnectException, TooManyCalls
from piped_zookeeper.link import MOST_IN_FLIGHT, MOST_WAITING, Link


class Stage:
    """A link, and what it has told."""

    def __init__(self) -> None:
        self.reactor, self.kazoo, self.told = Reactor(), FakeKazoo(Tree()), []
        self.link = Link(self.kazoo, self.reactor, execute, self)
        self.link.start()

    def connected(self) -> None:
        self.told.append("connected")

    def suspended(self) -> None:
        self.told.append("suspended")

    def expired(self) -> None:
        self.told.append("expired")

    def ended(self, reason: str) -> None:
        self.told.append(reason)

    def connect(self) -> Stage:
        self.kazoo.connect()
        self.reactor.settle()
        return self

    def failure_of(self, deferred: Deferred[Any]) -> BaseException:
        self.reactor.settle()
        failures: list[Any] = []
        deferred.addErrback(failures.append)
        [failure] = failures
        return failure.value

    def result_of(self, deferred: Deferred[Any]) -> Any:
        self.reactor.settle()
        results: list[Any] = []
        deferred.addCallback(results.append)
        [result] = results
        return result


def test_it_is_connected_when_the_server_has_answered():
    """A connection over which nothing came yet is none: who is not let in would be told that all is well."""
    stage = Stage()
    stage.kazoo.is_held = True
    stage.connect()
    assert stage.told == []
    stage.kazoo.answer()
    stage.reactor.settle()
    assert stage.told == ["connected"]


def test_nothing_is_told_in_a_thread():
    """What kazoo's threads say, and what watches say, is heard in the reactor."""
    stage = Stage()
    stage.kazoo.connect()
    assert stage.told == []
    stage.reactor.settle()
    seen: list[Any] = []
    stage.result_of(stage.link.call("exists", "/a", watch=seen.append))
    stage.kazoo.tree.create(0, "/a", b"", False, False)
    assert seen == []
    stage.reactor.settle()
    assert [event.path for event in seen] == ["/a"]


def test_calls_without_a_connection_fail_at_once():
    """Nobody waits for a connection that may never come."""
    error = Stage().failure_of(Stage().link.call("get", "/a"))
    assert isinstance(error, DisconnectException)
    assert "get /a" in str(error)


def test_calls_end_with_the_connection():
    """Whoever waits for an answer hears that the connection was lost, those too that had to wait for their turn."""
    stage = Stage().connect()
    stage.kazoo.is_held = True
    calls = [stage.link.call("get", "/a") for _ in range(MOST_IN_FLIGHT + 5)]
    assert len(stage.kazoo.calls) == 1 + MOST_IN_FLIGHT
    stage.kazoo.lose()
    for call in calls:
        assert isinstance(stage.failure_of(call), DisconnectException)
    assert stage.told == ["connected", "suspended"]
    assert len(stage.kazoo.calls) == 1 + MOST_IN_FLIGHT  # those that waited were never made
    assert stage.kazoo.client_id is None


def test_calls_wait_for_their_turn_up_to_a_number():
    """Kazoo has few calls at a time, all are made in order, and those above a number are refused."""
    stage = Stage().connect()
    stage.kazoo.is_held = True
    calls = [stage.link.call("get_children", "/") for _ in range(MOST_IN_FLIGHT + MOST_WAITING)]
    assert isinstance(stage.failure_of(stage.link.call("get", "/a")), TooManyCalls)
    stage.kazoo.answer()
    assert [stage.result_of(call) for call in calls] == [[]] * len(calls)


def test_calls_of_a_lost_connection_take_no_room():
    """After many calls were lost with their connection, as many may wait again."""
    stage = Stage().connect()
    stage.kazoo.is_held = True
    for _ in range(MOST_IN_FLIGHT + MOST_WAITING):
        stage.link.call("get", "/").addErrback(lambda _: None)
    stage.kazoo.lose()
    stage.kazoo.is_held = False
    stage.connect()
    assert stage.result_of(stage.link.call("get_children", "/")) == []


def test_a_call_can_be_cancelled():
    """Who cancels a call hears so at once; one that had to wait is not made, and nobody gets the answer of another."""
    stage = Stage().connect()
    stage.kazoo.is_held = True
    calls = [stage.link.call("create", f"/{number}", b"") for number in range(MOST_IN_FLIGHT + 1)]
    for call in (calls[0], calls[-1]):
        call.cancel()
        assert isinstance(stage.failure_of(call), CancelledError)
    stage.kazoo.answer()
    stage.reactor.settle()
    assert "/0" in stage.kazoo.tree.nodes
    assert f"/{MOST_IN_FLIGHT}" not in stage.kazoo.tree.nodes


def test_errors_say_of_what():
    """What ZooKeeper refuses keeps its kind, and gets the words that kazoo does not give it."""
    stage = Stage().connect()
    error = stage.failure_of(stage.link.call("get", "/none"))
    assert isinstance(error, NoNodeError)
    assert str(error) == "get /none"
    assert isinstance(stage.failure_of(stage.link.call("get", "/a", nonsense=1)), TypeError)


def test_silence_is_known_before_the_session_can_end():
    """However long nothing comes back, and whatever is asked meanwhile, it is lost before the server may end it."""
    stage = Stage().connect()
    assert stage.link.is_certain
    for _ in range(50):
        stage.reactor.advance(1)
    assert stage.told == ["connected"]
    stage.kazoo.is_held = True  # for a session of 9 s
    for _ in range(80):
        stage.link.call("get", "/").addErrback(lambda _: None)
        stage.reactor.advance(0.1)
    assert stage.told == ["connected", "suspended"]
    assert stage.kazoo.is_cut
    assert not stage.link.is_certain


@pytest.mark.parametrize(("after", "is_certain"), [(8.9, True), (9.1, False)])
def test_by_the_clock_it_knows_what_it_cannot_have_heard(after, is_certain):
    """A process that stood still for longer than its session knows so before anything has told it."""
    stage = Stage().connect()
    stage.reactor.rightNow += after  # nobody was called
    assert stage.link.is_certain is is_certain


@pytest.mark.parametrize(("after", "is_certain"), [(5.9, True), (6.1, False)])
def test_a_sign_of_life_that_only_a_follower_knows_of_counts_for_nothing(after, is_certain):
    """A server that dies may not have told the others of the last one: only the one before it is sure."""
    stage = Stage().connect()
    stage.reactor.advance(3)
    stage.reactor.settle()
    stage.reactor.rightNow += after
    assert stage.link.is_certain is is_certain


def test_what_belongs_to_a_former_connection_is_not_told():
    """A sign of life that comes late makes no connection of one that is lost."""
    stage = Stage()
    stage.kazoo.is_held = True
    stage.connect()
    late = stage.kazoo.leave_unanswered()
    stage.kazoo.lose()
    stage.reactor.settle()
    late.tell("/")
    stage.reactor.settle()
    assert stage.told == ["suspended"]


def test_the_ends_of_sessions_are_told_apart():
    """A session that has expired, a login that was refused, and kazoo that has given up are different things."""
    stage = Stage().connect()
    stage.kazoo.lose()
    stage.kazoo.expire()
    stage.reactor.settle()
    assert stage.told == ["connected", "suspended", "expired"]
    stage.kazoo.connect()
    stage.reactor.settle()
    stage.kazoo.end(KeeperState.AUTH_FAILED)
    stage.reactor.settle()
    assert "auth" in stage.told[-1]


def test_nothing_is_told_after_a_stop():
    """Who has stopped a link does not hear that it is lost, and its calls have ended."""
    stage = Stage().connect()
    stage.kazoo.is_held = True
    call = stage.link.call("get", "/")
    assert stage.result_of(Deferred.fromCoroutine(stage.link.stop())) is None
    assert isinstance(stage.failure_of(call), DisconnectException)
    stage.kazoo.lose()
    stage.reactor.settle()
    assert stage.told == ["connected"]
    assert stage.kazoo.is_stopped
    assert stage.reactor.getDelayedCalls() == []
