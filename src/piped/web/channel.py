"""What serves the connections of a site: which channel speaks HTTP, and what becomes of it when the site closes."""

from __future__ import annotations

import weakref
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web import server
from twisted.web.http import HTTPChannel

from piped.web.request import Request

#: Seconds that clients are given to take what is being sent to them, when the site closes.
_PATIENCE = 2


class StandIn:
    """Stands for a request in its channel without keeping it alive."""

    __slots__ = ("request",)

    def __init__(self, request: Request) -> None:
        self.request = weakref.ref(request)

    def connectionLost(self, reason: Any) -> None:
        request = self.request()
        if request is not None:
            request.connectionLost(reason)


class Channel(HTTPChannel):
    """One connection of a client to a site; it serves one request after the other."""

    site: Site

    def connectionMade(self) -> None:
        super().connectionMade()
        self.site.channels.add(self)

    def connectionLost(self, reason: Any = None) -> None:
        super().connectionLost(reason)
        self.site.gone(self)

    def let_go(self, request: Request) -> None:
        """Refer only weakly to the request that is being answered."""
        self.requests[0] = StandIn(request)

    def hold(self, request: Request) -> None:
        """Take back a request that was let go."""
        self.requests[0] = request

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        if self.site.is_closing:
            request.setHeader(b"Connection", b"close")
            return False
        return bool(super().checkPersistence(request, version))

    def close_when_idle(self) -> None:
        """Hang up as soon as no request waits for its response."""
        if not self.requests:
            self.loseConnection()
            return
        self.persistent = False
        request = self.requests[0]
        if isinstance(request, Request) and not request.startedWriting:
            request.setHeader(b"Connection", b"close")


class Site(server.Site):
    """The factory of a site's channels.

    Args:
        resource: the IResource that answers every request.
        reactor: gives the time, and is told from other threads.
        timeout: seconds after which a client that sends nothing is hung up on.
        max_body: bytes of a request's body; a larger one is answered with 413.
    """

    protocol: Any = Channel
    noisy = False

    def __init__(self, resource: Any, *, reactor: Any, timeout: float, max_body: int) -> None:
        super().__init__(resource, Request, reactor=reactor, timeout=timeout)
        self.reactor: Any = reactor
        self.max_body = max_body
        self.channels: set[Channel] = set()
        self.is_closing = False
        self._closed: Deferred[None] | None = None

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]

    def startFactory(self) -> None:
        # Twisted's would write an access log, and wake up every second for it.
        self.is_closing = False

    def stopFactory(self) -> None:
        """Called when the port closes: what is being answered goes on, other connections are hung up on."""
        self.is_closing = True
        for channel in list(self.channels):
            channel.close_when_idle()
        super().stopFactory()

    def close(self) -> Deferred[None]:
        """Hang up on every client, on one that is being sent something when it has it, but after two seconds on all.

        Fires when all are gone.
        """
        closed: Deferred[None] = Deferred()
        if not self.channels:
            closed.callback(None)
            return closed
        self._closed = closed
        self._cut_off = self.reactor.callLater(_PATIENCE, self._abort)
        for channel in list(self.channels):
            channel.close_when_idle()
        return closed

    def _abort(self) -> None:
        for channel in list(self.channels):
            channel.forceAbortClient()

    def gone(self, channel: Channel) -> None:
        """A connection is closed."""
        self.channels.discard(channel)
        if self._closed is not None and not self.channels:
            closed, self._closed = self._closed, None
            if self._cut_off.active():
                self._cut_off.cancel()
            closed.callback(None)

    def log(self, request: Any) -> None:
        """Nothing: an access log is something to be asked for."""
