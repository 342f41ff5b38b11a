"""What rows cost beside plain SQLAlchemy Core on the same engine: put in by thousands, and read again as mappings.

SQLite in a file for what everybody has, and a PostgreSQL where it is installed. Times are CPU time of this process, all
threads; in turns, in the same run.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from twisted.internet import asyncioreactor

asyncioreactor.install()
sys.path.insert(0, str(Path(__file__).parents[1]))

from servers import postgres  # noqa: E402 - it needs the path above
from sqlalchemy import Engine, column, create_engine, insert, table, text  # noqa: E402 - after the reactor
from twisted.internet import reactor  # noqa: E402 - as above
from twisted.internet.defer import Deferred  # noqa: E402 - as above
from twisted.python.failure import Failure  # noqa: E402 - as above

from piped import RuntimeEnvironment  # noqa: E402
from piped.config.gathering import gather_text  # noqa: E402
from piped.runtime.assembly import check, configure  # noqa: E402

ROWS, BATCH, ROUNDS = 20_000, 1000, 7
TABLE = "CREATE TABLE things (id INTEGER, name TEXT, price DOUBLE PRECISION, note TEXT)"
SITE = """\
database: {{engines: {{main: {{engine: {{url: '{url}'}}}}}}}}
pipelines:
  put: [insert-rows: {{engine: main, table: things, batch_size: {batch}}}]
  get: [fetch-rows: {{engine: main, sql: SELECT * FROM things, output_path: ''}}]
"""
THINGS = table("things", *map(column, ("id", "name", "price", "note")))
DATA = [{"id": n, "name": f"name {n}", "price": n / 7, "note": None} for n in range(ROWS)]


def bare_put(engine: Engine) -> None:
    with engine.begin() as connection:
        for start in range(0, ROWS, BATCH):
            connection.execute(insert(THINGS), DATA[start : start + BATCH])


def bare_get(engine: Engine) -> None:
    with engine.begin() as connection:
        rows = [dict(row) for row in connection.execute(text("SELECT * FROM things")).mappings()]
    assert len(rows) == ROWS


class Site:
    """Pipelines on an engine of the same kind."""

    def __init__(self, url: str) -> None:
        assembly = check(gather_text(SITE.format(url=url, batch=BATCH), "site.yml", environ={}), {})
        self.environment = RuntimeEnvironment(reactor=reactor)
        problems = assembly.errors or configure(assembly, self.environment)
        assert not problems, problems
        self.environment.application.startService()

    async def pipeline(self, name: str) -> Any:
        manager = self.environment.dependency_manager
        dependency = manager.add_dependency(manager.as_dependency(f"pipeline.{name}"))
        manager.resolve_initial_states()
        return await dependency.wait_for_resource(timeout=30)


async def measure(what: str, url: str) -> None:
    engine, site = create_engine(url), Site(url)
    put, get = await site.pipeline("put"), await site.pipeline("get")
    with engine.begin() as connection:
        connection.execute(text(TABLE))

    def clear() -> None:
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM things"))

    async def ours(pipeline: Any, baton: Any) -> float:
        gc.collect()  # else the garbage of one is counted as the other's
        before = time.process_time()
        await pipeline(baton)
        return time.process_time() - before

    def theirs(work: Callable[[Engine], None]) -> float:
        gc.collect()
        before = time.process_time()
        work(engine)
        return time.process_time() - before

    puts, gets = [], []
    for _ in range(ROUNDS):
        clear()
        bare = theirs(bare_put)
        clear()
        puts.append((bare, await ours(put, {"rows": DATA})))
        gets.append((theirs(bare_get), await ours(get, {})))
    for name, rounds in (("insert-rows", puts), ("fetch-rows", gets)):
        rate, ratio = ROWS / median(ours for _, ours in rounds), median(bare / ours for bare, ours in rounds)
        bare_rate = ROWS / median(bare for bare, _ in rounds)
        print(f"{what}, {name}: {rate:,.0f} rows/s; SQLAlchemy Core {bare_rate:,.0f}: x {ratio:.2f}  (bar: 0.8)")
    await site.environment.application.stopService()
    engine.dispose()


async def measure_all(folder: Path) -> None:
    await measure("SQLite", f"sqlite:///{folder}/data.db")
    if not postgres.is_installed():
        print("PostgreSQL is left out, as it is not installed (apt install postgresql)")
        return
    server = postgres.Postgres(folder / "postgres")
    folder.chmod(0o755)  # for the user postgres
    server.start()
    try:
        await measure("PostgreSQL", server.url(server.database()))
    finally:
        server.kill()


def main() -> None:
    outcomes: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:

        def begin() -> None:
            done = Deferred.fromCoroutine(measure_all(Path(folder)))
            done.addBoth(outcomes.append).addBoth(lambda _: reactor.stop())

        reactor.callLater(0, begin)
        reactor.run()
    if isinstance(outcomes[0], Failure):
        outcomes[0].raiseException()


if __name__ == "__main__":
    main()
