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


class Sent(Deferred[None]):
    """Fires when the client takes more; fails with ClientLeft when it never will.

    Who does not wait for it need not care.
    """

    def taken(self) -> None:
        """The client takes more, or has what was sent."""
        if not self.called:
            self.callback(None)

    def lose(self, why: str) -> None:
        """There is nobody who could take more."""
        if self.called:
            return
        self.errback(ClientLeft(why))
        # Not a public name. A Deferred that has failed is logged when it is forgotten and nobody has waited for it.
        if self._debugInfo is not None:
            self._debugInfo.failResult = None


@implementer(IPushProducer)
class Outlet:
    """Tells when a client takes more of its response; it is the producer of the request until that is finished.

    Nothing in it leads to the request, so that one which nobody refers to any more is finished at once.
    """

    is_paused = False

    def __init__(self) -> None:
        self._waiting: deque[Sent] = deque()

    def ready(self) -> Sent | None:
        """What to wait for before sending more; None if the client takes more now."""
        if not self.is_paused:
            return None
        waiting = Sent(self._waiting.remove)  # type: ignore[arg-type]  # it is called with the Sent itself
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
            self._waiting.popleft().lose("the client has left before it was sent everything")


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


def send(request: Request, data: str | bytes) -> Sent | None:
    """Send a part of a response; gives what to wait for before the next one, as `Outlet.ready` does.

    From here on the response may take as long as it likes.

    Raises:
        ClientLeft: there is nobody to send to.
    """
    _check_open(request)
    request.lift_limit()
    outlet: Outlet = outlet_of(request)
    request.write(data)
    return outlet.ready()


async def send_parts(request: Request, parts: Parts, turns: Turns) -> None:
    """Send all parts of a response; they are closed at the end, however that comes.

    Raises:
        ClientLeft: there is nobody to send to any more.
    """
    has_left = False

    def leave(_: object) -> None:
        nonlocal has_left
        has_left = True
        sending.cancel()

    sending = Deferred.fromCoroutine(_send_all(request, parts, turns))
    request.notifyFinish().addErrback(leave)
    try:
        await sending
    except CancelledError as error:
        if has_left:  # nobody else has cancelled it
            raise ClientLeft(f"{request}: the client has left before it was sent everything") from error
        raise
    finally:
        await parts.close()


async def _send_all(request: Request, parts: Parts, turns: Turns) -> None:
    _check_open(request)  # before anything is waited for
    while (data := await parts.take()) is not None:
        waiting = send(request, data) or turns.due()
        if waiting is not None:
            await waiting


def _check_open(request: Request) -> None:
    if not request.is_open:
        raise ClientLeft(f"{request} has ended: its client has left, or it was finished")


def cut_off(request: Request) -> None:
    """Hang up at once, which no client takes for an orderly end; what it has not taken yet is given up."""
    # First: what is being closed already cannot be reset any more.
    request.channel.abortConnection()
    request.cut_short()
