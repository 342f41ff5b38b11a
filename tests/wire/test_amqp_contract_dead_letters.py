"""What a broker promises of messages that die: the same rules for RabbitMQ and for the broker in memory."""

from __future__ import annotations

import pytest
from amqp_stage import InMemory, OnRabbitMQ
from pika.exceptions import NackError


class DeadLetters:
    """Where messages go that were rejected, grew too old, or are too many."""

    async def test_rejected_for_good_is_a_dead_letter(self):
        """A delivery that is rejected without requeue goes where the queue says, with its story in its headers."""
        channel = await self.filled(b"1", dead_letter_exchange="", dead_letter_routing_key="dead")
        await self.declare(channel, "dead")
        ((tag, _, _),) = await self.get(channel)
        channel.basic_reject(tag, requeue=False)
        consumed = await self.consume(channel, "dead")
        method, properties, body = await consumed.next()
        headers = properties.headers
        (death,) = headers["x-death"]
        told = {name: death[name] for name in ("count", "exchange", "queue", "reason", "routing-keys")}
        assert (body, method.routing_key, method.redelivered) == (b"1", "dead", False)
        assert told == {"count": 1, "exchange": "", "queue": "work", "reason": "rejected", "routing-keys": ["work"]}
        first = [headers[f"x-first-death-{what}"] for what in ("exchange", "queue", "reason")]
        assert first == ["", "work", "rejected"]

    async def test_rejected_without_dead_letters_is_gone(self):
        """Where the queue names no exchange for them, what is rejected without requeue is forgotten."""
        channel = await self.filled(b"1", b"2")
        ((tag, _, _),) = await self.get(channel)
        channel.basic_nack(tag, requeue=False)
        await channel.close()
        again = await self.channel()
        assert [each[1:] for each in await self.get(again)] == [(b"2", False)]

    async def test_many_may_be_rejected_at_once(self):
        """A nack of several without requeue sends all of them on, in their order, with their routing key."""
        channel = await self.filled(b"1", b"2", b"3", dead_letter_exchange="amq.fanout")
        await self.declare(channel, "dead")
        await channel.queue_bind("dead", "amq.fanout")
        tags = [tag for tag, _, _ in await self.get(channel, 3)]
        channel.basic_nack(tags[1], multiple=True, requeue=False)
        consumed = await self.consume(channel, "dead")
        got = [await consumed.next() for _ in range(2)]
        assert [(body, method.routing_key) for method, _, body in got] == [(b"1", "work"), (b"2", "work")]

    async def test_a_ladder_of_retries(self):
        """A queue whose messages expire into the first one brings back what was rejected, and counts the rounds."""
        channel = await self.filled(b"1", dead_letter_exchange="", dead_letter_routing_key="later")
        await self.declare(channel, "later", message_ttl=20, dead_letter_exchange="", dead_letter_routing_key="work")
        consumed = await self.consume(channel)
        rounds = []
        for _ in range(3):
            method, properties, body = await consumed.next()
            deaths = (properties.headers or {}).get("x-death", [])
            rounds.append((body, [(death["queue"], death["reason"], death["count"]) for death in deaths]))
            channel.basic_reject(method.delivery_tag, requeue=False)
        assert rounds == [
            (b"1", []),
            (b"1", [("later", "expired", 1), ("work", "rejected", 1)]),
            (b"1", [("later", "expired", 2), ("work", "rejected", 2)]),
        ]

    async def test_a_message_may_expire_by_itself(self):
        """A message with an expiration is a dead letter when it is over, and keeps what it was only in its story."""
        channel = await self.filled(dead_letter_exchange="", dead_letter_routing_key="dead")
        await self.declare(channel, "dead")
        await self.publish(channel, b"1", "work", expiration="20")
        _, properties, body = await (await self.consume(channel, "dead")).next()
        (death,) = properties.headers["x-death"]
        assert (body, death["reason"], death["original-expiration"]) == (b"1", "expired", "20")
        assert properties.expiration is None

    async def test_what_lives_no_time_goes_to_who_waits_only(self):
        """With an expiration of 0 a message is delivered to a consumer that has room, or dies."""
        channel = await self.filled(dead_letter_exchange="", dead_letter_routing_key="dead")
        await self.declare(channel, "dead")
        await self.publish(channel, b"too early", "work", expiration="0")
        consumed = await self.consume(channel)
        await self.publish(channel, b"in time", "work", expiration="0")
        dead = await self.consume(channel, "dead")
        assert (await dead.bodies(1), await consumed.bodies(1)) == ([b"too early"], [b"in time"])

    async def test_what_goes_round_without_end_is_dropped(self):
        """A message that expires again and again, and that nobody rejects, is dropped at the end of the first round."""
        channel = await self.filled(dead_letter_exchange="", dead_letter_routing_key="b", message_ttl=10)
        await self.declare(channel, "b", dead_letter_exchange="", dead_letter_routing_key="work", message_ttl=10)
        await self.publish(channel, b"1", "work")
        await self.publish(channel, b"2", "b")
        await self.ready(channel, 0)
        await self.ready(channel, 0, "b")

    async def test_the_oldest_go_when_there_are_too_many(self):
        """A queue with a maximal length drops its oldest messages to the dead letters."""
        channel = await self.filled(max_length=2, dead_letter_exchange="", dead_letter_routing_key="dead")
        await self.declare(channel, "dead")
        for body in (b"1", b"2", b"3"):
            await self.publish(channel, body, "work")
        _, properties, body = await (await self.consume(channel, "dead")).next()
        assert (body, properties.headers["x-death"][0]["reason"]) == (b"1", "maxlen")
        assert [each[1] for each in await self.get(channel, 2)] == [b"2", b"3"]

    async def test_a_full_queue_may_refuse(self):
        """A queue with `reject-publish` refuses what is too much, and its publisher is told."""
        channel = await self.filled(b"1", max_length=1, overflow="reject-publish")
        with pytest.raises(NackError):
            await self.publish(channel, b"2", "work")
        await self.ready(channel, 1)

    async def test_a_quorum_queue_gives_up(self):
        """A quorum queue with a delivery limit sends on what came back more often."""
        channel = await self.filled(
            b"1", queue_type="quorum", delivery_limit=1, dead_letter_exchange="", dead_letter_routing_key="dead"
        )
        await self.declare(channel, "dead")
        consumed = await self.consume(channel)
        for _ in range(2):
            channel.basic_nack((await consumed.next())[0].delivery_tag)
        _, properties, body = await (await self.consume(channel, "dead")).next()
        assert (body, properties.headers["x-death"][0]["reason"]) == (b"1", "delivery_limit")


class DeadLettersOnRabbitMQ(DeadLetters, OnRabbitMQ):
    """RabbitMQ."""


class DeadLettersInMemory(DeadLetters, InMemory):
    """The broker in memory."""
