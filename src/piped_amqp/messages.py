"""What a message is made of: its body and its properties, which are written or lie in the baton."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar

from annotated_types import Ge, Le
from pika.exceptions import UnsupportedAMQPFieldException
from pika.spec import BasicProperties

from piped import BatonPath, ConfigurationError, OrPath, Path, PipedError, Seconds, get_path, told

T = TypeVar("T")
_MISSING: Final = object()
_MODES: Final = {"transient": 1, "persistent": 2}
#: The most bytes of a property that is a text, and of a routing key.
LONGEST_TEXT: Final = 255
Priority = Annotated[int, Ge(0), Le(255)]


@dataclass(frozen=True, kw_only=True)
class MessageProperties:
    """The properties of a message. A `!path` stands for a value of the baton; null is a property that is not there.

    Args:
        content_type: such as text/plain.
        content_encoding: such as gzip.
        headers: values by their names; null for none.
        delivery_mode: a message that is `persistent` in a durable queue outlives a restart of the broker; a `transient`
            one does not.
        priority: for queues that know priorities.
        correlation_id: what a reply repeats.
        reply_to: the queue that replies are sent to.
        expiration: how long it may wait in a queue.
        message_id: says which message it is.
        timestamp: when it was made, in seconds since 1970 or as a datetime.
        type: what kind of message it is.
        user_id: who publishes it; the broker refuses any other than the user who is logged in.
        app_id: what publishes it.
    """

    content_type: OrPath[str] | None = None
    content_encoding: OrPath[str] | None = None
    headers: OrPath[dict[str, OrPath[Any]]] | None = None
    delivery_mode: OrPath[Literal["persistent", "transient", 2, 1]] = "persistent"
    priority: OrPath[Priority] | None = None
    correlation_id: OrPath[str | int] | None = None
    reply_to: OrPath[str] | None = None
    expiration: OrPath[Seconds] | None = None
    message_id: OrPath[str | int] | None = None
    timestamp: OrPath[Any] | None = None
    type: OrPath[str] | None = None
    user_id: OrPath[str] | None = None
    app_id: OrPath[str] | None = None


class Properties:
    """Makes the properties of messages.

    Args:
        written: what a step says; what it leaves out is taken from those at the path.
        path: where the properties of another message are in the baton.
    """

    def __init__(self, written: MessageProperties | None, path: Path | None = None) -> None:
        own = written or MessageProperties()
        self._path = path
        self._options = {field.name: getattr(own, field.name) for field in fields(own)}
        if path is not None:
            defaults = MessageProperties()
            self._options = {name: v for name, v in self._options.items() if v != getattr(defaults, name)}
        #: What is the same for every baton; nobody changes it.
        self._fixed = at_once(self._sendable) if path is None and _is_fixed(self._options) else None

    def of(self, baton: Any) -> BasicProperties:
        """The properties for a baton.

        Raises:
            PipedError: the baton has nothing at a path, or something that is no such property.
        """
        return self._fixed or self._made(baton)

    def _sendable(self) -> BasicProperties:
        made = self._made({})
        try:
            made.encode()
        except Exception as error:  # pika raises what it likes
            raise PipedError(f"the properties have no place in AMQP: {unfit(error)}") from error
        return made

    def _made(self, baton: Any) -> BasicProperties:
        properties = BasicProperties() if self._path is None else copied(_properties_at(baton, self._path))
        for name, option in self._options.items():
            value = value_of(baton, option)
            setattr(properties, name, None if value is None else _CONVERTED.get(name, _as_text)(name, value))
        return properties


class Body:
    """Makes the bodies of messages.

    Args:
        written: what a step says; null for what lies at the path.
        default: the path, if neither is written.
        as_json: any value may be sent.
    """

    def __init__(self, written: Any, path: Path | None, default: str, *, as_json: bool) -> None:
        self._option = either("body", written, path if path is not None or written is not None else Path(default))
        self._what = f"what lies at {str(self._option)!r}" if written is None else "the body"
        self._as_json = as_json
        self._fixed = at_once(lambda: self._made(None)) if _is_fixed(self._option) else None

    def of(self, baton: Any) -> bytes:
        """The body for a baton.

        Raises:
            PipedError: the baton has nothing at the path, or something that cannot be sent.
        """
        return self._made(baton) if self._fixed is None else self._fixed

    def _made(self, baton: Any) -> bytes:
        return body_of(value_of(baton, self._option), self._what, as_json=self._as_json)


def at_once(make: Callable[[], T]) -> T:
    """What is the same for every baton, made when the step is.

    Raises:
        ConfigurationError: it cannot be sent.
    """
    try:
        return make()
    except PipedError as error:
        raise ConfigurationError(error.msg, error.detail, hint=error.hint) from error


def copied(properties: BasicProperties) -> BasicProperties:
    """The same properties, to be changed; a third of what `copy` takes."""
    own = BasicProperties.__new__(BasicProperties)
    own.__dict__.update(properties.__dict__)
    return own


def unfit(error: Exception) -> str:
    """What pika has against the properties of a message."""
    if isinstance(error, UnsupportedAMQPFieldException):
        value = error.args[-1]
        return f"{value!r} is of the class {type(value).__name__}, which it does not know"
    return told(error)


def value_of(baton: Any, option: Any) -> Any:
    """What an option stands for, also where a `!path` stands inside of it.

    Raises:
        PipedError: the baton has nothing at a path.
    """
    if isinstance(option, BatonPath):
        value = get_path(baton, option, _MISSING)
        if value is _MISSING:
            raise PipedError(f"the baton has nothing at {str(option)!r}")
        return value
    if type(option) is dict:
        return {name: value_of(baton, member) for name, member in option.items()}
    if type(option) is list:
        return [value_of(baton, member) for member in option]
    return option


def either(name: str, value: Any, path: Path | None, default: Any = None) -> Any:
    """An option that may be written, or lie at a path of the baton.

    Raises:
        ConfigurationError: it does both.
    """
    if path is not None and value is not None:
        raise ConfigurationError(f"{name} and {name}_path mean the same", hint="remove one of them")
    return BatonPath(path) if path is not None else default if value is None else value


def text_option(name: str, value: Any, path: Path | None) -> Any:
    """A text that may be written, or lie at a path of the baton; '' if it does neither.

    Raises:
        ConfigurationError: it does both, or is too long for AMQP.
    """
    option = either(name, value, path, "")
    if type(option) is str:
        at_once(lambda: _as_text(name, option))
    return option


def text_of(baton: Any, option: Any, name: str) -> str:
    """The text that an option stands for, such as a routing key.

    Raises:
        PipedError: it is none, or too long for AMQP.
    """
    return option if type(option) is str else _as_text(name, value_of(baton, option))


def body_of(value: Any, what: str, *, as_json: bool) -> bytes:
    """The bytes of a body: text as UTF-8, anything else only as JSON.

    Args:
        what: how messages call the value.

    Raises:
        PipedError: it cannot be sent.
    """
    if as_json:
        return json_of(value, what)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    kind = type(value).__name__
    raise PipedError(f"{what} is neither bytes nor text, but {kind}", hint="json: true sends it as JSON")


def json_of(value: Any, what: str) -> bytes:
    """A value as JSON.

    Raises:
        PipedError: it has something that is not JSON; the message says where.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:  # also text that has no UTF-8
        path, culprit = _culprit(value)
        if culprit is None:
            raise PipedError(f"{what} cannot be sent as JSON: {error}") from error
        where = f"{what} has {culprit} at {path!r}" if path else f"{what} is {culprit}"
        raise PipedError(
            f"{where}, which is not JSON", hint="take it out of the baton first, or make it text"
        ) from error


def _culprit(value: Any, path: str = "", above: tuple[int, ...] = ()) -> tuple[str, str | None]:
    """The path of what is not JSON, and words for it; the first one there is."""
    if id(value) in above or len(above) > 900:
        return path, "a circle" if id(value) in above else "too many levels"
    if isinstance(value, dict | list | tuple):
        for key, member in value.items() if isinstance(value, dict) else enumerate(value):
            if not isinstance(key, str | int | float | bool | None):
                return path, f"a key of the class {type(key).__name__}"
            found = _culprit(member, f"{path}.{key}" if path else str(key), (*above, id(value)))
            if found[1]:
                return found
        return "", None
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError):
        is_plain = isinstance(value, float | str)
        return path, repr(value)[:60] if is_plain else f"an object of the class {type(value).__name__}"
    return "", None


def _properties_at(baton: Any, path: Path) -> BasicProperties:
    value = value_of(baton, BatonPath(path))
    if isinstance(value, BasicProperties):
        return value
    raise PipedError(f"what lies at {path!r} is not the properties of a message, but {type(value).__name__}")


def _is_fixed(option: Any) -> bool:
    if type(option) in (dict, list):
        return all(map(_is_fixed, option.values() if type(option) is dict else option))
    return not isinstance(option, BatonPath)


def _as_text(name: str, value: Any) -> str:
    if isinstance(value, bytes):
        raise PipedError(f"the {name} must be text, not bytes")
    text = str(value)
    try:
        is_short = len(text.encode()) <= LONGEST_TEXT
    except UnicodeEncodeError as error:
        raise PipedError(f"the {name} {text!r} is no text: {error}") from error
    if not is_short:
        raise PipedError(f"the {name} is longer than {LONGEST_TEXT} bytes: {text[:40]!r}…")
    return text


def _as_headers(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise PipedError(f"the headers must be a mapping, not {type(value).__name__}")
    return {_as_text("name of a header", key): each for key, each in value.items() if each is not None}


def _as_mode(name: str, value: Any) -> int:
    mode: Any = _MODES.get(value, value) if isinstance(value, str) else value
    if mode not in (1, 2) or isinstance(mode, bool):
        raise PipedError(f"the delivery_mode must be persistent or transient, not {value!r}")
    return int(mode)


def _as_priority(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
        raise PipedError(f"the priority must be a whole number from 0 to 255, not {value!r}")
    return value


def _as_expiration(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**32 / 1000:
        raise PipedError(f"the expiration must be a number of seconds, not {value!r}")
    return str(int(value * 1000))


def _as_timestamp(name: str, value: Any) -> int:
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        raise PipedError(f"the timestamp must be seconds since 1970 or a datetime, not {value!r}")
    return int(value)


_CONVERTED: Final = {
    "headers": _as_headers,
    "delivery_mode": _as_mode,
    "priority": _as_priority,
    "expiration": _as_expiration,
    "timestamp": _as_timestamp,
}
