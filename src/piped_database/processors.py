"""Steps that run SQL: what changes a database, what reads it, and what puts rows in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from sqlalchemy import Insert, column, insert, table
from sqlalchemy.exc import DBAPIError

from piped import (
    BatonPath,
    ConfigurationError,
    Count,
    OrPath,
    Path,
    PipedError,
    PipelineName,
    Processor,
    ProcessorPath,
    RuntimeEnvironment,
    Seconds,
    get_path,
)
from piped.pipelines.names import absolute
from piped_database.access import Access
from piped_database.callee import Callee
from piped_database.options import EngineName
from piped_database.reading import Reading, Row, rows_of
from piped_database.statements import SQL, Binder, Parameters

_MISSING: Final = object()
#: So many statements for different columns are kept by a step; the columns may come from outside.
_MOST_STATEMENTS: Final = 100


class OnEngine(Processor):
    """A step that uses an engine, and is ready while that is.

    Args:
        engine: the name of the engine in the section `database.engines`.
        timeout: how long it may take on a connection, if not as long as the engine says; 0 for any time.
    """

    def __init__(self, engine: EngineName, timeout: Seconds | None = None, node_name: str | None = None) -> None:
        super().__init__(node_name)
        self._engine, self.timeout = engine, timeout

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._access = runtime_environment.dependency_manager.add_dependency(self, self._engine)

    @property
    def access(self) -> Access:
        """The engine as steps use it.

        Raises:
            NotReadyError: the database does not answer.
        """
        access: Access = self._access.get_resource()
        return access

    def binder(self, access: Access) -> Binder:
        return Binder(access.dialect)

    async def run(self, work: Any, *, writes: bool = False) -> Any:
        """What `work(connection)` gives, in the transaction that the step is in, or in one of its own."""
        try:
            return await self.access.run(work, timeout=self.timeout, writes=writes)
        except DBAPIError as error:
            error.add_note(f"in database.engine.{self._engine}")
            raise


class ExecuteSQL(OnEngine):
    """Run SQL that changes something: in the `transaction` that it is in, else in one of its own.

    Values come in as `:name` and are always bound, never written into the SQL. Left out, `parameters` are what the
    baton has under these names.

    Args:
        sql: a statement; or a list of them, which are run together in one transaction.
        parameters: the values by their names: each one as it is written, or a `!path`; or a `!path` of a mapping.
        output_path: where to put how many rows were changed, of the last statement; null discards it.

    Example:
        - execute-sql:
            engine: main
            sql: UPDATE users SET name = :name WHERE id = :id
            parameters: {name: Ada, id: !path user.id}
            output_path: changed
    """

    name = "execute-sql"

    def __init__(
        self,
        engine: EngineName,
        sql: SQL | list[SQL],
        parameters: OrPath[dict[str, Any]] | None = None,
        output_path: Path | None = None,
        **on_engine: Any,
    ) -> None:
        super().__init__(engine, **on_engine)
        self._statements = sql if isinstance(sql, list) else [sql]
        if not self._statements:
            raise ConfigurationError("an empty list of statements does nothing", hint="write one")
        self._parameters, self.output_path = Parameters(self._statements, parameters), output_path

    async def process(self, baton: Any) -> Any:
        binder = self.binder(self.access)
        bound = [(sql.clause, binder.values(self._parameters.of(baton, sql))) for sql in self._statements]

        def work(connection: Any) -> int:
            for clause, values in bound:
                result = connection.execute(clause, values)
            return int(result.rowcount)

        changed = await self.run(work, writes=len(bound) > 1)
        return self.get_resulting_baton(baton, self.output_path, changed)


class FetchRows(OnEngine):
    """Run SQL that gives rows, such as SELECT, or INSERT … RETURNING, and put them into the baton.

    A row is a mapping of the names of its columns. With a `pipeline` the rows do not come into the baton: they are read
    while that works on them, so that any number of them needs little memory. It gets batons with a list of `rows`, and
    `batch`, which counts from 0; they come one after another, and the steps in it are in the same transaction. The
    output is the number of rows then.

    Args:
        sql: a statement, with its parameters as `:name`.
        parameters: the values by their names: each one as it is written, or a `!path`; or a `!path` of a mapping. Left
            out, they are what the baton has under these names.
        output_path: where to put what is fetched; '' makes it the baton, null discards it.
        fetch: `all` is a list of rows; `one` is a row, or null where there is none; `value` is the only column of
            that. Of `one` and `value`, a second row is a failure.
        max_rows: more rows than that are a failure, unless a pipeline takes them.
        pipeline: the name of a pipeline that takes the rows; `.sibling` is relative to this one.
        batch_size: how many rows it gets at a time.

    Example:
        - fetch-rows:
            engine: main
            sql: SELECT id, name FROM users WHERE name = :name
            parameters: {name: Ada}
            output_path: users
    """

    name = "fetch-rows"

    def __init__(
        self,
        engine: EngineName,
        sql: SQL,
        parameters: OrPath[dict[str, Any]] | None = None,
        output_path: Path | None = "rows",
        fetch: Literal["all", "one", "value"] = "all",
        max_rows: Count = 100_000,
        pipeline: PipelineName | None = None,
        batch_size: Count = 1000,
        **on_engine: Any,
    ) -> None:
        super().__init__(engine, **on_engine)
        if pipeline is not None and fetch != "all":
            raise ConfigurationError(f"a pipeline takes all rows, and not {fetch}", hint="remove `fetch`")
        self._sql, self._parameters = sql, Parameters([sql], parameters)
        self.output_path, self._fetch, self._max_rows = output_path, fetch, max_rows
        self._pipeline, self._batch_size = pipeline, batch_size

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        super().configure(runtime_environment)
        if self._pipeline is not None:
            path = f"pipeline.{absolute(self._pipeline, self.pipeline_name)}"
            target = ProcessorPath(path, getattr(self._pipeline, "where", None))
            self._callee = Callee(runtime_environment.add_processor(self, target))

    async def process(self, baton: Any) -> Any:
        values = self.binder(self.access).values(self._parameters.of(baton, self._sql))
        if self._pipeline is not None:
            fetched: Any = await self._stream(values)
        else:
            most = self._max_rows if self._fetch == "all" else 1
            rows = await self.run(lambda connection: rows_of(connection, self._sql.clause, values, most))
            fetched = rows if self._fetch == "all" else self._only(rows)
        return self.get_resulting_baton(baton, self.output_path, fetched)

    def _only(self, rows: list[Row]) -> Any:
        row = rows[0] if rows else None
        if row is None or self._fetch == "one":
            return row
        if len(row) != 1:
            raise PipedError(f"fetch: value needs one column, and there are {len(row)}", hint="write fetch: one")
        return next(iter(row.values()))

    async def _stream(self, values: Mapping[str, Any]) -> int:
        """Give all rows to the pipeline; how many there were."""
        access, count = self.access, 0
        transaction = await access.begin(writes=False)
        try:
            reading = Reading(self._sql.clause, values, self._batch_size)
            batch = 0
            while rows := await transaction.run(reading.next, timeout=self.timeout):
                await self._callee.run_in(transaction, {"rows": rows, "batch": batch})
                count, batch = count + len(rows), batch + 1
            await transaction.run(reading.close)
        except BaseException as error:
            if isinstance(error, DBAPIError):
                error.add_note(f"in {access.called}")
            await transaction.rollback()
            raise
        await transaction.commit()
        return count


class InsertRows(OnEngine):
    """Put rows into a table, many at a time: in the `transaction` that it is in, else all of them or none.

    Names of tables and columns are quoted where that is needed.

    Args:
        table: the name of the table.
        schema: the schema it is in, if not that of the connection.
        rows: a list of rows, each of them a mapping of the names of its columns; or one row.
        columns: which of their members are columns; what a row has besides is left out, and what it has not is null.
            Left out, all rows must have the same members as the first one.
        batch_size: how many rows are sent at a time.
        output_path: where to put how many rows there were; null discards it.

    Example:
        - insert-rows:
            engine: main
            table: users
            rows: [{id: 1, name: Ada}, {id: 2, name: Bob}]
    """

    name = "insert-rows"

    def __init__(
        self,
        engine: EngineName,
        table: str,
        rows: OrPath[list[Any] | dict[str, Any]] = BatonPath("rows"),  # noqa: B008 - a text, which nobody changes
        schema: str | None = None,
        columns: list[str] | None = None,
        batch_size: Count = 1000,
        output_path: Path | None = None,
        **on_engine: Any,
    ) -> None:
        super().__init__(engine, **on_engine)
        if columns is not None and (not columns or len(set(columns)) < len(columns)):
            raise ConfigurationError("columns must be different names, at least one", hint="or leave it out")
        self._table, self._schema, self._rows, self._columns = table, schema, rows, columns
        self._batch_size, self.output_path = batch_size, output_path
        #: By the columns.
        self._statements: dict[tuple[str, ...], Insert] = {}

    async def process(self, baton: Any) -> Any:
        rows = self._listed(baton)
        if rows:
            statement, bound = self._bound(rows)
            size = self._batch_size

            def work(connection: Any) -> None:
                for start in range(0, len(bound), size):
                    connection.execute(statement, bound[start : start + size])

            await self.run(work)
        return self.get_resulting_baton(baton, self.output_path, len(rows))

    def _listed(self, baton: Any) -> list[Any]:
        rows = self._rows
        if isinstance(rows, BatonPath):
            rows = get_path(baton, rows, _MISSING)
            if rows is _MISSING:
                raise PipedError(f"the baton has nothing at {str(self._rows)!r} to insert")
        if isinstance(rows, Mapping):
            return [rows]
        if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
            raise PipedError(f"rows must be a list of mappings, not {type(rows).__name__}")
        return rows if isinstance(rows, list) else list(rows)

    def _bound(self, rows: list[Any]) -> tuple[Insert, list[dict[str, Any]]]:
        """The statement for rows, and the rows as they are bound."""
        binder, names = self.binder(self.access), self._columns
        first = rows[0].keys() if isinstance(rows[0], Mapping) else ()
        if names is None and all(type(row) is dict and row.keys() == first and binder.fits(row) for row in rows):
            return self._statement(tuple(map(str, first))), list(rows)  # nearly always, and in half the time
        bound = []
        for number, row in enumerate(rows):
            if type(row) is not dict and not isinstance(row, Mapping):  # the latter is slow
                raise PipedError(f"row {number} must be a mapping, not {type(row).__name__}")
            if names is not None:
                row = {name: row.get(name) for name in names}
            elif row.keys() != first:
                differing = min(map(str, row.keys() ^ first))
                what = f"row {number} and the first one differ in {differing!r}"
                raise PipedError(what, hint="give all rows the same columns, or write `columns`")
            bound.append(binder.values(row))
        return self._statement(tuple(names or map(str, first))), bound

    def _statement(self, names: tuple[str, ...]) -> Insert:
        if not names:
            raise PipedError("a row without columns cannot be inserted")
        statement = self._statements.get(names)
        if statement is None:
            statement = insert(table(self._table, *map(column, names), schema=self._schema))
            if len(self._statements) < _MOST_STATEMENTS:
                self._statements[names] = statement
        return statement
