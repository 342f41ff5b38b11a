"""WebSocket: what a pipeline has of a connection over which messages go both ways."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from piped import ConfigurationError
from piped.web.request import Request
from piped.web.streaming import Sent
from piped.web.topics import Message

if TYPE_CHECKING:
    from piped.web.websockets.wire import Wire

_log = logging.getLogger("piped.web")
#: How long the reason of a close may be. Source: RFC 6455, 5.5.
_LONGEST_REASON = 123


class WebSocket:
    """A connection of a client over which messages go both ways; it is in every baton that has to do with it.

    `state` is a dictionary for whatever is to be remembered from one message to the next. `code` and `reason` say how
    it was closed; the code is None while it is open, and 1006 for a client that left without a word.

    Example:
        @processor("greet")
        async def greet(baton):
            websocket = baton["websocket"]
            count = websocket.state["count"] = websocket.state.get("count", 0) + 1
            await websocket.send(f"hello number {count}")
    """

    wire: Wire

    def __init__(self, request: Request, subprotocol: str | None) -> None:
        #: What it began with: its path, its headers and cookies.
        self.request = request
        #: The one that was agreed upon.
        self.subprotocol = subprotocol
        self.state: dict[Any, Any] = {}
        self.code: int | None = None
        self.reason = ""
        self._topics: dict[str, Callable[[], None]] = {}

    def __str__(self) -> str:
        return str(self.request)

    @property
    def is_open(self) -> bool:
        """Whether a message can be sent."""
        return self.wire.is_open

    @property
    def peer(self) -> Any:
        """The address of the client, with a `host` and a `port`."""
        return self.request.getClientAddress()

    def send(self, message: str | bytes) -> Sent:
        """Send a message; what comes back is for whoever wants to wait until the client can take more.

        Waiting for it fails with `piped.web.streaming.ClientLeft` when the client leaves before, or has left already.
        Who does not wait need not care; but a client for which more than `max_unsent` has piled up is cut off.

        Raises:
            TypeError: it is neither text nor bytes.
        """
        if isinstance(message, bytearray | memoryview):
            message = bytes(message)
        if not isinstance(message, str | bytes):
            raise TypeError(f"a message is text or bytes, not {type(message).__name__}")
        return self.wire.send(message)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, after what still waits to be sent; messages of the client that wait are dropped.

        Args:
            code: what the client is told; from 4000 to 4999 it means what you say it does.
            reason: for people; cut off after 123 bytes.

        Raises:
            ConfigurationError: there is no such code, or it is not for this.
        """
        check_code(code)
        self.wire.close(code, reason.encode("utf-8", "replace")[:_LONGEST_REASON].decode("utf-8", "ignore"))

    def join(self, name: str, join: Callable[[str, WebSocket], Callable[[], None]]) -> None:
        """Join a topic, once, until the connection ends; `join` gives what it leaves with."""
        if self.is_open and name not in self._topics:
            self._topics[name] = join(name, self)

    def leave(self, name: str) -> None:
        """Leave a topic, if it was joined."""
        if name in self._topics:
            self._topics.pop(name)()

    def leave_all(self) -> None:
        """Leave every topic."""
        for name in list(self._topics):
            self.leave(name)

    def deliver(self, message: Message) -> None:
        """Called with what is published in a topic."""
        self.wire.deliver(message)


def check_code(code: int) -> None:
    """Nothing for a code that a connection may be closed with.

    Raises:
        ConfigurationError: it is none.

    Source: RFC 6455, 7.4, and the registry of IANA that it sets up.
    """
    if not (code in (1000, 1001, 1002, 1003) or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        hint = "1000 is a normal end, 1008 a violation of rules; 4000 to 4999 are your own"
        raise ConfigurationError(f"no connection can be closed with the code {code}", hint=hint)
