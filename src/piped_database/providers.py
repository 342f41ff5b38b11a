"""The sections `database.engines`, `database.listeners` and `database.leaders`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.application.service import MultiService

from piped import RuntimeEnvironment, provider
from piped_database.engines import EngineService
from piped_database.leading import Leader
from piped_database.listener import Listener
from piped_database.notifying import NotificationSource
from piped_database.options import EngineOptions, LeaderOptions, ListenerOptions

_ENGINE, _ACCESS, _LISTENER = "database.engine.", "database.access.", "database.listener."
_LEADER = "database.leader."


@provider("database.engines", dict[str, EngineOptions])
class EngineProvider(MultiService):
    """Databases, as engines of SQLAlchemy.

    A URL whose driver is asynchronous only (`+aiosqlite`, `+asyncpg`, `+psycopg_async`) gives an `AsyncEngine`, any
    other an `Engine`, whose work steps do in threads, as many as there are connections. Somebody has to need an engine
    before it connects. A database that is not there is tried until it is, ever later up to `retry_interval`.

    Resources: `database.engine.<name>`, the engine, while the database answers; `database.access.<name>`, with
    `await run(work)`, which calls `work(connection)` where it may block, in the transaction of the step that awaits it;
    of PostgreSQL `database.listener.<name>`, with `listen(channels)` and `wait_for_advisory_lock(name)`.

    Example:
        database:
            engines:
                main:
                    engine:
                        url: sqlite:///data.db
                archive:
                    engine:
                        url: postgresql+psycopg://ada:${PASSWORD:-secret}@localhost/archive
                        pool_size: 10
                    checkout: ["SET search_path TO archive"]
                    ping_interval: 10
                    retry_interval: 5
    """

    prefixes = (_ENGINE, _ACCESS, _LISTENER)

    def __init__(self) -> None:
        super().__init__()
        #: By resource path: whose it is, and what.
        self._resources: dict[str, tuple[EngineService, Any]] = {}
        self._listeners: dict[str, Listener] = {}

    @staticmethod
    def offers(options: dict[str, EngineOptions]) -> Iterable[str]:
        for name, each in options.items():
            yield f"{_ENGINE}{name}"
            yield f"{_ACCESS}{name}"
            if each.engine.is_postgresql:
                yield f"{_LISTENER}{name}"

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName("database.engines")
        self.setServiceParent(runtime_environment.application)
        for name, options in (runtime_environment.get_options(self) or {}).items():
            service = EngineService(name, options)
            service.configure(runtime_environment)
            service.setServiceParent(self)
            for path, resource in ((f"{_ENGINE}{name}", service.engine), (f"{_ACCESS}{name}", service.access)):
                self._resources[path] = service, resource
                runtime_environment.resource_manager.register(path, self)
            if options.engine.is_postgresql:
                listener = self._listeners[f"{_LISTENER}{name}"] = Listener(name, options)
                listener.configure(runtime_environment)
                listener.setServiceParent(self)
                runtime_environment.resource_manager.register(f"{_LISTENER}{name}", self)

    def add_consumer(self, resource_dependency: Any) -> None:
        if resource_dependency.provider in self._listeners:
            self._listeners[resource_dependency.provider].add_consumer(resource_dependency)
            return
        service, resource = self._resources[resource_dependency.provider]
        service.add_consumer(resource_dependency, resource)

    def remove_consumer(self, resource_dependency: Any) -> None:
        if resource_dependency.provider in self._listeners:
            self._listeners[resource_dependency.provider].remove_consumer(resource_dependency)
            return
        service, _ = self._resources[resource_dependency.provider]
        service.remove_consumer(resource_dependency)


@provider("database.listeners", dict[str, ListenerOptions])
class PostgresListenerProvider(MultiService):
    """What PostgreSQL notifies (NOTIFY), as batons of a pipeline.

    A baton has the `channel`, the `payload`, and the `pid` of the server's process that told it. The connection is one
    of its own; when it is lost it is made again, and the channels are listened to again. What is notified meanwhile is
    not told to anybody: `on_connect` is where to catch up. While the pipeline is busy, or not ready, notifications wait
    here, and above `max_waiting` in the server.

    Example:
        database:
            engines:
                main:
                    engine:
                        url: postgresql+psycopg://ada@localhost/shop
            listeners:
                orders:
                    engine: main
                    channels: [orders]
                    json: true
                    processor: processor_name
    """

    prefixes = ()

    @staticmethod
    def offers(options: dict[str, ListenerOptions]) -> Iterable[str]:
        return ()

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName("database.listeners")
        self.setServiceParent(runtime_environment.application)
        for name, options in (runtime_environment.get_options(self) or {}).items():
            source = NotificationSource(name, options)
            source.configure(runtime_environment)
            source.setServiceParent(self)


@provider("database.leaders", dict[str, LeaderOptions])
class PostgresLeaderProvider(MultiService):
    """What only one process of many is at a time, because it holds an advisory lock of a PostgreSQL.

    Whatever depends on a leader runs in the process that leads. When that stops, dies, or loses its connection, another
    one leads after at most the `retry_interval` of its engine.

    Resources: `database.leader.<name>`, while this process leads: the lock, with its `name` and a `token`, which is a
    number that is higher for each later leader.

    Example:
        database:
            engines:
                main:
                    engine:
                        url: postgresql+psycopg://ada@localhost/shop
            leaders:
                reports:
                    engine: main
    """

    prefixes = (_LEADER,)

    def __init__(self) -> None:
        super().__init__()
        self._leaders: dict[str, Leader] = {}

    @staticmethod
    def offers(options: dict[str, LeaderOptions]) -> Iterable[str]:
        return (f"{_LEADER}{name}" for name in options)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName("database.leaders")
        self.setServiceParent(runtime_environment.application)
        for name, options in (runtime_environment.get_options(self) or {}).items():
            leader = self._leaders[f"{_LEADER}{name}"] = Leader(name, options)
            leader.configure(runtime_environment)
            leader.setServiceParent(self)
            runtime_environment.resource_manager.register(f"{_LEADER}{name}", self)

    def add_consumer(self, resource_dependency: Any) -> None:
        self._leaders[resource_dependency.provider].add_consumer(resource_dependency)

    def remove_consumer(self, resource_dependency: Any) -> None:
        self._leaders[resource_dependency.provider].remove_consumer(resource_dependency)
