"""FastStream, on uvloop."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from faststream import FastStream
from faststream.middlewares import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage, RabbitQueue
from measuring import CALLS, PREFETCH, work

job = work()
URL = f"amqp://guest:guest@127.0.0.1:{job.port}/"
channel = Channel(prefetch_count=PREFETCH, publisher_confirms=job.scenario == "forward")
broker = RabbitBroker(URL, default_channel=channel, logger=None)
app = FastStream(broker, logger=None)


def counted() -> None:
    if job.one():
        app.exit()


def subscriber() -> Any:
    return broker.subscriber(RabbitQueue("in", declare=False), ack_policy=AckPolicy.MANUAL)


if job.scenario == "consume":

    @subscriber()
    async def consume(body: bytes, message: RabbitMessage) -> None:
        await message.ack()
        counted()

elif job.scenario == "forward":

    @subscriber()
    async def forward(body: bytes, message: RabbitMessage) -> None:
        await broker.publish(body, "out", persist=True)
        await message.ack()
        counted()

elif job.scenario == "serve":

    @subscriber()
    async def serve(body: bytes, message: RabbitMessage) -> bytes:
        await message.ack()
        counted()
        return body


async def call() -> None:
    await broker.start()

    async def caller() -> None:
        for _ in range(job.count // CALLS):
            await broker.request(job.body, "echo", timeout=60)
            job.one()

    await asyncio.gather(*(caller() for _ in range(CALLS)))
    await broker.stop()


uvloop.run(call() if job.scenario == "call" else app.run())
