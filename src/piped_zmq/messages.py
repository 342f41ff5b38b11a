"""What a message is to a pipeline, and what a pipeline gives to be sent: bytes, parts and envelopes."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

from piped import PipedError

REPLY = "reply"


class MessageError(PipedError):
    """A message cannot be processed as it is, or its reply is missing."""


def frames_of(value: Any) -> list[bytes]:
    """The parts of a message: one for bytes, a text or a number, several for a list of these.

    Raises:
        TypeError: it is something else, or a list of nothing.
        ValueError: a text or a number that has no bytes, such as half of a surrogate pair.

    Example:
        >>> frames_of("né"), frames_of([b"topic", 42])
        ([b'n\\xc3\\xa9'], [b'topic', b'42'])
    """
    if isinstance(value, list | tuple):
        if not value:
            raise TypeError("a message needs at least one part")
        return [_frame(part) for part in value]
    return [_frame(value)]


def _frame(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)  # it may wait, and must not change meanwhile
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value).encode()
    raise TypeError(
        f"ZeroMQ sends bytes, texts, numbers and lists of these, not {reprlib.repr(value)}: encode it before, "
        "with encode-json for example"
    )


def opened(parts: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The envelope and the content of a message that begins with the identity of its peer.

    The empty part behind the identity, which a REQ puts there, belongs to the envelope.

    Source: the guide to ZeroMQ, chapter 3, "The Simple Reply Envelope".

    Example:
        >>> opened([b"peer", b"", b"hello"]), opened([b"peer", b"hello"])
        (([b'peer', b''], [b'hello']), ([b'peer'], [b'hello']))
    """
    length = 2 if len(parts) > 2 and not parts[1] else 1
    return list(parts[:length]), list(parts[length:])


def content_of(parts: list[bytes], is_multipart: bool) -> bytes | list[bytes]:
    """The message as pipelines get it.

    Raises:
        MessageError: it has several parts, and pipelines get one.
    """
    if is_multipart:
        return parts
    if len(parts) == 1:
        return parts[0]
    raise MessageError(
        f"a message of {len(parts)} parts came, and was not processed",
        hint="with `multipart: true` messages are lists of their parts",
    )


def reply_in(batons: Sequence[Any]) -> Any:
    """What the last of these batons that has a reply has at `reply`; None if there is none."""
    for baton in reversed(batons):
        if isinstance(baton, dict) and REPLY in baton:
            return baton[REPLY]
    return None
