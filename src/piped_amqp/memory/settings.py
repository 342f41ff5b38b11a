"""What a queue was declared with, checked as RabbitMQ checks it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from pika import spec

from piped_amqp.memory.messages import LONGEST
from piped_amqp.memory.refusals import Refusal, inequivalent, precondition_failed

_log = logging.getLogger("piped.amqp")

_TYPES = ("classic", "quorum")
_OVERFLOWS = ("drop-head", "reject-publish", "reject-publish-dlx")
#: They say where and how a message is kept, which is one and the same here.
_OF_NO_MATTER = frozenset(
    {
        "x-queue-mode",
        "x-queue-version",
        "x-queue-master-locator",
        "x-quorum-initial-group-size",
        "x-dead-letter-strategy",
    }
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One declaration. Times are in milliseconds, as on the wire."""

    durable: bool = False
    exclusive: bool = False
    auto_delete: bool = False
    type: str = "classic"
    message_ttl: int | None = None
    expires: int | None = None
    max_length: int | None = None
    overflow: str = "drop-head"
    delivery_limit: int | None = None
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None


#: The fields behind arguments by the names that arguments have on the wire.
_ARGUMENTS = {f"x-{field.name.replace('_', '-')}": field.name for field in fields(Settings)[4:]} | {
    "x-queue-type": "type"
}


def settings_of(name: str, declared: Any) -> Settings:
    """The settings in a `spec.Queue.Declare`; what is not known is told in the log, as it does nothing.

    Raises:
        Refusal: 406, a value that no broker takes.
    """
    arguments: Mapping[str, Any] = declared.arguments or {}
    for argument in arguments.keys() - _ARGUMENTS.keys() - _OF_NO_MATTER:
        _log.warning("queue %r in memory: the argument %r does nothing here, though it may on RabbitMQ", name, argument)
    known = {_ARGUMENTS[argument]: value for argument, value in arguments.items() if argument in _ARGUMENTS}
    for field, value in known.items():
        if not _CHECKS.get(field, _is_number)(value):
            argument = next(argument for argument, its in _ARGUMENTS.items() if its == field)
            raise precondition_failed(f"invalid arg '{argument}' for queue '{name}' in vhost '/': {value!r}")
    settings = Settings(
        durable=declared.durable, exclusive=declared.exclusive, auto_delete=declared.auto_delete, **known
    )
    if settings.dead_letter_routing_key is not None and settings.dead_letter_exchange is None:
        raise precondition_failed("routing_key_but_no_dlx_defined")
    if settings.type == "quorum":
        for wrong, is_so in (
            ("non-durable", not settings.durable),
            ("exclusive", settings.exclusive),
            ("auto-delete", settings.auto_delete),
        ):
            if is_so:
                raise precondition_failed(f"invalid property '{wrong}' for queue '{name}' in vhost '/'")
    return settings


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_time(value: object) -> bool:
    return isinstance(value, int) and _is_number(value) and value <= LONGEST


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "message_ttl": _is_time,
    "expires": _is_time,
    "type": _TYPES.__contains__,
    "overflow": _OVERFLOWS.__contains__,
    "dead_letter_exchange": _is_text,
    "dead_letter_routing_key": _is_text,
}


def check_same(name: str, declared: Settings, current: Settings) -> None:
    """Refuse what is declared otherwise than it is.

    Raises:
        Refusal: 406, or 405 for a queue that is exclusive here or there only.
    """
    if declared.exclusive != current.exclusive:
        raise locked(name)
    for field in fields(Settings):
        received, is_now = getattr(declared, field.name), getattr(current, field.name)
        if received != is_now:
            argument = next((argument for argument, its in _ARGUMENTS.items() if its == field.name), field.name)
            raise inequivalent(argument, "queue", name, received, is_now)


def locked(name: str) -> Refusal:
    """405 for the exclusive queue of another connection."""
    return Refusal(
        spec.RESOURCE_LOCKED,
        f"cannot obtain exclusive access to locked queue '{name}' in vhost '/'. It could be originally declared on "
        "another connection or the exclusive property value does not match that of the original declaration.",
    )
