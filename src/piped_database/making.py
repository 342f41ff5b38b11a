"""Engines of SQLAlchemy as their settings say, with what every engine of Piped is given."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from piped import DottedName, load_name, told

_log = logging.getLogger("piped.database")
#: Options of create_engine that are Python objects: written as their full names.
_OBJECTS: Final = ("poolclass", "json_serializer", "json_deserializer", "creator", "async_creator")
#: The execution option of a connection whose transaction is going to write.
WRITES: Final = "piped_writes"
#: How many connections a pool without a bound of its own is given.
_MOST: Final = 15
#: Seconds that SQLite waits for a lock of another connection, unless the URL says `timeout`.
_BUSY: Final = 5


def make_engine(settings: Mapping[str, Any]) -> Engine | AsyncEngine:
    """An engine that has not connected yet; asynchronous where the dialect is that only.

    Values of parameters are neither logged nor shown in errors, unless `hide_parameters: false` is written.

    Raises:
        ArgumentError, NoSuchModuleError, ModuleNotFoundError, ImportError, TypeError: there can be none.
    """
    options = {"hide_parameters": True, **settings}
    url = make_url(options.pop("url"))
    for name in _OBJECTS:
        if isinstance(options.get(name), str):
            options[name] = load_name(options[name])
    is_async = url.get_dialect().is_async
    if _is_in_memory(url):
        # One connection for all: each would be a database of its own.
        options.setdefault("poolclass", StaticPool)
        options["connect_args"] = {"check_same_thread": False, **options.get("connect_args", {})}
    engine = (create_async_engine if is_async else create_engine)(url, **options)
    if url.get_backend_name() == "sqlite":
        _prepare_sqlite(sync_engine_of(engine))
    return engine


def sync_engine_of(engine: Engine | AsyncEngine) -> Engine:
    """The engine that events are told of."""
    return engine.sync_engine if isinstance(engine, AsyncEngine) else engine


def most_connections(engine: Engine | AsyncEngine) -> int:
    """How many connections the pool of an engine gives out at most."""
    pool = sync_engine_of(engine).pool
    if isinstance(pool, QueuePool):
        # Both are private; of the public ones only size() does not change with what is in use.
        overflow = pool._max_overflow
        return _MOST if overflow < 0 or not pool.size() else pool.size() + overflow
    return _MOST if isinstance(pool, NullPool) else 1


def listen_to_events(engine: Engine | AsyncEngine, events: Mapping[str, Sequence[DottedName]]) -> None:
    """Call the functions of those names with the events.

    Raises:
        InvalidRequestError: there is no such event.
        ImportError: there is no such function.
    """
    for name, handlers in events.items():
        for handler in handlers:
            event.listen(sync_engine_of(engine), name, handler.load())


def run_around(engine: Engine | AsyncEngine, name: str, checkout: Sequence[str], checkin: Sequence[str]) -> None:
    """Run SQL on each connection that leaves the pool, and on each that comes back.

    What fails at the way out is told to who wanted the connection. At the way back nobody is there to hear it: it is
    logged, and the connection closed.
    """

    def on_checkout(connection: Any, record: Any, proxy: Any) -> None:
        _run(connection, checkout)

    def on_checkin(connection: Any, record: Any) -> None:
        if connection is None:  # it was lost
            return
        try:
            _run(connection, checkin)
        except Exception as error:  # each driver has its own
            _log.error("database.engine.%s: checkin failed, the connection is closed: %s", name, told(error))
            record.invalidate(error)

    if checkout:
        event.listen(sync_engine_of(engine), "checkout", on_checkout)
    if checkin:
        event.listen(sync_engine_of(engine), "checkin", on_checkin)


def _run(connection: Any, statements: Sequence[str]) -> None:
    cursor = connection.cursor()
    try:
        for statement in statements:
            cursor.execute(statement)
    finally:
        cursor.close()
    connection.commit()  # else a rollback would take back what was set here


def _is_in_memory(url: URL) -> bool:
    if url.get_backend_name() != "sqlite":
        return False
    return url.database in (None, "", ":memory:") or "mode=memory" in str(url)


def _prepare_sqlite(engine: Engine) -> None:
    """Let SQLite keep what is promised of a database: foreign keys, transactions, readers beside a writer."""

    def on_connect(connection: Any, record: Any) -> None:
        # The driver begins no transactions by itself, else DDL and savepoints would not be a part of them.
        connection.isolation_level = None
        cursor = connection.cursor()
        try:
            cursor.execute("PRAGMA foreign_keys=ON")
            if "timeout" not in engine.url.query:
                cursor.execute(f"PRAGMA busy_timeout={_BUSY * 1000}")
            if not _is_in_memory(engine.url) and "mode=ro" not in str(engine.url):
                cursor.execute("PRAGMA journal_mode=WAL")
        finally:
            cursor.close()

    def on_begin(connection: Any) -> None:
        # One that will write takes the lock first: one that has read before it writes may be refused at once.
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
