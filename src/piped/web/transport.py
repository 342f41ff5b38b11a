"""asyncio's transport as Twisted's: what a request, and a protocol that it is upgraded to, may ask of a connection."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from zope.interface import implementer

if TYPE_CHECKING:
    from piped.web.fast_channel import FastChannel


def address_of(transport: Any, name: str) -> Any:
    """The address of one side of a connection, as Twisted has it.

    Args:
        transport: asyncio's.
        name: `peername` or `sockname`.
    """
    found = transport.get_extra_info(name)
    if isinstance(found, tuple):
        return IPv6Address("TCP", *found) if len(found) == 4 else IPv4Address("TCP", *found)
    if transport.get_extra_info("socket").family == socket.AF_UNIX:
        return UNIXAddress(found or None)
    return IPv4Address("TCP", "", 0)  # the client has gone already


@implementer(ITCPTransport, IConsumer, IPushProducer)
class Transport:
    """The transport of a channel: writes go to asyncio's, producers are the channel's."""

    def __init__(self, channel: FastChannel, out: Any) -> None:
        self._channel, self._out = channel, out

    @property
    def connected(self) -> bool:
        return not self._out.is_closing()

    @property
    def disconnecting(self) -> bool:
        return bool(self._out.is_closing())

    def write(self, data: bytes) -> None:
        if self.connected:  # uvloop's raises afterwards
            self._out.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        self._channel.loseConnection()

    def abortConnection(self) -> None:
        self._channel.abortConnection()

    def loseWriteConnection(self) -> None:
        if self.connected:
            self._out.write_eof()

    def getPeer(self) -> Any:
        return self._channel.getPeer()

    def getHost(self) -> Any:
        return self._channel.getHost()

    def getHandle(self) -> Any:
        return self._out.get_extra_info("socket")

    def getTcpNoDelay(self) -> bool:
        return bool(self.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.getHandle().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(enabled))

    def getTcpKeepAlive(self) -> bool:
        return bool(self.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(enabled))

    # A consumer of what is sent

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._channel.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        self._channel.unregisterProducer()

    # A producer of what is received

    def pauseProducing(self) -> None:
        self._channel.pause_reading()

    def resumeProducing(self) -> None:
        self._channel.resume_reading()

    def stopProducing(self) -> None:
        self.loseConnection()
