"""pika's BlockingConnection: the way of most scripts."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pika
from measuring import PREFETCH, work

job = work()
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", job.port))
channel = connection.channel()
DURABLE = pika.BasicProperties(delivery_mode=2)


def received(_: Any, method: Any, properties: Any, body: bytes) -> None:
    if job.scenario == "forward":
        channel.basic_publish("", "out", body, DURABLE, mandatory=True)  # waits for the confirmation
    elif job.scenario == "serve":
        answer = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to, body, answer)
    channel.basic_ack(method.delivery_tag)
    if job.one():
        channel.stop_consuming()


def call() -> None:
    """One call after another: this connection cannot wait for two."""
    answers: list[str] = []
    channel.basic_consume("amq.rabbitmq.reply-to", lambda *a: answers.append(a[2].correlation_id), auto_ack=True)
    job.begin()
    while True:
        number = uuid4().hex
        properties = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id=number)
        channel.basic_publish("", "echo", job.body, properties)
        while number not in answers:
            connection.process_data_events(None)
        answers.clear()
        if job.one():
            return


if job.scenario == "call":
    call()
else:
    if job.scenario == "forward":
        channel.confirm_delivery()
    channel.basic_qos(prefetch_count=PREFETCH)
    channel.basic_consume("in", received)
    channel.start_consuming()
connection.close()
