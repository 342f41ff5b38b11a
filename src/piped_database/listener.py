"""Listener: a connection to PostgreSQL that hears notifications and holds locks, made again whenever it is lost."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater

from piped import Backoff, ConfigurationError, PipedService, RuntimeEnvironment, Seconds, told
from piped.resources.events import Event
from piped_database.locks import Lock, LockLost, Locks
from piped_database.options import EngineOptions
from piped_database.threads import Threads
from piped_database.wire import Notification, Wire, connect, quoted

_log = logging.getLogger("piped.database")
_FIRST_RETRY: Final[Seconds] = 0.2


class Notifications:
    """What was notified on some channels, in order: `await queue.get()`. It outlives the connection.

    When nobody takes them and there are `most`, the listener reads no more from the server until somebody does.
    """

    def __init__(self, listener: Listener, channels: frozenset[str], most: int) -> None:
        self.channels, self.most = channels, most
        self._listener = listener
        self._came: deque[Notification] = deque()
        self._wanted: deque[Deferred[Notification]] = deque()
        #: Called when there is one to take.
        self.on_come: Event[[]] = Event()

    def __len__(self) -> int:
        return len(self._came)

    @property
    def is_full(self) -> bool:
        return len(self._came) >= self.most

    def get(self) -> Deferred[Notification]:
        """The next one, as soon as there is one. Cancelled, it takes none."""
        if self._came:
            return succeed(self.take())
        wanted: Deferred[Notification] = Deferred(self._wanted.remove)
        self._wanted.append(wanted)
        return wanted

    def take(self) -> Notification:
        """The next one of those that have come.

        Raises:
            IndexError: there is none.
        """
        was_full = self.is_full
        taken = self._came.popleft()
        if was_full:
            self._listener.go_on()
        return taken

    async def close(self) -> None:
        """Take nothing more; see `Listener.unlisten`."""
        await self._listener.unlisten(self)

    def put(self, notification: Notification) -> None:
        if self._wanted:
            self._wanted.popleft().callback(notification)
        else:
            self._came.append(notification)
            self.on_come()


class Listener(PipedService):
    """The resource `database.listener.<name>`, which is there while it is connected.

    Args:
        name: the engine's, whose URL and `checkout` it uses, on a connection of its own.
    """

    def __init__(self, name: str, options: EngineOptions) -> None:
        super().__init__()
        self.setName(f"database.listener.{name}")
        self.options = options
        self._queues: list[Notifications] = []
        self._consumers: list[Any] = []
        self._wire: Wire | None = None
        self._locks: Locks | None = None
        #: Fires when the connection is lost, or it is time for a ping.
        self._gone: Deferred[None] | None = None
        self._reason: BaseException | None = None
        self._wanted: Deferred[None] | None = None
        self._retries = Backoff(min(_FIRST_RETRY, options.retry_interval), options.retry_interval)
        self._arguments = _arguments_of(options, f"{name}-listener")

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        super().configure(runtime_environment)
        self._reactor = runtime_environment.reactor
        self._threads = Threads(str(self.name), 2, self._reactor)

    # What users call

    async def listen(self, channels: Iterable[str], most: int = 10_000) -> Notifications:
        """A queue of what is notified on some channels from now on; whenever the connection is back, again.

        Args:
            most: how many may wait in it, before no more are read from the server.

        Raises:
            ValueError: a channel cannot have that name.
        """
        queue = Notifications(self, frozenset(channels), most)
        # Also to what another queue is for: nobody knows whether that was done already.
        statement = "; ".join(f"LISTEN {quoted(channel)}" for channel in sorted(queue.channels))
        self._queues.append(queue)
        try:
            if statement:
                with suppress(LockLost):  # then it is listened to as soon as there is a connection
                    await self._command(statement, {})
        except BaseException:  # nobody has the queue, to take from it
            self._queues.remove(queue)
            self.go_on()
            raise
        return queue

    async def unlisten(self, queue: Notifications) -> None:
        """Put nothing more into a queue. What no other queue is for is not listened to any more."""
        self._queues.remove(queue)
        self.go_on()
        old = sorted(queue.channels - self._channels())
        if old:
            with suppress(LockLost):  # then nothing is listened to any more
                await self._command("; ".join(f"UNLISTEN {quoted(channel)}" for channel in old), {})

    def wait_for_advisory_lock(self, name: str) -> Deferred[Lock]:
        """Fires with the lock when it is held; it is tried every `retry_interval`.

        It is a lock of the database, for all who use one of that name. Whoever asks this listener again shares it.
        Fails with LockLost if the connection is lost while waiting. Who holds it has lost it when this is not ready
        any more.
        """
        if self._locks is None:
            lost: Deferred[Lock] = Deferred()
            lost.errback(LockLost(f"{self.name} is not connected"))
            return lost
        return self._locks.wait_for(name)

    async def release_lock(self, name: str) -> bool:
        """Let go of a lock, once for each time that it was asked for; whether it was held."""
        return self._locks is not None and await self._locks.release(name)

    # Who needs it

    def add_consumer(self, dependency: Any) -> None:
        if find_spec("psycopg") is None:
            hint = "pip install 'psycopg[binary]'"
            raise ConfigurationError(f"{self.name} needs psycopg, whatever the driver of the engine is", hint=hint)
        self._consumers.append(dependency)
        if self._wire is not None:
            dependency.on_resource_ready(self)
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            wanted.callback(None)

    def remove_consumer(self, dependency: Any) -> None:
        self._consumers.remove(dependency)

    # Its life

    async def run(self) -> None:
        """Be connected, again and again, until the service stops."""
        if not self._consumers:
            self._wanted = Deferred()
            await self._wanted
        state = ""
        try:
            while True:
                try:
                    self._wire = await self._connect()
                except CancelledError:
                    raise
                except Exception as error:  # whatever it is, it may be better soon
                    problem = told(error)
                    level = logging.DEBUG if problem == state else logging.WARNING
                    _log.log(level, "%s cannot connect: %s; it is tried until it works", self.name, problem)
                    state = problem
                else:
                    state = ""
                    _log.info("%s is connected", self.name)
                    reason = await self._live(self._wire)
                    _log.warning("%s has lost its connection: %s", self.name, told(reason))
                await deferLater(self._reactor, self._retries.next())
        finally:
            self._lost(CancelledError("the service was stopped"))
            self._threads.close()

    def go_on(self) -> None:
        """Read again, if there is room in all queues."""
        if self._wire is not None and self._wire.is_paused and not any(queue.is_full for queue in self._queues):
            self._wire.resume()

    async def _connect(self) -> Wire:
        patience = max(2, self.options.ping_timeout)
        while True:
            channels = self._channels()
            statements = [*self.options.checkout, *(f"LISTEN {quoted(channel)}" for channel in sorted(channels))]
            wire = await connect(self._arguments, statements, self._threads, self._reactor, patience)
            if self._channels() <= channels:
                return wire
            wire.close()  # somebody has begun to listen to more meanwhile

    async def _live(self, wire: Wire) -> BaseException:
        """Tell all that it is there, and ping until it is lost; gives why."""
        self._reason = None
        wire.on_notification += self._notified
        wire.on_lost += self._lost
        self._locks = Locks(self._command, self.options.retry_interval, self._reactor)
        self._retries.reset()
        for dependency in list(self._consumers):
            dependency.on_resource_ready(self)
        while (reason := await self._lost_within(self.options.ping_interval)) is None:
            # A ping reads what waits in the server; but a lock may be lost, and somebody else have it.
            if not wire.is_paused or (self._locks is not None and self._locks.are_wanted):
                try:
                    await wire.command("SELECT 1", {}, self.options.ping_timeout)
                except CancelledError:
                    raise
                except Exception as error:  # of the driver, or it was too late: _lost was told
                    _log.debug("%s: a ping failed: %s", self.name, told(error))
        return reason

    async def _lost_within(self, seconds: Seconds) -> BaseException | None:
        """Why the connection was lost; None if it was not for so long."""
        if self._reason is None:
            gone = self._gone = Deferred()
            call = self._reactor.callLater(seconds, gone.callback, None)
            try:
                await gone
            finally:
                self._gone = None
                if call.active():
                    call.cancel()
        return self._reason

    def _lost(self, reason: BaseException) -> None:
        wire, self._wire = self._wire, None
        if wire is None:
            return
        wire.close()
        locks, self._locks = self._locks, None
        for dependency in list(self._consumers):
            dependency.on_resource_lost(reason)
        if locks is not None:
            locks.lose()
        self._reason = reason
        gone, self._gone = self._gone, None
        if gone is not None:
            gone.callback(None)

    def _notified(self, notification: Notification) -> None:
        for queue in list(self._queues):
            if notification.channel in queue.channels:
                queue.put(notification)
        if self._wire is not None and any(queue.is_full for queue in self._queues):
            self._wire.pause()

    async def _command(self, statement: str, values: dict[str, Any]) -> list[Any]:
        wire = self._wire
        if wire is None:
            raise LockLost(f"{self.name} is not connected")
        try:
            return await wire.command(statement, values, self.options.ping_timeout)
        except Exception as error:
            if self._wire is wire:  # it is the statement that is wrong
                raise
            raise LockLost(f"{self.name} has lost its connection: {told(error)}") from error

    def _channels(self) -> set[str]:
        return {channel for queue in self._queues for channel in queue.channels}


def _arguments_of(options: EngineOptions, called: str) -> dict[str, Any]:
    """What psycopg connects with, for whatever driver the URL was written."""
    url = options.engine.parsed.set(drivername="postgresql+psycopg")
    _, arguments = url.get_dialect()().create_connect_args(url)
    return {"application_name": called, **arguments}
