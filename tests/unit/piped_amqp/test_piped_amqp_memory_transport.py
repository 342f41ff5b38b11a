"""Connections within the process: they bring bytes as TCP would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_stage import ADDRESS, Bytes
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost

from clocks import Reactor
from piped_amqp.memory import transport
from piped_amqp.memory.transport import connect


class Producer:
    """Something that is told when to write."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


def pair() -> tuple[Reactor, Bytes, Bytes]:
    clock, client, server = Reactor(), Bytes(), Bytes()
    connect(clock, ADDRESS, client, server)
    return clock, client, server


def test_what_is_written_arrives_in_a_later_turn():
    """Nothing calls back into who writes; both directions are carried."""
    clock, client, server = pair()
    client.transport.write(b"question")
    server.transport.write(b"ans")
    server.transport.writeSequence([b"w", b"er"])
    assert (server.received, client.received) == (b"", b"")
    clock.advance(0)
    assert (server.received, client.received) == (b"question", b"answer")


@given(st.lists(st.binary(max_size=100_000), max_size=20))
def test_everything_arrives_in_order(chunks):
    """Whatever the sizes, the bytes that arrive are those that were written, and then the end."""
    clock, client, server = pair()
    for chunk in chunks:
        client.transport.write(chunk)
    client.transport.loseConnection()
    client.transport.write(b"too late")
    clock.advance(0)
    assert server.received == b"".join(chunks)
    assert server.lost.check(ConnectionDone)
    assert client.lost.check(ConnectionDone)


def test_others_have_their_turn_within_a_long_message():
    """What is much arrives in several turns, all of it before the end."""
    clock, client, server = pair()
    for _ in range(10):
        client.transport.write(b"x" * 50_000)
    client.transport.loseConnection()
    seen: list[int] = []
    clock.callLater(0, lambda: clock.callLater(0, lambda: seen.append(len(server.received))))
    clock.advance(0)
    assert 0 < seen[0] < len(server.received) == 500_000


def test_who_is_paused_hears_nothing():
    """A reader that has paused gets what was written meanwhile when it goes on."""
    clock, client, server = pair()
    server.transport.pauseProducing()
    client.transport.write(b"1")
    clock.advance(0)
    client.transport.write(b"2")
    clock.advance(0)
    assert server.received == b""
    server.transport.resumeProducing()
    clock.advance(0)
    assert server.received == b"12"


def test_a_producer_is_paused_while_too_much_is_on_its_way():
    """A producer is told to pause once, to go on when all has arrived, and when to stop."""
    clock, client, server = pair()
    producer = Producer()
    server.transport.registerProducer(producer, True)
    client.transport.pauseProducing()
    server.transport.write(b"x" * 70_000)
    server.transport.write(b"x")
    clock.advance(0)
    assert producer.told == ["pause"]
    client.transport.resumeProducing()
    clock.advance(0)
    assert producer.told == ["pause", "resume"]
    client.transport.loseConnection()
    clock.advance(0)
    assert producer.told == ["pause", "resume", "stop"]


def test_nobody_is_asked_for_more_on_a_dead_connection():
    """A reader that cuts the connection when it is full does not wake the producer."""
    clock, client, server = pair()
    producer = Producer()
    server.transport.registerProducer(producer, True)
    client.dataReceived = lambda data: client.transport.abortConnection()
    server.transport.write(b"x" * 70_000)
    clock.advance(0)
    assert producer.told == ["pause", "stop"]


def test_two_producers_at_once_are_a_mistake():
    """A second producer is refused until the first is gone; one that pulls is asked at once; none for a dead end."""
    clock, client, server = pair()
    server.transport.registerProducer(Producer(), True)
    with pytest.raises(RuntimeError):
        server.transport.registerProducer(Producer(), True)
    server.transport.unregisterProducer()
    pulling = Producer()
    server.transport.registerProducer(pulling, False)
    assert pulling.told == ["resume"]
    client.transport.abortConnection()
    clock.advance(0)
    late = Producer()
    client.transport.registerProducer(late, True)
    assert late.told == ["stop"]


def test_an_aborted_connection_loses_what_is_on_its_way():
    """Both ends hear it in a later turn, and nothing is left over."""
    clock, client, server = pair()
    client.transport.write(b"lost")
    client.transport.abortConnection()
    client.transport.abortConnection()
    assert client.lost is None
    clock.advance(0)
    assert server.received == b""
    assert client.lost.check(ConnectionAborted)
    assert server.lost.check(ConnectionLost)
    assert clock.getDelayedCalls() == []
    server.transport.write(b"nobody")
    server.transport.loseConnection()
    assert clock.getDelayedCalls() == []


def test_who_never_stops_writing_is_cut(monkeypatch):
    """What nobody reads has a bound."""
    monkeypatch.setattr(transport, "_MOST", 1000)
    clock, client, server = pair()
    server.transport.pauseProducing()
    client.transport.write(b"x" * 1001)
    clock.advance(0)
    assert client.lost.check(ConnectionAborted)


def test_the_address_says_what_it_is():
    """Peer and host are shown as what stands in `servers`."""
    _, client, server = pair()
    assert str(client.transport.getPeer()) == str(server.transport.getHost()) == "memory://test"
