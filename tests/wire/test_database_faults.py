"""Databases that are killed, frozen and cut off: what was committed is there, and all is well again by itself."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from database_stage import OnDatabases, held, until
from servers.postgres import Postgres
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

PIPELINES = """
make: [execute-sql: {engine: main, sql: "CREATE TABLE things (id INTEGER PRIMARY KEY)"}]
all:
  - fetch-rows: {engine: main, sql: SELECT id FROM things ORDER BY id, output_path: ""}
  - eval-lambda: {lambda: "rows: [row['id'] for row in rows]"}
pair: [transaction: {engine: main, pipeline: both}]
both:
  - insert-rows: {engine: main, table: things, rows: !path first}
  - insert-rows: {engine: main, table: things, rows: !path second}
"""


@pytest.fixture(scope="module")
def own_postgres(postgres):
    """A server that nobody else needs."""
    with TemporaryDirectory() as folder, Postgres(Path(folder)) as server:
        yield server


def pair(number: int) -> dict[str, Any]:
    """A baton for two rows that are to be there together."""
    return {"first": {"id": 2 * number}, "second": {"id": 2 * number + 1}}


class Faults:
    """What holds with every driver of PostgreSQL."""

    driver: str

    @pytest.fixture(autouse=True)
    def _own(self, own_postgres):
        self.server = own_postgres

    async def made(self, pipelines="", *plugins, **engine):
        running = self.on(self.driver, PIPELINES + pipelines, *plugins, **engine)
        await running.run("make")
        self.engine = running.dependency("database.engine.main")
        await running.get("database.engine.main")
        return running

    async def test_killed_in_the_middle_of_transactions(self):
        """Of a server that is killed everything is there that was committed, and nothing by halves; it works again."""
        running = await self.made()
        committed, failed = [], []

        def keep_on(number):
            def ended(result: Any) -> None:
                (failed if isinstance(result, Failure) else committed).append(number)
                if not (failed or number > 20_000):
                    keep_on(number + 8)

            running.start("pair", pair(number)).addBoth(ended)

        for number in range(8):
            keep_on(number)
        await until(lambda: len(committed) > 50)
        await deferToThread(self.server.kill)
        await until(lambda: failed and not self.engine.is_ready)
        await deferToThread(self.server.start)
        await until(lambda: self.engine.is_ready)
        found = await running.run("all")
        pairs = {each // 2 for each in found}
        assert len(found) == 2 * len(pairs)
        assert set(committed) <= pairs
        assert pairs - set(committed) <= set(failed)  # it may have died between the commit and the answer
        await running.run("pair", pair(30_000))

    async def test_killed_while_a_transaction_waits(self):
        """A transaction whose server died fails, whatever it did before, and leaves nothing."""
        hold, began, go_on = held()
        running = await self.made(
            """
hold it: [transaction: {engine: main, pipeline: put and hold}]
put and hold: [insert-rows: {engine: main, table: things, rows: !path first}, hold]
""",
            hold,
        )
        started = running.start("hold it", pair(1))
        await began
        await deferToThread(self.server.restart)
        go_on.callback(None)
        [(success, failure)] = await DeferredList([started], consumeErrors=True)
        assert not success, failure
        assert await running.run("all") == []

    async def test_connections_that_are_cut(self):
        """When the server breaks idle connections nobody need care for long, and the engine is never lost for good."""
        running = await self.made()
        await DeferredList([running.start("pair", pair(number)) for number in range(8)])
        assert await deferToThread(self.server.cut, self.database) > 0
        outcomes = await DeferredList([running.start("all", {}) for _ in range(20)], consumeErrors=True)
        assert len(outcomes) == 20
        await until(lambda: self.engine.is_ready)
        assert len(await running.run("all")) == 16

    async def test_a_server_that_is_frozen(self):
        """A server that does not answer any more is noticed, and so is that it does again."""
        running = await self.made()
        self.server.freeze()
        try:
            await until(lambda: not self.engine.is_ready)
        finally:
            self.server.thaw()
        await until(lambda: self.engine.is_ready)
        assert await running.run("all") == []

    async def test_a_server_that_comes_later(self):
        """An engine whose server is not there at the start is ready when it is."""
        url = self.url(self.driver)
        await deferToThread(self.server.stop)
        pipelines = f"""
database:
  engines: {{main: {{engine: {{url: {url}}}, retry_interval: 0.5}}}}
pipelines:
  one: [fetch-rows: {{engine: main, sql: SELECT 1 AS one, fetch: value, output_path: ""}}]
"""
        running = self.running(pipelines)
        asked = running.start("one", {})
        pause: Deferred[None] = Deferred()
        reactor.callLater(0.5, pause.callback, None)
        await pause
        assert not asked.called
        await deferToThread(self.server.start)
        assert await asked == [1]


class OnPsycopg(Faults, OnDatabases):
    driver = "psycopg"


class OnPsycopgAsync(Faults, OnDatabases):
    driver = "psycopg_async"


class OnAsyncpg(Faults, OnDatabases):
    driver = "asyncpg"
