"""What a broker promises to who settles deliveries: the same rules for RabbitMQ and for the broker in memory."""

from __future__ import annotations

from amqp_stage import InMemory, OnRabbitMQ
from pika.adapters.twisted_connection import TwistedProtocolConnection
from twisted.internet.defer import gatherResults


class Settling:
    """Deliveries, and what becomes of them."""

    async def test_what_was_confirmed_is_delivered_in_order(self):
        """Confirmed messages come to the consumer as they were published, none of them redelivered."""
        bodies = [b"%d" % number for number in range(500)]
        channel = await self.filled()
        await gatherResults([channel.basic_publish("", "work", body) for body in bodies])
        consumed = await self.consume(channel)
        deliveries = [await consumed.next() for _ in bodies]
        assert [body for _, _, body in deliveries] == bodies
        assert not any(method.redelivered for method, _, _ in deliveries)
        assert [method.delivery_tag for method, _, _ in deliveries] == list(range(1, 501))

    async def test_what_is_acknowledged_does_not_come_back(self):
        """After the end of a channel only those come again that were not acknowledged, marked as redelivered."""
        channel = await self.filled(b"1", b"2", b"3")
        first, _, _ = await self.get(channel, 3)
        channel.basic_ack(first[0])
        await channel.close()
        again = await self.channel()
        await self.ready(again, 2)
        assert [each[1:] for each in await self.get(again, 2)] == [(b"2", True), (b"3", True)]

    async def test_one_acknowledgement_may_settle_many(self):
        """An acknowledgement of several covers all up to its tag, and no more."""
        channel = await self.filled(b"1", b"2", b"3")
        tags = [tag for tag, _, _ in await self.get(channel, 3)]
        channel.basic_ack(tags[1], multiple=True)
        await channel.close()
        again = await self.channel()
        await self.ready(again, 1)
        assert [each[1:] for each in await self.get(again)] == [(b"3", True)]

    async def test_what_is_given_back_returns_to_its_place(self):
        """Deliveries that are given back, in whichever order, wait where they waited before."""
        channel = await self.filled(b"1", b"2", b"3", b"4")
        first, second, _ = await self.get(channel, 3)
        channel.basic_nack(second[0])
        channel.basic_reject(first[0])
        await self.ready(channel, 3)
        got = [each[1:] for each in await self.get(channel, 3)]
        assert got == [(b"1", True), (b"2", True), (b"4", False)]

    async def test_many_may_be_given_back_at_once(self):
        """A nack of several gives all of them back, in their order."""
        channel = await self.filled(b"1", b"2", b"3")
        tags = [tag for tag, _, _ in await self.get(channel, 3)]
        channel.basic_nack(tags[1], multiple=True)
        await self.ready(channel, 2)
        assert [each[1] for each in await self.get(channel, 2)] == [b"1", b"2"]

    async def test_recover_gives_everything_back(self):
        """What is not settled on a channel is delivered again after `recover`."""
        channel = await self.filled(b"1", b"2")
        await self.get(channel, 2)
        await channel.basic_recover(requeue=True)
        assert [each[1:] for each in await self.get(channel, 2)] == [(b"1", True), (b"2", True)]

    async def test_a_lost_connection_gives_everything_back(self):
        """What a client held when its connection broke goes to another one, marked as redelivered."""
        channel = await self.filled(b"1", b"2")
        consumed = await self.consume(channel)
        await consumed.bodies(2)
        channel.protocol.transport.abortConnection()
        other = await self.consume(await self.channel())
        got = [await other.next() for _ in range(2)]
        assert [(body, method.redelivered) for method, _, body in got] == [(b"1", True), (b"2", True)]
        # Only quorum queues count.
        assert not any(properties.headers for _, properties, _ in got)

    async def test_what_needs_no_acknowledgement_is_gone(self):
        """Deliveries without acknowledgement do not come back."""
        channel = await self.filled(b"1", b"2")
        consumed = await self.consume(channel, no_ack=True)
        assert await consumed.bodies(2) == [b"1", b"2"]
        channel.protocol.transport.abortConnection()
        again = await self.channel()
        await self.publish(again, b"3", "work")
        assert [each[1:] for each in await self.get(again)] == [(b"3", False)]

    async def test_a_tag_that_is_not_there_closes_the_channel(self):
        """A tag that was settled before, or never given, is error 406; the connection lives on."""
        await self.filled(b"1")
        protocol = await self.connect(TwistedProtocolConnection)
        for settle in (
            lambda channel, tag: channel.basic_ack(tag),
            lambda channel, tag: channel.basic_ack(tag, multiple=True),
            lambda channel, tag: channel.basic_nack(tag),
            lambda channel, tag: channel.basic_reject(tag),
        ):
            channel = await protocol.channel()
            settle(channel, 7)
            error = await channel.on_closed
            assert (error.reply_code, error.reply_text[:42]) == (406, "PRECONDITION_FAILED - unknown delivery tag")
        channel = await protocol.channel()
        got = await channel.basic_get("work")
        channel.basic_ack(got.method.delivery_tag)
        channel.basic_ack(got.method.delivery_tag)
        assert (await channel.on_closed).reply_code == 406

    async def test_nothing_of_all_is_no_error(self):
        """To acknowledge everything where there is nothing is allowed."""
        await self.filled()
        channel = await (await self.connect(TwistedProtocolConnection)).channel()
        channel.basic_ack(0, multiple=True)
        assert (await channel.queue_declare("work", passive=True)).method.message_count == 0

    async def test_a_quorum_queue_counts_its_deliveries(self):
        """The header `x-delivery-count` says how often a message came back, from the second delivery on."""
        channel = await self.filled(b"1", queue_type="quorum")
        await channel.basic_qos(prefetch_count=1)
        consumed = await self.consume(channel)
        counts = []
        for _ in range(3):
            method, properties, _ = await consumed.next()
            counts.append(((properties.headers or {}).get("x-delivery-count"), method.redelivered))
            channel.basic_nack(method.delivery_tag)
        assert counts == [(None, False), (1, True), (2, True)]


class Prefetching:
    """How many deliveries are on their way."""

    async def test_no_more_than_the_prefetch_count_come(self):
        """With a prefetch of 2 the third message waits until one of the two is settled."""
        await self.filled(b"1", b"2", b"3", b"4")
        channel = await self.channel(prefetch=2)
        consumed = await self.consume(channel)
        method, _, _ = await consumed.next()
        await consumed.next()
        await self.ready(channel, 2)
        assert consumed.waiting == 0
        channel.basic_ack(method.delivery_tag)
        assert await consumed.bodies(1) == [b"3"]
        await self.ready(channel, 1)

    async def test_a_prefetch_count_is_each_consumers_own(self):
        """Each consumer of a channel gets as many as the count says."""
        await self.filled(*[b"%d" % number for number in range(10)])
        channel = await self.channel(prefetch=2)
        one, other = await self.consume(channel), await self.consume(channel)
        await one.bodies(2)
        await other.bodies(2)
        await self.ready(channel, 6)

    async def test_a_global_prefetch_count_is_shared(self):
        """The consumers of a channel together get no more than a global count says."""
        await self.filled(*[b"%d" % number for number in range(10)])
        channel = await self.channel()
        await channel.basic_qos(prefetch_count=3, global_qos=True)
        one, other = await self.consume(channel), await self.consume(channel)
        await self.ready(channel, 7)
        assert one.waiting + other.waiting == 3
        channel.basic_ack(0, multiple=True)
        await self.ready(channel, 4)
        assert one.waiting + other.waiting == 6

    async def test_consumers_take_turns(self):
        """Two consumers that have room get one message after the other in turns."""
        channel = await self.filled()
        one, other = await self.consume(channel), await self.consume(await self.channel())
        for number in range(6):
            await self.publish(channel, b"%d" % number, "work")
        assert sorted([await one.bodies(3), await other.bodies(3)]) == [[b"0", b"2", b"4"], [b"1", b"3", b"5"]]

    async def test_who_has_the_higher_priority_is_served_first(self):
        """A consumer with a higher `x-priority` gets all that it has room for, the others the rest."""
        channel = await self.filled()
        low = await self.consume(await self.channel())
        high = await self.consume(await self.channel(prefetch=2), arguments={"x-priority": 5})
        for number in range(5):
            await self.publish(channel, b"%d" % number, "work")
        assert await high.bodies(2) == [b"0", b"1"]
        assert await low.bodies(3) == [b"2", b"3", b"4"]

    async def test_who_has_room_gets_what_another_has_no_room_for(self):
        """A consumer that settles nothing does not hold up the other one."""
        channel = await self.filled()
        idle = await self.consume(await self.channel(prefetch=1))
        busy = await self.consume(await self.channel(prefetch=100))
        for number in range(6):
            await self.publish(channel, b"%d" % number, "work")
        assert len(await idle.bodies(1) + await busy.bodies(5)) == 6

    async def test_nothing_comes_after_a_cancel(self):
        """A consumer that was cancelled gets no more, keeps what it has, and may settle it."""
        channel = await self.filled(b"1", b"2")
        await channel.basic_qos(prefetch_count=1)
        consumed = await self.consume(channel)
        method, _, _ = await consumed.next()
        await channel.basic_cancel(consumed.tag)
        channel.basic_ack(method.delivery_tag)
        await self.ready(channel, 1)
        assert consumed.waiting == 0


class SettlingOnRabbitMQ(Settling, OnRabbitMQ):
    """RabbitMQ."""


class SettlingInMemory(Settling, InMemory):
    """The broker in memory."""


class PrefetchingOnRabbitMQ(Prefetching, OnRabbitMQ):
    """RabbitMQ."""


class PrefetchingInMemory(Prefetching, InMemory):
    """The broker in memory."""
