"""The steps that run SQL, with every driver: what is committed, what is rolled back, what is seen in between."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from database_stage import OnDatabases, held, until
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine
from twisted.internet.defer import CancelledError, gatherResults

from piped import PipedError, TimeoutError, processor  # noqa: A004 - Piped's own

PIPELINES = """
make:
  - execute-sql: {engine: main, sql: "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT)"}
put:
  - insert-rows: {engine: main, table: things, output_path: count, batch_size: 7}
all:
  - fetch-rows: {engine: main, sql: SELECT id FROM things ORDER BY id, output_path: ""}
  - eval-lambda: {lambda: "rows: [row['id'] for row in rows]"}
"""
ROWS = [{"id": number, "name": f"n{number}"} for number in range(20)]


class Steps:
    """The promises that hold with every driver."""

    driver: str

    async def made(self, pipelines="", *plugins, **engine):
        """A process with an empty table `things`."""
        running = self.on(self.driver, PIPELINES + pipelines, *plugins, **engine)
        await running.run("make")
        return running

    async def test_rows_go_in_and_come_out(self):
        """What was inserted in batches is there, changes are counted, and the engine is of the kind of its driver."""
        running = await self.made("""
rename:
  - execute-sql:
      engine: main
      sql: UPDATE things SET name = :name WHERE id > :id
      parameters: {name: "'; DROP TABLE things", id: !path least}
      output_path: n
one:
  - fetch-rows: {engine: main, sql: SELECT * FROM things WHERE id = :id, fetch: one, output_path: ""}
""")
        assert (await running.run("put", {"rows": ROWS}))["count"] == 20
        assert await running.run("all") == list(range(20))
        assert (await running.run("rename", {"least": 9}))["n"] == 10
        assert await running.run("one", {"id": 10}) == {"id": 10, "name": "'; DROP TABLE things"}
        assert await running.run("one", {"id": 50}) is None
        is_async = self.driver in ("aiosqlite", "psycopg_async", "asyncpg")
        assert isinstance(await running.get("database.engine.main"), AsyncEngine if is_async else Engine)

    async def test_all_rows_or_none(self):
        """If one of many rows breaks a rule, in whatever batch, none of them is there."""
        running = await self.made()
        with pytest.raises(IntegrityError) as raised:
            await running.run("put", {"rows": [*ROWS, {"id": 0, "name": "secret"}]})
        assert await running.run("all") == []
        assert "secret" not in str(raised.value)
        assert any("database.engine.main" in note for note in raised.value.__notes__)

    async def test_a_transaction_that_fails(self):
        """What a pipeline has done in a transaction is gone if a later step of it fails."""
        running = await self.made("""
try it:
  - transaction: {engine: main, pipeline: put and fail}
put and fail:
  - run-pipeline: {pipeline: put}
  - raise-exception: {type: ZeroDivisionError}
""")
        with pytest.raises(ZeroDivisionError):
            await running.run("try it", {"rows": ROWS})
        assert await running.run("all") == []

    async def test_a_transaction_that_is_cancelled(self):
        """Nobody sees what a transaction has not committed; if it is cancelled, it is rolled back."""
        hold, began, _ = held()
        running = await self.made(
            """
hold it:
  - transaction: {engine: main, pipeline: put and hold}
put and hold: [insert-rows: {engine: main, table: things}, hold]
""",
            hold,
        )
        started = running.start("hold it", {"rows": ROWS})
        await began
        assert await running.run("all") == []
        started.cancel()
        with pytest.raises(CancelledError):
            await started
        assert await running.run("all") == []
        await running.run("put", {"rows": ROWS})  # nothing is locked any more

    async def test_a_transaction_sees_itself(self):
        """The steps of a transaction, and of pipelines that it runs at the same time, work on one connection."""
        running = await self.made("""
both:
  - transaction: {engine: main, pipeline: many, output_path: ids}
many:
  - for-each: {input_path: ids, pipeline: one, parallel: true}
  - fetch-rows: {engine: main, sql: SELECT count(*) FROM things, fetch: value, output_path: ""}
one:
  - eval-lambda: {lambda: "id: {'id': id}"}
  - execute-sql: {engine: main, sql: INSERT INTO things (id) VALUES (:id)}
""")
        assert (await running.run("both", {"ids": list(range(30))}))["ids"] == 30
        assert await running.run("all") == list(range(30))

    async def test_savepoints(self):
        """A transaction within one may fail, while the outer one goes on and is committed."""
        running = await self.made("""
outer:
  - transaction: {engine: main, pipeline: in it}
in it:
  - execute-sql: {engine: main, sql: INSERT INTO things (id) VALUES (1)}
  - run-pipeline: {pipeline: attempt, output_path: null}
  - transaction: {engine: main, pipeline: third}
attempt:
  chained_consumers: [transaction: {engine: main, pipeline: broken}]
  chained_error_consumers: [passthrough]
broken:
  - execute-sql: {engine: main, sql: INSERT INTO things (id) VALUES (2)}
  - execute-sql: {engine: main, sql: INSERT INTO things (id) VALUES (1)}
third: [execute-sql: {engine: main, sql: INSERT INTO things (id) VALUES (3)}]
""")
        await running.run("outer")
        assert await running.run("all") == [1, 3]

    async def test_a_failure_that_is_handled(self):
        """What fails in a transaction and is handled there never lets it be half done without anybody being told."""
        running = await self.made("""
outer:
  - transaction: {engine: main, pipeline: in it}
in it:
  - execute-sql: {engine: main, sql: INSERT INTO things (id) VALUES (1)}
  - run-pipeline: {pipeline: attempt, output_path: null}
attempt:
  chained_consumers: [execute-sql: {engine: main, sql: INSERT INTO things (id) VALUES (1)}]
  chained_error_consumers: [passthrough]
""")
        if "sqlite" in self.driver:  # takes back the statement only
            await running.run("outer")
            assert await running.run("all") == [1]
        else:
            with pytest.raises(DBAPIError):
                await running.run("outer")
            assert await running.run("all") == []

    async def test_rows_are_streamed(self):
        """A pipeline gets all rows in batches, while its steps change what they are in, in one transaction."""
        batches = []

        @processor("take")
        def take(baton):
            batches.append((baton["batch"], len(baton["rows"])))

        running = await self.made(
            """
stream:
  - fetch-rows: {engine: main, sql: SELECT id FROM things ORDER BY id, pipeline: change, batch_size: 8, output_path: n}
change:
  - take
  - execute-sql:
      {engine: main, sql: "UPDATE things SET name = 'seen' WHERE id = :id", parameters: {id: !path rows.0.id}}
seen: [fetch-rows: {engine: main, sql: "SELECT count(*) FROM things WHERE name = 'seen'", fetch: value}]
""",
            take,
        )
        await running.run("put", {"rows": ROWS})
        assert (await running.run("stream"))["n"] == 20
        assert batches == [(0, 8), (1, 8), (2, 4)]
        assert (await running.run("seen"))["rows"] == 3

    async def test_a_stream_that_is_cancelled(self):
        """Whoever is cancelled while rows are streamed gives the connection back, and nothing is locked any more."""
        hold, began, _ = held()
        running = await self.made(
            """
stream:
  - fetch-rows: {engine: main, sql: SELECT id FROM things, pipeline: change, batch_size: 8}
change: [execute-sql: {engine: main, sql: DELETE FROM things}, hold]
""",
            hold,
        )
        await running.run("put", {"rows": ROWS})
        started = running.start("stream", {})
        await began
        started.cancel()
        with pytest.raises(CancelledError):
            await started
        assert (await running.get("database.access.main")).slots.taken == 0
        assert len(await running.run("all")) == len(ROWS)

    async def test_a_slow_query_is_interrupted(self):
        """A query that takes too long is interrupted, and so is one whose step is cancelled; the next one works."""
        slow = (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n WHERE i < 0"
            if "sqlite" in self.driver
            else "SELECT pg_sleep(60)"
        )
        running = await self.made(
            f"""
late: [fetch-rows: {{engine: main, sql: "{slow}", timeout: 0.2}}]
slow: [fetch-rows: {{engine: main, sql: "{slow}"}}]
""",
            pool_size=1,
            max_overflow=0,
        )
        with pytest.raises(TimeoutError, match=r"has not answered within 0\.2 s"):
            await running.run("late")
        started = running.start("slow", {})
        await running.get("pipeline.slow")
        access = await running.get("database.access.main")
        await until(lambda: access.slots.taken == 1)
        started.cancel()
        with pytest.raises(CancelledError):
            await started
        await until(lambda: access.slots.taken == 0)
        assert await running.run("all") == []

    async def test_an_exhausted_pool(self):
        """Who waits for a connection for too long is told so; the engine stays ready, and then there are some again."""
        hold, began, go_on = held()
        running = await self.made(
            """
hold it: [transaction: {engine: main, pipeline: read and hold}]
read and hold: [run-pipeline: {pipeline: all, output_path: null}, hold]
""",
            hold,
            pool_size=1,
            max_overflow=0,
            pool_timeout=0.3,
        )
        started = running.start("hold it", {})
        await began
        waiting = [running.start("all", {}) for _ in range(3)]
        for each in waiting:
            with pytest.raises(TimeoutError, match="none of its 1 connections has come free"):
                await each
        assert running.dependency("database.engine.main").is_ready
        go_on.callback(None)
        await started
        assert await gatherResults([running.start("all", {}) for _ in range(20)]) == [[[]]] * 20

    async def test_python_code_uses_the_same_transaction(self):
        """What a step of somebody runs with database.access is in the transaction that the step is in."""

        @processor("ask")
        async def ask(baton):
            access = await running.get("database.access.main")
            work = lambda connection: connection.execute(text("SELECT count(*) FROM things")).scalar()  # noqa: E731
            baton["n"] = await access.run(work)

        running = await self.made(
            """
outer: [transaction: {engine: main, pipeline: in it}]
in it: [insert-rows: {engine: main, table: things}, ask]
""",
            ask,
        )
        assert (await running.run("outer", {"rows": ROWS}))["n"] == 20


class OnSQLite(Steps, OnDatabases):
    driver = "pysqlite"


class OnAioSQLite(Steps, OnDatabases):
    driver = "aiosqlite"


class OnPsycopg(Steps, OnDatabases):
    driver = "psycopg"


class OnPsycopgAsync(Steps, OnDatabases):
    driver = "psycopg_async"


class OnAsyncpg(Steps, OnDatabases):
    driver = "asyncpg"


class Values(OnDatabases):
    """What values become."""

    async def test_types_of_postgresql(self):
        """Values of PostgreSQL's types come back as what they were, with all of its drivers."""
        values = {
            "a": 2**40,
            "b": Decimal("1.10"),
            "c": datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
            "d": date(2026, 1, 2),
            "e": UUID(int=7),
            "f": b"\0\xff",
            "g": {"x": [1, None]},
            "h": None,
            "i": True,
            "j": 0.1,
            "k": "å\n",
        }
        for driver in ("psycopg", "psycopg_async", "asyncpg"):
            self.database = ""
            running = self.on(
                driver,
                """
make:
  - execute-sql:
      engine: main
      sql: >
        CREATE TABLE t (a bigint, b numeric, c timestamptz, d date, e uuid, f bytea, g jsonb, h text, i boolean,
        j double precision, k text)
put: [insert-rows: {engine: main, table: t, rows: !path ""}]
get: [fetch-rows: {engine: main, sql: SELECT * FROM t, fetch: one, output_path: ""}]
same:
  - fetch-rows:
      {engine: main, sql: "SELECT a FROM t WHERE b = :b AND c = :c AND d = :d AND e = :e AND f = :f AND i = :i"}
""",
            )
            await running.run("make")
            await running.run("put", values)
            assert await running.run("get") == values, driver
            assert (await running.run("same", dict(values)))["rows"] == [{"a": 2**40}], driver

    async def test_too_many_rows(self):
        """More rows than the memory is meant to hold are a failure, and not what fits."""
        pipelines = "many: [fetch-rows: {engine: main, sql: 'SELECT generate_series(1, 10) AS n', max_rows: 9}]"
        with pytest.raises(PipedError, match="more than 9 rows"):
            await self.on("psycopg", pipelines).run("many")
