"""Tests of one connection: what it takes, how long it waits, and how it ends."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spread_stage import Client, Reactor, Server, ladder, name_of, now
from twisted.internet.defer import CancelledError, Deferred
from twisted.spread import pb

from piped import PipedError, processor
from piped.spread.errors import CannotCross, LinkLost, RemoteError

ECHO = "main: [callback-deferred: {result_path: args.0}]"


VALUES = st.recursive(
    st.one_of(st.text(), st.binary(), st.integers(), st.booleans(), st.none(), st.datetimes()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=10,
)


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_text_bytes_and_the_rest_cross_unharmed_in_both_directions(value: Any) -> None:
    """A bare client of ours, and a bare server for ours, see every value as it was sent."""
    assert [Server(ECHO).call("x", value)] == [value]
    assert [Client().ask("echo", value)] == [value]


def test_keywords_cross() -> None:
    """Arguments by name arrive by name."""
    assert Client().ask("echo", when="now", what=b"this") == {"when": "now", "what": b"this"}


def test_a_value_that_cannot_be_sent_is_refused_before_anything_is() -> None:
    """The error names where it stands, nothing is on the wire, and the connection goes on."""
    client = Client()
    failure = client.ask("echo", 1, [2, object()])
    assert isinstance(failure.value, CannotCross)
    assert "args[1][1] cannot be sent" in failure.value.msg
    assert client.link.wires[1].value() == b""
    assert client.ask("echo", 5) == 5


def test_a_remote_failure_is_an_exception_with_the_remote_type() -> None:
    """What fails on the other side is a RemoteError, and `check` knows the names of the exception there."""
    failure = Client().ask("fail", "unknown")
    assert isinstance(failure.value, RemoteError)
    assert isinstance(failure.value, pb.Error)
    assert (failure.value.remoteType, failure.value.value) == ("builtins.KeyError", "'secret detail'")
    assert failure.check(KeyError)
    assert failure.check("builtins.LookupError")
    assert failure.value.__notes__ == ["on the other side it was a builtins.KeyError"]
    assert not failure.check(ValueError)


def test_a_known_failure_of_a_bare_server_has_its_text() -> None:
    """An error that twisted.spread takes for known arrives likewise."""
    failure = Client().ask("fail", "known")
    assert (failure.value.remoteType, failure.value.value) == ("twisted.spread.pb.Error", "known")


def test_what_a_bare_server_could_not_send_fails_the_call() -> None:
    """Twisted answers with a note instead of a value: that is an error here."""
    assert "could not send a value" in str(Client().ask("odd").value)


def test_objects_can_be_called_back() -> None:
    """A Referenceable that is sent along is called by the other side, and refusals come back."""

    class Listener(pb.Referenceable):
        def remote_tell(self, what: str) -> str:
            return f"{what} and forth"

    client = Client()
    assert client.ask("call_me", Listener()) == "back and forth"
    assert client.ask("call_me", pb.Referenceable()).value.remoteType.endswith("NoSuchMethod")


class Price(pb.Cacheable):
    """A price of a server, which its clients have a copy of."""

    def __init__(self) -> None:
        self.amount, self.observers = 5, []

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        self.observers.append(observer)
        return {"amount": self.amount}

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        self.observers.remove(observer)


class PriceHere(pb.RemoteCache):
    """The copy."""

    amount: int

    def observe_set(self, amount: int) -> None:
        self.amount = amount


pb.setUnjellyableForClass(Price, PriceHere)


def test_objects_that_are_copied_are_kept_up_to_date() -> None:
    """A Cacheable of ours is copied to a peer, told of changes, and let go with the connection."""
    price = Price()
    server = Server("main: [give]", "processor: main", giver(price))
    copy = server.call("price")
    assert (type(copy), copy.amount) == (PriceHere, 5)
    price.observers[0].callRemote("set", 7)
    server.pump()
    assert copy.amount == 7
    server.links[0].lose()
    assert price.observers == []


def giver(answer: Any) -> Any:
    """A processor that answers with an object."""

    @processor("give")
    def give(baton: Any) -> None:
        baton["deferred"].callback(answer)

    return give


def test_calls_in_flight_fail_at_once_when_the_link_is_lost() -> None:
    """Nobody waits for an answer that cannot come; later calls fail, too, and none raises where it is made."""
    client, told = Client(), []
    client.root.callRemote("never").addErrback(told.append)
    client.link.pump()
    client.link.break_off()
    client.root.callRemote("echo").addErrback(told.append)
    assert [type(failure.value) for failure in told] == [LinkLost, LinkLost]
    assert isinstance(told[0].value, PipedError)
    assert isinstance(told[0].value, pb.PBConnectionLost)


def test_a_cancelled_call_is_forgotten() -> None:
    """A call that nobody waits for any more takes no memory, and its late answer hurts nobody."""
    client = Client()
    call = client.root.callRemote("echo", 1)
    call.addErrback(lambda failure: failure.trap(CancelledError) and None)
    call.cancel()
    assert client.broker.waitingForAnswers == {}
    client.link.pump()
    assert client.ask("echo", 2) == 2


@pytest.mark.parametrize("luid", [5, [b"list"]], ids=repr)
@pytest.mark.parametrize("command", [b"message", b"cachemessage"])
def test_a_call_of_what_is_not_there_is_told_to_the_caller_alone(command: bytes, luid: Any, caplog: Any) -> None:
    """It is no error of ours, and takes nothing with it."""
    server = Server(ECHO)
    factory = server.connect()
    answer = factory._broker.waitingForAnswers[99] = Deferred()
    told: list[Any] = []
    answer.addErrback(told.append)
    factory._broker.sendCall(command, 99, luid, b"x", 1, [b"tuple"], [b"dictionary"])
    server.pump()
    assert (name_of(told[0]), told[0].value) == ("twisted.spread.pb.Error", "Invalid Object ID")
    assert not [record for record in caplog.records if record.levelno > 20]
    assert server.ask(now(factory.getRootObject()), "x", 1) == 1


def test_a_call_without_an_answer_is_not_answered() -> None:
    """With pbanswer=False nothing comes back."""
    client = Client()
    assert client.root.callRemote("echo", 1, pbanswer=False) is None
    client.link.pump()
    assert client.broker.waitingForAnswers == {}


@pytest.mark.parametrize(
    "expression",
    [
        [b"decref", b"root"],
        [b"decref", 7],
        [b"decref", [b"list"]],
        [b"connectionLost", 1],
        [b"answer"],
        [b"message", 1],
        [b"version", 5],
        [b"uncache", 5],
        [b"didNotUnderstand", b"x"],
        [[b"message"]],
        [],
        5,
    ],
    ids=repr,
)
def test_who_breaks_the_protocol_is_hung_up_on_and_nobody_else(expression: Any, caplog: Any) -> None:
    """A peer that says what cannot be is cut with one line in the log; others go on."""
    server = Server(ECHO)
    broker = server.connect()._broker
    other = server.root()
    broker.sendEncoded(expression)
    server.pump()
    assert server.links[0].wires[0].is_cut
    assert [record.levelname for record in caplog.records if record.levelno > 20] == ["WARNING"]
    assert "pb.server.main hangs up on 192.0.2.1:4000: " in caplog.text
    assert server.ask(other, "x", 1) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ([b"tuple", [b"remote"]], [b"dictionary"]),
        ([b"tuple", [b"remote", b"x"]], [b"dictionary"]),
        ([b"tuple", [b"local"]], [b"dictionary"]),
        ([b"list"], 5),
        (5, [b"dictionary"]),
        ([b"module", b"os"], [b"dictionary"]),
        ([b"tuple"], [b"dictionary", [5, 6]]),
        ([b"tuple"], [b"dictionary", [b"\xff", 6]]),
        ([b"tuple"], [b"dictionary", [ladder(40), 6]]),
    ],
    ids=repr,
)
def test_arguments_that_cannot_be_read_fail_the_call_alone(arguments: Any, caplog: Any) -> None:
    """The caller is told, the connection goes on, and it is no error of ours."""
    server = Server(ECHO)
    factory = server.connect()
    answer = factory._broker.waitingForAnswers[99] = Deferred()
    told: list[Any] = []
    answer.addErrback(told.append)
    factory._broker.sendCall(b"message", 99, b"root", b"x", 1, *arguments)
    server.pump()
    assert name_of(told[0]) == "piped.spread.banana.Unreadable"
    assert not [record for record in caplog.records if record.levelno > 20]
    assert server.ask(now(factory.getRootObject()), "x", 1) == 1


def test_a_remote_object_that_nobody_needs_is_released() -> None:
    """Letting go of a remote object frees it on the other side, in a turn of the reactor."""
    client = Client()
    assert client.ask("lend").__class__ is pb.RemoteReference
    server = client.link.ends[0]
    assert len(server.localObjects) == 2
    gc.collect()
    client.clock.advance(0)
    client.link.pump()
    assert list(server.localObjects) == [b"root"]


def test_a_reference_to_nothing_is_told_without_a_failure_of_the_server(caplog: Any) -> None:
    """A ping, or a stale reference, costs a line of the log at most."""
    server = Server(ECHO)
    factory = server.connect()
    failure = server.ask(factory._broker.remoteForName("other"), "x")
    assert failure.value == "Invalid Object ID"
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")]


def test_clocks_of_the_stage_agree() -> None:
    """What is called from a thread comes in a later turn."""
    reactor, called = Reactor(), []
    reactor.callFromThread(called.append, 1)
    assert called == []
    reactor.advance(0)
    assert called == [1]
