"""NotificationSource: what PostgreSQL notifies, as batons of a pipeline."""

from __future__ import annotations

import json
import logging
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped import PipedDependencyService, Refusal, RuntimeEnvironment, Source, told
from piped.resources.dependency import InstanceDependency
from piped_database.listener import Listener, Notifications
from piped_database.options import ListenerOptions

_log = logging.getLogger("piped.database")


class NotificationSource(PipedDependencyService):
    """Makes a baton of each notification on some channels.

    Args:
        name: what the configuration calls it.
    """

    def __init__(self, name: str, options: ListenerOptions) -> None:
        super().__init__()
        self.setName(f"database.listeners.{name}")
        self.options = options
        self._queue: Notifications | None = None
        self._has_to_catch_up = False

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        super().configure(runtime_environment)
        options, called = self.options, str(self.name)
        self._listener = runtime_environment.dependency_manager.add_dependency(self, options.engine)
        processor = runtime_environment.add_processor(InstanceDependency(self, called), options.processor)
        self.source = Source(called, processor, max_running=options.max_running)
        self.source.on_open += self._pump
        runtime_environment.sources.add(self.source)
        self.catching_up: Source | None = None
        if options.on_connect is not None:
            begun = f"{called}.on_connect"
            dependency = runtime_environment.add_processor(InstanceDependency(self, begun), options.on_connect)
            self.catching_up = Source(begun, dependency, max_running=1)
            self.catching_up.on_open += self._catch_up
            runtime_environment.sources.add(self.catching_up)

    def startService(self) -> None:
        self.source.reopen()
        if self.catching_up is not None:
            self.catching_up.reopen()
        super().startService()

    async def run_with_dependencies(self) -> None:
        """Listen while there is a connection; whatever waits to be processed outlives it."""
        if self._queue is None:
            listener: Listener = self._listener.get_resource()
            self._queue = await listener.listen(map(str, self.options.channels), self.options.max_waiting)
            self._queue.on_come += self._pump
        self._has_to_catch_up = True
        self._catch_up()
        await Deferred()  # until the connection is lost

    def stopService(self) -> Deferred[None]:
        stopping: Deferred[None] = super().stopService()
        return stopping.addCallback(lambda _: self._unlisten())

    def _unlisten(self) -> Deferred[None] | None:
        queue, self._queue = self._queue, None
        return None if queue is None else Deferred.fromCoroutine(queue.close())

    def _catch_up(self) -> None:
        if self.catching_up is None or not self._has_to_catch_up:
            return
        baton = {"engine": str(self.options.engine), "channels": list(map(str, self.options.channels))}
        if not isinstance(self.catching_up.take(baton, self._settled), Refusal):
            self._has_to_catch_up = False

    def _pump(self) -> None:
        """Give the pipeline what waits, as far as it may take it."""
        while self._queue and self.source.is_open:
            notification = self._queue.take()
            baton = {"channel": notification.channel, "payload": notification.payload, "pid": notification.pid}
            if self.options.json:
                try:
                    baton["payload"] = json.loads(notification.payload) if notification.payload else None
                except (ValueError, RecursionError) as error:
                    what = "%s: a payload on %s is left out, as it is no JSON: %s"
                    _log.error(what, self.name, notification.channel, told(error))
                    continue
            self.source.take(baton, self._settled)

    def _settled(self, outcome: list[Any] | Failure) -> None:
        if isinstance(outcome, Failure):
            _log.error("%s failed: %s", self.name, told(outcome.value), exc_info=outcome.value)
