"""Connections: limits before and after a login, and what becomes of clients that speak no SSH, or bad SSH."""

from __future__ import annotations

import gc
import logging
import random
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from manhole_stage import Manhole
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.keys import Key

from piped_manhole.connections import GRACE, MOST_WAITING, Connection

SESSION = NS(b"session") + struct.pack(">3L", 0, 2**20, 2**15)
LENGTHS = (0, 12, 28, 252, 35_000, 2**20, 2**31)


def test_a_login_opens_sessions() -> None:
    """The right password is let in, and gets a channel."""
    client = Manhole().connect().client()
    assert client.log_in()
    client.say(90, SESSION)
    assert len(client.received(91)) == 1


def test_there_are_sessions_only() -> None:
    """Nothing is forwarded, and nobody has any number of sessions."""
    client = Manhole().connect().client()
    client.log_in()
    client.say(90, NS(b"direct-tcpip") + struct.pack(">3L", 0, 1, 1))
    client.say(80, NS(b"tcpip-forward") + b"\1" + NS(b"") + struct.pack(">L", 0))
    assert (len(client.received(91)), len(client.received(92)), len(client.received(82))) == (0, 1, 1)
    for _ in range(12):
        client.say(90, SESSION)
    assert (len(client.received(91)), len(client.received(92))) == (10, 3)


def test_who_does_not_log_in_is_hung_up_on() -> None:
    """The time runs from the first byte, whatever is said; who is logged in has all the time of the world."""
    manhole = Manhole(login_time=60)
    silent, talking, inside = manhole.connect(), manhole.connect(), manhole.connect().client()
    inside.log_in()
    client = talking.client()
    manhole.clock.advance(59)
    client.say(5, NS(b"ssh-userauth"))
    assert len(manhole.connections.connections) == 3
    manhole.clock.advance(1)
    silent.settle()
    talking.settle()
    manhole.clock.advance(10**6)
    assert list(manhole.connections.connections) == [inside.wire.server]


def test_who_does_not_go_is_cut_off() -> None:
    """A client that takes nothing of what it is told cannot keep its place."""
    manhole = Manhole(login_time=60)
    wire = manhole.connect()
    manhole.clock.advance(60)
    assert not wire.transport.disconnected
    manhole.clock.advance(GRACE)
    assert wire.transport.disconnected


def test_who_was_told_to_go_is_not_heard_any_more() -> None:
    """Whatever he still sends is neither kept nor answered, also what came together with the last straw."""
    manhole = Manhole()
    wire = manhole.connect()
    hello = client_hello(manhole)
    manhole.clock.advance(60)
    wire.transport.clear()
    wire.server.dataReceived(hello + b"x" * 1000)
    assert (wire.transport.value(), wire.server.buf) == (b"", b"")
    client = manhole.connect().client()
    client.log_in()
    client.sendPacket(5, NS(b"ssh-userauth"))
    client.say(90, SESSION)
    assert client.received(91) == []


def test_who_does_not_take_answers_is_not_heard() -> None:
    """They would fill the memory; who takes them again is heard again, and who was told to go is not."""
    manhole = Manhole()
    wire = manhole.connect()
    assert (wire.transport.producer, wire.transport.streaming) == (wire.server, True)
    wire.transport.producer.pauseProducing()
    assert wire.transport.producerState == "paused"
    wire.transport.producer.resumeProducing()
    assert wire.transport.producerState == "producing"
    manhole.clock.advance(60)
    assert wire.transport.producer is None


def test_attempts_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Each takes its time, and is told in the log without the password."""
    caplog.set_level(logging.INFO, "piped.manhole")
    manhole = Manhole(max_attempts=3)
    client = manhole.connect().client()
    for _ in range(3):
        assert not client.log_in(password="wrong one")
        assert client.wire.is_open
        manhole.clock.advance(1)
        client.pump()
    assert not client.wire.is_open
    assert caplog.text.count("manholes.test: ada from 192.0.2.1:4711 is refused by password") == 3
    assert "wrong one" not in caplog.text


def test_attempts_come_one_at_a_time() -> None:
    """Otherwise thousands would be answered before the first is counted."""
    client = Manhole().connect().client()
    client.log_in(password="wrong")
    assert not client.log_in(password="sesame")
    assert not client.wire.is_open
    client = Manhole().connect().client()
    client.log_in(password="wrong")
    client.messages = []  # so that the service is asked for anew
    assert not client.log_in(password="sesame")
    assert not client.wire.is_open


def test_nobody_logs_in_where_others_can_listen() -> None:
    """Before there are keys, and a second time, there is nothing to log in to."""
    wire = Manhole().connect()
    packet = b"\x05" + NS(b"ssh-userauth")
    wire.send(b"SSH-2.0-x\r\n" + struct.pack(">LB", len(packet) + 1 + 10, 10) + packet + b"\0" * 10)
    assert not wire.is_open
    client = Manhole().connect().client()
    client.log_in()
    client.say(5, NS(b"ssh-userauth"))
    assert not client.wire.is_open


def test_there_is_a_limit_of_connections(caplog: pytest.LogCaptureFixture) -> None:
    """Those above are turned away; a place that becomes free can be taken."""
    manhole = Manhole(max_connections=2)
    first, _ = manhole.connect(), manhole.connect()
    assert manhole.connections.buildProtocol(None) is None
    assert "too many are connected" in caplog.text
    first.lose()
    assert isinstance(manhole.connections.buildProtocol(None), Connection)


def test_who_types_nothing_for_too_long_is_told() -> None:
    """Input begins the time anew; by default there is no such limit."""
    manhole = Manhole(idle_timeout=100)
    client = manhole.connect().client()
    client.log_in()
    client.say(90, SESSION)
    manhole.clock.advance(99)
    client.say(94, struct.pack(">L", 0) + NS(b"x"))
    manhole.clock.advance(99)
    assert client.wire.is_open
    manhole.clock.advance(1)
    client.pump()
    assert any(b"nothing was typed for too long" in payload for payload in client.received(94))
    assert not client.wire.is_open


def test_only_safe_algorithms_are_offered() -> None:
    """No CBC, no 3DES, no SHA-1, no MD5, no compression, no ssh-rsa; RSA keys of users with SHA-2."""
    manhole = Manhole()
    manhole.connections.use_key(Key(rsa.generate_private_key(65537, 2048)))
    client = manhole.connect().client()
    names = b" ".join(payload for number, payload in client.messages if number == 20)
    for weak in (b"cbc", b"3des", b"sha1", b"md5", b"zlib", b"ssh-rsa", b"ssh-dss"):
        assert weak not in names
    assert b"rsa-sha2-512" in client.peerExtensions[b"server-sig-algs"]


def test_junk_is_cut_off() -> None:
    """Five thousand clients that speak no SSH: each is answered or cut, nothing is kept of them, nothing is raised."""
    chance = random.Random(1)
    manhole = Manhole()
    hello = bytes(client_hello(manhole))
    for number in range(5000):
        wire = manhole.connect()
        for piece in _junk(chance, number, hello):
            wire.send(piece)
            assert len(wire.server.buf) <= MOST_WAITING
        if wire.is_open and chance.random() < 0.5:
            wire.lose()
        if len(manhole.connections.connections) > 10:
            manhole.clock.advance(manhole.connections.options.login_time)
            for connection in list(manhole.connections.connections):
                connection.connectionLost(None)
    for connection in list(manhole.connections.connections):
        connection.connectionLost(None)
    assert manhole.clock.getDelayedCalls() == []
    assert not manhole.connections.connections


def client_hello(manhole: Manhole) -> bytes:
    """The first bytes of a client that means it."""
    client = manhole.connect().client()
    client.wire.lose()
    length = len(client.ourKexInitPayload)
    padding = 8 - (length + 5) % 8 + 8
    return (
        b"SSH-2.0-x\r\n"
        + struct.pack(">LB", length + 1 + padding, padding)
        + client.ourKexInitPayload
        + b"\0" * padding
    )


def _junk(chance: random.Random, number: int, hello: bytes) -> list[bytes]:
    """What one client sends: nothing like SSH, or SSH that goes wrong somewhere."""
    kind = number % 5
    if kind == 0:
        return [chance.randbytes(chance.randrange(2000)) for _ in range(3)]
    if kind == 1:
        return [b"SSH-" + chance.choice((b"1.5-x", b"2.0", b"9-", b"")) + chance.choice((b"\r\n", b"\n", b"x" * 5000))]
    if kind == 2:
        head = struct.pack(">LB", chance.choice(LENGTHS), chance.randrange(256))
        return [b"SSH-2.0-x\r\n", head + chance.randbytes(chance.randrange(400)), b"x" * chance.choice((8, 300_000))]
    if kind == 3:
        broken = bytearray(hello)
        for _ in range(chance.randrange(1, 10)):
            broken[chance.randrange(11, len(broken))] = chance.randrange(256)
        return [bytes(broken), chance.randbytes(100)]
    packet = bytes([chance.choice((1, 2, 3, 4, 5, 7, 20, 21, 30, 31, 32, 34, 50, 90, 255))]) + chance.randbytes(27)
    return [hello[: chance.randrange(len(hello))] if chance.random() < 0.3 else hello] + [
        struct.pack(">LB", len(packet) + 8, 7) + packet + b"\0" * 7
    ] * 2


def test_junk_behind_the_key_exchange_is_cut_off() -> None:
    """Messages of every number with any content, before the login and after it, in hundreds of connections."""
    chance = random.Random(2)
    manhole = Manhole(max_attempts=1000)
    for number in range(200):
        client = manhole.connect().client()
        if number % 2:
            client.log_in()
            client.say(90, SESSION)
        for _ in range(25):
            message = chance.choice((1, 2, 3, 4, 5, 6, 7, 20, 21, 30, 31, *range(50, 62), *range(80, 101)))
            names = (b"pty-req", b"window-change", b"shell", b"exec", b"signal", b"env", b"\xff", b"ssh-connection")
            parts = [NS(chance.choice(names)), struct.pack(">L", chance.choice((0, 0, 0, 1, 2**32 - 1)))]
            parts += [chance.randbytes(chance.randrange(40)), NS(b"1 + 1"), b"\1"]
            chance.shuffle(parts)
            if message in (94, 95, 98):
                parts.insert(0, struct.pack(">L", 0))
            if client.wire.is_open:
                client.say(message, b"".join(parts[: chance.randrange(len(parts) + 1)]))
                manhole.clock.advance(0)
        client.wire.lose()
    manhole.clock.advance(10)
    assert not manhole.connections.connections
    assert manhole.clock.getDelayedCalls() == []
    gc.collect()  # a Deferred that has failed, and that nobody asked, would be logged now


def test_a_stop_waits_for_everybody_to_go() -> None:
    """All are told; the Deferred fires when the last one has gone."""
    manhole = Manhole()
    clients = [manhole.connect().client() for _ in range(3)]
    for client in clients:
        client.log_in()
        client.say(90, SESSION)
    closed = manhole.connections.close("the process stops")
    assert not closed.called
    for client in clients:
        client.pump()
        assert any(b"the process stops" in payload for payload in client.received(94))
    assert closed.called
    assert manhole.connections.close("again").called
