"""Thousands of broken streams: none stops the server, and nothing is left of any."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import pytest
from spread_stage import Link, Server, Wire, bare_client, now
from twisted.cred.credentials import UsernamePassword
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from piped.spread.banana import encoded

STREAMS = 3_000
PARTS = [b"\x02\x80", b"\x00\x80", b"\x7f\x7f\x01\x80", b"\x00\x03\x82" + b"x" * 384, b"\x05\x81"]
CHECKER = "checker: {name: twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse, arguments: {ada: secret}}"
WORDS = (
    b"message answer error decref version cachemessage decache uncache pb none list tuple dictionary set unicode None "
    b"boolean reference dereference remote local copy cache cached lcache module class function instance persistent "
    b"root login respond decimal datetime os.system twisted.spread.pb.CopyableFailure"
).split()


def recorded(server: Server, name: bytes | None) -> bytes:
    """What a well-behaved client sends."""
    factory, sent = bare_client(), []
    link = Link(server.service.factory.buildProtocol(None), broker := factory.buildProtocol(None))
    sent.append(encoded(b"pb", {}))
    broker.transport.write, write = (lambda data: (sent.append(data), write(data))[1]), broker.transport.write
    root = now(factory.getRootObject())
    if name is not None:
        told: list[Any] = []
        factory.login(UsernamePassword(name, b"secret")).addBoth(told.append)
        link.pump()
        [root] = told
    for arguments in ((1, "two", [b"three"]), ({"four": {5.0, None}}, -(2**70))):
        root.callRemote("work", *arguments, key=True).addErrback(lambda _: None)
    link.pump()
    link.lose()
    return b"".join(sent)


def expression(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if kind < 0.35 and depth < 5:
        return [expression(chance, depth + 1) for _ in range(chance.randrange(6))]
    if kind < 0.75:
        return chance.choice(WORDS)
    return chance.choice([0, 1, 6, -1, 2**31, -(2**40), 1.5, chance.randbytes(chance.randrange(8))])


def mutated(chance: random.Random, valid: bytes) -> bytes:
    """One broken stream."""
    kind = chance.randrange(6)
    if kind == 0:
        return chance.randbytes(chance.randrange(1, 400))
    if kind == 1:
        return valid[: chance.randrange(len(valid))]
    if kind == 2:
        data = bytearray(valid)
        for _ in range(chance.randrange(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        return bytes(data)
    if kind == 3:
        start = chance.randrange(len(valid))
        return valid[:start] + chance.randbytes(chance.randrange(1, 60)) + valid[start:]
    if kind == 4:
        message = [b"message", chance.randrange(9), b"root", chance.choice(WORDS), chance.randrange(2)]
        count = chance.randrange(1, 9)
        bodies = [encoded([*message, expression(chance), expression(chance)], {}) for _ in range(count)]
        return encoded(b"pb", {}) + b"".join(bodies)
    return encoded(b"pb", {}) + b"".join(encoded([chance.choice(WORDS), *_tail(chance)], {}) for _ in range(5))


def _tail(chance: random.Random) -> list[Any]:
    return [expression(chance) for _ in range(chance.randrange(7))]


@pytest.mark.parametrize("name", [None, b"ada"], ids=["open", "with login"])
def test_broken_streams_are_answered_or_cut_and_leave_nothing(name: bytes | None, caplog: Any) -> None:
    """Truncated, oversized, binary and mixed-up streams: the server goes on, and no connection or timer is left."""
    server = Server(
        "main: [callback-deferred: {result_path: args.0}]",
        f"processor: main, default_callback: null{f', {CHECKER}' if name else ''}",
    )
    valid, chance = recorded(server, name), random.Random(20_26)
    factory = server.service.factory
    for _ in range(STREAMS):
        broker, wire = factory.buildProtocol(None), Wire()
        broker.makeConnection(wire)
        data = mutated(chance, valid)
        size = chance.choice([1, 7, 100, len(data)])
        for start in range(0, len(data), size):
            broker.dataReceived(data[start : start + size])
            if wire.is_cut:
                break
        assert wire.is_cut or len(broker._decoder._rest) <= len(data)
        broker.connectionLost(Failure(ConnectionDone()))
        caplog.clear()
    assert not factory._brokers
    assert [call for call in server.clock.getDelayedCalls() if call.active() and call.getTime() > 0] == []
    if name is None:
        assert server.call("work", 5) == 5


@pytest.mark.parametrize("seed", range(20))
def test_what_is_too_large_is_cut_before_it_is_kept(seed: int) -> None:
    """Whatever a stream announces, no more than a message may have is kept."""
    server = Server("main: [callback-deferred: {result: 1}]", "processor: main, max_message_size: 100000")
    chance = random.Random(seed)
    broker, wire = server.service.factory.buildProtocol(None), Wire()
    broker.makeConnection(wire)
    broker.dataReceived(encoded(b"pb", {}))
    tracemalloc.start()
    sent = 0
    while not wire.is_cut and sent < 10_000_000:
        part = 50 * chance.choice(PARTS)
        sent += len(part)
        broker.dataReceived(part)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert wire.is_cut
    assert peak < 2_000_000
    broker.connectionLost(Failure(ConnectionDone()))
