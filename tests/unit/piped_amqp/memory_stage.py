"""A broker in memory in a world whose clock stands still until a test moves it."""

from __future__ import annotations

import itertools
from typing import Any

from pika import ConnectionParameters, spec
from pika.frame import Method, ProtocolHeader, decode_frame
from twisted.internet.defer import ensureDeferred
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from clocks import Reactor
from piped_amqp.memory.broker import Broker
from piped_amqp.memory.frames import method_frame
from piped_amqp.memory.session import Session
from piped_amqp.memory.transport import MemoryAddress, connect
from piped_amqp.protocol import AMQProtocol

ADDRESS = MemoryAddress("test")
HEADER = ProtocolHeader().marshal()
START_OK = method_frame(0, spec.Connection.StartOk({}, "PLAIN", b"\0guest\0guest", "en_US"))
TUNE_OK = method_frame(0, spec.Connection.TuneOk(0, 131072, 0))
OPEN = method_frame(0, spec.Connection.Open("/"))
HANDSHAKE = HEADER + START_OK + TUNE_OK + OPEN
CHANNEL = HANDSHAKE + method_frame(1, spec.Channel.Open())


def answers(received: bytes) -> list[object]:
    """The methods that a client was sent."""
    found = []
    while received:
        size, frame = decode_frame(received)
        assert size, received
        received = received[size:]
        found.append(frame.method if isinstance(frame, Method) else frame)
    return found


class World:
    """One broker, its clients, and their time."""

    def __init__(self) -> None:
        self.clock = Reactor()
        names = itertools.count(1)
        self.broker = Broker(self.clock, wall_clock=lambda: 1000.0, random_name=lambda: f"name-{next(names)}")

    def turn(self) -> None:
        """All that happens without any time going by."""
        self.clock.advance(0)

    def run(self, awaitable: Any) -> Any:
        """What an awaitable gives, which needs no time for it."""
        waiting = ensureDeferred(awaitable)
        found: list[Any] = []
        waiting.addBoth(found.append)
        self.turn()
        assert found, "it still waits"
        if isinstance(found[0], Failure):
            found[0].raiseException()
        return found[0]

    def connect(self, heartbeat: int = 0) -> AMQProtocol:
        """A connection that can be used; without heartbeats, so that the time may jump."""
        protocol = AMQProtocol(ConnectionParameters(heartbeat=heartbeat), self.clock)
        connect(self.clock, ADDRESS, protocol, Session(self.broker))
        self.turn()
        assert protocol.is_open
        return protocol

    def channel(self) -> Any:
        return self.run(self.connect().open_channel())

    def raw(self) -> Bytes:
        """A connection without any protocol."""
        client = Bytes()
        connect(self.clock, ADDRESS, client, Session(self.broker))
        return client


class Bytes(Protocol):
    """A client that keeps what it is sent."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = reason
