"""SQL as it is written in a configuration: checked, with its parameters by name, which are always bound."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import TextClause, text

from piped import BatonPath, ConfigurationError, Mark, PipedError, did_you_mean, get_path
from piped.config.nodes import Node

if TYPE_CHECKING:
    from piped.spec.checking import Checker

#: What is no SQL of its own: texts, quoted names and comments.
_QUOTED: Final = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$", re.DOTALL)
_NAME: Final = re.compile(r"(?<![:\w\\]):(\w+)(?![:\w])")
#: SQLAlchemy takes these for no parameters.
_CAST: Final = re.compile(r"(?<![:\w\\]):(\w+)::")
#: Parameters in the manners of drivers, and of Python's own formatting.
_POSITIONAL: Final = re.compile(
    r"%s|%\(\w+\)s|(?<!\w)\$\d+|\{\w*\}"
    r"|(?:[=(,<>]|\b(?:limit|offset|like|ilike|and|or|between|values|set)\b)\s*\?(?![|&?])",
    re.IGNORECASE,
)
_MISSING: Final = object()
Values = Mapping[str, Any]


class SQL(str):
    """A statement of SQL, with its parameters as `:name`; it is the same for every baton."""

    __shape__ = str
    where: Mark | None
    #: The names of its parameters.
    names: tuple[str, ...]
    clause: TextClause

    def __new__(cls, written: str, where: Mark | None = None) -> SQL:
        made = super().__new__(cls, written)
        made.where = where
        made.names = tuple(dict.fromkeys(_NAME.findall(bare(written))))
        made.clause = text(written)
        return made

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> SQL | None:
        if isinstance(node.value, BatonPath):
            fix = "write it here, with :name for what comes from the baton"
            return checker.refuse("SQL", "a text of the configuration", node, fix) and None
        written = checker.value(str, node, owner="SQL")
        if written is None:
            return None
        made = cls(written, node.where)
        if problem := problem_of(made):
            checker.refuse("SQL", problem[0], node, problem[1])
            return None
        return made


def bare(sql: str) -> str:
    """SQL without texts, quoted names and comments.

    Example:
        >>> bare("SELECT ':a' -- :b")
        "SELECT '' "
    """
    return _QUOTED.sub(lambda found: "''" if found[0][0] in "'\"$" else "", sql)


def problem_of(sql: SQL) -> tuple[str, str] | None:
    """What a statement must be that it is not, and what to do about it."""
    without = bare(sql)
    if not without.strip(" \t\r\n;"):
        return "a statement", "write one, such as SELECT name FROM users WHERE id = :id"
    if found := _POSITIONAL.search(without):
        return f"SQL with its parameters by name, and not {found[0].strip(' =(,<>')!r}", "write :name, and no quotes"
    if found := _CAST.search(without):
        return f"SQL without '::' after :{found[1]}", f"write CAST(:{found[1]} AS type)"
    if quoted := [name for name in sql.clause._bindparams if name not in sql.names]:
        fix = f"a parameter needs no quotes; a colon that is none is written \\:{quoted[0]}"
        return f"SQL whose parameters stand outside of quotes and comments, and not :{quoted[0]} in them", fix
    return None


class Parameters:
    """The values of a statement's parameters, as an option says where they come from.

    Args:
        written: a mapping of names to values, or paths to them; a path to such a mapping; or None: each is in the baton
            under its own name.

    Raises:
        ConfigurationError: they are not those of the statements.
    """

    def __init__(self, statements: list[SQL], written: BatonPath | Mapping[str, Any] | None) -> None:
        self._written = written
        if isinstance(written, Mapping):
            known = {name for sql in statements for name in sql.names}
            if missing := [name for name in known if name not in written]:
                raise ConfigurationError(f"the parameter :{min(missing)} has no value", hint="add it to `parameters`")
            if unknown := [name for name in written if name not in known]:
                what = f"no parameter of the SQL is called {unknown[0]!r}"
                raise ConfigurationError(what, hint=did_you_mean(unknown[0], known))

    def of(self, baton: Any, sql: SQL) -> dict[str, Any]:
        """What is bound for a baton.

        Raises:
            PipedError: the baton lacks something.
        """
        written = self._written
        if isinstance(written, BatonPath):
            source = get_path(baton, written, _MISSING)
            if not isinstance(source, Mapping):
                what = "nothing" if source is _MISSING else type(source).__name__
                raise PipedError(f"the parameters at {str(written)!r} must be a mapping, and there is {what}")
            return {name: _found(source, (name,), f"{written}.{name}") for name in sql.names}
        if written is None:
            return {name: _found(baton, (name,), name) for name in sql.names}
        return {name: _value(baton, written[name]) for name in sql.names}


def _value(baton: Any, option: Any) -> Any:
    return _found(baton, option, option) if isinstance(option, BatonPath) else option


def _found(source: Any, path: Any, told: str) -> Any:
    value = get_path(source, path, _MISSING)
    if value is _MISSING:
        raise PipedError(f"the baton has nothing at {str(told)!r} for a parameter")
    return value


def as_json(value: Any) -> str:
    """A mapping, or a list, as JSON text."""
    return json.dumps(value, ensure_ascii=False, default=str)


#: What SQLite has no type for, as the text that it keeps.
_TEXT: Final[Mapping[type, Callable[[Any], Any]]] = {
    datetime: lambda value: value.isoformat(" "),
    date: date.isoformat,
    time: time.isoformat,
    Decimal: str,
    UUID: str,
    dict: as_json,
    list: as_json,
    tuple: as_json,
}
#: What drivers of other databases do not take.
_JSON: Final[Mapping[type, Callable[[Any], Any]]] = {dict: as_json}


class Binder:
    """Makes values what the driver of a database takes.

    Args:
        dialect: the name of the kind of database, such as "sqlite".
    """

    def __init__(self, dialect: str) -> None:
        self._made = _TEXT if dialect == "sqlite" else _JSON
        self._special = frozenset(self._made)

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Whether all of it can be bound as it is."""
        return self._special.isdisjoint(map(type, values.values()))

    def values(self, values: dict[str, Any]) -> dict[str, Any]:
        """The same mapping if all of it can be bound as it is, else another one."""
        if self.fits(values):
            return values
        made = self._made
        return {name: made[type(value)](value) if type(value) in made else value for name, value in values.items()}
