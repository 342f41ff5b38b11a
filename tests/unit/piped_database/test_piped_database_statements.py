"""Tests of SQL as it is written, and of what is bound."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from piped import BatonPath, ConfigurationError, PipedError
from piped_database.statements import SQL, Binder, Parameters, problem_of


@pytest.mark.parametrize(
    "written",
    [
        "SELECT 1 WHERE id = %s",
        "SELECT 1 WHERE id = %(id)s",
        "SELECT 1 WHERE id = ?",
        "SELECT 1 WHERE id = $1",
        "INSERT INTO t VALUES (?, ?)",
        "SELECT 1 WHERE name = '{name}' AND id = {id}",
        "SELECT ':name'",
        "SELECT 1 -- :name",
        "SELECT :n::int",
        "SELECT :name::int",
        "  -- nothing",
        "",
    ],
)
def test_what_is_no_sql_of_ours(written: str) -> None:
    """Parameters in other manners, or in quotes, and no statement at all are refused when they are checked."""
    assert problem_of(SQL(written)) is not None


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("SELECT a::int, '12:30' FROM t WHERE id = :id OR id = :id AND b = :b", ("id", "b")),
        ("SELECT data ? 'key', data ?| array['a'] FROM t", ()),
        ("SELECT 'it''s %s', \"a ? b\", '{1,2}' /* ? */ -- %s", ()),
        ("SELECT '\\:name'", ()),
    ],
)
def test_names_of_parameters(written: str, names: tuple[str, ...]) -> None:
    """Casts, operators, quotes and comments are no parameters."""
    sql = SQL(written)
    assert (sql.names, problem_of(sql)) == (names, None)


def test_where_values_come_from() -> None:
    """From a mapping with paths, from the path of a mapping, or from the baton under their own names."""
    sql = SQL("SELECT :a, :b")
    baton = {"a": 1, "b": 2, "x": {"a": 3, "b": None}}
    assert Parameters([sql], {"a": BatonPath("x.a"), "b": "x.a"}).of(baton, sql) == {"a": 3, "b": "x.a"}
    assert Parameters([sql], BatonPath("x")).of(baton, sql) == {"a": 3, "b": None}
    assert Parameters([sql], None).of(baton, sql) == {"a": 1, "b": 2}


def test_values_that_are_missing() -> None:
    """A name that has no value is told when it is checked, or with the path that has nothing."""
    sql = SQL("SELECT :name")
    with pytest.raises(ConfigurationError, match="the parameter :name has no value"):
        Parameters([sql], {})
    with pytest.raises(ConfigurationError, match="no parameter of the SQL is called 'nam'"):
        Parameters([sql], {"name": 1, "nam": 2})
    with pytest.raises(PipedError, match=r"nothing at 'x\.name'"):
        Parameters([sql], BatonPath("x")).of({"x": {}}, sql)
    with pytest.raises(PipedError, match="must be a mapping, and there is list"):
        Parameters([sql], BatonPath("x")).of({"x": []}, sql)
    with pytest.raises(PipedError, match="nothing at 'name'"):
        Parameters([sql], None).of({}, sql)


def test_values_that_a_database_has_no_type_for() -> None:
    """SQLite keeps them as text, PostgreSQL gets mappings as JSON; what can be bound is left as it is."""
    values = {
        "a": datetime(2026, 1, 2, 3, 4),
        "b": date(2026, 1, 2),
        "c": Decimal("1.10"),
        "d": UUID(int=1),
        "e": {"å": 1},
        "f": [1],
        "g": b"x",
        "h": None,
    }
    assert Binder("sqlite").values(values) == {
        "a": "2026-01-02 03:04:00",
        "b": "2026-01-02",
        "c": "1.10",
        "d": "00000000-0000-0000-0000-000000000001",
        "e": '{"å": 1}',
        "f": "[1]",
        "g": b"x",
        "h": None,
    }
    assert Binder("postgresql").values(values) == {**values, "e": '{"å": 1}'}
    plain = {"a": 1}
    assert Binder("sqlite").values(plain) is plain
