"""A client of kazoo as Piped needs it: it says how long its session lasts, and its connection can be cut."""

from __future__ import annotations

import contextlib
import socket
from typing import Any, Final

from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.connection import ConnectionHandler

from piped import PipedError, told

#: What servers take (`jute.maxbuffer`), with some room for the head of a message. A server that gets more closes the
#: connection, which would be lost for everybody.
MOST_BYTES: Final = 1_040_000


class _Threads(SequentialThreadingHandler):  # type: ignore[misc] # kazoo has no types
    """kazoo's threads, with the connection that they have opened last."""

    connection: socket.socket | None = None

    def create_connection(self, *args: Any, **options: Any) -> socket.socket:
        connection: socket.socket = super().create_connection(*args, **options)
        self.connection = connection
        return connection


class _Connection(ConnectionHandler):  # type: ignore[misc] # as above
    """kazoo's connection, which keeps what kazoo does not: how long a session the server grants."""

    def _connect(self, *args: Any) -> tuple[float, float]:
        read_timeout, connect_timeout = super()._connect(*args)
        self.client.session_timeout = read_timeout * 1.5 / 1000  # kazoo waits for two thirds of it, in ms
        return read_timeout, connect_timeout


class Kazoo(KazooClient):  # type: ignore[misc] # as above
    """One client of kazoo.

    Args:
        hosts: the servers, as kazoo writes them.
        timeout: how long a session shall last without a sign of life, in seconds.
        options: kazoo's own.
    """

    def __init__(self, hosts: str, timeout: float, **options: Any) -> None:
        self._threads = _Threads()
        #: The same as the server has decided; that may have limits.
        self.session_timeout = timeout
        retry = {"max_tries": -1, "delay": 0.1, "backoff": 2, "max_jitter": 0.4, "max_delay": 2}
        super().__init__(hosts, timeout, handler=self._threads, connection_retry=retry, **options)
        self._connection = _Connection(self, self._conn_retry.copy(), logger=self.logger)

    def _call(self, request: Any, async_object: Any) -> Any:
        """Refuse what cannot be sent while it concerns one call only: else the connection would be lost for all."""
        what = type(request).__name__
        try:
            size = len(request.serialize())
        except Exception as error:
            raise PipedError(f"{what} cannot be sent: {told(error)}") from error
        if size > MOST_BYTES:
            raise PipedError(f"{what} cannot be sent: it has {size} bytes, and ZooKeeper takes at most {MOST_BYTES}")
        return super()._call(request, async_object)

    def cut(self) -> None:
        """End the connection as if the network had done it; from any thread."""
        connection = self._threads.connection
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
