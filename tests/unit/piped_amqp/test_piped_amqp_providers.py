"""Tests of `piped_amqp.providers`: the section `amqp.connections`."""

from __future__ import annotations

import pytest
from pika import frame, spec
from tests.unit.providers.providers_stage import assembled, environment, recorder, resource

import piped_amqp.providers as providers
from piped import ConfigurationError, NotReadyError
from piped.runtime.draining import drain
from piped_amqp.protocol import AMQProtocol

CONNECTION = """
    amqp:
        connections:
            main:
                servers: memory://test
"""


def started(text, *plugins):
    made = assembled(text, *plugins, into=environment())
    made.application.startService()
    turn(made)
    return made


def turn(made, seconds=0):
    for _ in range(100):
        made.reactor.advance(seconds / 100)


def stop(made):
    """What the process does when it is asked to stop."""
    stopped = []
    drained = drain(made.sources, 20, made.reactor)
    drained.addCallback(lambda _: made.before_stop())
    drained.addCallback(lambda _: made.application.stopService()).addCallback(stopped.append)
    turn(made)
    turn(made)
    assert stopped


@pytest.mark.parametrize(
    "name",
    ["AMQPConnectionProvider", "AMQPConnection", "AMQProtocol", "AMQPConsumerProvider", "AMQPConsumer"],
)
def test_the_documented_classes_are_where_they_are_said_to_be(name):
    """Code that names a class of the house by its full name finds it."""
    assert getattr(providers, name).__name__ == name


def test_a_connection_is_a_resource_while_it_is_connected():
    """`amqp.connection.<name>` is the connected protocol, the same for all; taken back when it is lost."""
    made = started(CONNECTION)
    protocol = resource(made, "amqp.connection.main")
    assert isinstance(protocol, AMQProtocol)
    assert resource(made, "amqp.connection.main") is protocol
    dependency = made.dependency_manager.add_dependency(made.dependency_manager.as_dependency("amqp.connection.main"))
    made.dependency_manager.resolve_initial_states()
    events = []
    dependency.on_lost += lambda *_: events.append("lost")
    dependency.on_ready += lambda _: events.append("ready")
    protocol.transport.abortConnection()
    turn(made)
    assert events == ["lost"]
    with pytest.raises(NotReadyError):
        dependency.get_resource()
    turn(made, 3)
    assert events == ["lost", "ready"]
    assert dependency.get_resource() is not protocol
    stop(made)


def test_who_waits_for_a_lost_connection_is_told_why_in_words():
    """What the log says a pipeline waits for has the broker's reason as a person reads it."""
    made = started(CONNECTION)
    close = spec.Connection.Close(540, "NOT_IMPLEMENTED - no global qos", 0, 0)
    resource(made, "amqp.connection.main").dataReceived(frame.Method(0, close).marshal())
    turn(made)
    ((_, causes),) = made.dependency_manager.waiting()
    assert causes == ["amqp.connection.main (the broker says 'NOT_IMPLEMENTED - no global qos' (540))"]
    stop(made)


def test_who_asks_while_it_is_told_gets_it_once():
    """Somebody who needs the connection because it is there gets it, as whoever asked before."""
    made = assembled(CONNECTION, into=environment())
    manager, ready = made.dependency_manager, []

    def ask(_=None):
        dependency = manager.add_dependency(object(), {"provider": "amqp.connection.main"})
        dependency.on_resource_ready += ready.append
        if len(ready) < 3:
            dependency.on_resource_ready += ask
        manager.resolve_initial_states()

    ask()
    made.application.startService()
    turn(made)
    assert len(ready) == 4
    stop(made)


def test_nothing_is_connected_before_the_start():
    """Configuring opens nothing."""
    made = assembled(CONNECTION)
    turn(made)
    with pytest.raises(NotReadyError):
        resource(made, "amqp.connection.main")


def test_consumers_of_the_section_consume():
    """What is published to the queue of a consumer comes to its pipeline."""
    record, batons = recorder()
    text = f"""{CONNECTION}
                basic_consumers:
                    orders:
                        processor: note
                        queue: {{queue: orders}}
    pipelines:
        note:
            - record
    """
    made = started(text, record)
    resource(made, "amqp.connection.main").publish("", "orders", b"one")
    turn(made)
    assert [baton["body"] for baton in batons] == [b"one"]
    stop(made)
    assert not [call for call in made.reactor.getDelayedCalls() if call.active()]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("main: {}", "site.yml:4:9: amqp.connections.main needs the option 'servers'"),
        ("main: {servers: localhost:5672}", "site.yml:4:25: 'localhost:5672' is no endpoint"),
        ("main: {servers: memory://x, max_idle_time: 0}", "option 'max_idle_time' of amqp.connections.main must be"),
        ("main: {servers: memory://x, parameters: {hartbeat: 1}}", "did you mean 'heartbeat'"),
        ("main: {servers: memory://x, server: y}", "has no option 'server' – did you mean 'servers'"),
    ],
)
def test_mistakes_are_told_once_with_their_place(text, problem):
    """A configuration that cannot be used is refused before anything starts, each mistake once."""
    with pytest.raises(ConfigurationError) as caught:
        assembled(f"""
    amqp:
        connections:
            {text}
    """)
    assert len(caught.value.problems) == 1
    assert problem in str(caught.value.problems[0])
