"""Rows as mappings, all at once or in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, TextClause
from sqlalchemy.util import await_only

from piped import PipedError

Row = dict[str, Any]
#: So many rows are made mappings of at a time: SQLAlchemy's own are not all there together with these.
_AT_A_TIME: Final = 1000


def rows_of(connection: Connection, clause: TextClause, values: Mapping[str, Any], most: int) -> list[Row]:
    """All rows of a result.

    Raises:
        PipedError: there are more than `most`; two columns have the same name; or nothing gives rows there.
    """
    result = connection.execute(clause, values)
    names = _names(result)
    rows: list[Row] = []
    while found := result.fetchmany(min(_AT_A_TIME, most + 1 - len(rows))):
        rows += _as_mappings(names, found)
        if connection.dialect.is_async:
            await_only(asyncio.sleep(0))  # this runs in the reactor's thread, which has others to serve
        if len(rows) > most:
            hint = "add LIMIT 1, or write fetch: all" if most == 1 else "give them to a `pipeline`, or raise max_rows"
            raise PipedError(f"there are more than {most} rows", hint=hint)
    result.close()
    return rows


class Reading:
    """A result that is read in batches; the database keeps what was not read yet."""

    def __init__(self, clause: TextClause, values: Mapping[str, Any], size: int) -> None:
        self._clause, self._values, self._size = clause, values, size
        self._result: CursorResult[Any] | None = None

    def next(self, connection: Connection) -> list[Row]:
        """The next rows; none at the end."""
        if self._result is None:
            options = {"stream_results": True, "max_row_buffer": self._size}
            self._result = connection.execute(self._clause, self._values, execution_options=options)
            self._names = _names(self._result)
        return _as_mappings(self._names, self._result.fetchmany(self._size))

    def close(self, connection: Connection) -> None:
        if self._result is not None:
            self._result.close()


def _names(result: CursorResult[Any]) -> tuple[str, ...]:
    if not result.returns_rows:
        raise PipedError("this SQL gives no rows", hint="execute-sql runs what gives none")
    names = tuple(result.keys())
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise PipedError(f"two columns are called {twice!r}", hint=f"name one of them: {twice} AS …")
    return names


def _as_mappings(names: tuple[str, ...], rows: Any) -> list[Row]:
    return [dict(zip(names, row)) for row in rows]  # noqa: B905 - as long as the names; strict costs a tenth
