"""The factory of a site's connections: how many there are, which have taken too long, and how they end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import copy_context
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.web import http, server

from piped.web.access_log import access_log
from piped.web.channel import Channel
from piped.web.http2.negotiating import NegotiatingChannel, is_http2_installed
from piped.web.options import SiteOptions
from piped.web.request import Request

#: Seconds that clients are given to take the last bytes and go, when the site closes.
_PATIENCE: Final = 2
#: Seconds in which a client has to take something of a response that is still being sent then.
_QUIET: Final = 8
#: Seconds between two looks for connections whose deadline has passed.
_LOOK: Final = 1


class Served(Protocol):
    """A connection of a client, whatever it speaks, as its site sees it."""

    @property
    def deadline(self) -> float:
        """When the client is hung up on, in seconds of the reactor."""

    @property
    def transport(self) -> Any:
        """Something of Twisted's that can be aborted."""

    @property
    def sent(self) -> int | None:
        """How much was sent of responses that are not complete; None where there is none."""

    def expire(self) -> None:
        """Hang up on a client whose deadline has passed."""

    def close_when_idle(self) -> None:
        """Hang up as soon as no request waits for its response."""


class Site(server.Site):
    """The factory of a site's channels.

    Args:
        resource: the IResource that answers every request.
        options: limits and log.
        reactor: gives the time, and is told from other threads.
        wall_clock: seconds since 1970.
    """

    protocol: Any = Channel
    noisy = False
    #: Called with each request before the headers of its response are sent, and the size of the whole body, None where
    #: that is not known. It may add headers, and an `_encoder` (twisted.web.iweb._IRequestEncoder) for the body.
    before_head: Callable[[Request, int | None], object] | None = None

    def __init__(self, resource: Any, options: SiteOptions, *, reactor: Any, wall_clock: Callable[[], float]) -> None:
        super().__init__(resource, Request, reactor=reactor, timeout=None)
        self.options = options
        self.reactor: Any = reactor
        self.now: Callable[[], float] = reactor.seconds
        self.wall_clock = wall_clock
        self.max_body = options.max_body_size
        self.write_entry = access_log(options.access_log)
        self.channels: set[Served] = set()
        self.is_closing = False
        self._closed: Deferred[None] | None = None
        self._context = copy_context()
        #: How much each client had been sent when it was last looked at, while the site closes.
        self._sent: dict[Served, int | None] = {}
        self._next_look: Any = None
        #: The present date as a header has it, and the second that it stands for.
        self._date, self._date_of = b"", -1
        if is_http2_installed() if options.http2 is None else options.http2:
            self.protocol = NegotiatingChannel

    def acceptableProtocols(self) -> list[bytes]:
        return [b"h2", b"http/1.1"] if self.protocol is NegotiatingChannel else [b"http/1.1"]

    def buildProtocol(self, address: Any) -> Any:
        channel: Any = super().buildProtocol(address)
        channel.maxHeaders = self.options.max_headers
        channel.totalHeadersSize = channel.MAX_LENGTH = self.options.max_header_size
        return channel

    def hand_over(self, request: Request) -> bool:
        """Have a request answered by the resource of the site; False when it is to be looked for, as Twisted does.

        Twisted makes the date anew for each request, and asks each resource for encoders and for children.
        """
        resource = self.resource
        if not getattr(resource, "answers_everything", False) or request.path == b"*":
            return False
        now = int(self.wall_clock())
        if now != self._date_of:
            self._date_of, self._date = now, http.datetimeToString(now)
        # Not a public name; both values are known to be free of line breaks.
        headers = request.responseHeaders._rawHeaders
        headers[b"Server"], headers[b"Date"] = [server.version], [self._date]
        request.site = self
        resource.answer(request)
        return True

    def apart(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call something in a context of its own: whoever ends a request is in that of a baton, as is what it calls.

        Without it the requests that a client has sent early, or sends later, would know the variables of that baton.
        """
        self._context.copy().run(call, *arguments)

    # Connections

    def admit(self, channel: Served) -> bool:
        """Count a connection that was made; False when there are too many."""
        self.channels.add(channel)
        if self._next_look is None:
            self._next_look = self.reactor.callLater(_LOOK, self._look)
        return len(self.channels) <= self.options.max_connections

    def gone(self, channel: Served) -> None:
        """A connection is closed."""
        self.channels.discard(channel)
        if self.channels:
            return
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None
        if self._closed is not None:
            closed, self._closed = self._closed, None
            self._sent.clear()
            if self._cut_off.active():
                self._cut_off.cancel()
            closed.callback(None)

    def _look(self) -> None:
        """Hang up on the clients that have taken too long."""
        self._next_look = self.reactor.callLater(_LOOK, self._look)
        now = self.now()
        for channel in [channel for channel in self.channels if channel.deadline < now]:
            channel.expire()

    # Closing

    def startFactory(self) -> None:
        # Twisted's would write an access log of its own, and wake up every second for it.
        self.is_closing = False

    def stopFactory(self) -> None:
        """Called when the port closes: what is being answered goes on, other connections are hung up on."""
        self.is_closing = True
        for channel in list(self.channels):
            channel.close_when_idle()

    def close(self) -> Deferred[None]:
        """Hang up on every client: after two seconds, or when it takes no more of what is being sent to it.

        Fires when all are gone; cancelled, it cuts them off.
        """
        closed: Deferred[None] = Deferred(self._give_up)
        if not self.channels:
            closed.callback(None)
            return closed
        self._closed = closed
        self._cut_off = self.reactor.callLater(_PATIENCE, self._cut_quiet)
        for channel in list(self.channels):
            channel.close_when_idle()
        return closed

    def _cut_quiet(self) -> None:
        """Cut off the clients that were sent nothing since the last look, and those that nothing is sent to."""
        self._cut_off = self.reactor.callLater(_QUIET, self._cut_quiet)
        before, self._sent = self._sent, {channel: channel.sent for channel in self.channels}
        self._abort([channel for channel, sent in self._sent.items() if sent == before.get(channel)])

    def _give_up(self, closed: Deferred[None]) -> None:
        self._closed = None
        self._cut_off.cancel()
        self._abort(self.channels)

    def _abort(self, channels: Iterable[Served]) -> None:
        for channel in list(channels):
            channel.transport.abortConnection()

    # The log

    def log(self, request: Any) -> None:
        """Called when a response has ended."""
        if self.write_entry is not None:
            self.write_entry(request.channel.entry(request))
