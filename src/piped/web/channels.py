"""Which channel serves the connections of a site: the fast one wherever that can, else Twisted's."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Literal

from twisted.internet.defer import Deferred, maybeDeferred

from piped import ConfigurationError, Problem
from piped.web import heads
from piped.web.fast_channel import FastChannel
from piped.web.site import Site

#: `fast`: asyncio's transport and llhttp, which take half the time. `twisted`: any reactor, TLS and HTTP/2.
Kind = Literal["fast", "twisted"]


class SiteEndpoint:
    """An endpoint whose connections are served by the channel that was asked for, or by the fastest that can.

    Args:
        endpoint: an IStreamServerEndpoint.
        wanted: None for the fastest.
    """

    def __init__(self, endpoint: Any, wanted: Kind | None) -> None:
        self._endpoint, self._wanted = endpoint, wanted

    def listen(self, factory: Site) -> Deferred[Any]:
        """Open the port.

        Raises (in the Deferred):
            CannotListenError: it cannot be opened.
            ConfigurationError: the fast channel was asked for, and cannot serve it.
        """
        listening: Deferred[Any] = self._endpoint.listen(factory)
        return listening if self._wanted == "twisted" else listening.addCallback(self._opened, factory)

    def _opened(self, port: Any, site: Site) -> Any:
        obstacle = obstacle_to_fast(port, site)
        if obstacle is None:
            return Deferred.fromCoroutine(_take_over(port, lambda: FastChannel(site)))
        if self._wanted is None:
            return port

        def refuse(_: object) -> None:
            what = f"the fast channel cannot serve this site: {obstacle}"
            raise ConfigurationError(problems=[Problem(what, fix="leave `channel` out")])

        return maybeDeferred(port.stopListening).addCallback(refuse)


def obstacle_to_fast(port: Any, site: Site) -> str | None:
    """Why the fast channel cannot serve a port that is open; None if it can."""
    if _loop_of(port) is None:
        return "its reactor is not asyncio's"
    if not heads.IS_INSTALLED:
        return "there is no httptools for this Python"
    from twisted.internet.tcp import Port  # late, as it brings OpenSSL along

    if not isinstance(port, Port) or port.factory is not site:
        return "TLS and wrapped connections are Twisted's"
    return None


def _loop_of(port: Any) -> Any:
    # Not a public name, and there is none.
    return getattr(getattr(port, "reactor", None), "_asyncioEventloop", None)


async def _take_over(port: Any, make: Callable[[], FastChannel]) -> FastPort:
    """Let asyncio accept what comes to a port of Twisted's, which has bound it and closes it."""
    port.stopReading()
    listening = port.socket.dup()
    loop, backlog = _loop_of(port), port.backlog or socket.SOMAXCONN
    create = loop.create_unix_server if listening.family == socket.AF_UNIX else loop.create_server
    # asyncio would try for as many connections as may wait, one after the other, where there are no descriptors left,
    # log each time and come again for each a second later.
    server = await Deferred.fromFuture(loop.create_task(create(make, sock=listening, backlog=1)))
    port.socket.listen(backlog)
    return FastPort(port, server)


class FastPort:
    """A port of Twisted's whose connections asyncio accepts."""

    def __init__(self, port: Any, server: Any) -> None:
        self._port, self._server = port, server

    def getHost(self) -> Any:
        return self._port.getHost()

    def stopListening(self) -> Any:
        self._server.close()
        return self._port.stopListening()
