"""Tests of the sections of databases: what is refused, and what becomes of engines that come and go."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from piped import ConfigurationError, PipedError
from piped.catalog.discovery import discover
from piped.testing import Stage

CATALOG, _ = discover(None, None, (), built_in=["piped_database.processors", "piped_database.transaction"])
EXAMPLES = [(name, example) for name, entry in CATALOG.processors.items() for example in entry.spec.examples]
MAIN = "database: {engines: {main: {engine: {url: 'sqlite://'}}}}\n"
USERS = """\
pipelines:
  make: [execute-sql: {engine: main, sql: 'CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, n INTEGER)'}]
  square: [passthrough]
"""


def stage(pipelines: str, engines: str = MAIN, *plugins: Any) -> Stage:
    made = Stage(engines + USERS + textwrap.indent(textwrap.dedent(pipelines), "  "), *plugins)
    made.environment.application.startService()
    return made


def refused(configuration: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        Stage(configuration)
    [problem] = [str(problem) for problem in raised.value.problems]
    return re.sub("^<test>:", "", problem)


@pytest.mark.parametrize(
    ("engine", "problem"),
    [
        ("{}", "1:26: the engine needs the option 'url'"),
        ("{url: 'foo://ada:secret@host/x'}", "knows no databases of the kind 'foo'"),
        ("{url: 'mysql://ada:secret@host/x'}", "the driver 'MySQLdb' is not installed – pip install 'mysqlclient'"),
        ("{url: 'ada secret'}", "Could not parse SQLAlchemy URL"),
        ("{url: 'sqlite://', pool_sice: 3}", "1:64: the engine cannot be made with pool_sice: Invalid argument(s)"),
        ("{url: 'sqlite://', pol_size: 3}", "did you mean 'pool_size'?"),
        ("{url: 'sqlite://', echo: 'yes'}", "1:59: the engine cannot be made with echo: 'yes'"),
        ("{url: 'sqlite:///a.db', max_overflow: ten}", "max_overflow must be a number, not 'ten'"),
        ("{url: 'sqlite://', plugins: [missing]}", "cannot be made with plugins: "),
        ("{url: 'sqlite://', poolclass: sqlalchemy.pool.None}", "cannot find 'sqlalchemy.pool.None'"),
    ],
)
def test_engines_that_cannot_be(engine: str, problem: str) -> None:
    """What an engine cannot be made with is told at its place, never with what may be secret."""
    told = refused(f"database: {{engines: {{a: {{engine: {engine}}}}}}}")
    assert problem in told
    assert "secret" not in told


def test_other_mistakes() -> None:
    """An interval of 0, an event that there is none, a channel without a name, SQL that formats, an unknown engine."""
    assert "above 0" in refused("database: {engines: {a: {engine: {url: 'sqlite://'}, ping_interval: 0}}}")
    events = "database: {engines: {a: {engine: {url: 'sqlite://'}, events: {conect: [builtins.print]}}}}"
    assert "no event 'conect' – did you mean 'connect'?" in refused(events)
    assert "write :name" in refused(
        MAIN + "pipelines: {a: [execute-sql: {engine: main, sql: 'DELETE FROM t WHERE i=%s'}]}"
    )
    assert "did you mean" in refused(MAIN + "pipelines: {a: [execute-sql: {engine: mein, sql: SELECT 1}]}")
    assert "text of the configuration" in refused(MAIN + "pipelines: {a: [execute-sql: {engine: main, sql: !path x}]}")
    listener = "database.listener.main"
    listening = MAIN + "pipelines: {a: [passthrough]}\nx-l: 1\n"
    more = listening.replace("}}}}\n", "}}}, listeners: {l: {engine: main, channels: [c], processor: a}}}\n", 1)
    assert listener in refused(more)
    assert "needs 1 to 63 bytes" in refused(
        more.replace("[c]", f"[{64 * 'c'}]").replace("sqlite://", "postgresql://h/d")
    )


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_every_example_runs(name: str, example: str) -> None:
    """What the documentation of a step shows can be copied, and a baton goes through it."""
    running = stage(f"main:\n{textwrap.indent(example, '  ')}\n")
    running.run("make", {})
    running.run("main", {"user": {"id": 1}, "n": 2})


def test_every_processor_says_what_it_does() -> None:
    """Each step has a summary, a text for each option, and an example."""
    assert {"execute-sql", "fetch-rows", "insert-rows", "transaction"} <= set(CATALOG.processors)
    for entry in CATALOG.processors.values():
        assert entry.spec.summary
        assert entry.spec.examples
        assert not [each.name for each in entry.spec.parameters if not each.text]


def test_an_engine_that_comes_and_goes(tmp_path: Path) -> None:
    """It is ready when its database answers, lost when it does not, and then ready again; connections are pinged."""
    file = tmp_path / "missing" / "data.db"
    made = Stage(f"database: {{engines: {{main: {{engine: {{url: 'sqlite:///{file}'}}, retry_interval: 2}}}}}}")
    told: list[str] = []
    manager = made.environment.dependency_manager
    dependency = manager.add_dependency(manager.as_dependency("database.engine.main"))
    dependency.on_ready += lambda _: told.append("ready")
    dependency.on_lost += lambda *_: told.append("lost")
    manager.resolve_initial_states()
    made.environment.application.startService()
    told.clear()
    made.clock.pump([1] * 10)
    assert told == []
    file.parent.mkdir()
    made.clock.advance(3)
    assert told == ["ready"]
    engine, failing = dependency.get_resource(), True

    @event.listens_for(engine, "before_cursor_execute")
    def fail(*_: Any) -> None:
        if failing:
            raise OSError("no way")

    made.clock.advance(10)
    assert told == ["ready", "lost"]
    failing = False
    made.clock.advance(3)
    assert told == ["ready", "lost", "ready"]
    made.environment.application.stopService()
    assert told[3:] == ["lost"]
    assert made.clock.getDelayedCalls() == []


def test_a_failed_statement_loses_nothing() -> None:
    """A statement that fails says where, and the engine stays ready."""
    running = stage("broken: [execute-sql: {engine: main, sql: SELECT * FROM nowhere}]")
    with pytest.raises(OperationalError) as raised:
        running.run("broken", {})
    assert "in database.engine.main" in raised.value.__notes__
    assert running.run("make", {}) == [{}]


def test_checkout_and_checkin(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Their SQL is run on each connection; if that of checkin fails it is logged, and the connection closed."""
    engine = f"url: 'sqlite:///{tmp_path}/a.db'"
    around = "checkout: [CREATE TEMP TABLE IF NOT EXISTS t (n)], checkin: [INSERT INTO t VALUES (1)]"
    running = stage(
        "count: [fetch-rows: {engine: main, sql: SELECT count(*) FROM temp.t, fetch: value, output_path: ''}]",
        f"database: {{engines: {{main: {{engine: {{{engine}}}, {around}}}}}}}\n",
    )
    before = running.run("count", {})[0]
    assert running.run("count", {})[0] == before + 1
    broken = stage("", f"database: {{engines: {{main: {{engine: {{{engine}}}, checkin: [SELECT missing]}}}}}}\n")
    broken.run("make", {})
    assert "checkin failed, the connection is closed: OperationalError: no such column: missing" in caplog.text


def test_rows_that_cannot_be_inserted() -> None:
    """Rows that differ, that are none, or that are not there are told by their number, and none of them goes in."""
    running = stage("""
    put: [insert-rows: {engine: main, table: users}]
    some: [insert-rows: {engine: main, table: users, columns: [id, name], output_path: n}]
    count: [fetch-rows: {engine: main, sql: SELECT count(*) FROM users, fetch: value, output_path: ''}]
    """)
    running.run("make", {})
    with pytest.raises(PipedError, match="row 1 and the first one differ in 'name'"):
        running.run("put", {"rows": [{"id": 1}, {"id": 2, "name": "x"}]})
    with pytest.raises(PipedError, match="row 0 must be a mapping, not int"):
        running.run("put", {"rows": [1]})
    with pytest.raises(PipedError, match="nothing at 'rows' to insert"):
        running.run("put", {})
    assert running.run("some", {"rows": [{"id": 1}, {"id": 2, "name": "x", "secret": 1}]})[0]["n"] == 2
    assert running.run("some", {"rows": []})[0]["n"] == 0
    assert running.run("count", {}) == [2]


def test_what_is_fetched() -> None:
    """One row, one value, or none; a second row, or a second column of the same name, is a failure."""
    running = stage("""
    one: [fetch-rows: {engine: main, sql: SELECT 1 AS a WHERE :n > 0 UNION ALL SELECT 2 WHERE :n > 1, fetch: one}]
    value: [fetch-rows: {engine: main, sql: 'SELECT 1, 2', fetch: value}]
    twice: [fetch-rows: {engine: main, sql: 'SELECT 1 AS a, 2 AS a'}]
    none: [fetch-rows: {engine: main, sql: DELETE FROM users}]
    """)
    running.run("make", {})
    assert [running.run("one", {"n": n})[0]["rows"] for n in (0, 1)] == [None, {"a": 1}]
    for pipeline, told in (
        ("one", "more than 1 rows"),
        ("value", "needs one column"),
        ("twice", "two columns are called 'a'"),
        ("none", "gives no rows"),
    ):
        with pytest.raises(PipedError, match=told):
            running.run(pipeline, {"n": 2})


def test_a_step_after_the_end_of_its_transaction() -> None:
    """What is left running when a transaction ends cannot slip into another one, nor be lost without a word."""
    running = stage("other: [passthrough]")
    access = running.get("database.access.main")

    async def work() -> None:
        begun = await access.begin()
        await begun.commit()
        with pytest.raises(PipedError, match="comes after the end of its transaction"):
            await begun.run(lambda connection: connection.execute(text("SELECT 1")))

    from twisted.internet.defer import Deferred

    done = Deferred.fromCoroutine(work())
    assert done.result is None
    assert access.slots.taken == 0
