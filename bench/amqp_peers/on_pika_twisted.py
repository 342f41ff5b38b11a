"""pika on Twisted, by hand: what Piped's own cost is measured by. Echoes calls, too, when it is asked to."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import uvloop
from twisted.internet import asyncioreactor

asyncioreactor.install(uvloop.new_event_loop())

import pika  # noqa: E402 - the reactor has to be chosen before
from measuring import CALLS, PREFETCH, work  # noqa: E402 - as above
from pika.adapters.twisted_connection import TwistedProtocolConnection  # noqa: E402 - as above
from twisted.internet import defer, endpoints, reactor, task  # noqa: E402 - as above

job = work()
DURABLE = pika.BasicProperties(delivery_mode=2)


async def consume(channel: Any, queue_name: str = "in") -> None:
    await channel.basic_qos(prefetch_count=PREFETCH)
    queue, _ = await channel.basic_consume(queue_name)
    ended: defer.Deferred[None] = defer.Deferred()

    def done(_: Any, tag: int) -> None:
        channel.basic_ack(tag)
        if job.scenario != "echo" and job.one():
            ended.callback(None)

    taken = 0
    while job.scenario == "echo" or taken < job.count:
        _, method, properties, body = await queue.get()
        taken += 1
        if job.scenario == "forward":
            channel.basic_publish("", "out", body, DURABLE, mandatory=True).addCallback(done, method.delivery_tag)
            continue
        if job.scenario in {"serve", "echo"}:
            answer = pika.BasicProperties(correlation_id=properties.correlation_id)
            channel.basic_publish("", properties.reply_to, body, answer)
        done(None, method.delivery_tag)
    await ended


async def call(channel: Any) -> None:
    queue, _ = await channel.basic_consume("amq.rabbitmq.reply-to", auto_ack=True)
    waiting: dict[str, defer.Deferred[bytes]] = {}

    async def hear() -> None:
        while True:
            _, _, properties, body = await queue.get()
            waiting.pop(properties.correlation_id).callback(body)

    async def caller() -> None:
        for _ in range(job.count // CALLS):
            number = uuid4().hex
            answer = waiting[number] = defer.Deferred()
            properties = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id=number)
            channel.basic_publish("", "echo", job.body, properties)
            await answer
            job.one()

    hearing = defer.ensureDeferred(hear())
    await defer.gatherResults([defer.ensureDeferred(caller()) for _ in range(CALLS)])
    hearing.addErrback(lambda _: None).cancel()


async def main(_: Any) -> None:
    parameters = pika.ConnectionParameters(heartbeat=60)
    endpoint = endpoints.clientFromString(reactor, f"tcp:127.0.0.1:{job.port}")
    connection = await endpoints.connectProtocol(endpoint, TwistedProtocolConnection(parameters))
    await connection.ready
    channel = await connection.channel()
    if job.scenario == "forward":
        await channel.confirm_delivery()
    if job.scenario == "call":
        await call(channel)
    else:
        await consume(channel, "echo" if job.scenario == "echo" else "in")
    connection.close()
    await connection.closed.addErrback(lambda _: None)


task.react(lambda reactor: defer.ensureDeferred(main(reactor)))
