"""A network that fails when it is told to: a TCP proxy before a port of loopback, which can be held, slowed and cut."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

#: What is read at once. With what the sockets hold it is all that a held proxy takes from a sender.
PIECE = 16 * 1024
TO_SERVER, TO_CLIENT = "to_server", "to_client"


class Proxy:
    """Passes on what comes to its `port` to a port of loopback, in a thread of its own.

    As a context it is closed at the end. A server that is away looks as it would without the proxy: the connection of
    the client is reset.

    Args:
        target: the port of the server.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._gates = {TO_SERVER: asyncio.Event(), TO_CLIENT: asyncio.Event()}
        self._rate: float | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._serve()], daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """Where clients connect, in the words of Twisted."""
        return f"tcp:127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections of clients are open."""
        return len(self._connections)

    def hold(self, *directions: str) -> None:
        """Pass on nothing more, in one direction or both; connections stay open, and new ones are held too."""
        for direction in directions or self._gates:
            self._in_loop(self._gates[direction].clear)

    def slow(self, bytes_per_second: float) -> None:
        """Pass on no faster than this in each direction of each connection."""
        self._rate = bytes_per_second

    def go_on(self) -> None:
        """Pass on everything again, at once: what was held, too."""
        self._rate = None
        for gate in self._gates.values():
            self._in_loop(gate.set)

    def cut(self) -> None:
        """Reset every connection at both ends; what was on its way is gone. New ones are taken."""
        self._in_loop(self._reset)

    def close(self) -> None:
        """Reset every connection, and listen no more."""
        self._in_loop(self._closing.set)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reset(self) -> None:
        for connection in self._connections:
            connection.cancel()

    def _in_loop(self, act: Callable[[], None]) -> None:
        """Act where the connections live, and return when that is done."""

        async def acting() -> None:
            act()

        asyncio.run_coroutine_threadsafe(acting(), self._loop).result(10)

    async def _serve(self) -> None:
        for gate in self._gates.values():
            gate.set()
        server = await asyncio.start_server(self._connected, sock=self._listening)
        await self._closing.wait()
        # Nobody is taken any more; who was taken just now comes to be a connection before the server is closed.
        self._loop.remove_reader(self._listening)
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            self._reset()
            await asyncio.wait(others)
        server.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = self._loop.create_task(self._join(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        # One that is cut before it has begun does nothing itself.
        connection.add_done_callback(lambda _: abort(writer))

    async def _join(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        to_server: asyncio.StreamWriter | None = None
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
            # A direction that ends well may be only half of a connection; one that fails is the end of both.
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(from_client, to_server, self._gates[TO_SERVER]))
                both.create_task(self._pass_on(from_server, to_client, self._gates[TO_CLIENT]))
        except* OSError:
            pass
        finally:
            if to_server is not None:
                abort(to_server)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        while piece := await reader.read(PIECE):
            if self._rate is not None:
                await asyncio.sleep(len(piece) / self._rate)
            await gate.wait()
            writer.write(piece)
            await writer.drain()
        await gate.wait()
        writer.write_eof()


def abort(end: asyncio.StreamWriter) -> None:
    """Close one end so that its peer gets a reset (RST), not an end of data."""
    connection = end.get_extra_info("socket")
    if not end.transport.is_closing() and connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.transport.abort()
