"""Which HTTP a client of a site speaks: version 2 where TLS agrees on it, else 1.1."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

from twisted.internet.interfaces import IHandshakeListener
from zope.interface import implementer

from piped.web.channel import Channel


@cache
def is_http2_installed() -> bool:
    """Whether there is what HTTP/2 needs: pip install 'piped[http2]'."""
    return find_spec("h2") is not None


@implementer(IHandshakeListener)
class NegotiatingChannel(Channel):
    """A channel that steps aside when its client turns out to speak HTTP/2, once the handshake of TLS is complete."""

    transport: Any

    def handshakeCompleted(self) -> None:
        """Called by TLS, before anything of the client is read."""
        if self.transport.negotiatedProtocol != b"h2" or self._is_closing:
            return
        from piped.web.http2.connection import Http2Connection  # h2 comes with an extra: imported where it is spoken

        connection: Any = Http2Connection(self.site)
        self.transport.unregisterProducer()
        self.site.channels.remove(self)
        self.site.channels.add(connection)
        self.transport.wrappedProtocol = connection
        connection.makeConnection(self.transport)
