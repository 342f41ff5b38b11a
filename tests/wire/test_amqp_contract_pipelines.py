"""What a pipeline may expect of its messages: the same on RabbitMQ and on the broker in memory."""

from __future__ import annotations

from amqp_stage import InMemory, OnRabbitMQ
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from piped import Processor, Rejected, processor
from piped.app.process import Process
from piped.config.gathering import gather_text
from piped.runtime.assembly import check
from piped.runtime.environment import RuntimeEnvironment

CONFIGURATION = """\
amqp:
  connections:
    main:
      servers: "{server}"
      parameters: {{virtual_host: "{vhost}"}}
      basic_consumers:
        work:
          processor: take
          queue: {queue}
          redelivery_delay: 0.05
          channel_reopen_interval: 0.05
          {more}
pipelines:
  take: [{{{step}: {{}}}}]
"""


class Outside:
    """A resource that comes and goes as a test says."""

    def __init__(self, is_there: bool) -> None:
        self.is_there = is_there
        self.consumers = []

    def add_consumer(self, dependency):
        self.consumers.append(dependency)
        if self.is_there:
            dependency.on_resource_ready(self)

    def come(self):
        self.is_there = True
        for consumer in self.consumers:
            consumer.on_resource_ready(self)

    def go(self):
        self.is_there = False
        for consumer in self.consumers:
            consumer.on_resource_lost("it went away")


class Pipelines:
    """Messages as batons."""

    def setUp(self):
        self.taken = []
        self.outside = Outside(True)
        #: What a baton does, by its body: raise it, or wait for it.
        self.fates = {}

    async def start(self, step="take-message", more="", queue="{queue: work, durable: true}", deadline=10):
        """A process that consumes the queue `work`."""

        @processor("take-message")
        async def take(baton):
            self.taken.append((baton["body"], baton["method"].redelivered))
            fate = self.fates.get(baton["body"])
            if isinstance(fate, Exception):
                raise fate
            if fate is not None:
                await fate

        class Needy(Processor):
            name = "take-with-outside"

            def configure(self, runtime_environment):
                runtime_environment.dependency_manager.add_dependency(self, "outside")

            process = staticmethod(take)

        text = CONFIGURATION.format(server=self.server, vhost=self.vhost, step=step, more=more, queue=queue)
        assembly = check(gather_text(text, "site.yml", environ={}), {}, (take, Needy), {"outside": self.outside})
        assert not assembly.errors
        environment = RuntimeEnvironment(assembly.document, reactor=reactor)
        environment.resource_manager.register("outside", self.outside)
        process = Process(assembly, environment, deadline=deadline)
        await process.start()
        self.addCleanup(process.stop)
        return process

    async def until(self, is_so):
        while not is_so():
            await deferLater(reactor, 0.01)

    async def test_what_was_processed_is_acknowledged(self):
        """Each message comes once, and nothing is left in the queue when the process has stopped."""
        channel = await self.filled(*[b"%d" % number for number in range(20)])
        process = await self.start()
        await self.until(lambda: len(self.taken) == 20)
        await process.stop()
        assert self.taken == [(b"%d" % number, False) for number in range(20)]
        assert (await channel.queue_declare("work", passive=True)).method.message_count == 0

    async def test_what_has_failed_comes_again(self):
        """A failed message is given back after a while, and acknowledged when it has succeeded."""
        channel = await self.filled(b"1", b"2")
        self.fates[b"1"] = ValueError("not now")
        process = await self.start()
        await self.until(lambda: len(self.taken) >= 4)
        assert self.taken[:4] == [(b"1", False), (b"2", False), (b"1", True), (b"1", True)]
        self.fates.clear()
        count = len(self.taken)
        await self.until(lambda: len(self.taken) > count)
        await process.stop()
        assert (await channel.queue_declare("work", passive=True)).method.message_count == 0

    async def test_what_is_rejected_is_a_dead_letter(self):
        """A message that a pipeline rejects goes to the dead letters with the reason, and is acknowledged."""
        channel = await self.filled(b"poison", b"good")
        await self.declare(channel, "dead")
        self.fates[b"poison"] = Rejected("no such order")
        process = await self.start(more="dead_letter: {routing_key: dead}")
        _, properties, body = await (await self.consume(channel, "dead")).next()
        assert body == b"poison"
        assert "no such order" in properties.headers["x-piped-message"]
        assert properties.headers["x-piped-queue"] == "work"
        await self.until(lambda: len(self.taken) == 2)
        await process.stop()
        assert (await channel.queue_declare("work", passive=True)).method.message_count == 0

    async def test_the_brokers_own_dead_letters(self):
        """With `requeue: false` what is rejected goes where the queue's own declaration sends it."""
        channel = await self.channel()
        await self.declare(channel, "dead")
        self.fates[b"poison"] = Rejected("no such order")
        await self.filled(b"poison", dead_letter_exchange="", dead_letter_routing_key="dead")
        arguments = "{x-dead-letter-exchange: '', x-dead-letter-routing-key: dead}"
        await self.start(more="requeue: false", queue=f"{{queue: work, durable: true, arguments: {arguments}}}")
        _, properties, _ = await (await self.consume(channel, "dead")).next()
        assert properties.headers["x-death"][0]["reason"] == "rejected"

    async def test_nothing_is_consumed_while_the_processor_is_not_ready(self):
        """Messages wait in the queue until what the pipeline needs is there, and wait again when it is lost."""
        channel = await self.filled(b"1")
        self.outside.is_there = False
        await self.start("take-with-outside")
        await self.ready(channel, 1)
        assert self.taken == []
        self.outside.come()
        await self.until(lambda: self.taken == [(b"1", False)])
        self.outside.go()
        while (await channel.queue_declare("work", passive=True)).method.consumer_count:
            await deferLater(reactor, 0.01)
        await self.publish(channel, b"2", "work")
        await self.ready(channel, 1)
        self.outside.come()
        await self.until(lambda: len(self.taken) == 2)
        assert self.taken[1] == (b"2", False)

    async def test_a_stop_gives_back_what_does_not_end(self):
        """What still runs at the deadline of a stop is in the queue again for somebody else."""
        channel = await self.filled(b"1")
        self.fates[b"1"] = Deferred()
        process = await self.start(deadline=0.2)
        await self.until(lambda: self.taken)
        await process.stop()
        assert [each[1:] for each in await self.get(channel)] == [(b"1", True)]

    async def test_a_deleted_queue_is_consumed_again(self):
        """When the queue is deleted under a consumer, it is declared anew, and consuming goes on."""
        channel = await self.filled()
        await self.start()
        while not (await channel.queue_declare("work", passive=True)).method.consumer_count:
            await deferLater(reactor, 0.01)
        await channel.queue_delete("work")
        await self.declare(channel, "work")
        await self.publish(channel, b"1", "work")
        await self.until(lambda: self.taken == [(b"1", False)])


class PipelinesOnRabbitMQ(Pipelines, OnRabbitMQ):
    """RabbitMQ."""


class PipelinesInMemory(Pipelines, InMemory):
    """The broker in memory."""
