"""What a broker promises to who publishes: the same rules for RabbitMQ and for the broker in memory."""

from __future__ import annotations

import contextlib

import pytest
from amqp_stage import InMemory, OnRabbitMQ
from pika import BasicProperties
from pika.exceptions import UnroutableError


class Publishing:
    """Messages on their way to queues."""

    async def test_messages_go_through_unchanged(self):
        """Bodies of all sizes and every property come out as they went in."""
        channel = await self.filled()
        properties = {
            "content_type": "a/b", "content_encoding": "c", "delivery_mode": 2, "priority": 3, "correlation_id": "d",
            "reply_to": "e", "message_id": "f", "timestamp": 1_700_000_000, "type": "g", "user_id": "guest",
            "app_id": "i", "headers": {"a": 1, "b": "text", "c": [1, "x", {"d": True}], "e": None, "f": -(2**40)},
        }  # fmt: skip
        consumed = await self.consume(channel)
        for size in (0, 1, 131_064, 131_065, 400_000):
            await self.publish(channel, b"x" * size, "work", **properties)
            _, got, body = await consumed.next()
            assert len(body) == size
            assert {name: getattr(got, name) for name in properties} == properties

    async def test_exchanges_route(self):
        """Each kind of exchange brings a message to the queues that it should."""
        channel = await self.filled()
        bindings = [
            ("amq.direct", "a", None), ("amq.direct", "b", None), ("amq.fanout", "", None),
            ("amq.topic", "x.*.z", None), ("amq.topic", "y.#", None), ("amq.topic", "#.q.#", None),
            ("amq.match", "", {"x-match": "all", "h": 1, "g": "2"}),
            ("amq.match", "", {"x-match": "any", "k": "1", "m": "2"}),
        ]  # fmt: skip
        for exchange, key, arguments in bindings:
            await channel.queue_bind("work", exchange, key, arguments)
        cases = [
            ("amq.direct", "a", {}, True), ("amq.direct", "c", {}, False), ("amq.fanout", "any", {}, True),
            ("amq.topic", "x.1.z", {}, True), ("amq.topic", "x.z", {}, False), ("amq.topic", "x.1.2.z", {}, False),
            ("amq.topic", "y", {}, True), ("amq.topic", "y.1.2", {}, True), ("amq.topic", "yy", {}, False),
            ("amq.topic", "q", {}, True), ("amq.topic", "a.b.q.c", {}, True), ("amq.topic", "", {}, False),
            ("amq.match", "", {"h": 1, "g": "2", "more": 3}, True), ("amq.match", "", {"h": 1}, False),
            ("amq.match", "", {"m": "2"}, True), ("amq.match", "", {"m": "3"}, False),
        ]  # fmt: skip
        routed = []
        returned = []
        channel.add_on_return_callback(returned.append)
        for exchange, key, headers, _ in cases:
            before = len(returned)
            with contextlib.suppress(UnroutableError):
                await channel.basic_publish(exchange, key, b"", BasicProperties(headers=headers), mandatory=True)
            routed.append(len(returned) == before)
        assert routed == [expected for *_, expected in cases]

    async def test_one_message_comes_once_however_many_bindings_fit(self):
        """Two bindings of a queue that both fit bring a message only once; after an unbind it comes no more."""
        channel = await self.filled()
        for key in ("a.*", "*.b"):
            await channel.queue_bind("work", "amq.topic", key)
        await self.publish(channel, b"1", "a.b", "amq.topic")
        await self.ready(channel, 1)
        for key in ("a.*", "*.b"):
            await channel.queue_unbind("work", "amq.topic", key)
        await channel.basic_publish("amq.topic", "a.b", b"2")
        await self.ready(channel, 1)

    async def test_returns_come_before_confirms(self):
        """A mandatory message that nothing is bound to comes back, before it is confirmed."""
        channel = await self.filled()
        heard = []
        channel.add_on_return_callback(lambda returned: heard.append((returned.method.reply_code, returned.body)))
        for number in range(3):
            with pytest.raises(UnroutableError) as raised:
                await channel.basic_publish("", "nobody", b"%d" % number, mandatory=True)
            heard.append(raised.value.messages[0].method.reply_text)
        assert heard == [(312, b"0"), "NO_ROUTE", (312, b"1"), "NO_ROUTE", (312, b"2"), "NO_ROUTE"]

    async def test_replies_without_a_queue(self):
        """A reply to the direct reply-to comes straight back to its channel, though it counts as unroutable."""
        asking, answering = await self.channel(), await self.filled()
        replies = await self.consume(asking, "amq.rabbitmq.reply-to", no_ack=True)
        requests = await self.consume(answering)
        await asking.basic_publish(
            "", "work", b"?", BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id="7")
        )
        _, properties, _ = await requests.next()
        assert properties.reply_to != "amq.rabbitmq.reply-to"
        await answering.queue_declare(properties.reply_to, passive=True)
        reply = BasicProperties(correlation_id="7")
        with pytest.raises(UnroutableError):
            await answering.basic_publish("", properties.reply_to, b"!", reply, mandatory=True)
        method, got, body = await replies.next()
        assert (body, got.correlation_id, method.exchange) == (b"!", "7", "")

    async def test_replies_need_a_consumer_without_acknowledgement(self):
        """Direct replies cannot be acknowledged, and need somebody who waits for them."""
        protocol = await self.connect()
        channel = await protocol.open_channel()
        got = await self.refused(self.consume(channel, "amq.rabbitmq.reply-to"))
        assert got == (406, "PRECONDITION_FAILED")
        channel = await protocol.open_channel()
        channel.basic_publish("", "nobody", b"", BasicProperties(reply_to="amq.rabbitmq.reply-to"))
        assert (await channel.on_closed).reply_code == 406

    async def test_a_missing_exchange_closes_the_channel_only(self):
        """To publish to an exchange that is not there is error 404; other channels live on."""
        protocol = await self.connect()
        channel, other = await protocol.open_channel(), await protocol.open_channel()
        channel.basic_publish("nowhere", "a", b"")
        error = await channel.on_closed
        assert (error.reply_code, error.reply_text[:34]) == (404, "NOT_FOUND - no exchange 'nowhere' ")
        await self.declare(other, "work")

    async def test_an_expiration_has_to_be_a_number(self):
        """A message whose expiration is no number of milliseconds is error 406, even if nobody would get it."""
        channel = await self.channel()
        channel.basic_publish("", "nobody", b"", BasicProperties(expiration="soon"))
        assert (await channel.on_closed).reply_code == 406


class PublishingOnRabbitMQ(Publishing, OnRabbitMQ):
    """RabbitMQ."""


class PublishingInMemory(Publishing, InMemory):
    """The broker in memory."""
