"""Dead letters: messages that cannot be processed, published elsewhere with the reason in their headers."""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.reflect import qual, safe_str

from piped import Seconds
from piped.runtime.logs import traceback_of
from piped_amqp.consumer_options import DeadLetter
from piped_amqp.retrying import DELIVERY_COUNT

#: How long the broker may take to confirm one.
TIMEOUT: Final[Seconds] = 10
#: How long a text in a header may be, and the traceback.
_LONGEST: Final = 1000
_LONGEST_TRACEBACK: Final = 8000
#: What a frame of headers has besides them.
_FRAME: Final = 64
#: Headers by which the broker would count or route the new message like the old one.
_NOT_KEPT: Final = (DELIVERY_COUNT, "CC", "BCC")
_NOTE = re.compile(r"in pipeline (?P<pipeline>.*?), step (?P<step>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a delivery became a dead letter.

    Args:
        reason: "failed" or "rejected".
        queue: where it came from.
        deliveries: how often it was delivered.
        time: seconds since 1970.
    """

    error: BaseException | None
    reason: str
    queue: str
    deliveries: int
    time: float


def headers_of(method: Any, properties: Any, reason: Reason) -> dict[str, Any]:
    """The headers that tell where a message came from, and what was wrong with it."""
    error = reason.error
    notes = [note for note in getattr(error, "__notes__", ()) if isinstance(note, str)]
    place = next(filter(None, map(_NOTE.fullmatch, notes)), None)
    headers: dict[str, Any] = {
        "x-piped-reason": reason.reason,
        "x-piped-exception": _cut(qual(type(error))),
        "x-piped-message": _cut(safe_str(getattr(error, "msg", "") or error)),
        "x-piped-pipeline": _cut(place["pipeline"]) if place else None,
        "x-piped-step": _cut(place["step"]) if place else None,
        "x-piped-exchange": method.exchange,
        "x-piped-routing-key": method.routing_key,
        "x-piped-queue": reason.queue,
        "x-piped-deliveries": reason.deliveries,
        "x-piped-time": datetime.fromtimestamp(reason.time, UTC).isoformat(timespec="milliseconds"),
        "x-piped-expiration": properties.expiration,
        "x-piped-user-id": properties.user_id,
        "x-piped-traceback": None if error is None else _cut(traceback_of(error), _LONGEST_TRACEBACK),
    }
    return {name: value for name, value in headers.items() if value is not None}


def _cut(text: str, longest: int = _LONGEST) -> str:
    """A text without its middle where it is too long: how it begins and how it ends says most."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} … {text[-half:]}"


def dead(method: Any, properties: Any, reason: Reason, frame_max: int) -> Any:
    """The properties of a dead letter: those of the message, and the headers that tell why.

    What would make the broker refuse or drop it, or send it elsewhere, is left out: who has sent it (only he may say
    so), when it expires, and to whom there were copies.

    Args:
        frame_max: how many bytes they may take on the connection; the traceback is the first that has to go.
    """
    letter = copy(properties)
    letter.user_id = letter.expiration = None
    kept = {name: value for name, value in (properties.headers or {}).items() if name not in _NOT_KEPT}
    told = headers_of(method, properties, reason)
    short = {name: value for name, value in told.items() if name != "x-piped-traceback"}
    for headers in (told, short, {}):
        letter.headers = kept | headers
        if sum(map(len, letter.encode())) + _FRAME <= frame_max:
            break
    return letter


class DeadLetters:
    """Sends the dead letters of one consumer, on the connection that has brought them.

    Args:
        protocol: the AMQProtocol.
        clock: the reactor.
    """

    def __init__(self, options: DeadLetter, protocol: Any, clock: Any) -> None:
        self._options, self._protocol, self._clock = options, protocol, clock

    def send(self, method: Any, properties: Any, body: bytes, reason: Reason) -> Deferred[None]:
        """Publish one; fires when the broker has it, and fails if it has not, or no queue wanted it."""
        letter = dead(method, properties, reason, self._protocol.parameters.frame_max)
        key = self._options.routing_key
        routing_key = method.routing_key if key is None else key
        sent: Deferred[None] = self._protocol.publish(self._options.exchange, routing_key, body, letter, mandatory=True)
        return sent.addTimeout(TIMEOUT, self._clock)
