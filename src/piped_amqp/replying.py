"""Replying: a message to the queue that another one names in `reply_to`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pika.spec import BasicProperties
from twisted.internet.defer import Deferred

from piped import PipedError
from piped_amqp.messages import copied

#: The queue that stands for replies to whoever consumes it, without there being one, and the names made for callers.
#: Source: RabbitMQ, "Direct Reply-to".
DIRECT: Final = "amq.rabbitmq.reply-to"


def reply(
    delivery: Mapping[str, Any], body: bytes, properties: BasicProperties, *, mandatory: bool = True
) -> Deferred[None]:
    """A Deferred that fires when the broker has the reply to a consumer's delivery.

    Raises:
        PipedError: the message wants no reply.
    """
    asked: BasicProperties = delivery["properties"]
    to = asked.reply_to
    if not to:
        hint = "who wants a reply names a queue there; ignore_missing passes on others"
        raise PipedError("the message wants no reply: it has no reply_to", hint=hint)
    own = copied(properties)
    own.correlation_id = asked.correlation_id
    # The broker returns every mandatory reply to such a name, also those that it has delivered.
    is_wanted = mandatory and not to.startswith(f"{DIRECT}.")
    replied: Deferred[None] = delivery["channel"].protocol.publish("", to, body, own, is_wanted)
    return replied
