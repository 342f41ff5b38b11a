"""Databases in a process that runs: a configuration on the real reactor, and pipelines that tests send batons into."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from servers.postgres import Postgres
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from piped import ConfigurationError, RuntimeEnvironment, processor
from piped.config.gathering import gather_text
from piped.runtime.assembly import check, configure
from piped.runtime.draining import drain


def held() -> tuple[Callable[..., Any], Deferred[None], Deferred[None]]:
    """A step `hold` that waits; a Deferred that fires when it does, and one that lets it go on."""
    began: Deferred[None] = Deferred()
    go_on: Deferred[None] = Deferred()

    @processor("hold")
    async def hold(baton: Any) -> None:
        began.callback(None)
        await go_on

    return hold, began, go_on


class Running:
    """A process that runs in this one."""

    def __init__(self, configuration: str, *plugins: Callable[..., Any]) -> None:
        gathered = gather_text(textwrap.dedent(configuration), "site.yml", environ={})
        assembly = check(gathered, {}, plugins)
        self.environment = RuntimeEnvironment(reactor=reactor)
        if problems := assembly.errors or configure(assembly, self.environment):
            raise ConfigurationError(problems=problems)
        self.environment.application.startService()
        self._dependencies: dict[str, Any] = {}

    def dependency(self, path: str) -> Any:
        if path not in self._dependencies:
            manager = self.environment.dependency_manager
            self._dependencies[path] = manager.add_dependency(manager.as_dependency(path))
            manager.resolve_initial_states()
        return self._dependencies[path]

    async def get(self, path: str) -> Any:
        """A resource, once it is there."""
        return await self.dependency(path).wait_for_resource(timeout=10)

    async def run(self, pipeline: str, baton: Any = None) -> Any:
        """The last result of a pipeline."""
        return (await self.start(pipeline, {} if baton is None else baton))[-1]

    def start(self, pipeline: str, baton: Any) -> Deferred[list[Any]]:
        """A pipeline that is under way, as soon as it is ready."""
        ready: Deferred[Any] = Deferred.fromCoroutine(self.get(f"pipeline.{pipeline}"))
        return ready.addCallback(lambda found: found(baton))

    async def stop(self) -> None:
        await drain(self.environment.sources, 5, reactor)  # type: ignore[arg-type]  # it has callLater
        await self.environment.application.stopService()


async def until(happened: Callable[[], Any], timeout: float = 20) -> Any:
    """What a function gives, once that is true."""
    deadline = reactor.seconds() + timeout  # type: ignore[attr-defined]
    while not (result := happened()):
        assert reactor.seconds() < deadline, "it did not come to that in time"  # type: ignore[attr-defined]
        await deferLater(reactor, 0.02)  # type: ignore[arg-type]
    return result


class OnDatabases(TestCase):
    """Tests that run configurations on databases of their own."""

    timeout = 60
    server: Postgres

    @pytest.fixture(autouse=True)
    def _server(self, postgres: Postgres) -> None:
        self.server = postgres

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.database = ""

    def url(self, driver: str) -> str:
        """A new database; with the driver of a PostgreSQL, or of SQLite in a file."""
        if driver in ("pysqlite", "aiosqlite"):
            return f"sqlite+{driver}:///{self.folder}/data.db"
        if not self.database:
            self.database = self.server.database()
        return self.server.url(self.database, driver)

    def running(self, configuration: str, *plugins: Callable[..., Any]) -> Running:
        running = Running(configuration, *plugins)
        self.addCleanup(lambda: Deferred.fromCoroutine(running.stop()))
        return running

    def on(self, driver: str, pipelines: str, *plugins: Callable[..., Any], more: str = "", **engine: Any) -> Running:
        """A process with the engine `main` and some pipelines."""
        own = "".join(f", {name}: {value}" for name, value in engine.items())
        head = f"""\
database:
  engines:
    main:
      engine: {{url: '{self.url(driver)}'{own}}}
      ping_interval: 0.2
      retry_interval: 0.5
      ping_timeout: 2
{textwrap.indent(textwrap.dedent(more), "      ")}
pipelines:
"""
        return self.running(head + textwrap.indent(textwrap.dedent(pipelines), "  "), *plugins)
