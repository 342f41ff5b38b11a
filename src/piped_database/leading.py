"""Leaders: what only one process of many is at a time, because it holds an advisory lock of PostgreSQL."""

from __future__ import annotations

import json
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from piped import Backoff, PipedDependencyService, RuntimeEnvironment, told
from piped_database.listener import Listener
from piped_database.locks import Lock, LockLost
from piped_database.options import LeaderOptions, ListenerName
from piped_database.wire import Notification

_log = logging.getLogger("piped.database")


class Leader(PipedDependencyService):
    """The resource `database.leader.<name>`: the `Lock`, while this process holds it.

    Args:
        name: what the configuration calls it.
    """

    def __init__(self, name: str, options: LeaderOptions) -> None:
        super().__init__()
        self.setName(f"database.leader.{name}")
        self.options, self.lock_name = options, options.lock or name
        self._lock: Lock | None = None
        self._consumers: list[Any] = []

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        super().configure(runtime_environment)
        self._listener = runtime_environment.dependency_manager.add_dependency(self, self.options.engine)

    def add_consumer(self, dependency: Any) -> None:
        self._consumers.append(dependency)
        if self._lock is not None:
            dependency.on_resource_ready(self._lock)

    def remove_consumer(self, dependency: Any) -> None:
        self._consumers.remove(dependency)

    async def run_with_dependencies(self) -> None:
        """Stand for election, and lead until the connection is lost or the service stops."""
        listener: Listener = self._listener.get_resource()
        waits = Backoff(1, 300)
        while self._lock is None:
            try:
                self._lock = await listener.wait_for_advisory_lock(self.lock_name)
            except LockLost:  # this is called again with the next connection
                return
            except CancelledError:
                raise
            except Exception as error:  # of the server, such as one that only takes reads now
                _log.warning("%s cannot try to lead: %s; it is tried until it works", self.name, told(error))
                await deferLater(self.runtime_environment.reactor, waits.next())
        _log.info("%s: this process leads", self.name)
        for dependency in list(self._consumers):
            dependency.on_resource_ready(self._lock)
        try:
            await Deferred()
        finally:
            self._lock = None
            _log.info("%s: this process leads no more", self.name)
            for dependency in list(self._consumers):
                dependency.on_resource_lost("this process leads no more")
            await _release(listener, self.lock_name)


class LeaderService(PipedDependencyService, ABC):
    """A service of yours that hears notifications, and with a `lock_name` runs in one process of many only.

    A subclass that stands in a bundle is made, started and stopped with the process. `begin` is called whenever it
    leads, or with no lock whenever it is connected: the place to catch up with what was notified before. Then each
    notification goes to the method `handle_<channel>`, with the payload read as JSON, None for an empty one; one after
    another. Signs that no method can have in its name are `_`.

    What fails in `begin` is logged, and it runs again after a while, ever longer, up to five minutes; what fails in a
    handler is logged, and the next notification comes.

    Example:
        class Mailer(LeaderService):
            listener_dependency = "main"
            channels = ("mails",)
            lock_name = "mailer"

            async def begin(self):
                await self.send_all()

            async def handle_mails(self, payload):
                await self.send(payload["id"])
    """

    #: The name of the engine.
    listener_dependency: ClassVar[str]
    channels: ClassVar[Sequence[str]] = ()
    #: None: it runs in every process.
    lock_name: ClassVar[str | None] = None

    @abstractmethod
    async def begin(self) -> None:
        """Called once for each time that it runs, before any notification is handled."""

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        super().configure(runtime_environment)
        name = ListenerName(self.listener_dependency.removeprefix(ListenerName.prefix))
        self._listener = runtime_environment.dependency_manager.add_dependency(self, name)

    async def run_with_dependencies(self) -> None:
        """Run, and when that fails again after a while."""
        waits, reactor = Backoff(1, 300), self.runtime_environment.reactor
        called = self.name or type(self).__qualname__
        while True:
            began = reactor.seconds()
            try:
                await self._run_once(called)
            except (CancelledError, LockLost):
                raise
            except Exception as error:  # of somebody's service
                _log.error("%s failed: %s", called, told(error), exc_info=error)
            await deferLater(reactor, waits.next(lasted=reactor.seconds() - began))

    async def _run_once(self, called: str) -> None:
        listener: Listener = self._listener.get_resource()
        if self.lock_name is None:
            await self._hear(listener, called)
            return
        await listener.wait_for_advisory_lock(self.lock_name)
        _log.info("%s leads", called)
        try:
            await self._hear(listener, called)
        finally:
            await _release(listener, self.lock_name)

    async def _hear(self, listener: Listener, called: str) -> None:
        queue = await listener.listen(self.channels)
        try:
            await self.begin()
            while True:
                await self._handle(await queue.get(), called)
        finally:
            await listener.unlisten(queue)

    async def _handle(self, notification: Notification, called: str) -> None:
        channel = notification.channel
        try:
            payload = json.loads(notification.payload) if notification.payload else None
        except (ValueError, RecursionError) as error:
            _log.error("%s: a payload on %s is left out, as it is no JSON: %s", called, channel, told(error))
            return
        handler = getattr(self, "handle_" + re.sub(r"\W", "_", channel), None)
        if handler is None:
            _log.warning("%s has no method for notifications on %s", called, channel)
            return
        try:
            await handler(payload)
        except CancelledError:
            raise
        except Exception as error:  # of somebody's handler
            _log.error("%s failed to handle a notification on %s: %s", called, channel, told(error), exc_info=error)


async def _release(listener: Listener, name: str) -> None:
    try:
        await listener.release_lock(name)
    except LockLost as error:  # it is gone already
        _log.debug("the lock %s is gone: %s", name, told(error))
