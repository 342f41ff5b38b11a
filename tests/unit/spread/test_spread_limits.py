"""Tests of what one connection may cost, and how long it is waited for."""

from __future__ import annotations

from typing import Any

from spread_stage import Client, Link, Mute, Server, name_of
from twisted.internet.defer import Deferred, succeed
from twisted.spread import pb
from twisted.spread.util import StringPager

from piped import processor
from piped.spread.errors import LinkLost, TooManyCalls

ECHO = "main: [callback-deferred: {result_path: args.0}]"


def test_no_more_calls_wait_than_allowed() -> None:
    """A client that calls faster than it is answered is told, and not filled up."""
    client = Client(max_calls=2)
    for _ in range(2):
        client.root.callRemote("never").addErrback(lambda _: None)
    assert isinstance(client.ask("never").value, TooManyCalls)


def test_a_server_takes_no_more_calls_of_a_peer_than_allowed() -> None:
    """Calls above max_calls are refused, those of others are not."""
    server = Server("main: [keep-it]", "processor: main, max_calls: 2", keep_it := keeper()[0])
    root = server.root()
    outcomes = [server.ask(root, "x") for _ in range(3)]
    assert [name_of(outcome) if outcome else None for outcome in outcomes] == [
        None,
        None,
        "piped.spread.errors.TooManyCalls",
    ]
    assert server.call("x") is None
    assert keep_it


def keeper() -> Any:
    """A processor that keeps what it gets."""
    kept: list[Any] = []

    @processor("keep-it")
    def keep_it(baton: Any) -> None:
        kept.append(baton)

    return keep_it, kept


def test_refused_calls_do_not_fill_the_log(caplog: Any) -> None:
    """However many calls are too many, the log has one line of it for each connection."""
    caplog.set_level("INFO")
    server = Server("main: [keep-it]", "processor: main, max_calls: 1", keeper()[0])
    root = server.root()
    for _ in range(100):
        server.ask(root, "x")
    assert caplog.text.count("1 calls wait for an answer") == 1


def test_calls_that_wait_for_a_second_thing_count_too() -> None:
    """An object whose answer has begun, and waits for more, is not called without bound, and is told of the end."""

    cancelled: list[Any] = []

    class Slow(pb.Root):
        def remote_wait(self) -> Any:
            return succeed(None).addCallback(lambda _: Deferred(cancelled.append))

    client = Client(max_calls=3)
    other = client.link.ends[0]
    client.broker.setNameForLocal("slow", Slow())
    told: list[Any] = []
    for _ in range(5):
        other.remoteForName("slow").callRemote("wait").addErrback(told.append)
    client.link.pump()
    assert [name_of(failure) for failure in told] == ["piped.spread.errors.TooManyCalls"] * 2
    client.link.break_off()
    assert len(cancelled) == 3


def test_a_silent_peer_is_asked_and_one_that_answers_is_kept() -> None:
    """After keep_alive seconds a peer is asked; bare Twisted answers, and its program hears nothing of it."""
    client = Client(keep_alive=10)
    for _ in range(20):
        client.clock.advance(10)
        client.link.pump()
    assert not client.link.is_lost
    assert client.ask("echo", 1) == 1


def test_a_dead_peer_is_found() -> None:
    """One that answers nothing is hung up on, and whoever waits for it is told."""
    client, told = Client(keep_alive=10), []
    client.root.callRemote("never").addErrback(told.append)
    client.link.pump()
    for _ in range(3):
        client.clock.advance(10)
        client.link.wires[1].clear()  # the network swallows it
    client.link.pump()
    assert client.link.wires[1].is_cut
    assert isinstance(told[0].value, LinkLost)


def test_a_peer_that_does_not_read_is_not_read() -> None:
    """While answers are not taken no calls are, so that neither fills the memory."""
    server = Server(ECHO)
    server.connect()
    wire = server.links[0].wires[0]
    wire.producer.pauseProducing()
    assert wire.producerState == "paused"
    wire.producer.resumeProducing()
    assert wire.producerState == "producing"


def test_a_client_always_reads() -> None:
    """With large calls and large answers under way at once, no end waits for the other one to read."""
    wire = Client().link.wires[1]
    wire.producer.pauseProducing()
    assert wire.producerState == "producing"


class Collector(pb.Referenceable):
    """Takes what comes in pages."""

    def __init__(self) -> None:
        self.pages: list[bytes] = []

    def remote_gotPage(self, page: bytes) -> None:
        self.pages.append(page)

    def remote_endedPaging(self) -> None:
        self.pages.append(b"end")


def test_what_is_sent_in_pages_waits_for_a_peer_that_does_not_read() -> None:
    """Twisted's pagers send large things piece by piece, as fast as the other side takes them."""
    client = Client()
    collector = Collector()
    client.link.ends[0].setNameForLocal("collector", collector)
    wire = client.link.wires[1]
    wire.producer.pauseProducing()
    for _ in range(2):
        StringPager(client.broker.remoteForName("collector"), b"x" * 25, 10)
    client.link.pump()
    assert collector.pages == []
    wire.producer.resumeProducing()
    client.link.pump()
    assert sorted(collector.pages) == sorted([b"x" * 10, b"x" * 10, b"x" * 5, b"end"] * 2)


def test_calls_do_not_pile_up_for_a_peer_that_does_not_read() -> None:
    """Calls that want no answer, or that nobody waits for any more, are bounded as well."""
    client = Client(max_calls=3)
    wire = client.link.wires[1]
    for _ in range(10):
        assert client.root.callRemote("echo", pbanswer=False) is None
    wire.producer.pauseProducing()
    for _ in range(3):
        client.root.callRemote("never").addErrback(lambda _: None).cancel()
    failure = now_failed(client.root.callRemote("echo", pbanswer=False))
    assert "does not take the calls" in str(failure.check(TooManyCalls) and failure.value)
    wire.producer.resumeProducing()
    assert client.ask("echo", 5) == 5


def now_failed(deferred: Deferred[Any]) -> Any:
    told: list[Any] = []
    deferred.addErrback(told.append)
    return told[0]


def test_who_does_not_speak_is_hung_up_on() -> None:
    """A connection that sends nothing does not stay open."""
    server = Server(ECHO, "processor: main, login_timeout: 5")
    broker = server.service.factory.buildProtocol(None)
    link = Link(broker, Mute())
    server.clock.advance(5)
    assert link.wires[0].is_cut


def test_nothing_is_left_of_a_connection_that_is_over() -> None:
    """No timer and no connection stays behind, however it ended."""
    server = Server(ECHO)
    for end in (Link.lose, Link.break_off):
        server.root()
        end(server.links[-1])
    assert server.clock.getDelayedCalls() == []
    assert not server.service.factory._brokers
