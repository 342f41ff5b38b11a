"""Consumers of a RabbitMQ: what reaches the pipelines, what goes back to the queues, and what is said about it."""

import textwrap
import time

import pika
import pytest
from commands import Running

#: Much more than anything takes, on a machine that is busy with something else.
PATIENCE = 30
#: What the log says when the consumer of most tests is there.
CONSUMES = "consumes from the queue 'jobs'"


class Broker:
    """A virtual host of its own, seen by a client that is not Piped."""

    def __init__(self, rabbitmq):
        self.rabbitmq, self.vhost = rabbitmq, rabbitmq.vhost()
        parameters = pika.ConnectionParameters("127.0.0.1", rabbitmq.port, self.vhost)
        self.connection = pika.BlockingConnection(parameters)
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def publish(self, *bodies, queue="jobs", exchange="", **properties):
        for body in bodies:
            self.channel.basic_publish(exchange, queue, body, pika.BasicProperties(**properties))

    def depth(self, queue="jobs"):
        """How many messages wait, and how many consumers there are."""
        declared = self.channel.queue_declare(queue, passive=True).method
        return declared.message_count, declared.consumer_count

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            self.connection.process_data_events(0.02)

    def get(self, queue):
        """The next message of a queue, as soon as there is one: its method, properties and body."""
        found = []

        def has_come():
            method, properties, body = self.channel.basic_get(queue, auto_ack=True)
            found[:] = [(method, properties, body)] if method else []
            return bool(found)

        self.until(has_come)
        return found[0]


@pytest.fixture
def broker(rabbitmq):
    broker = Broker(rabbitmq)
    yield broker
    broker.connection.close()


def site(broker, tmp_path, consumers, pipelines):
    """A configuration file with these consumers on one connection."""
    path = tmp_path / "site.yml"
    path.write_text(
        f"amqp:\n  connections:\n    main:\n      servers: {broker.rabbitmq.endpoint}\n"
        f"      parameters: {{virtual_host: {broker.vhost}}}\n      basic_consumers:\n"
        + textwrap.indent(textwrap.dedent(consumers).strip(), " " * 8)
        + "\npipelines:\n"
        + textwrap.indent(textwrap.dedent(pipelines).strip(), "  ")
        + "\n"
    )
    return path


ECHO = """
echo:
  - eval-lambda:
      lambda: "baton: f'got {baton[\\"body\\"].decode()} {baton[\\"method\\"].redelivered}'"
      output_path: said
  - log: {message_path: said}
"""
SLOW = """
slow:
  - wait: {delay: 600}
"""


def test_messages_are_processed_and_gone(broker, tmp_path):
    """What is published, to the queue or to an exchange that it is bound to, is processed once and acknowledged."""
    consumers = """
    echo:
      processor: echo
      queue: {queue: jobs, durable: true}
      bindings: [{exchange: {name: events, type: topic}, routing_key: "order.#"}]
    """
    with Running(site(broker, tmp_path, consumers, ECHO), cwd=tmp_path, ready=CONSUMES) as running:
        broker.publish(b"one", b"two")
        broker.publish(b"three", exchange="events", queue="order.new")
        running.wait_for("got three False")
        assert sum(" got " in line for line in running.lines) == 3
        assert running.stop() == 0
    assert broker.depth() == (0, 0)


def test_no_more_is_sent_ahead_than_the_prefetch_count(broker, tmp_path):
    """With many messages in the queue only as many as the prefetch count leave it, and go back at a stop."""
    consumers = """
    slow:
      processor: slow
      queue: {queue: jobs, durable: true}
      qos: {prefetch_count: 5}
    """
    with Running("--drain", "0.5", site(broker, tmp_path, consumers, SLOW), cwd=tmp_path, ready=CONSUMES) as running:
        broker.publish(*(b"%d" % number for number in range(50)))
        broker.until(lambda: broker.depth() == (45, 1))
        running.stop()
        assert "failed with a message" not in running.log
    broker.until(lambda: broker.depth() == (50, 0))
    method, _, body = broker.get("jobs")
    assert (body, method.redelivered) == (b"0", True)


def test_what_the_broker_refuses_is_told_with_its_place_and_tried_again(broker, tmp_path):
    """A queue that differs, is missing, or belongs to another consumer is told, and consumed from once that is over."""
    for queue in ("other", "taken"):
        broker.channel.queue_declare(queue)
    owner = broker.connection.channel()
    owner.basic_consume("taken", lambda *_: None, exclusive=True)
    consumers = """
    other:
      processor: echo
      queue: {queue: other, durable: true}
    missing:
      processor: echo
      queue: missing
    taken:
      processor: echo
      queue: taken
    """
    with Running(site(broker, tmp_path, consumers, ECHO), cwd=tmp_path, ready="cannot use the queue") as running:
        told = [running.wait_for(f"consumer.{name} (") for name in ("other", "missing", "taken")]
        assert "site.yml:9:18) cannot use the queue 'other': the broker says PRECONDITION_FAILED" in told[0]
        assert "site.yml:12:18) cannot use the queue 'missing': the broker says NOT_FOUND" in told[1]
        assert "site.yml:15:18) cannot consume from the queue 'taken': the broker says ACCESS_REFUSED" in told[2]
        broker.channel.queue_delete("other")
        broker.channel.queue_declare("missing")
        owner.close()
        for queue in ("other", "missing", "taken"):
            running.wait_for(f"consumes from the queue '{queue}'")
            broker.publish(queue.encode(), queue=queue)
            running.wait_for(f"got {queue} False")


def test_a_deleted_queue_is_made_anew(broker, tmp_path):
    """When somebody deletes the queue, that is told, and soon there is one again, with its consumer."""
    consumers = """
    echo:
      processor: echo
      queue: {queue: jobs}
      channel_reopen_interval: 0.2
    """
    with Running(site(broker, tmp_path, consumers, ECHO), cwd=tmp_path, ready=CONSUMES) as running:
        broker.channel.queue_delete("jobs")
        running.wait_for("was stopped by the broker")
        broker.until(lambda: sum("consumes from the queue" in line for line in running.lines) == 2)
        broker.publish(b"again")
        running.wait_for("got again False")


def test_consumers_of_the_same_name_on_two_connections_do_not_disturb_each_other(broker, tmp_path):
    """The name of a consumer is its own within its connection only; both consume, and are told apart."""
    consumers = "echo: {processor: echo, queue: {queue: one}}"
    path = site(broker, tmp_path, consumers, ECHO)
    text = path.read_text()
    start, end = text.index("    main:"), text.index("pipelines:")
    other = text[start:end].replace("main:", "other:").replace("queue: one", "queue: two")
    path.write_text(text[:end] + other + text[end:])
    with Running(path, cwd=tmp_path, ready="consumes from the queue") as running:
        running.wait_for("amqp.connection.main.consumer.echo consumes from the queue 'one'")
        running.wait_for("amqp.connection.other.consumer.echo consumes from the queue 'two'")
        broker.publish(b"1", queue="one")
        broker.publish(b"2", queue="two")
        assert "<amqp.connection.main.consumer.echo-1>" in running.wait_for("got 1 False")
        assert "<amqp.connection.other.consumer.echo-1>" in running.wait_for("got 2 False")
