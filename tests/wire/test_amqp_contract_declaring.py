"""What a broker promises to who declares: the same rules for RabbitMQ and for the broker in memory."""

from __future__ import annotations

import contextlib

import pytest
from amqp_stage import InMemory, OnRabbitMQ
from pika.exceptions import ChannelClosedByBroker, UnroutableError
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater


class Declaring:
    """Queues and exchanges, and who may use them."""

    async def refusals(self, protocol, *attempts):
        """What the broker says to each attempt on a new channel of a connection, which lives on."""
        told = []
        for attempt in attempts:
            channel = await protocol.open_channel()
            attempting = ensureDeferred(attempt(channel))
            error = await channel.on_closed
            with pytest.raises(ChannelClosedByBroker):
                await attempting
            told.append((error.reply_code, error.reply_text))
        assert protocol.is_open
        return told

    async def test_what_is_declared_otherwise_is_refused(self):
        """A declaration that differs is error 406 and says in what; one that is the same is not."""
        protocol = (await self.filled(message_ttl=1000)).protocol
        channel = await protocol.open_channel()
        await self.declare(channel, "work", message_ttl=1000)
        await channel.queue_declare("work", passive=True)
        await channel.exchange_declare("amq.topic", "topic", durable=True)
        await channel.exchange_declare("amq.topic", passive=True)
        told = await self.refusals(
            protocol,
            lambda channel: channel.queue_declare("work"),
            lambda channel: self.declare(channel, "work"),
            lambda channel: self.declare(channel, "work", message_ttl=5),
            lambda channel: channel.exchange_declare("amq.topic", "fanout", durable=True),
        )
        queue, exchange = f"queue 'work' in vhost '{self.vhost}'", f"exchange 'amq.topic' in vhost '{self.vhost}'"
        differs = "PRECONDITION_FAILED - inequivalent arg"
        number = "the value '1000' of type 'signedint'"
        assert told == [
            (406, f"{differs} 'durable' for {queue}: received 'false' but current is 'true'"),
            (406, f"{differs} 'x-message-ttl' for {queue}: received none but current is {number}"),
            (406, f"{differs} 'x-message-ttl' for {queue}: received '5' but current is '1000'"),
            (406, f"{differs} 'type' for {exchange}: received 'fanout' but current is 'topic'"),
        ]

    async def test_what_no_broker_takes_is_refused(self):
        """Arguments that make no sense are error 406."""
        told = await self.refusals(
            await self.connect(),
            lambda channel: self.declare(channel, "new", message_ttl=-5),
            lambda channel: self.declare(channel, "new", message_ttl="soon"),
            lambda channel: self.declare(channel, "new", queue_type="other"),
            lambda channel: self.declare(channel, "new", dead_letter_routing_key="dead"),
            lambda channel: channel.queue_declare("new", arguments={"x-queue-type": "quorum"}),
        )
        assert [code for code, _ in told] == [406] * 5

    async def test_what_is_missing_is_not_found(self):
        """A queue or an exchange that is not there is error 404, except where it is deleted."""
        told = await self.refusals(
            (await self.filled()).protocol,
            lambda channel: channel.queue_declare("nothing", passive=True),
            lambda channel: self.consume(channel, "nothing"),
            lambda channel: channel.basic_get("nothing"),
            lambda channel: channel.queue_purge("nothing"),
            lambda channel: channel.exchange_declare("nowhere", passive=True),
            lambda channel: channel.queue_bind("work", "nowhere", "a"),
        )
        assert (
            told
            == [(404, f"NOT_FOUND - no queue 'nothing' in vhost '{self.vhost}'")] * 4
            + [(404, f"NOT_FOUND - no exchange 'nowhere' in vhost '{self.vhost}'")] * 2
        )
        channel = await self.channel()
        assert (await channel.queue_delete("nothing")).method.message_count == 0
        await channel.exchange_delete("nowhere")

    async def test_what_belongs_to_the_broker_is_refused(self):
        """Names that begin with `amq.`, and the default exchange, are error 403."""
        told = await self.refusals(
            (await self.filled()).protocol,
            lambda channel: channel.queue_declare("amq.mine"),
            lambda channel: channel.exchange_declare("amq.mine"),
            lambda channel: channel.exchange_delete("amq.topic"),
            lambda channel: channel.queue_bind("work", "", "a"),
        )
        assert [(code, text.split()[0]) for code, text in told] == [(403, "ACCESS_REFUSED")] * 4

    async def test_an_exclusive_queue_is_its_connections_own(self):
        """Other connections get error 405 for it; it is gone with its connection."""
        channel = await self.channel()
        name = (await channel.queue_declare("", exclusive=True)).method.queue
        assert name.startswith("amq.gen-")
        other = await self.connect()
        told = await self.refusals(
            other,
            lambda channel: channel.queue_declare(name, passive=True),
            lambda channel: self.consume(channel, name),
        )
        assert [(code, text[:48]) for code, text in told] == [
            (405, "RESOURCE_LOCKED - cannot obtain exclusive access")
        ] * 2
        await channel.protocol.close()
        told = await self.refusals(other, lambda channel: channel.queue_declare(name, passive=True))
        assert told[0][0] == 404

    async def test_an_exclusive_consumer_is_alone(self):
        """Beside an exclusive consumer there is no other, and it is refused beside others: error 403."""
        channel = await self.filled()
        consumed = await self.consume(channel, exclusive=True)
        protocol = await self.connect()
        told = await self.refusals(protocol, lambda channel: self.consume(channel))
        await channel.basic_cancel(consumed.tag)
        await self.consume(await self.channel())
        told += await self.refusals(protocol, lambda channel: self.consume(channel, exclusive=True))
        in_use = f"ACCESS_REFUSED - queue 'work' in vhost '{self.vhost}' in exclusive use"
        assert told == [(403, in_use), (403, in_use)]

    async def test_consumers_are_told_when_the_queue_is_deleted(self):
        """Whoever consumes a queue that somebody deletes is cancelled; his channel lives on."""
        channel = await self.filled(b"1", b"2")
        await channel.basic_qos(prefetch_count=1)
        consumed = await self.consume(channel)
        method, _, _ = await consumed.next()
        deleted = await (await self.channel()).queue_delete("work")
        await consumed.cancelled
        assert deleted.method.message_count == 1
        channel.basic_ack(method.delivery_tag)
        await self.declare(channel, "work")
        await self.publish(channel, b"3", "work")
        again = await self.consume(channel)
        assert await again.bodies(1) == [b"3"]

    async def test_an_auto_delete_queue_goes_with_its_last_consumer(self):
        """It stays while somebody consumes it, and is gone after the last one."""
        channel = await self.channel()
        await channel.queue_declare("brief", auto_delete=True)
        one, other = await self.consume(channel, "brief"), await self.consume(channel, "brief")
        await channel.basic_cancel(one.tag)
        await channel.queue_declare("brief", passive=True)
        await channel.basic_cancel(other.tag)
        told = await self.refusals(channel.protocol, lambda channel: channel.queue_declare("brief", passive=True))
        assert told[0][0] == 404

    async def test_an_unused_queue_expires(self):
        """A queue with `x-expires` is gone when nobody has used it for so long."""
        channel = await self.channel()
        await self.declare(channel, "brief", expires=50)
        consumed = await self.consume(channel, "brief")
        await deferLater(reactor, 0.2)
        await channel.queue_declare("brief", passive=True)
        await channel.basic_cancel(consumed.tag)
        await channel.confirm_delivery()
        with contextlib.suppress(UnroutableError):
            while True:
                await self.publish(channel, b"", "brief")

    async def test_purge_and_delete_say_how_many_there_were(self):
        """Both tell the number of messages that waited; a queue in use or not empty may be spared."""
        channel = await self.filled(b"1", b"2", b"3")
        await self.get(channel)
        assert (await channel.queue_purge("work")).method.message_count == 2
        await self.publish(channel, b"4", "work")
        told = await self.refusals(await self.connect(), lambda channel: channel.queue_delete("work", if_empty=True))
        await self.consume(channel)
        told += await self.refusals(await self.connect(), lambda channel: channel.queue_delete("work", if_unused=True))
        assert [code for code, _ in told] == [406, 406]
        assert (await (await self.channel()).queue_delete("work")).method.message_count == 0

    async def test_some_errors_end_the_connection(self):
        """What is no command of AMQP's, or not implemented, closes the whole connection with its code."""
        for attempt, expected in (
            (lambda channel: channel.exchange_declare("a", "no-such-type"), (503, "COMMAND_INVALID")),
            (lambda channel: channel.basic_qos(prefetch_size=1), (540, "NOT_IMPLEMENTED")),
        ):
            channel = await self.channel()
            closed = channel.protocol.on_lost.wait_until_fired()
            attempt(channel).addErrback(lambda _: None)
            ((reason,), _) = await closed
            assert (reason.value.reply_code, reason.value.reply_text.split()[0]) == expected


class DeclaringOnRabbitMQ(Declaring, OnRabbitMQ):
    """RabbitMQ."""


class DeclaringInMemory(Declaring, InMemory):
    """The broker in memory."""
