"""Where work on connections runs: that of an engine in threads, that of an asynchronous one on asyncio's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from twisted.python.failure import Failure

from piped_database.jobs import Job, interrupt
from piped_database.making import WRITES
from piped_database.threads import Threads

#: What is done on a connection; it may block, and runs where that disturbs nobody.
Work = Callable[[Connection], Any]


class Driving(Protocol):
    """Both kinds of engines in one manner; connections are those of their kind."""

    def connect(self) -> Job:
        """A connection."""

    def on(self, connection: Any, work: Work) -> Job:
        """Do something on a connection."""

    def once(self, work: Work, *, writes: bool) -> Job:
        """Do something in a transaction of its own, on a connection of its own."""

    def close(self, connection: Any) -> Job:
        """Put a connection back; what it has not committed is rolled back."""

    def dispose(self) -> Job:
        """Close the connections that nobody uses, and those in use when they come back."""


class InThreads:
    """An engine whose work blocks."""

    def __init__(self, engine: Engine, threads: Threads, clock: Any) -> None:
        self._engine, self._threads, self._clock = engine, threads, clock

    def connect(self) -> Job:
        job = self._start(lambda job: self._engine.connect())
        job.unwanted = self.close
        return job

    def on(self, connection: Connection, work: Work) -> Job:
        return self._start(lambda job: _done_on(job, connection, work))

    def once(self, work: Work, *, writes: bool) -> Job:
        def whole(job: Job) -> Any:
            with self._engine.connect() as connection:
                return _done_once(job, connection, work, writes)

        return self._start(whole)

    def close(self, connection: Connection) -> Job:
        return self._start(lambda job: connection.close())

    def dispose(self) -> Job:
        return self._start(lambda job: self._engine.dispose())

    def _start(self, work: Callable[[Job], Any]) -> Job:
        job = Job(self._clock)
        job.interrupt = lambda: interrupt(job.raw)

        def begin() -> Any:
            job.check()
            return work(job)

        self._threads.call(begin, job.ended)
        return job


class OnLoop:
    """An asynchronous engine, on the loop that runs."""

    def __init__(self, engine: AsyncEngine, clock: Any) -> None:
        self._engine, self._clock = engine, clock

    def connect(self) -> Job:
        async def connect(job: Job) -> AsyncConnection:
            return await self._engine.connect()

        job = self._start(connect)
        job.unwanted = self.close
        return job

    def on(self, connection: AsyncConnection, work: Work) -> Job:
        return self._start(lambda job: connection.run_sync(lambda sync: _done_on(job, sync, work)))

    def once(self, work: Work, *, writes: bool) -> Job:
        async def whole(job: Job) -> Any:
            async with self._engine.connect() as connection:
                return await connection.run_sync(lambda sync: _done_once(job, sync, work, writes))

        return self._start(whole)

    def close(self, connection: AsyncConnection) -> Job:
        return self._start(lambda job: connection.close())

    def dispose(self) -> Job:
        return self._start(lambda job: self._engine.dispose())

    def _start(self, work: Callable[[Job], Any]) -> Job:
        job = Job(self._clock)
        # A task of asyncio's own: the drivers ask for it.
        loop: asyncio.AbstractEventLoop = getattr(self._clock, "_asyncioEventloop", None) or asyncio.get_running_loop()
        task = loop.create_task(work(job))

        def stop() -> None:
            if hasattr(job.raw, "interrupt"):  # aiosqlite's queries go on, whatever becomes of who awaits them
                interrupt(job.raw._conn)
            else:
                task.cancel()

        job.interrupt = stop
        task.add_done_callback(lambda done: job.ended(_outcome_of(done)))
        return job


def _outcome_of(task: asyncio.Task[Any]) -> Any:
    if task.cancelled():
        return Failure(asyncio.CancelledError())
    error = task.exception()
    return task.result() if error is None else Failure(error, type(error), error.__traceback__)


def _done_once(job: Job, connection: Connection, work: Work, writes: bool) -> Any:
    """What some work gives in a transaction, which is committed unless the job has to stop."""
    if writes:
        connection.execution_options(**{WRITES: True})
    with connection.begin():
        done = _done_on(job, connection, work)
        job.check()
    return done


def _done_on(job: Job, connection: Connection, work: Work) -> Any:
    job.raw = connection.connection.driver_connection
    job.check()
    return work(connection)
