"""Streaming: a response is sent in parts, as fast as its client takes them and no faster."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from piped.runtime.turns import Turns

if TYPE_CHECKING:
    from piped.web.parts import Parts
    from piped.web.request import Request

#: Bytes that are sent at once, where there are as many.
BATCH: Final = 64 * 1024


class ClientLeft(CancelledError):
    """There is nobody to send to: the client has left, or the response was finished before."""


@implementer(IPushProducer)
class Outlet:
    """Tells when a client takes more of its response; it is the producer of the request until that is finished.

    Nothing in it leads to the request, so that one which nobody refers to any more is finished at once.
    """

    is_paused = False

    def __init__(self) -> None:
        self._waiting: deque[Deferred[None]] = deque()

    def ready(self) -> Deferred[None] | None:
        """Fires when the client takes more, and fails with ClientLeft when it never will; None if it takes more now."""
        if not self.is_paused:
            return None
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def pauseProducing(self) -> None:
        self.is_paused = True

    def resumeProducing(self) -> None:
        self.is_paused = False
        while self._waiting and not self.is_paused:
            self._waiting.popleft().callback(None)

    def stopProducing(self) -> None:
        """Called by some connections that are lost; the request tells it for all of them."""

    def end(self) -> None:
        """Called when the response has ended, or its client has left."""
        while self._waiting:
            self._waiting.popleft().errback(ClientLeft("the client has left before it was sent everything"))


def outlet_of(request: Request, make: Callable[[], Outlet] = Outlet) -> Any:
    """What tells when the client of a request takes more, made if there is none yet.

    Raises:
        ValueError: something else produces the response.
    """
    if isinstance(request.producer, Outlet):
        return request.producer
    outlet = make()
    request.registerProducer(outlet, True)
    request.notifyFinish().addBoth(lambda _: outlet.end())
    return outlet


def send(request: Request, data: str | bytes) -> Deferred[None] | None:
    """Send a part of a response; gives what to wait for before the next one, as `Outlet.ready` does.

    From here on the response may take as long as it likes.

    Raises:
        ClientLeft: there is nobody to send to.
    """
    if not request.is_open:
        raise ClientLeft(f"{request} has ended: its client has left, or it was finished")
    request.lift_limit()
    outlet: Outlet = outlet_of(request)
    request.write(data)
    return outlet.ready()


async def send_parts(request: Request, parts: Parts, encode: Callable[[Any], bytes], turns: Turns) -> None:
    """Send all parts of a response; they are closed at the end, however that comes.

    Small parts that come together are sent together.

    Raises:
        ClientLeft: there is nobody to send to any more.
    """
    try:
        while batch := await parts.take():
            whole, size = [], 0
            for part in batch:
                data = encode(part)
                whole.append(data)
                size += len(data)
                if size >= BATCH:
                    await _sent(request, whole, turns)
                    whole, size = [], 0
            await _sent(request, whole, turns)
    finally:
        await parts.close()


async def _sent(request: Request, data: list[bytes], turns: Turns) -> None:
    waiting = send(request, b"".join(data)) or turns.due()
    if waiting is not None:
        await waiting


def cut_off(request: Request) -> None:
    """Hang up at once on a client that does not take what it is sent; what is left of that is given up."""
    channel = request.channel
    request.cut_short()
    channel.abortConnection()
