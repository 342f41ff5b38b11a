"""A client of a WebSocket without a network: frames in, frames out, and a clock that stands still."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from web_stage import Stage, parsed

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = ("Upgrade: websocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Version: 13")


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, is_masked: bool = True) -> bytes:
    """A frame as a client sends it; RFC 6455, 5.2."""
    size = len(payload)
    length = (
        bytes([size])
        if size < 126
        else b"\x7e" + struct.pack("!H", size)
        if size < 65536
        else b"\x7f" + struct.pack("!Q", size)
    )
    first = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if not is_masked:
        return first + length + payload
    mask = b"\x01\x02\x03\x04"
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if size < 10_000 else payload
    return first + bytes([length[0] | 0x80]) + length[1:] + (mask if size < 10_000 else bytes(4)) + masked


def frames_in(data: bytes) -> list[tuple[int, bytes]]:
    """The frames of a server as (opcode, payload)."""
    found = []
    while data:
        size, at = data[1], 2
        assert size < 128, "a server does not mask"
        if size == 126:
            size, at = struct.unpack("!H", data[2:4])[0], 4
        elif size == 127:
            size, at = struct.unpack("!Q", data[2:10])[0], 10
        found.append((data[0] & 0xF, data[at : at + size]))
        data = data[at + size :]
    return found


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


class Peer(Stage):
    """A client of a site that has a WebSocket at /; `processors` and `websocket` are as in a configuration."""

    def __init__(
        self, websocket: Any, *, path: dict[str, Any] | None = None, site: dict[str, Any] | None = None, **named: Any
    ) -> None:
        processors: dict[str, Callable[[Any], Any]] = {f"pipeline.{name}": call for name, call in named.items()}
        if isinstance(websocket, str):
            websocket = f"pipeline.{websocket}"
        else:
            keys = ("processor", "connected", "disconnected")
            websocket = {key: f"pipeline.{v}" if key in keys else v for key, v in websocket.items()}
        super().__init__(processors, routing={"__config__": {"websocket": websocket, **(path or {})}}, **(site or {}))

    def upgrade(self, *headers: str, key: str = KEY) -> tuple[int, dict[str, str], bytes]:
        """The response to a request for a WebSocket."""
        return parsed(self.get("/", *UPGRADE, f"Sec-WebSocket-Key: {key}", *headers))

    def open(self, *headers: str) -> Peer:
        code, _, rest = self.upgrade(*headers)
        assert code == 101
        self.first = frames_in(rest)
        self.reactor.advance(0)  # the fast channel looks for what came behind the request
        self.transport.clear()
        return self

    def say(self, *messages: str | bytes) -> list[tuple[int, bytes]]:
        """The frames that come back at once for messages that are sent at once."""
        return self.raw(
            *(
                frame(TEXT, message.encode()) if isinstance(message, str) else frame(BINARY, message)
                for message in messages
            )
        )

    def raw(self, *frames: bytes) -> list[tuple[int, bytes]]:
        return frames_in(self.send(b"".join(frames)))

    def heard(self) -> list[tuple[int, bytes]]:
        """What has come since this was last asked, or something was sent."""
        data = self.transport.value()
        self.transport.clear()
        return frames_in(data)

    @property
    def is_cut(self) -> bool:
        """Whether the site has broken the connection off."""
        return bool(self.transport.disconnected)

    @property
    def is_read(self) -> bool:
        """Whether the site reads what the client sends."""
        return self.transport.producerState == "producing"


def closed(code: int, reason: str = "") -> tuple[int, bytes]:
    """What `heard` has of a close."""
    return CLOSE, struct.pack("!H", code) + reason.encode()


class Waiting:
    """A processor that waits until it is told to go on."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.batons: list[Any] = []
        self.waiting: list[Deferred[Any]] = []
        self.cancelled = 0

    def __call__(self, baton: Any) -> Deferred[Any]:
        self.batons.append(baton)
        self.messages.append(baton.get("message"))
        self.waiting.append(Deferred(self._cancel))
        return self.waiting[-1]

    def _cancel(self, _: object) -> None:
        self.cancelled += 1

    def go_on(self, number: int = 0) -> None:
        self.waiting.pop(number).callback(None)


class Ends:
    """A processor for the ends of connections."""

    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []

    def __call__(self, baton: Any) -> None:
        self.told.append((baton["code"], baton["reason"]))
