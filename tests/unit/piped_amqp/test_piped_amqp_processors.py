"""Tests of the steps that publish, settle and reply."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
from calling_stage import MAIN, OWN, Site
from pika import BasicProperties
from publishing_stage import outcome
from twisted.internet.defer import Deferred

from piped import ConfigurationError, PipedError, TimeoutError, processor  # noqa: A004 - Piped's own
from piped.catalog.discovery import discover
from piped.spec.spec import Spec
from piped_amqp.errors import PublishError, UnroutableError

STEPS = [step for step in OWN if hasattr(step, "process")]


def site(*steps: str, plugins: Any = ()) -> Site:
    written = "".join(f"    - {step}\n" for step in steps)
    return Site(f"amqp: {MAIN}\npipelines:\n  main:\n{written}", *plugins)


def test_a_body_is_published_with_its_properties() -> None:
    """Path and literal, persistent by default; the baton goes on as it was."""
    one = site("publish-amqp-message: {routing_key_path: to, properties: {message_id: !path id, headers: {a: b}}}")
    one.declare("jobs")
    assert one.run({"body": "hello", "to": "jobs", "id": 17}) == [{"body": "hello", "to": "jobs", "id": 17}]
    properties, body = one.message("jobs")
    assert (body, properties.message_id, properties.delivery_mode) == (b"hello", "17", 2)
    assert properties.headers == {"a": "b"}


def test_a_mapping_is_published_as_json() -> None:
    """With its content type, unless another one is written."""
    one = site(
        "publish-amqp-message: {routing_key: jobs, body: {n: !path n, list: [1, !path n]}, json: true}",
        "publish-amqp-message: {routing_key: jobs, body_path: n, json: true, properties: {content_type: x/y}}",
    )
    one.declare("jobs")
    one.run({"n": 5})
    (first, body), (second, other) = one.message("jobs"), one.message("jobs")
    assert (first.content_type, body, second.content_type, other) == (
        "application/json",
        b'{"n":5,"list":[1,5]}',
        "x/y",
        b"5",
    )


def test_a_mapping_that_is_not_to_be_json_is_told_with_its_path() -> None:
    """Nobody wants the text that Python has for a mapping."""
    one = site("publish-amqp-message: {routing_key: jobs, body_path: order}")
    with pytest.raises(PipedError) as raised:
        one.run({"order": {}})
    assert raised.value.msg == "what lies at 'order' is neither bytes nor text, but dict"


def test_the_step_waits_until_the_broker_has_the_message() -> None:
    """What comes after it can rely on that."""
    one = site("publish-amqp-message: {routing_key: jobs}")
    one.declare("jobs")
    started = one.get("pipeline.main")({"body": "x"})
    assert not started.called
    assert one.ended(started) == [{"body": "x"}]


def test_a_message_that_no_queue_takes_fails_the_step() -> None:
    """Unless nobody needs to take it."""
    one = site("publish-amqp-message: {routing_key: nowhere}")
    with pytest.raises(UnroutableError, match="the routing key 'nowhere'"):
        one.run({"body": "x"})
    assert site("publish-amqp-message: {routing_key: nowhere, mandatory: false}").run({"body": "x"})


def test_a_missing_exchange_fails_the_step() -> None:
    """With what the broker says of it."""
    one = site("publish-amqp-message: {exchange: shop, routing_key: orders}")
    with pytest.raises(PublishError, match="no exchange 'shop'"):
        one.run({"body": "x"})


def test_publishing_waits_no_longer_than_it_may() -> None:
    """While the broker blocks its publishers, say."""
    one = site("publish-amqp-message: {routing_key: jobs, timeout: 5}")
    one.declare("jobs")
    one.protocol.is_blocked = True
    started = one.start({"body": "x"})
    one.turn(4.9)
    assert not started.called
    one.turn(0.2)
    with pytest.raises(TimeoutError) as raised:
        one.ended(started)
    assert raised.value.msg == "amqp.connection.main has not confirmed a message within 5 s"
    one.protocol.is_blocked = False
    one.protocol.on_unblocked()
    one.turn()
    assert one.message("jobs") is None


def test_a_message_may_be_published_without_waiting() -> None:
    """`confirm: false` is for what may get lost."""
    one = site("publish-amqp-message: {routing_key: jobs, confirm: false}")
    one.declare("jobs")
    one.run({"body": "warm"})  # opens the channel
    started = one.get("pipeline.main")({"body": "x"})
    assert started.called
    one.turn()
    assert [one.message("jobs")[1] for _ in range(2)] == [b"warm", b"x"]


def test_a_lost_connection_is_waited_for() -> None:
    """A baton that is under way when the connection is lost is published over the next one."""
    go: list[Any] = []

    @processor("hold")
    def hold(baton: Any) -> Any:
        go.append(Deferred())
        return go[-1].addCallback(lambda _: baton)

    one = site("hold", "publish-amqp-message: {routing_key: jobs}", plugins=[hold])
    one.declare("jobs", durable=True)
    started = one.start({"body": "x"})
    protocol = one.protocol
    protocol.transport.abortConnection()
    one.clock.advance(0)
    one.clock.advance(0)
    go[0].callback(None)
    one.turn(2)
    one.turn()
    assert one.ended(started)
    assert one.protocol is not protocol
    assert one.message("jobs")[1] == b"x"


def test_the_only_connection_is_meant() -> None:
    """Of several, one has to be named."""
    two = "amqp: {connections: {a: {servers: 'memory://a'}, b: {servers: 'memory://b'}}}\n"
    with pytest.raises(ConfigurationError) as raised:
        Site(f"{two}pipelines: {{main: [publish-amqp-message: {{routing_key: x}}]}}")
    [problem] = raised.value.problems
    assert str(problem).startswith("site.yml:2:20: step publish-amqp-message-1 of pipeline main: publish-amqp-message ")
    assert problem.fix == "add `connection`, one of: a, b"
    with pytest.raises(ConfigurationError, match="has no connection to use"):
        Site("pipelines: {main: [publish-amqp-message: {routing_key: x}]}")


def test_an_unknown_connection_is_told_with_its_place() -> None:
    """A misspelt name is found by the check."""
    with pytest.raises(ConfigurationError) as raised:
        site("publish-amqp-message: {connection: mian, routing_key: x}")
    assert str(raised.value.problems[0]).startswith("site.yml:4:42: ")


# Settling and replying

CONSUMER = """
amqp:
  connections:
    main:
      servers: memory://stage
      basic_consumers:
        jobs: {{queue: {{queue: jobs}}, processor: main}}
pipelines:
  main:
    - note
    - {step}
    - hold
"""


class Service(Site):
    """A consumer whose pipeline has a step, notes its batons, and never ends."""

    def __init__(self, step: str) -> None:
        self.batons: list[Any] = []

        @processor("note")
        def note(baton: Any) -> None:
            self.batons.append(baton)

        @processor("hold")
        def hold(baton: Any) -> Any:
            return Deferred()

        super().__init__(CONSUMER.format(step=step), note, hold)

    def send(self, body: bytes = b"x", **properties: Any) -> None:
        assert self.ended(self.protocol.publish("", "jobs", body, BasicProperties(**properties))) is None
        self.turn()

    @property
    def unsettled(self) -> int:
        return self.batons[-1]["channel"].unsettled


def test_a_message_is_acknowledged_by_hand() -> None:
    """At once, and not only when its pipeline has ended."""
    one = Service("ack-amqp-message")
    one.send()
    assert (len(one.batons), one.unsettled) == (1, 0)
    one.lose_connection()
    one.turn(2)
    assert len(one.batons) == 1


def test_a_message_is_rejected_by_hand() -> None:
    """It is gone, or with `requeue` comes again."""
    one = Service("reject-amqp-message")
    one.send()
    assert (len(one.batons), one.unsettled) == (1, 0)
    again = Service("passthrough")
    again.send()
    Site("pipelines: {main: [reject-amqp-message: {requeue: true}]}", clock=again.clock).run(again.batons[0])
    assert [baton["method"].redelivered for baton in again.batons] == [False, True]


def test_what_is_settled_cannot_be_settled_again() -> None:
    """The step fails and says so: whoever wrote it believes otherwise."""
    one = Service("ack-amqp-message")
    one.send()
    acked = Site("pipelines: {main: [ack-amqp-message]}", clock=one.clock)
    with pytest.raises(PipedError) as raised:
        acked.run(one.batons[0])
    assert "the message 1 of " in raised.value.msg
    assert raised.value.msg.endswith("cannot be settled")
    assert raised.value.detail == "it is settled already, needs no acknowledgement, or its channel is closed"


@pytest.mark.parametrize("baton", [{}, {"channel": 1, "method": 2}, None])
def test_a_baton_that_is_no_delivery_is_told(baton: Any) -> None:
    """Other sources have other batons."""
    with pytest.raises(PipedError, match="the baton is no delivery"):
        Site("pipelines: {main: [ack-amqp-message]}").run(baton)
    with pytest.raises(PipedError, match="what lies at 'job' is no delivery"):
        Site("pipelines: {main: [reply-amqp-message: {delivery_path: job}]}").run({"job": baton})


def test_a_reply_goes_to_whom_asked() -> None:
    """With the correlation id, transient unless told otherwise."""
    one = Service("reply-amqp-message: {body_path: body}")
    one.declare("answers")
    one.send(b"ping", reply_to="answers", correlation_id="17")
    properties, body = one.message("answers")
    assert (body, properties.correlation_id, properties.delivery_mode) == (b"ping", "17", 1)


def test_a_message_that_wants_no_reply_is_told_or_passed_on() -> None:
    """As written."""
    batons = Service("passthrough")
    batons.send()
    strict = Site("pipelines: {main: [reply-amqp-message: {body: x}]}", clock=batons.clock)
    with pytest.raises(PipedError) as raised:
        strict.run(batons.batons[0])
    assert raised.value.msg == "the message wants no reply: it has no reply_to"
    lenient = Site("pipelines: {main: [reply-amqp-message: {ignore_missing: true}]}", clock=batons.clock)
    assert lenient.run(batons.batons[0]) == [batons.batons[0]]


def test_a_caller_that_is_gone_is_told() -> None:
    """Its queue is gone with it."""
    one = Service("passthrough")
    one.send(reply_to="gone")
    replying = Site("pipelines: {main: [reply-amqp-message: {body: x}]}", clock=one.clock)
    with pytest.raises(UnroutableError):
        replying.run(one.batons[0])
    lenient = Site("pipelines: {main: [reply-amqp-message: {body: x, mandatory: false}]}", clock=one.clock)
    assert lenient.run(one.batons[0])


# Reference

CATALOG, _ = discover(None, None, (), built_in=["piped_amqp"])
EXAMPLES = [(name, example) for name, entry in CATALOG.processors.items() for example in entry.spec.examples]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_every_step_says_what_it_does(step: Any) -> None:
    """Each has a summary, a text for each option of its own, and an example."""
    spec: Spec = CATALOG.processors[step.name].spec
    assert spec.summary
    assert spec.examples
    assert not [parameter.name for parameter in spec.parameters if not parameter.text]


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_every_example_runs(name: str, example: str) -> None:
    """What the reference shows can be copied into a pipeline, and a delivery goes through it."""
    square = "- eval-lambda: {lambda: 'n: n ** 2'}"
    connection = "connections: {main: {servers: 'memory://stage'}}"
    one = Site(
        f"amqp:\n  {connection}\n  remote_pipelines: {{square: {{}}}}\n"
        f"pipelines:\n  square:\n    {square}\n  main:\n{textwrap.indent(example, '    ')}"
    )
    channel = one.declare("orders")
    one.ended(channel.exchange_declare("shop", "topic"))
    one.ended(channel.queue_bind("orders", "shop", "orders.#"))
    one.declare("answers")
    deliveries: list[Any] = []

    def delivered(method: Any, properties: Any, body: bytes) -> None:
        deliveries.append({"channel": channel, "method": method, "properties": properties, "body": body})

    one.ended(channel.consume("orders", delivered, on_cancelled=print))
    one.ended(one.protocol.publish("", "orders", b"", BasicProperties(reply_to="answers")))
    one.turn()
    assert outcome(one.start(deliveries[0])) == [deliveries[0]]
