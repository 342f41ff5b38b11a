"""Wire: a connection of psycopg whose notifications come as the reactor reads them, on whatever reactor."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from piped import PipedError, Seconds, TimeoutError  # noqa: A004 - Piped's own
from piped.resources.events import Event
from piped_database.jobs import Job, cut
from piped_database.threads import Threads

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class Notification:
    """What somebody has told with NOTIFY; `pid` is the process of the server that did it for him."""

    channel: str
    payload: str
    pid: int


@implementer(IReadDescriptor)
class Wire:
    """One connection, in autocommit mode; it is never made anew.

    Commands run in a thread, one after another, and meanwhile nobody else reads. Between them the reactor does.

    Args:
        connection: one that was just made.
    """

    def __init__(self, connection: psycopg.Connection[Any], threads: Threads, reactor: Any) -> None:
        self._connection, self._threads, self._reactor = connection, threads, reactor
        self._encoding = connection.info.encoding
        #: One of its own for the socket, as libpq closes its when the connection breaks, and the reactor still has it.
        self._descriptor = os.dup(connection.fileno())
        self._commands = DeferredLock()
        #: What came while a command was running; filled by its thread.
        self._came: deque[Notification] = deque()
        self._is_reading = self._is_paused = self._is_closed = False
        #: Called with each notification.
        self.on_notification: Event[[Notification]] = Event()
        #: Called once with the reason, when the connection was lost.
        self.on_lost: Event[[BaseException]] = Event()
        connection.add_notify_handler(
            lambda told: self._came.append(Notification(told.channel, told.payload, told.pid))
        )
        self._read()

    async def command(self, statement: str, values: Mapping[str, Any], patience: Seconds) -> list[Any]:
        """The rows that a statement gives. Cancelled, it is done all the same, if it was begun.

        Raises:
            TimeoutError: there was no answer; the connection is lost then.
            psycopg.Error: as the server says; or the connection was lost.
        """
        await self._commands.acquire()
        try:
            self._stop_reading()
            late = TimeoutError(f"it has not answered within {patience:g} s")
            job = Job(self._reactor)
            job.raw = self._connection
            # Never the statement alone, as nobody would know then whether it was done.
            job.interrupt = lambda: cut(self._connection) if job.stopped is late else None
            self._threads.call(lambda: _rows(self._connection, statement, values), job.ended)
            try:
                return list(await job.limit(patience, lambda: late))
            finally:
                if job.is_over and not self._connection.closed:
                    self._deliver()
                    self._read()
                else:
                    self._lose(PipedError("the connection was lost") if job.is_over else late)
        finally:
            self._commands.release()

    def pause(self) -> None:
        """Read nothing but the answers to commands: what else comes waits in the server."""
        self._is_paused = True
        self._stop_reading()

    def resume(self) -> None:
        self._is_paused = False
        if not self._commands.locked:
            self._read()

    @property
    def is_paused(self) -> bool:
        return self._is_paused

    def close(self) -> None:
        """Close it; nobody is told."""
        if self._is_closed:
            return
        self._is_closed = True
        self._stop_reading()
        if self._commands.locked:
            cut(self._connection)
        os.close(self._descriptor)
        self._threads.call(self._connection.close, lambda outcome: None)

    # What the reactor calls:

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "database"

    def doRead(self) -> None:
        try:
            self._connection.pgconn.consume_input()
        except Exception as error:  # of psycopg, which is not imported here
            self._lose(error)
            return
        self._deliver()

    def connectionLost(self, reason: Any) -> None:
        """The reactor stops."""
        self._is_reading = False

    # Inner workings

    def _came_meanwhile(self, notify: psycopg.Notify) -> None:
        self._came.append(Notification(notify.channel, notify.payload, notify.pid))

    def _deliver(self) -> None:
        while self._came:
            self.on_notification(self._came.popleft())
        while not self._is_closed and (told := self._connection.pgconn.notifies()) is not None:
            channel, payload = (part.decode(self._encoding, "replace") for part in (told.relname, told.extra))
            self.on_notification(Notification(channel, payload, told.be_pid))

    def _read(self) -> None:
        if not (self._is_reading or self._is_paused or self._is_closed):
            self._is_reading = True
            self._reactor.addReader(self)

    def _stop_reading(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._reactor.removeReader(self)

    def _lose(self, reason: BaseException) -> None:
        if not self._is_closed:
            self.close()
            self.on_lost(reason)


def connect(
    arguments: Mapping[str, Any], statements: Sequence[str], threads: Threads, reactor: Any, patience: Seconds
) -> Deferred[Wire]:
    """A connection on which some statements were run.

    Args:
        arguments: of `psycopg.connect`.
        patience: how long it may take.
    """

    def make() -> psycopg.Connection[Any]:
        import psycopg  # late: nobody else needs it, as long as no other driver is missing

        limit = max(2, round(patience))  # libpq takes no less
        connection = psycopg.connect(**{"connect_timeout": limit, **arguments}, autocommit=True)
        try:
            for statement in statements:
                connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        return connection

    job = Job(reactor)
    job.unwanted = lambda connection: connection.close()
    threads.call(make, job.ended)
    job.limit(patience, lambda: TimeoutError(f"it has not answered within {patience:g} s"))
    return job.addCallback(lambda connection: Wire(connection, threads, reactor))


def quoted(channel: str) -> str:
    """A name of a channel as SQL has it.

    Raises:
        ValueError: none can have that name.

    Example:
        >>> quoted('a"; DROP TABLE users')
        '"a""; DROP TABLE users"'
    """
    if not channel or "\0" in channel or len(channel.encode()) > 63:
        raise ValueError(f"{channel!r} is no name of a channel: it needs 1 to 63 bytes")
    doubled = channel.replace('"', '""')
    return f'"{doubled}"'


def _rows(connection: psycopg.Connection[Any], statement: str, values: Mapping[str, Any]) -> list[Any]:
    cursor = connection.execute(statement, values or None)
    return cursor.fetchall() if cursor.description else []
