"""Ports that Tornado serves: opened by Twisted's endpoints, so that they open and close with all others."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import socket
import ssl
from math import ceil
from typing import Any, Final
from weakref import WeakSet

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory

from piped import ConfigurationError, Mark, Problem

_log = logging.getLogger("piped.cyclone")
#: Endpoints that are nothing but a socket that accepts; others put a protocol of Twisted's between.
_PLAIN = re.compile(r"\d+$|(tcp4?|tcp6|unix|systemd|ssl):")
#: The order in which Twisted takes the arguments of `ssl:` that have no name.
_ARGUMENTS: Final = ("port", "privateKey", "certKey", "sslmethod", "interface", "backlog", "extraCertChain")
_WITHOUT: Final = {
    "sslmethod": "leave it out: the best version that both sides know is spoken",
    "extraCertChain": "append the chain to the file of certKey",
}
#: What an operating system says that can open no more.
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
#: Seconds for which nobody is accepted then.
_BREATH: Final = 1
#: The most that fits into an option of a socket.
_MOST: Final = 2**31 - 1


def tls_of(written: str) -> ssl.SSLContext | None:
    """What an endpoint says about TLS; None for one that has none.

    Raises:
        ValueError: Tornado cannot serve it; the text says why.
    """
    if not _PLAIN.match(written):
        raise ValueError(f"Tornado cannot serve {written!r}: it needs a port, or one of tcp:, tcp6:, unix:, ssl:")
    if not written.startswith("ssl:"):
        return None
    said = _arguments(written)
    for name, instead in _WITHOUT.items():
        if name in said:
            raise ValueError(f"Tornado knows no {name}: {instead}")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    key = said.get("privateKey", "server.pem")
    try:
        context.load_cert_chain(said.get("certKey", key), key)
        if "dhParameters" in said:
            context.load_dh_params(said["dhParameters"])
    except OSError as error:
        raise ValueError(f"the key and the certificate of {written!r} cannot be used: {error}") from error
    return context


def _arguments(written: str) -> dict[str, str]:
    """The arguments of an endpoint by their names."""
    parts = [re.sub(r"\\(.)", r"\1", part) for part in re.split(r"(?<!\\):", written)][1:]
    pairs = [part.partition("=") for part in parts]
    nameless = dict(zip(_ARGUMENTS, (name for name, equals, _ in pairs if not equals), strict=False))
    return nameless | {name: value for name, equals, value in pairs if equals}


class Server(HTTPServer):
    """Tornado's server, for so many connections at a time, all of which it can close."""

    #: Above them, clients are hung up on.
    max_connections = 10_000

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._streams: WeakSet[IOStream] = WeakSet()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if len(self._streams) >= self.max_connections:
            self._streams = WeakSet(known for known in self._streams if not known.closed())
        if len(self._streams) >= self.max_connections:
            stream.close()
            return
        self._streams.add(stream)
        super().handle_stream(stream, address)

    def close(self) -> Deferred[Any]:
        """Close every connection, also those that are WebSockets by now, which Tornado leaves open; fires when done."""
        streams = list(self._streams)
        for stream in streams:
            stream.close()
        # Nobody was ever connected where there is no asyncio, which would have to wait.
        return Deferred.fromCoroutine(self._closed()) if streams else succeed(None)

    async def _closed(self) -> None:
        await Deferred.fromFuture(asyncio.ensure_future(self.close_all_connections()))


def milliseconds(seconds: float) -> int:
    """A time as an option of a socket, where 0 is for ever.

    Example:
        >>> milliseconds(1.5), milliseconds(0.0001), milliseconds(1e9)
        (1500, 1, 2147483647)
    """
    return min(ceil(seconds * 1000), _MOST)


class Listening(socket.socket):
    """A port that waits where no more clients can be accepted, instead of failing anew at each turn of the loop."""

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            _log.error("cannot accept a client, and tries again in %d s: %s", _BREATH, os.strerror(error.errno))
            loop = IOLoop.current()
            loop.update_handler(self, 0)
            loop.call_later(_BREATH, self._go_on, loop)
            raise BlockingIOError("not now") from error  # which is what Tornado takes for: nobody is there

    def _go_on(self, loop: IOLoop) -> None:
        if self.fileno() >= 0:  # it was not closed meanwhile
            loop.update_handler(self, loop.READ)


class TornadoEndpoint:
    """An endpoint whose connections a server of Tornado's accepts.

    Args:
        endpoint: an IStreamServerEndpoint, which binds the port.
        send_timeout: seconds.
        where: it is written.
    """

    def __init__(self, endpoint: Any, server: Server, send_timeout: float, where: Mark | None) -> None:
        self._endpoint, self._server, self._send_timeout, self._where = endpoint, server, send_timeout, where

    async def listen(self, factory: Factory) -> TornadoPort:
        """Open the port.

        Raises:
            CannotListenError: it cannot be opened.
            ConfigurationError: the reactor is not asyncio's.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            fix = "leave the option -r out, or use -r asyncio"
            problem = Problem("Tornado needs asyncio, which this reactor is not", self._where, fix)
            raise ConfigurationError(problems=[problem]) from None
        port = await self._endpoint.listen(factory)
        port.stopReading()
        listening = Listening(fileno=os.dup(port.socket.fileno()))
        listening.setblocking(False)
        is_tcp = listening.family in (socket.AF_INET, socket.AF_INET6)
        if is_tcp and self._send_timeout and hasattr(socket, "TCP_USER_TIMEOUT"):  # which only Linux has
            # Connections have it from the port. Tornado itself would wait for ever for a client that takes nothing.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds(self._send_timeout))
        self._server.add_socket(listening)
        return TornadoPort(port, self._server)


class TornadoPort:
    """A port of Twisted's whose connections Tornado accepts."""

    def __init__(self, port: Any, server: Server) -> None:
        self._port, self._server = port, server

    def getHost(self) -> Any:
        return self._port.getHost()

    def stopListening(self) -> Any:
        """Accept nothing more; what is connected stays."""
        self._server.stop()
        return self._port.stopListening()
