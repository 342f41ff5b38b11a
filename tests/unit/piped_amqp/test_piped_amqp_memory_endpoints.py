"""`memory://name`: who meets whom."""

from __future__ import annotations

import pytest
from pika import ConnectionParameters
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory

from clocks import Reactor
from piped import processor
from piped.testing import Stage
from piped_amqp.memory import endpoint
from piped_amqp.memory.endpoints import broker_named
from piped_amqp.protocol import AMQProtocol


def connected(reactor: Reactor, name: str) -> AMQProtocol:
    parameters = ConnectionParameters(virtual_host="any", heartbeat=0)
    found = []
    factory = Factory.forProtocol(lambda: AMQProtocol(parameters, reactor))
    endpoint(reactor, name).connect(factory).addCallback(found.append)
    reactor.advance(0)
    assert found[0].is_open
    return found[0]


def test_who_names_the_same_broker_meets_there():
    """The same name of the same reactor is the same broker, any other is another one."""
    reactor, another = Reactor(), Reactor()
    for number, (which, name) in enumerate(((reactor, "a"), (reactor, "a"), (reactor, "b"), (another, "a"))):
        channels = []
        connected(which, name).open_channel().addCallback(channels.append)
        which.advance(0)
        channels[0].queue_declare(f"q{number}")
        which.advance(0)
    assert list(broker_named(reactor, "a").queues) == ["q0", "q1"]
    assert list(broker_named(reactor, "b").queues) == ["q2"]
    assert list(broker_named(another, "a").queues) == ["q3"]


def test_a_factory_may_refuse():
    """Where a factory makes no protocol, the connection fails as with any other endpoint."""

    class Refusing(Factory):
        def buildProtocol(self, addr):
            return None

    failed = endpoint(Reactor(), "a").connect(Refusing())
    with pytest.raises(ConnectError):
        failed.result.raiseException()
    failed.addErrback(lambda _: None)


LETTERS = """
amqp:
  connections:
    main:
      servers: memory://letters
      basic_consumers:
        letters:
          processor: read
          queue: {queue: letters, durable: true}
pipelines:
  write:
    - publish-amqp-message: {exchange: "", routing_key: letters, body_path: letter}
  read:
    - keep: {}
"""


def test_a_configuration_is_tested_on_a_stage():
    """A test moves the time of a whole configuration, its broker included."""
    read = []

    @processor("keep")
    def keep(baton):
        read.append(baton["body"])

    stage = Stage(LETTERS, keep)
    stage.environment.application.startService()
    stage.clock.advance(0)
    written = stage.start("write", {"letter": b"hello"})
    assert read == []
    stage.clock.advance(0)
    assert (read, written.called) == ([b"hello"], True)
    stage.environment.application.stopService()
    stage.clock.advance(0)
    assert stage.clock.getDelayedCalls() == []
