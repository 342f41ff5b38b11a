"""What the tests of connections stand on: a broker in memory, a clock that stands still, peers that are no brokers."""

from __future__ import annotations

from typing import Any

from pika import frame, spec
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from piped_amqp.channels import AMQPChannel
from piped_amqp.memory import endpoint
from piped_amqp.memory.endpoints import broker_named
from piped_amqp.parameters import Parameters
from piped_amqp.protocol import AMQProtocol


class Link:
    """A protocol that is connected to a broker in memory, in a time of its own."""

    def __init__(self, **parameters: Any) -> None:
        self.clock = Clock()
        self.broker = broker_named(self.clock, "test")
        self.protocol = AMQProtocol(Parameters(**parameters).for_pika("amqp.connection.test"), self.clock)
        self.lost: list[Failure] = []
        self.protocol.on_lost += self.lost.append
        ready = self.protocol.ready
        endpoint(self.clock, "test").connect(Once(self.protocol))
        assert self.result(ready) is self.protocol

    def turn(self, turns: int = 60) -> None:
        """Let all that is on its way arrive."""
        for _ in range(turns):
            self.clock.advance(0)

    def result(self, awaited: Deferred[Any]) -> Any:
        """What something gives, after some turns of the reactor; what it fails with is raised."""
        self.turn()
        results: list[Any] = []
        awaited.addBoth(results.append)
        assert results, "nothing has come yet"
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def channel(self) -> AMQPChannel:
        channel: AMQPChannel = self.result(self.protocol.open_channel())
        return channel

    def queue(self, name: str, *bodies: bytes, channel: AMQPChannel | None = None) -> None:
        """A queue that holds some messages."""
        channel = channel or self.channel()
        self.result(channel.queue_declare(name))
        for body in bodies:
            channel._channel.basic_publish("", name, body)
        self.turn()

    def tell(self, channel: int, method: Any) -> None:
        """Have the broker say something."""
        self.protocol.dataReceived(frame.Method(channel, method).marshal())

    def waiting(self, name: str) -> int:
        """How many messages a queue holds that are with nobody."""
        self.turn()
        return len(self.broker.queues[name])


class Once(Factory):
    """Makes one protocol."""

    noisy = False

    def __init__(self, protocol: AMQProtocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> AMQProtocol:
        return self._protocol


class Transport(StringTransport):
    """One that tells its protocol when it was closed."""

    protocol: Any
    #: The other side takes nothing more, so that what was written never leaves.
    is_stuck = False

    def loseConnection(self) -> None:
        if not self.is_stuck:
            self._end()

    def abortConnection(self) -> None:
        self._end()

    def _end(self) -> None:
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(ConnectionDone()))


class Peer:
    """An endpoint behind which somebody listens who may do anything; the connections are in `transports`.

    Args:
        error: what connecting fails with; None connects, and "never" does neither.
    """

    def __init__(self, error: Exception | str | None = None) -> None:
        self.error = error
        self.tried = 0
        self.transports: list[Transport] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        self.tried += 1
        connecting: Deferred[Any] = Deferred()
        if self.error == "never":
            return connecting
        if self.error is not None:
            connecting.errback(Failure(self.error))
            return connecting
        transport = Transport()
        transport.protocol = factory.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        self.transports.append(transport)
        connecting.callback(transport.protocol)
        return connecting

    def tell(self, channel: int, *methods: Any) -> None:
        """Say something on the connection that was made last."""
        for method in methods:
            self.transports[-1].protocol.dataReceived(frame.Method(channel, method).marshal())

    def greet(self, heartbeat: int = 0) -> None:
        """What a broker says until the connection can be used."""
        capabilities = {"capabilities": {"connection.blocked": True, "consumer_cancel_notify": True}}
        self.tell(0, spec.Connection.Start(0, 9, capabilities, "PLAIN", "en_US"))
        self.tell(0, spec.Connection.Tune(2047, 131072, heartbeat), spec.Connection.OpenOk())


def delivery(
    tag: int, body: bytes, consumer: str = "c", channel: int = 1, properties: Any = None, part: int = 0
) -> bytes:
    """The frames of a message as a broker sends them.

    Args:
        part: how many bytes of the body stand in one frame; 0 for all.
    """
    part = part or len(body) or 1
    frames = [
        frame.Method(channel, spec.Basic.Deliver(consumer, tag, False, "exchange", "key")),
        frame.Header(channel, len(body), properties or spec.BasicProperties()),
        *(frame.Body(channel, body[at : at + part]) for at in range(0, len(body), part)),
    ]
    return b"".join(each.marshal() for each in frames)
