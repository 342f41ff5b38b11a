"""Message: what is published, and what becomes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from pika import spec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped import told

_log = logging.getLogger("piped.amqp")
#: What a message takes besides its body, in bytes.
_BESIDES: Final = 1024


class Message(Deferred[None]):
    """What is published: a Deferred that fires when the broker has it, and fails if it has it not, or may not."""

    def __init__(
        self,
        give_up: Callable[[Any], None],
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: spec.BasicProperties,
        mandatory: bool,
        confirm: bool,
    ) -> None:
        super().__init__(give_up)
        self.exchange, self.routing_key, self.body = exchange, routing_key, body
        self.properties, self.mandatory, self.confirm = properties, mandatory, confirm
        #: Confirmed, refused or given up by the broker; nobody waits for it on the channel.
        self.is_settled = False
        self.returned: spec.Basic.Return | None = None

    @property
    def size(self) -> int:
        """How many bytes it takes, more or less."""
        return len(self.body) + _BESIDES

    def __str__(self) -> str:
        to = f"the exchange {self.exchange!r}" if self.exchange else "the default exchange"
        return f"a message to {to} with the routing key {self.routing_key!r}"

    def settle(self, error: Exception | None) -> None:
        """Tell what became of it; a failure that nobody waits for is logged."""
        self.is_settled = True
        if not self.called:
            if error is None:
                self.callback(None)
            else:
                self.errback(Failure(error))
        elif error is not None and not self.confirm:
            _log.warning("%s", told(error))

    def is_same_as(self, method: spec.Basic.Return, properties: spec.BasicProperties, body: bytes) -> bool:
        """Whether the broker may have given back this message; others may be the same but for their headers."""
        own = self.properties
        return (
            self.mandatory
            and not self.is_settled
            and (self.exchange, self.routing_key) == (method.exchange, method.routing_key)
            and (own.message_id, own.correlation_id) == (properties.message_id, properties.correlation_id)
            and self.body == body
        )
