"""Tests of sockets on the reactor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from zmq_stage import BellReactor, received

from piped import TimeoutError as PipedTimeoutError
from piped_zmq.channels import Channel, QueueSocket, SocketError


class Pair:
    """A channel, and a plain socket at its other end."""

    def __init__(self, kind: int, other: int, *, high_water: int = 2, max_waiting: int = 100) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.reactor = BellReactor()
        socket = self.context.socket(kind, socket_class=QueueSocket)
        socket.linger = 0
        socket.set_hwm(high_water)
        socket.bind("inproc://pair")
        self.channel = Channel("zmq.socket.q", socket, self.reactor, max_waiting=max_waiting)
        self._other, self._high_water = other, high_water
        self._peers: list[zmq.Socket[bytes]] = []

    def connect(self) -> zmq.Socket[bytes]:
        peer: zmq.Socket[bytes] = self.context.socket(self._other)
        self._peers.append(peer)
        peer.set_hwm(self._high_water)
        peer.connect("inproc://pair")
        return peer

    def close(self) -> None:
        self.channel.close(0)
        self.context.destroy(0)


@pytest.fixture
def pushing() -> Iterator[Pair]:
    pair = Pair(zmq.PUSH, zmq.PULL)
    yield pair
    pair.close()


@pytest.fixture
def dealing() -> Iterator[Pair]:
    pair = Pair(zmq.DEALER, zmq.DEALER)
    yield pair
    pair.close()


def silence(channel: Channel) -> None:
    """Silence the bell, as any call within libzmq may do."""
    zmq.Socket.get(channel.socket, zmq.EVENTS)


def outcomes(channel: Channel, *messages: bytes, wait: float | None = None) -> list[Any]:
    """What has become of messages that are sent: filled in as it happens."""
    ended: list[Any] = []
    for message in messages:
        waiting = channel.send([message], wait)
        if waiting is None:
            ended.append(message)
        else:
            waiting.addCallbacks(
                lambda _, message=message: ended.append(message), lambda failure: ended.append(failure.type)
            )
    return ended


def test_messages_wait_for_somebody_who_receives_them(pushing: Pair):
    """Without anybody there is no trying again and again; then they come in their order."""
    ended = outcomes(pushing.channel, b"1", b"2", b"3")
    pushing.reactor.settle()
    assert ended == []
    peer = pushing.connect()
    pushing.reactor.settle()
    assert ended == received(peer) == [b"1", b"2", b"3"]


def test_messages_wait_while_the_other_side_is_full(pushing: Pair):
    """Those above the high-water marks; each is sent when there is room, and none overtakes another."""
    peer = pushing.connect()
    messages = [b"%d" % number for number in range(20)]
    ended = outcomes(pushing.channel, *messages)
    assert len(ended) < 20
    came = []
    while len(came) < 20:
        came.append(peer.recv(zmq.NOBLOCK))
        pushing.reactor.settle()
    assert came == ended == messages


def test_the_reactor_rests_while_messages_wait(pushing: Pair):
    """What cannot be sent costs nothing until there is room."""
    outcomes(pushing.channel, b"1")
    pushing.reactor.settle()
    rings = pushing.reactor.rings
    for _ in range(10):
        pushing.reactor.turn()
    assert (pushing.reactor.rings, pushing.reactor.getDelayedCalls()) == (rings, [])
    assert pushing.reactor.readers == [pushing.channel]


def test_a_message_that_is_cancelled_is_not_sent(pushing: Pair):
    """The others are."""
    sent = [pushing.channel.send([b"%d" % number]) for number in range(3)]
    sent[1].addErrback(lambda failure: failure.trap(CancelledError) and None)
    sent[1].cancel()
    peer = pushing.connect()
    pushing.reactor.settle()
    assert received(peer) == [b"0", b"2"]


def test_a_message_does_not_wait_for_longer_than_it_may(pushing: Pair):
    """It fails with Piped's TimeoutError, and is not sent later."""
    ended = outcomes(pushing.channel, b"1", wait=3)
    pushing.reactor.advance(2.9)
    assert ended == []
    pushing.reactor.advance(0.2)
    assert ended == [PipedTimeoutError]
    assert received(pushing.connect()) == []
    pushing.reactor.settle()
    assert pushing.reactor.readers == []


def test_no_more_messages_wait_than_may():
    """The one above fails at once."""
    pair = Pair(zmq.PUSH, zmq.PULL, max_waiting=2)
    outcomes(pair.channel, b"1", b"2")
    with pytest.raises(SocketError, match="2 messages wait already until"):
        pair.channel.send([b"3"])
    pair.close()


def test_messages_that_wait_hear_that_the_socket_is_closed(pushing: Pair):
    """They fail, and so does whatever is sent later."""
    ended = outcomes(pushing.channel, b"1", b"2", wait=1)
    pushing.channel.close(0)
    assert ended == [SocketError, SocketError]
    assert (pushing.reactor.readers, pushing.reactor.getDelayedCalls()) == ([], [])
    with pytest.raises(SocketError, match="it was closed"):
        pushing.channel.send([b"3"])


@pytest.mark.parametrize(
    ("kind", "words"), [(zmq.PULL, "a PULL only receives"), (zmq.REP, "this REP has no request to answer")]
)
def test_what_can_never_be_sent_is_told(kind: int, words: str):
    """With the name of the socket."""
    pair = Pair(kind, zmq.DEALER)
    with pytest.raises(SocketError, match=f"zmq.socket.q cannot send: {words}"):
        pair.channel.send([b"1"])
    pair.close()


def test_a_peer_that_a_router_must_know_is_told():
    """Only where the option says that it must."""
    pair = Pair(zmq.ROUTER, zmq.DEALER)
    assert pair.channel.send([b"nobody", b"1"]) is None
    pair.channel.socket.router_mandatory = 1
    with pytest.raises(SocketError, match="there is no peer with this identity"):
        pair.channel.send([b"nobody", b"1"])
    pair.close()


def test_a_second_request_waits_for_the_first_reply():
    """A REQ asks one after the other."""
    pair = Pair(zmq.REQ, zmq.REP)
    peer, replies = pair.connect(), []

    def receive() -> bool:
        reply = pair.channel.received()
        if reply is not None:
            replies.append(reply)
        return reply is not None

    pair.channel.receive_with(receive)
    ended = outcomes(pair.channel, b"1", b"2")
    pair.reactor.settle()
    assert (ended, peer.recv(zmq.NOBLOCK)) == ([b"1"], b"1")
    peer.send(b"one")
    pair.reactor.settle()
    assert (replies, ended, peer.recv(zmq.NOBLOCK)) == ([b"one"], [b"1", b"2"], b"2")
    pair.close()


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from(["peer sends", "sends", "peer receives", "user sends", "user polls", "turn", "pause", "go on"])
    )
)
def test_no_bell_is_ever_missed(events: list[str]):
    """Whatever happens in whatever order, what was sent to either side arrives, in its order."""
    pair = Pair(zmq.DEALER, zmq.DEALER, high_water=3)
    peer = pair.connect()
    there: list[bytes] = []
    here: list[bytes] = []
    sent_there: list[bytes] = []
    sent_here: list[bytes] = []
    is_open = True

    def receive() -> bool:
        for _ in range(2):
            if not is_open:
                return False
            message = pair.channel.received()
            if message is None:
                return False
            here.append(message)  # type: ignore[arg-type] # all of them have one part
        return True

    pair.channel.receive_with(receive)
    for number, event in enumerate([*events, "go on"]):
        message = b"%d" % number
        if event == "peer sends" and peer.poll(0, zmq.POLLOUT):
            peer.send(message)
            sent_here.append(message)
        elif event == "sends" or (event == "user sends" and pair.channel._waiting):
            pair.channel.send([message])
            sent_there.append(message)
        elif event == "user sends" and pair.channel.can_send:
            pair.channel.socket.send(message, zmq.NOBLOCK)
            sent_there.append(message)
        elif event == "user polls":
            pair.channel.socket.poll(0)
        elif event == "peer receives":
            there += received(peer)
        elif event == "turn":
            pair.reactor.turn()
        elif event in ("pause", "go on"):
            is_open = event == "go on"
            if is_open:
                pair.channel.look()
    for _ in range(len(events) + 1):
        pair.reactor.settle()
        there += received(peer)
    assert (here, there) == (sent_here, sent_there)
    pair.close()


def test_what_somebody_does_with_the_socket_itself_silences_no_bell(dealing: Pair):
    """A message that came while he sent is received all the same."""
    peer, came = dealing.connect(), []
    dealing.channel.receive_with(
        lambda: (message := dealing.channel.received()) is not None and not came.append(message)
    )
    dealing.reactor.settle()
    peer.send(b"1")
    silence(dealing.channel)
    dealing.channel.socket.send(b"2")
    dealing.reactor.settle()
    assert came == [b"1"]


CALLS: dict[str, Callable[[QueueSocket], Any]] = {
    "poll": lambda socket: socket.poll(0),
    "events": lambda socket: socket.events,
    "getsockopt": lambda socket: socket.getsockopt(zmq.EVENTS),
    "connect": lambda socket: socket.connect("inproc://one"),
    "bind": lambda socket: socket.bind("inproc://another"),
}


@pytest.mark.parametrize("call", CALLS)
def test_no_call_of_the_socket_silences_the_bell(dealing: Pair, call: str):
    """Neither of those that ask, nor where it meets one more peer while the first has sent already."""
    peer, came = dealing.connect(), []
    dealing.channel.receive_with(
        lambda: (message := dealing.channel.received()) is not None and not came.append(message)
    )
    dealing.reactor.settle()
    peer.send(b"1")
    CALLS[call](dealing.channel.socket)
    dealing.reactor.settle()
    assert came == [b"1"]


def test_a_message_of_several_parts_comes_as_one(dealing: Pair):
    """A list of all its parts, empty ones too."""
    peer = dealing.connect()
    peer.send_multipart([b"", b"a", b""])
    peer.send(b"b")
    assert dealing.channel.received() == [b"", b"a", b""]
    assert dealing.channel.received() == b"b"
    assert dealing.channel.received() is None


def test_a_message_does_not_overtake_those_that_wait(pushing: Pair):
    """Also when there is room again before they were sent."""
    peer = pushing.connect()
    messages = [b"%d" % number for number in range(10)]
    ended = outcomes(pushing.channel, *messages)
    came = received(peer)
    assert len(ended) < 10
    assert pushing.channel.can_send
    ended += outcomes(pushing.channel, b"last")
    while len(came) < 11:
        pushing.reactor.settle()
        came += received(peer)
    assert came == [*messages, b"last"]


def test_sending_silences_no_bell(dealing: Pair):
    """A message that came before is received, though ZeroMQ tells no more of it."""
    peer, came = dealing.connect(), []
    dealing.channel.receive_with(
        lambda: (message := dealing.channel.received()) is not None and not came.append(message)
    )
    dealing.reactor.settle()
    peer.send(b"1")
    silence(dealing.channel)
    dealing.channel.send([b"2"])
    dealing.reactor.settle()
    assert came == [b"1"]


def test_what_comes_while_messages_are_sent_is_received(dealing: Pair):
    """Whoever is told that his message was sent may do anything."""
    came: list[Any] = []
    dealing.channel.receive_with(
        lambda: (message := dealing.channel.received()) is not None and not came.append(message)
    )

    def answered(_: object) -> None:
        peer.send(b"answer")
        silence(dealing.channel)

    waiting = dealing.channel.send([b"question"])
    assert waiting is not None
    waiting.addCallback(answered)
    dealing.reactor.settle()
    peer = dealing.connect()
    dealing.reactor.settle()
    assert came == [b"answer"]


def test_room_that_comes_while_messages_are_received_is_used(dealing: Pair):
    """Receiving silences the bell for it."""
    peer = dealing.connect()
    ended = outcomes(dealing.channel, *[b"%d" % number for number in range(6)])
    dealing.reactor.settle()
    there: list[Any] = []

    def receive() -> bool:
        there.extend(received(peer))
        while dealing.channel.received() is not None:
            pass
        return False

    dealing.channel.receive_with(receive)
    dealing.reactor.settle()
    peer.send(b"1")
    dealing.reactor.settle()
    assert len(ended) == 6
    assert there + received(peer) == ended


def test_a_router_whose_peer_was_full_tries_again():
    """Now and then, as ZeroMQ does not say when there is room for this peer."""
    pair = Pair(zmq.ROUTER, zmq.DEALER, high_water=1)
    pair.channel.socket.router_mandatory = 1
    peer = pair.context.socket(zmq.DEALER)
    peer.set_hwm(1)
    peer.routing_id = b"peer"
    peer.connect("inproc://pair")
    ended: list[Any] = []
    for number in range(5):
        waiting = pair.channel.send([b"peer", b"%d" % number])
        if waiting is not None:
            waiting.addBoth(ended.append)
    pair.reactor.settle()
    there = received(peer)
    silence(pair.channel)
    pair.reactor.settle()
    assert len(there) < 5
    for _ in range(10):
        pair.reactor.advance(0.1)
        there += received(peer)
        silence(pair.channel)
    assert there == [b"%d" % number for number in range(5)]
    pair.close()
