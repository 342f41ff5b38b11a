"""Brokers as the tests of AMQP see them: the real one and that in memory, behind the same connection."""

from __future__ import annotations

from typing import Any

import pytest
from pika import BasicProperties, ConnectionParameters
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from piped_amqp.memory import endpoint
from piped_amqp.protocol import AMQProtocol


class Consumed:
    """What one consumer gets."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.tag = ""
        self.cancelled: Deferred[Exception] = Deferred()
        self._got: DeferredQueue[tuple[Any, Any, bytes]] = DeferredQueue()

    async def start(self, queue: str, **options: Any) -> Consumed:
        def delivered(method: Any, properties: Any, body: bytes) -> None:
            self._got.put((method, properties, body))

        self.tag = await self.channel.consume(queue, delivered, on_cancelled=self.cancelled.callback, **options)
        return self

    async def next(self) -> tuple[Any, Any, bytes]:
        return await self._got.get()

    async def bodies(self, count: int) -> list[bytes]:
        return [(await self.next())[2] for _ in range(count)]

    @property
    def waiting(self) -> int:
        return len(self._got.pending)


class OnBroker(TestCase):
    """A test with connections to a broker, which are closed at its end; see the two kinds of it."""

    timeout = 30
    vhost = "/"
    #: As it is written behind `servers:`.
    server: str

    def endpoint(self) -> Any:
        raise NotImplementedError

    async def connect(self, protocol: Any = AMQProtocol) -> Any:
        """A connection to the broker of this test."""
        parameters = ConnectionParameters(virtual_host=self.vhost)
        made = await self.endpoint().connect(Factory.forProtocol(lambda: protocol(parameters, reactor)))
        await made.ready
        self.addCleanup(self._close, made)
        return made

    async def _close(self, protocol: Any) -> None:
        if protocol.is_open:
            await protocol.close()

    async def channel(self, prefetch: int = 0) -> Any:
        """A channel on a connection of its own."""
        channel = await (await self.connect()).open_channel()
        if prefetch:
            await channel.basic_qos(prefetch_count=prefetch)
        return channel

    async def filled(self, *bodies: bytes, name: str = "work", **arguments: Any) -> Any:
        """A channel that has declared a queue and published to it, all confirmed."""
        channel = await self.channel()
        await self.declare(channel, name, **arguments)
        await channel.confirm_delivery()
        for body in bodies:
            await self.publish(channel, body, name)
        return channel

    async def declare(self, channel: Any, name: str, **arguments: Any) -> None:
        """A durable queue; underscores of arguments stand for dashes."""
        named = {f"x-{argument.replace('_', '-')}": value for argument, value in arguments.items()}
        await channel.queue_declare(name, durable=True, arguments=named)

    async def publish(self, channel: Any, body: bytes, key: str, exchange: str = "", **properties: Any) -> None:
        await channel.basic_publish(exchange, key, body, BasicProperties(**properties), mandatory=True)

    async def consume(self, channel: Any, queue: str = "work", **options: Any) -> Consumed:
        return await Consumed(channel).start(queue, **options)

    async def get(self, channel: Any, count: int = 1, queue: str = "work") -> list[Any]:
        """Single messages, for each of which is waited; `(tag, body, redelivered)`."""
        found = []
        while len(found) < count:
            got = await channel.basic_get(queue)
            if got is None:
                await deferLater(reactor, 0.01)
            else:
                found.append((got.method.delivery_tag, got.body, got.method.redelivered))
        return found

    async def ready(self, channel: Any, count: int, queue: str = "work") -> None:
        """Wait until so many messages are in a queue and with nobody."""
        while (await channel.queue_declare(queue, passive=True)).method.message_count != count:
            await deferLater(reactor, 0.01)

    async def refused(self, awaitable: Any) -> tuple[int, str]:
        """The code and the first word of the broker's reason for closing the channel."""
        try:
            await awaitable
        except Exception as error:
            return error.reply_code, error.reply_text.split()[0]  # type: ignore[attr-defined]
        raise AssertionError("the broker has refused nothing")


class OnRabbitMQ(OnBroker):
    """A virtual host of the RabbitMQ of all tests."""

    @pytest.fixture(autouse=True)
    def _rabbitmq(self, rabbitmq: Any) -> None:
        self.vhost, self.server = rabbitmq.vhost(), rabbitmq.endpoint

    def endpoint(self) -> Any:
        return clientFromString(reactor, self.server)


class InMemory(OnBroker):
    """A broker in memory for each test."""

    @property
    def server(self) -> str:  # type: ignore[override]  # each test has its own
        return f"memory://{self.id()}"

    def endpoint(self) -> Any:
        return endpoint(reactor, self.id())
