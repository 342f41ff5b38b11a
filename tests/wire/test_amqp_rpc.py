"""Calls over the queues of a RabbitMQ, within a process and between two."""

import textwrap

import pytest
from amqp_stage import OnRabbitMQ
from commands import Running, piped
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from piped import RuntimeEnvironment
from piped_amqp.consumer_options import Queue, QueueOptions
from piped_amqp.errors import NoReplyError, UnroutableError
from piped_amqp.replying import reply
from piped_amqp.rpc import RPCClientBase
from piped_amqp.rpc_options import ReplyConsumer, direct


class Connection:
    """The provider of a connection that a test has made."""

    def __init__(self, protocol):
        self._protocol = protocol

    def add_consumer(self, dependency):
        dependency.on_resource_ready(self._protocol)
        self._protocol.on_lost += dependency.on_resource_lost


class Calling(OnRabbitMQ):
    async def client(self, consumer: ReplyConsumer) -> RPCClientBase:
        """A client that is ready."""
        self.protocol = await self.connect()
        environment = RuntimeEnvironment(reactor=reactor)
        environment.resource_manager.register("amqp.connection.main", Connection(self.protocol))
        client = RPCClientBase("calls", consumer=consumer)
        client.configure(environment)
        environment.dependency_manager.resolve_initial_states()
        ready = client.on_ready.wait_until_fired()
        client.startService()
        self.addCleanup(client.stopService)
        await ready
        return client

    async def serve(self) -> None:
        """Answer each request with what it has."""
        channel = await (await self.connect()).open_channel()
        await channel.queue_declare("server")

        def answer(method, properties, body):
            delivery = {"channel": channel, "method": method, "properties": properties, "body": body}
            replied: Deferred[None] = reply(delivery, b"re:" + body, properties)
            replied.addErrback(self.failures.append)

        self.failures: list[object] = []
        await channel.consume("server", answer, on_cancelled=print, no_ack=True)

    async def _calls(self, consumer: ReplyConsumer) -> None:
        client = await self.client(consumer)
        await self.serve()
        responses = await gatherResults([client.call("server", str(n).encode()) for n in range(500)])
        assert [each.body for each in responses] == [b"re:%d" % n for n in range(500)]
        assert (client.waiting, client.late_replies, self.failures) == (0, 0, [])
        with pytest.raises(UnroutableError):
            await client.call("nobody", b"")

    async def test_replies_come_to_a_queue_of_the_clients_own(self) -> None:
        """Each to its call, and an answer that nobody can give is told at once."""
        await self._calls(ReplyConsumer())

    async def test_replies_come_without_a_queue(self) -> None:
        """RabbitMQ's direct reply-to: the broker returns every mandatory reply, so that none may be."""
        await self._calls(ReplyConsumer(queue=direct()))

    async def test_replies_come_to_a_queue_with_a_name(self) -> None:
        """Acknowledged, so that none is left."""
        queue = Queue(QueueOptions(queue="replies"))
        await self._calls(ReplyConsumer(queue=queue, no_ack=False))

    async def test_a_lost_connection_fails_the_calls_that_wait(self) -> None:
        """At once, not when their time is over."""
        client = await self.client(ReplyConsumer(queue=direct()))
        await (await self.protocol.open_channel()).queue_declare("silent")
        call = client.call("silent", b"")
        await deferLater(reactor, 0)
        self.protocol.transport.abortConnection()
        with pytest.raises(NoReplyError):
            await call
        assert not client.is_ready
        await deferLater(reactor, 0)  # what fails the call goes on behind it


@pytest.mark.parametrize("consumer", ["", "consumer: {queue: amq.rabbitmq.reply-to}"], ids=["queue", "direct"])
def test_two_processes_call_each_other(rabbitmq, tmp_path, consumer):
    """A pipeline that replies serves a client that was written in three lines."""
    connections = f"""
        amqp:
          connections:
            main:
              servers: {rabbitmq.endpoint}
              parameters: {{virtual_host: {rabbitmq.vhost()}}}
    """
    (tmp_path / "calculating.py").write_text(
        textwrap.dedent("""
        import json

        from piped import processor
        from piped_amqp.rpc import RPCClientBase


        class Calculator(RPCClientBase):
            async def add(self, a, b):
                return json.loads((await self.call("calculator", json.dumps([a, b]).encode())).body)


        @processor("add-up")
        def add_up(baton):
            baton["reply"] = sum(json.loads(baton["body"]))
        """)
    )
    (tmp_path / "server.yaml").write_text(
        textwrap.dedent(f"""{connections}
              basic_consumers:
                calculator: {{queue: {{queue: calculator}}, processor: answer}}
        plugins: {{bundles: {{own: [calculating]}}}}
        pipelines:
          answer: [add-up, reply-amqp-message: {{json: true}}]
        """)
    )
    (tmp_path / "client.yaml").write_text(
        textwrap.dedent(f"""{connections}
          rpc_clients:
            calculator: {{type: calculating.Calculator, {consumer}}}
        pipelines:
          ask:
            - exec-code:
                dependencies: {{calculator: amqp.rpc_client.calculator}}
                code: return await self.dependencies.calculator.add(3, 4)
                output_path: sum
        """)
    )
    with Running("server.yaml", cwd=tmp_path, ready="consumes from the queue"):
        traced = piped("trace", "client.yaml", "ask", cwd=tmp_path)
    assert (traced.returncode, '{"sum": 7}' in traced.stdout) == (0, True), traced.stdout + traced.stderr
