"""Access: how steps, and Python code, use an engine of either kind without blocking anybody."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.logger import Logger

from piped import PipedError, Seconds, TimeoutError, told  # noqa: A004 - Piped's own
from piped.resources.events import Event
from piped.runtime.signing import current_baton
from piped_database.driving import Driving, InThreads, OnLoop, Work
from piped_database.jobs import Job
from piped_database.making import WRITES, most_connections
from piped_database.slots import Slots
from piped_database.threads import Threads

_log = Logger()
#: The transactions that the running code is in, by the engine; and the baton that they belong to.
_current: ContextVar[tuple[Any, Mapping[Access, Transaction]]] = ContextVar("transactions", default=(None, {}))


class Access:
    """Runs work on the connections of an engine: `await access.run(work)`, where `work(connection)` may block.

    That gets a `sqlalchemy.Connection` in either case. For an engine it is called in a thread of the engine's own, for
    an asynchronous one on the loop, where what would block waits.

    Args:
        name: the engine's.
        clock: the reactor.
        timeout: how long work may take, unless it says otherwise; 0 for any time.
        max_waiting: how many may wait for a connection.
        pool_timeout: how long they may.

    Example:
        names = await access.run(lambda connection: connection.execute(text("SELECT name FROM users")).all())
    """

    def __init__(
        self,
        name: str,
        engine: Engine | AsyncEngine,
        clock: Any,
        *,
        timeout: Seconds = 60,
        max_waiting: int = 1000,
        pool_timeout: Seconds = 30,
    ) -> None:
        self.name, self.engine, self.clock, self.timeout = name, engine, clock, timeout
        self.called = f"database.engine.{name}"
        #: What kind of database it is, such as "sqlite".
        self.dialect = engine.dialect.name
        most = most_connections(engine)
        self.slots = Slots(most, max_waiting, pool_timeout, self.called, clock)
        self._threads = Threads(self.called, most + 2, clock)  # with one for pings, and one that closes
        self.driving: Driving = (
            OnLoop(engine, clock) if isinstance(engine, AsyncEngine) else InThreads(engine, self._threads, clock)
        )
        #: Called when work was late: maybe the database does not answer any more.
        self.on_late: Event[[]] = Event()

    @property
    def current(self) -> Transaction | None:
        """The transaction that the running code is in: the innermost `transaction` around the step."""
        baton, held = _current.get()
        # What another baton does is no part of it, though it may have been sent from within.
        return held.get(self) if baton is current_baton.get() else None

    async def run(self, work: Work, *, timeout: Seconds | None = None, writes: bool = False) -> Any:
        """What `work(connection)` gives: in the current transaction, else in one of its own, committed at the end.

        Args:
            work: called once.
            timeout: seconds; 0 for any time.
            writes: the first statement may be one that reads, and others write.

        Raises:
            TimeoutError: it took too long, or no connection has come free. It was rolled back.
            DBAPIError: as the database says.
        """
        current = self.current
        if current is not None:
            return await current.run(work, timeout=timeout)
        await self.slots.take()
        job = self.driving.once(work, writes=writes)
        job.when_over(self.slots.give_back)
        return await self.limited(job, timeout)

    async def begin(self, isolation_level: str | None = None, *, writes: bool = True) -> Transaction:
        """A transaction on a connection that is held until its `end`; within the current one if there is one."""
        current = self.current
        if current is not None:
            if isolation_level is not None:
                raise PipedError(f"{self.called}: the isolation level is that of the outermost transaction")
            return await current.nested()
        options: dict[str, Any] = {WRITES: writes}
        if isolation_level is not None:
            options["isolation_level"] = isolation_level
        await self.slots.take()
        connecting = self.driving.connect()
        try:
            lease = Lease(self, await self.limited(connecting, None))
        except BaseException:
            connecting.when_over(self.slots.give_back)
            raise
        try:
            begun = await lease.on(lambda connection: connection.execution_options(**options).begin(), None)
        except BaseException:
            await lease.close()
            raise
        return Transaction(lease, begun)

    def limited(self, job: Job, timeout: Seconds | None) -> Job:
        """A job that is interrupted after so many seconds; None for as many as the engine says."""
        seconds = self.timeout if timeout is None else timeout

        def late() -> Exception:
            self.on_late()
            return TimeoutError(f"{self.called} has not answered within {seconds:g} s")

        return job.limit(seconds, late)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.close()


class Lease:
    """A connection that is held for several pieces of work, one after another."""

    def __init__(self, access: Access, connection: Any) -> None:
        self.access, self._connection = access, connection
        #: Work that was given up and goes on.
        self._stuck: Job | None = None

    async def on(self, work: Work, timeout: Seconds | None) -> Any:
        """What `work(connection)` gives.

        Raises:
            PipedError: former work was given up, and still goes on.
        """
        if self._stuck is not None:
            raise PipedError(f"{self.access.called}: the connection of this transaction does not answer")
        job = self.access.driving.on(self._connection, work)
        try:
            return await self.access.limited(job, timeout)
        finally:
            if not job.is_over:
                self._stuck = job

    async def close(self) -> None:
        """Put the connection back, as soon as nothing uses it."""
        if self._stuck is not None:
            self._stuck.when_over(self._close_later)
            return
        await self._close()

    def _close_later(self) -> None:
        def failed(failure: Any) -> None:
            _log.failure("{called}: a connection could not be closed", failure, called=self.access.called)

        Deferred.fromCoroutine(self._close()).addErrback(failed)

    async def _close(self) -> None:
        closing = self.access.driving.close(self._connection)
        closing.when_over(self.access.slots.give_back)
        await self.access.limited(closing, None)


class Transaction:
    """A transaction, or one within another: a savepoint. It is ended once, by `end`.

    Args:
        begun: SQLAlchemy's.
        outer: the one that this is a part of, which waits until it has ended.
    """

    def __init__(self, lease: Lease, begun: Any, outer: Transaction | None = None) -> None:
        self._lease, self._begun, self._outer = lease, begun, outer
        self._is_over = self._has_failed = False
        #: Held by the transaction within: what else is done in this one waits for it.
        self._turns = DeferredLock()

    def context(self) -> tuple[ContextVar[Any], Any]:
        """The variable, and the value, with which steps run in this transaction."""
        baton, held = _current.get()
        ticket = current_baton.get()
        outer = held if baton is ticket else {}
        return _current, (ticket, {**outer, self._lease.access: self})

    async def run(self, work: Work, *, timeout: Seconds | None = None) -> Any:
        """What `work(connection)` gives, after whatever else was to be done on this connection.

        Raises:
            PipedError: the transaction has ended already.
        """
        await self._turns.acquire()
        try:
            if self._is_over:
                raise PipedError(f"{self._lease.access.called}: this step comes after the end of its transaction")
            try:
                return await self._lease.on(work, timeout)
            except BaseException:
                self._has_failed = True
                raise
        finally:
            self._turns.release()

    async def nested(self) -> Transaction:
        """A savepoint; until it has ended, all else that is done in this transaction waits."""
        await self._turns.acquire()
        try:
            if self._is_over:
                raise PipedError(f"{self._lease.access.called}: this step comes after the end of its transaction")
            begun = await self._lease.on(lambda connection: connection.begin_nested(), None)
        except BaseException:
            self._turns.release()
            raise
        return Transaction(self._lease, begun, self)

    async def commit(self) -> None:
        """Make lasting what was done.

        Raises:
            DBAPIError: that is not possible, and nothing is lasting; or the connection was lost, then nobody knows.
        """
        try:
            await self._turns.acquire()
        except CancelledError:
            await self.rollback()
            raise
        self._is_over = True
        try:
            if self._has_failed:
                # PostgreSQL would take a COMMIT after a failure, and roll back without saying so.
                await self._lease.on(_look, None)
            await self._lease.on(lambda connection: self._begun.commit(), None)
        except BaseException:
            await self._roll_back()
            raise
        finally:
            self._turns.release()
            await self._end()

    async def rollback(self) -> None:
        """Take back what was done. That fails with nothing: what cannot be rolled back has been, or is cut off."""
        while True:
            with suppress(CancelledError):  # else nobody would ever put the connection back
                await self._turns.acquire()
                break
        self._is_over = True
        try:
            await self._roll_back()
        finally:
            self._turns.release()
            await self._end()

    async def _roll_back(self) -> None:
        try:
            await self._lease.on(lambda connection: self._begun.rollback(), None)
        except (DBAPIError, PipedError, CancelledError) as error:
            _log.info("{called}: {error}, at a rollback", called=self._lease.access.called, error=told(error))

    async def _end(self) -> None:
        if self._outer is not None:
            self._outer._turns.release()
        else:
            await self._lease.close()


def _look(connection: Any) -> None:
    connection.exec_driver_sql("SELECT 1")
