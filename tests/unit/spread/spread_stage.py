"""Perspective Broker without a network: two ends in memory, and a clock that stands still."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.spread import pb

from piped import ConfigurationError, RuntimeEnvironment
from piped.config.gathering import gather_text
from piped.runtime.assembly import check, configure
from piped.spread.broker import Broker, Limits
from piped.spread.client import PipedPBClientFactory


class Reactor(Clock):
    """A clock that is told from other threads, too."""

    def callFromThread(self, call: Callable[..., object], *arguments: Any) -> None:
        self.callLater(0, call, *arguments)


class Wire(StringTransport):
    """One end of a connection, which knows whether it was cut."""

    is_cut = False
    #: Whether the other end does not let it be closed, as a peer over TLS can.
    is_held = False

    def loseConnection(self) -> None:
        self.disconnecting = not self.is_held

    def abortConnection(self) -> None:
        self.is_cut = self.disconnecting = True


class Link:
    """A connection between two protocols: what one end writes the other one reads, until both are silent."""

    def __init__(self, server: Any, client: Any) -> None:
        self.ends = [server, client]
        self.wires = [Wire(peerAddress=IPv4Address("TCP", "192.0.2.1", 4000 + number)) for number in range(2)]
        self.is_lost = False
        for end, wire in zip(self.ends, self.wires, strict=True):
            end.makeConnection(wire)
        self.pump()

    def pump(self) -> None:
        """Carry over all that was written."""
        while not self.is_lost:
            carried = False
            for source, end in ((self.wires[0], self.ends[1]), (self.wires[1], self.ends[0])):
                data = source.value()
                if data:
                    source.clear()
                    end.dataReceived(data)
                    carried = True
            if not carried:
                break
        if not self.is_lost and any(wire.disconnecting for wire in self.wires):
            self.lose()

    def lose(self, reason: Exception | None = None) -> None:
        """Lose the connection, at both ends."""
        self.is_lost = True
        for end in self.ends:
            end.connectionLost(Failure(reason or ConnectionDone()))

    def break_off(self) -> None:
        self.lose(ConnectionLost())


def bare_client() -> Any:
    """The factory of a client that is Twisted's own."""
    return pb.PBClientFactory()


class Server:
    """A configured server, and what bare clients of it are told.

    Args:
        options: the lines below `main:`, without the place to listen.
    """

    def __init__(self, pipelines: str, options: str = "processor: main", *plugins: Any, resources: Any = ()) -> None:
        self.clock = Reactor()
        text = "pb: {servers: {main: {listen: 0, %s}}}\npipelines:\n%s"
        text %= options, textwrap.indent(textwrap.dedent(pipelines), "  ")
        self.environment = assembled(text, self.clock, *plugins, resources=resources)
        self.service = resource(self.environment, "pb.server.main")
        self.links: list[Link] = []

    def connect(self, factory: Any = None) -> Any:
        """The factory of a connected client."""
        factory = factory or bare_client()
        self.links.append(Link(self.service.factory.buildProtocol(None), factory.buildProtocol(None)))
        return factory

    def root(self) -> Any:
        """The root object, as a new client has it."""
        return now(self.connect().getRootObject())

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """What a call by a client of its own comes to at once: the answer, a Failure, or None while there is none."""
        return self.ask(self.root(), name, *args, **kwargs)

    def ask(self, root: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        """The same, for a client that is there."""
        told: list[Any] = []
        root.callRemote(name, *args, **kwargs).addBoth(told.append)
        self.pump()
        return told[0] if told else None

    def pump(self) -> None:
        for link in self.links:
            link.pump()

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.pump()


def assembled(text: str, clock: Any, *plugins: Any, resources: Any = ()) -> RuntimeEnvironment:
    """The environment of a configuration that is checked, configured and resolved."""
    environment = RuntimeEnvironment(reactor=clock)
    resources = dict(resources)
    assembly = check(gather_text(textwrap.dedent(text), "site.yml", environ={}), {}, plugins, resources)
    for path, offer in resources.items():
        environment.resource_manager.register(path, offer)
    if problems := assembly.errors or configure(assembly, environment):
        raise ConfigurationError(problems=problems)
    return environment


class Offer:
    """A provider of one resource, which comes and goes as a test says."""

    def __init__(self) -> None:
        self._consumers: list[Any] = []

    def add_consumer(self, dependency: Any) -> None:
        self._consumers.append(dependency)

    def deliver(self, resource: Any) -> None:
        for consumer in self._consumers:
            consumer.on_resource_ready(resource)

    def lose(self) -> None:
        for consumer in self._consumers:
            consumer.on_resource_lost("it went away")


def resource(environment: RuntimeEnvironment, path: str) -> Any:
    """The resource at a path, for a consumer of its own."""
    manager = environment.dependency_manager
    dependency = manager.add_dependency(manager.as_dependency(path))
    manager.resolve_initial_states()
    return dependency.get_resource()


def now(deferred: Deferred[Any]) -> Any:
    """What a Deferred has fired with already."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    assert results, "it has not fired"
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]


def name_of(failure: Any) -> str:
    """The full name of the exception that a call has failed with on the other side."""
    name = failure.type if isinstance(failure, pb.CopiedFailure) else failure.value.remoteType
    return name.decode() if isinstance(name, bytes) else str(name)


class Mute:
    """A peer that takes nothing, says nothing and does not leave."""

    def makeConnection(self, transport: Any) -> None:
        pass

    def dataReceived(self, data: bytes) -> None:
        pass

    def connectionLost(self, reason: Any) -> None:
        pass


class Remote(pb.Root):
    """A server of a program that knows nothing but twisted.spread."""

    def remote_echo(self, *args: Any, **kwargs: Any) -> Any:
        return args[0] if args else kwargs

    def remote_fail(self, kind: str) -> Any:
        raise pb.Error("known") if kind == "known" else KeyError("secret detail")

    def remote_never(self) -> Any:
        return Deferred()

    def remote_odd(self) -> Any:
        return object()

    def remote_lend(self) -> Any:
        return pb.Referenceable()

    def remote_call_me(self, other: Any) -> Any:
        return other.callRemote("tell", "back")


class Client:
    """A client of ours, connected to a bare server."""

    def __init__(self, **limits: Any) -> None:
        self.clock = Reactor()
        self.factory = PipedPBClientFactory("pb.client.main", self.clock, Limits(**limits))
        server = pb.PBServerFactory(Remote()).buildProtocol(None)
        self.link = Link(server, self.factory.buildProtocol(None))
        self.broker: Broker = self.link.ends[1]
        self.root = now(self.factory.getRootObject())

    def ask(self, name: str, *args: Any, **kwargs: Any) -> Any:
        told: list[Any] = []
        self.root.callRemote(name, *args, **kwargs).addBoth(told.append)
        self.link.pump()
        return told[0] if told else None


def ladder(steps: int, kind: bytes = b"tuple") -> Any:
    """A tuple of twice the same tuple of twice the same tuple …: short to write, and 2 ** steps values to hash."""
    expression: Any = [b"tuple", 1, 2]
    for number in range(steps):
        again = [b"dereference", number]
        second = [b"tuple", again] if kind == b"frozenset" else again
        expression = [kind, [b"reference", number, expression], second]
    return expression
