"""Refusals: what the broker answers to what it does not do, by the codes and words of RabbitMQ."""

from __future__ import annotations

from pika import spec

_NAMES = {
    spec.ACCESS_REFUSED: "ACCESS_REFUSED",
    spec.NOT_FOUND: "NOT_FOUND",
    spec.RESOURCE_LOCKED: "RESOURCE_LOCKED",
    spec.PRECONDITION_FAILED: "PRECONDITION_FAILED",
    spec.FRAME_ERROR: "FRAME_ERROR",
    spec.SYNTAX_ERROR: "SYNTAX_ERROR",
    spec.COMMAND_INVALID: "COMMAND_INVALID",
    spec.CHANNEL_ERROR: "CHANNEL_ERROR",
    spec.UNEXPECTED_FRAME: "UNEXPECTED_FRAME",
    spec.NOT_ALLOWED: "NOT_ALLOWED",
    spec.NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    spec.INTERNAL_ERROR: "INTERNAL_ERROR",
}
#: These close the channel only; every other code closes the connection. Source: AMQP 0-9-1, reply codes.
_SOFT = frozenset({spec.ACCESS_REFUSED, spec.NOT_FOUND, spec.RESOURCE_LOCKED, spec.PRECONDITION_FAILED})


class Refusal(Exception):
    """Raised by whatever the broker does for a client; ends the channel or the connection."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        #: As RabbitMQ writes it, at most as long as the protocol allows.
        self.text = f"{_NAMES[code]} - {reason}".encode()[:255].decode(errors="ignore")

    @property
    def ends_connection(self) -> bool:
        return self.code not in _SOFT


def not_found(kind: str, name: str) -> Refusal:
    """404 for a queue or an exchange."""
    return Refusal(spec.NOT_FOUND, f"no {kind} '{name}' in vhost '/'")


def precondition_failed(reason: str) -> Refusal:
    """406."""
    return Refusal(spec.PRECONDITION_FAILED, reason)


def inequivalent(argument: str, kind: str, name: str, received: object, current: object) -> Refusal:
    """406 for what exists already and is declared otherwise."""
    if received is None or current is None:
        told = f"received {_described(received)} but current is {_described(current)}"
    else:
        told = f"received {_quoted(received)} but current is {_quoted(current)}"
    return precondition_failed(f"inequivalent arg '{argument}' for {kind} '{name}' in vhost '/': {told}")


def _quoted(value: object) -> str:
    return f"'{str(value).lower() if isinstance(value, bool) else value}'"


def _described(value: object) -> str:
    if value is None:
        return "none"
    return f"the value {_quoted(value)} of type '{'longstr' if isinstance(value, str) else 'signedint'}'"
