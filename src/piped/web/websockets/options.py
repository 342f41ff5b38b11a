"""What may be written behind `websocket:` in `__config__`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from annotated_types import Ge, Gt

from piped import Bytes, ConfigurationError, Count, ProcessorPath, Seconds
from piped.config.nodes import Node
from piped.ground.units import Unit

if TYPE_CHECKING:
    from piped.spec.checking import Checker

_ORIGIN = re.compile(r"(https?)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
#: Source: RFC 9110, 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PORTS: Final = {"http": "80", "https": "443"}
#: Any origin.
ANY: Final = "*"
Interval = Annotated[float, Unit("s"), Gt(0)]
#: A limit of zero would let no message through.
Size = Annotated[int, Unit("bytes"), Ge(1)]


def origin_of(written: str) -> str | None:
    """An origin in small letters and without the port that goes without saying; None for what is none.

    Source: RFC 6454, 6.2.

    Example:
        >>> origin_of("https://Example.com:443"), origin_of("http://[::1]:8080"), origin_of("null")
        ('https://example.com', 'http://[::1]:8080', None)
    """
    found = _ORIGIN.fullmatch(written)
    if found is None:
        return None
    scheme, host, port = found.groups("")
    return f"{scheme}://{host.lower()}{'' if port == ':' + _PORTS[scheme] else port}"


class AllowedOrigin(str):
    """Where a page may come from that connects: an origin such as https://example.com, or "*" for any."""

    __slots__ = ()
    __shape__ = str

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> AllowedOrigin | None:
        written = checker.value(str, node, owner="an origin")
        if written is None:
            return None
        origin = ANY if written == ANY else origin_of(written)
        if origin is None:
            checker.refuse("an origin", 'a scheme and a host, such as https://example.com, or "*" for any', node)
            return None
        return cls(origin)


@dataclass(frozen=True)
class WebSocketOptions:
    """What becomes of WebSocket connections; each message is a baton.

    Args:
        processor: gets each message, as `{request, websocket, message}`; text is a str, the other kind is bytes.
        connected: gets `{request, websocket}` of a new connection; its messages wait until that has been processed.
        disconnected: gets `{request, websocket, code, reason}` of one that is over, when its messages are processed.
        max_message_size: how long a message of a client may be, as a whole; a longer one closes with 1009.
        origins: which pages may connect, as `https://example.com`, or "*" for all; those of the same host if left out.
            A client without an Origin, which is no browser, always may.
        subprotocols: those that are spoken here; the first one that a client offers too is chosen.
        ping_interval: how often a client is asked whether it is there; null is never.
        ping_timeout: how long it may take to answer; after that it is closed with 1011.
        max_unsent: how much may wait for a client that reads too slowly; above it is cut off.
        max_pending: how many messages of a client are processed or wait for that; above nothing more is read from it.
        ordered: one message of a client after the other; if not, up to `max_pending` of them at once.
        on_error: whether a message whose processing fails closes the connection, with 1011, or 1008 if it is rejected.
    """

    processor: ProcessorPath
    connected: ProcessorPath | None = None
    disconnected: ProcessorPath | None = None
    max_message_size: Size = 1024 * 1024
    origins: list[AllowedOrigin] | None = None
    subprotocols: list[str] = field(default_factory=list)
    ping_interval: Interval | None = 30
    ping_timeout: Seconds = 20
    max_unsent: Bytes = 1024 * 1024
    max_pending: Count = 16
    ordered: bool = True
    on_error: Literal["close", "continue"] = "close"

    def __post_init__(self) -> None:
        if self.origins == []:
            raise ConfigurationError("`origins` is empty", hint="name one, or leave it out for pages of the same host")
        for name in self.subprotocols:
            if not _TOKEN.fullmatch(name):
                raise ConfigurationError(f"{name!r} is no name of a subprotocol", hint="it has no spaces or commas")


@dataclass(frozen=True)
class WebSocketRoute(WebSocketOptions):
    """The processor of the messages of WebSockets, or all that is to be said of them."""

    __shape__: ClassVar = ProcessorPath | WebSocketOptions

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> WebSocketOptions | None:
        if node.is_mapping:
            found: WebSocketOptions | None = checker.value(WebSocketOptions, node, owner="websocket")
            return found
        processor = checker.value(ProcessorPath, node, owner="websocket")
        return None if processor is None else WebSocketOptions(processor)


def require_wsproto() -> None:
    """Nothing, where Twisted's WebSocket can work.

    Raises:
        ConfigurationError: it is not installed.
    """
    if find_spec("wsproto") is None:
        raise ConfigurationError("websocket needs the package wsproto", hint="pip install 'piped[websocket]'")
