"""The section `amqp.connections`: connections to brokers, and what consumes from their queues."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from piped import ConfigurationError, Problem, RuntimeEnvironment, provider
from piped.ground.errors import ResourceError
from piped_amqp.connection import AMQPConnection as AMQPConnection  # its documented address
from piped_amqp.consumer import AMQPConsumer as AMQPConsumer  # as above
from piped_amqp.options import ConnectionOptions
from piped_amqp.protocol import AMQProtocol as AMQProtocol  # as above
from piped_amqp.reasons import in_words

_CONNECTION = "amqp.connection."


@provider("amqp.connections", dict[str, ConnectionOptions])
class AMQPConnectionProvider(MultiService):
    """Connections to AMQP 0-9-1 brokers such as RabbitMQ, and what consumes from their queues.

    A broker that is not there stops nothing: a connection is tried until it works, and made anew whenever it is lost.
    Each message that a consumer gets becomes a baton with `channel`, `method`, `properties` and `body`, and is settled
    when every branch of its pipeline has ended.

    Resources: `amqp.connection.<name>`, an AMQProtocol, while it is connected.

    Example:
        amqp:
            connections:
                my_connection:
                    servers:
                        - tcp:rabbit1.example.com:5672
                        - tcp:rabbit2.example.com:5672
                    max_idle_time: 30
                    reconnect_interval: 1
                    parameters:
                        heartbeat: 10
                        username: piped
                        password: ${RABBITMQ_PASSWORD:-guest}
                    basic_consumers:
                        my_consumer:
                            processor: processor_name
                            queue: orders
    """

    prefixes = (_CONNECTION,)

    def __init__(self) -> None:
        super().__init__()
        self._consumers: dict[str, list[Any]] = {}

    @staticmethod
    def offers(options: dict[str, ConnectionOptions]) -> Iterable[str]:
        return (f"{_CONNECTION}{name}" for name in options)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName("amqp.connections")
        self.setServiceParent(runtime_environment.application)
        section = runtime_environment.configuration_manager.node("amqp.connections")
        connections = runtime_environment.get_options(self) or {}
        problems: list[Problem] = []
        for name, options in connections.items():
            node = section.at((name,)) if section is not None else None
            connection = made(name, options, node.named_at if node is not None else None)
            try:
                connection.configure(runtime_environment)
            except ConfigurationError as error:
                problems += error.problems
                continue
            connection.setServiceParent(self)
            self._offer(connection, runtime_environment)
        try:
            AMQPConsumerProvider(connections).configure(runtime_environment)
        except ConfigurationError as error:
            problems += error.problems
        if problems:
            raise ConfigurationError(problems=problems)

    def _offer(self, connection: AMQPConnection, runtime_environment: RuntimeEnvironment) -> None:
        consumers = self._consumers[f"{_CONNECTION}{connection.name}"] = []

        def connected(protocol: AMQProtocol) -> None:
            for each in consumers.copy():
                each.on_resource_ready(protocol)

        def disconnected(reason: Failure) -> None:
            what, _ = in_words(reason.value or ConnectionDone(), connection.parameters)
            reason = Failure(ResourceError(what))  # as whoever waits for it is told why
            for each in consumers.copy():
                each.on_resource_lost(reason)

        connection.on_connected += connected
        connection.on_disconnected += disconnected
        runtime_environment.resource_manager.register(connection.called, self)

    def add_consumer(self, resource_dependency: Any) -> None:
        path = resource_dependency.provider
        self._consumers[path].append(resource_dependency)
        protocol = self.getServiceNamed(path.removeprefix(_CONNECTION)).protocol
        if protocol is not None:
            resource_dependency.on_resource_ready(protocol)

    def remove_consumer(self, resource_dependency: Any) -> None:
        self._consumers[resource_dependency.provider].remove(resource_dependency)


def made(name: str, options: ConnectionOptions, where: Any) -> AMQPConnection:
    """The service of one connection."""
    return AMQPConnection(
        name,
        options.servers,
        options.max_idle_time,
        options.reconnect_interval,
        options.parameters,
        max_reconnect_interval=options.max_reconnect_interval,
        connect_timeout=options.connect_timeout,
        close_timeout=options.close_timeout,
        max_unconfirmed=options.max_unconfirmed,
        where=where,
    )


class AMQPConsumerProvider(MultiService):
    """The `basic_consumers` of all connections; the provider of the connections makes it, as they stand in its section.

    Args:
        connections: by their names.
    """

    def __init__(self, connections: dict[str, ConnectionOptions]) -> None:
        super().__init__()
        self.setName("amqp.consumers")
        self._connections = connections

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setServiceParent(runtime_environment.application)
        problems: list[Problem] = []
        for connection, options in self._connections.items():
            for name, written in options.basic_consumers.items():
                consumer = AMQPConsumer.of(name, connection, written)
                try:
                    consumer.configure(runtime_environment)
                except ConfigurationError as error:
                    problems += error.problems
                    continue
                consumer.setServiceParent(self)
        if problems:
            raise ConfigurationError(problems=problems)
