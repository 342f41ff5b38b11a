"""What the tests of consumers stand on: a service with a broker in memory, on a clock that stands still."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

from pika import BasicProperties
from tests.clocks import Reactor
from tests.unit.providers.providers_stage import Offer, assembled
from twisted.internet.defer import Deferred

from piped import RuntimeEnvironment, processor
from piped_amqp.providers import AMQPConnectionProvider

CONFIGURATION = """
amqp:
  connections:
    main:
      servers: memory://stage
      basic_consumers:
        jobs:
          processor: work
          {options}
pipelines:
  work: [{steps}]
"""


class Service:
    """A consumer of the queue `jobs` whose pipeline has the given steps, running, and a publisher beside it."""

    def __init__(
        self,
        *steps: Callable[..., Any],
        options: str = "queue: {queue: jobs}",
        named: str | None = None,
        offers: dict[str, Offer] | None = None,
        start: bool = True,
    ) -> None:
        options = textwrap.indent(textwrap.dedent(options), " " * 10).strip()
        names = ", ".join(step.__name__ for step in steps) if named is None else named
        self.environment = RuntimeEnvironment(reactor=Reactor(), wall_clock=lambda: 1000.0)
        self.clock = self.environment.reactor
        text = CONFIGURATION.format(options=options, steps=names)
        assembled(text, *steps, AMQPConnectionProvider, into=self.environment, offers=offers or {})
        (self.source,) = self.environment.sources
        if start:
            self.start()

    def start(self) -> None:
        self.environment.application.startService()
        self.turn()

    @property
    def connection(self) -> Any:
        return self.environment.application.getServiceNamed("amqp.connections").getServiceNamed("main")

    @property
    def consumer(self) -> Any:
        (consumer,) = self.environment.application.getServiceNamed("amqp.consumers")
        return consumer

    def turn(self, seconds: float = 0, turns: int = 40) -> None:
        """Let time pass, and everybody have their turns."""
        self.clock.advance(seconds)
        for _ in range(turns):
            self.clock.advance(0)

    def step(self, calls: int) -> None:
        """Let so many of the calls be made that are due, and no more."""
        for _ in range(calls):
            if self.clock.calls and self.clock.calls[0].getTime() <= self.clock.seconds():
                call = self.clock.calls.pop(0)
                call.called = 1
                call.func(*call.args, **call.kw)

    def call(self, deferred: Deferred[Any]) -> Any:
        """What the broker answers."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.turn()
        (result,) = results
        return result.raiseException() if hasattr(result, "raiseException") else result

    def channel(self) -> Any:
        """A channel beside that of the consumer."""
        return self.call(self.connection.protocol.open_channel())

    def publish(self, *bodies: bytes, queue: str = "jobs", exchange: str = "", **properties: Any) -> None:
        protocol = self.connection.protocol
        for body in bodies:
            self.call(protocol.publish(exchange, queue, body, BasicProperties(**properties)))

    def declare(self, queue: str, **options: Any) -> None:
        self.call(self.channel().queue_declare(queue, **options))

    def waiting(self, queue: str = "jobs") -> int:
        """How many messages are in a queue that nobody was given."""
        return int(self.call(self.channel().queue_declare(queue, passive=True)).method.message_count)

    def get(self, queue: str) -> Any:
        """The first message of a queue: its properties and body."""
        _, _, properties, body = self.call(self.channel().basic_get(queue, auto_ack=True))
        return properties, body

    def consumers(self, queue: str = "jobs") -> int:
        return int(self.call(self.channel().queue_declare(queue, passive=True)).method.consumer_count)


class Waiting:
    """A step `hold_up` that waits for each body until a test lets it go on."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.waits: list[Deferred[Any]] = []
        self.batons: list[Any] = []

        @processor("hold_up")
        def hold_up(baton: Any) -> Any:
            self.bodies.append(baton["body"])
            self.batons.append(baton)
            waiting: Deferred[Any] = Deferred()
            self.waits.append(waiting)
            return waiting

        self.step = hold_up

    def release(self, number: int, result: Any = None) -> None:
        self.waits[number].callback(result)
