"""What a client has sent under names: arguments and cookies, read with text and with bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def text_of(data: bytes) -> str:
    """What a client sent, as text; what is no UTF-8 is replaced, so that it can always be written again."""
    return data.decode("utf-8", "replace")


class Received(dict[Any, Any]):
    """What a client has sent under names: text under names of text, the bytes that came under names of bytes.

    Only the names of text are counted and iterated over.
    """

    received: Mapping[bytes, Any]

    def __missing__(self, name: Any) -> Any:
        return self.received[name]

    def get(self, name: Any, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self.received


class Arguments(Received):
    """The arguments of a query and a form, each a list.

    Example:
        >>> arguments = Arguments({b"n": [b"1", b"2"]})
        >>> arguments["n"], arguments[b"n"], list(arguments)
        (['1', '2'], [b'1', b'2'], ['n'])
    """

    def __init__(self, received: Mapping[bytes, list[bytes]]) -> None:
        self.received = received
        super().__init__({text_of(name): [text_of(value) for value in values] for name, values in received.items()})


class Cookies(Received):
    """The cookies that a client has sent.

    Example:
        >>> cookies = Cookies({b"session": b"17"})
        >>> cookies["session"], cookies[b"session"], cookies.get("none")
        ('17', b'17', None)
    """

    def __init__(self, received: Mapping[bytes, bytes]) -> None:
        self.received = received
        super().__init__({text_of(name): text_of(value) for name, value in received.items()})
