"""Publishing to a RabbitMQ: every message that is confirmed is there, and what is not is told to whoever sent it."""

from amqp_stage import OnRabbitMQ
from pika import BasicProperties
from twisted.internet.defer import DeferredList, gatherResults

from piped_amqp.errors import PublishError, UnroutableError


class Publishing(OnRabbitMQ):
    async def test_every_confirmed_message_is_in_the_queue_in_order(self) -> None:
        """Many more than may be under way at a time, and larger than a frame."""
        protocol = await self.connect()
        channel = await protocol.open_channel()
        await self.declare(channel, "jobs")
        bodies = [str(n).encode() for n in range(3000)] + [b"x" * 500_000]
        await gatherResults([protocol.publish("", "jobs", body, BasicProperties(delivery_mode=2)) for body in bodies])
        consumer = await self.consume(channel, "jobs", no_ack=True)
        assert await consumer.bodies(len(bodies)) == bodies

    async def test_messages_that_no_queue_takes_are_told_apart(self) -> None:
        """Among others that are confirmed, many at once."""
        protocol = await self.connect()
        await self.declare(await protocol.open_channel(), "jobs")
        keys = ["jobs" if n % 3 else "nowhere" for n in range(900)]
        sent = [protocol.publish("", key, str(n).encode()) for n, key in enumerate(keys)]
        outcomes = await DeferredList(sent, consumeErrors=True)
        told = ["jobs" if is_good else "nowhere" for is_good, _ in outcomes]
        assert told == keys
        assert all(is_good or failure.check(UnroutableError) for is_good, failure in outcomes)

    async def test_a_missing_exchange_harms_only_who_publishes_to_it(self) -> None:
        """Those who publish elsewhere at the same time notice nothing."""
        protocol = await self.connect()
        await self.declare(await protocol.open_channel(), "jobs")
        sent = [protocol.publish("" if n % 50 else "nope", "jobs", b"") for n in range(500)]
        outcomes = await DeferredList(sent, consumeErrors=True)
        assert [is_good for is_good, _ in outcomes] == [bool(n % 50) for n in range(500)]
        error = outcomes[0][1].value
        assert isinstance(error, PublishError)
        assert "NOT_FOUND - no exchange 'nope'" in error.msg

    async def test_a_full_queue_refuses(self) -> None:
        """If it is declared so."""
        protocol = await self.connect()
        await self.declare(await protocol.open_channel(), "small", max_length=1, overflow="reject-publish")
        sent = [protocol.publish("", "small", b"") for _ in range(20)]
        outcomes = await DeferredList(sent, consumeErrors=True)
        refused = [failure.value for is_good, failure in outcomes if not is_good]
        assert refused
        assert all("the broker refuses a message" in error.msg for error in refused)
