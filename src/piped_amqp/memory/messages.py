"""Messages as they were published, as they stand in a queue, and as they die."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pika.spec import BasicProperties

from piped_amqp.memory.refusals import precondition_failed

#: Why a message dies, in RabbitMQ's words.
EXPIRED = "expired"
REJECTED = "rejected"
TOO_MANY = "maxlen"
TOO_OFTEN = "delivery_limit"


#: The longest time in milliseconds, as for RabbitMQ: about 50 days.
LONGEST = 2**32 - 1


@dataclass(slots=True, frozen=True)
class Message:
    """One message as it was published; all queues that it was routed to share it."""

    exchange: str
    routing_key: str
    properties: BasicProperties
    #: The properties as they travel: what nobody changes is passed on byte for byte.
    encoded: bytes
    body: bytes

    @property
    def headers(self) -> dict[str, Any]:
        return self.properties.headers or {}

    def with_header(self, name: str, value: Any) -> Message:
        """The same message with one header more, or another one."""
        return self.with_properties(headers={**self.headers, name: value})

    def sent_to(self, exchange: str, routing_key: str) -> Message:
        """The same message as if it had been published there."""
        return replace(self, exchange=exchange, routing_key=routing_key)

    def with_properties(self, **changes: Any) -> Message:
        """The same message with other properties."""
        properties = BasicProperties()
        vars(properties).update({**vars(self.properties), **changes})
        return replace(self, properties=properties, encoded=b"".join(properties.encode()))

    def time_to_live(self) -> float | None:
        """Seconds, as the publisher wished; None: for ever.

        Raises:
            Refusal: 406, the property `expiration` is no number of milliseconds.
        """
        written = self.properties.expiration
        if written is None:
            return None
        if not (isinstance(written, str) and written.isascii() and written.isdigit() and int(written) <= LONGEST):
            raise precondition_failed(f"invalid expiration {written!r}")
        return int(written) / 1000


@dataclass(slots=True)
class Entry:
    """One message in one queue."""

    message: Message
    #: Grows with each message; what is given back returns to it.
    position: int
    expires_at: float | None
    #: How often it was given back.
    returns: int = 0

    def __lt__(self, other: Entry) -> bool:
        return self.position < other.position


def buried(message: Message, queue: str, reason: str, now: float) -> Message:
    """A message that has died in a queue: it tells its story in `x-death`, the latest first, and expires no more.

    Args:
        now: seconds since 1970.
    """
    deaths = [dict(death) for death in _deaths(message)]
    known = next((death for death in deaths if (death.get("queue"), death.get("reason")) == (queue, reason)), None)
    if known is not None:
        deaths.remove(known)
        known["count"] = known.get("count", 0) + 1
    else:
        known = {
            "count": 1,
            "exchange": message.exchange,
            "queue": queue,
            "reason": reason,
            "routing-keys": [message.routing_key],
            "time": datetime.fromtimestamp(int(now), UTC),
        }
        if message.properties.expiration is not None:
            known["original-expiration"] = message.properties.expiration
    headers = {**message.headers, "x-death": [known, *deaths]}
    headers.setdefault("x-first-death-exchange", message.exchange)
    headers.setdefault("x-first-death-queue", queue)
    headers.setdefault("x-first-death-reason", reason)
    return message.with_properties(headers=headers, expiration=None)


def goes_round(message: Message, queue: str) -> bool:
    """Whether a dead message comes to a queue where it died before, and nobody has rejected it since.

    Source: RabbitMQ, "Dead Letter Exchanges", automatic cycles: such a message is dropped.
    """
    for death in _deaths(message):
        if death.get("reason") == REJECTED:
            return False
        if death.get("queue") == queue:
            return True
    return False


def _deaths(message: Message) -> list[dict[str, Any]]:
    """What `x-death` says; anybody may have published that header, so that it need not be well formed."""
    written = message.headers.get("x-death")
    return [death for death in written if isinstance(death, dict)] if isinstance(written, list) else []
