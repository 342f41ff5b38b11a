"""aio-pika, on uvloop."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import aio_pika
import uvloop
from measuring import CALLS, PREFETCH, work

job = work()


async def main() -> None:
    connection = await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{job.port}/")
    channel = await connection.channel(publisher_confirms=job.scenario == "forward")
    if job.scenario == "call":
        await call(channel)
    else:
        await consume(channel)
    await connection.close()


async def consume(channel: aio_pika.abc.AbstractChannel) -> None:
    await channel.set_qos(prefetch_count=PREFETCH)
    queue, ended = await channel.get_queue("in"), asyncio.Event()

    async def received(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        if job.scenario == "forward":
            onward = aio_pika.Message(message.body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(onward, "out")
        elif job.scenario == "serve":
            answer = aio_pika.Message(message.body, correlation_id=message.correlation_id)
            await channel.default_exchange.publish(answer, message.reply_to or "", mandatory=False)
        await message.ack()
        if job.one():
            ended.set()

    await queue.consume(received)
    await ended.wait()


async def call(channel: aio_pika.abc.AbstractChannel) -> None:
    waiting: dict[str, asyncio.Future[bytes]] = {}

    async def heard(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        waiting.pop(message.correlation_id or "").set_result(message.body)

    replies = await channel.declare_queue(exclusive=True)
    await replies.consume(heard, no_ack=True)

    async def caller() -> None:
        for _ in range(job.count // CALLS):
            number = uuid4().hex
            answer = waiting[number] = asyncio.get_running_loop().create_future()
            message = aio_pika.Message(job.body, reply_to=replies.name, correlation_id=number)
            await channel.default_exchange.publish(message, "echo", mandatory=False)
            await answer
            job.one()

    await asyncio.gather(*(caller() for _ in range(CALLS)))


uvloop.run(main())
