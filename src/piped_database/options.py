"""What may be written in the sections `database.engines`, `database.listeners` and `database.leaders`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt
from sqlalchemy import Engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InvalidRequestError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine

from piped import ConfigurationError, Count, DottedName, Problem, ProcessorPath, ResourcePath, Seconds, did_you_mean
from piped.config.nodes import Node
from piped.ground.units import Located, Unit
from piped_database.making import listen_to_events, make_engine
from piped_database.wire import quoted

if TYPE_CHECKING:
    from piped.spec.checking import Checker

Interval = Annotated[float, Unit("s"), Gt(0)]
#: What to install for the drivers that most people use.
_INSTALLED_BY: Mapping[str, str] = {
    "MySQLdb": "mysqlclient",
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "cx_Oracle": "cx_Oracle",
}
#: The options of create_engine that most people write; there are more. Numbers among them are looked at here, as
#: SQLAlchemy takes whatever stands there, and fails much later.
_NUMBERS = ("max_overflow", "pool_recycle", "pool_size", "pool_timeout", "query_cache_size")
_OPTIONS = (
    *_NUMBERS,
    "connect_args",
    "creator",
    "echo",
    "echo_pool",
    "execution_options",
    "hide_parameters",
    "insertmanyvalues_page_size",
    "isolation_level",
    "json_deserializer",
    "json_serializer",
    "pool_pre_ping",
    "pool_reset_on_return",
    "pool_use_lifo",
    "poolclass",
)
#: The events of SQLAlchemy that most people want; there are more.
_EVENTS = ("begin", "checkin", "checkout", "commit", "connect", "first_connect", "handle_error", "rollback")


class EngineName(ResourcePath):
    """The name of an engine of the section `database.engines`."""

    prefix = "database.access."


class ListenerName(ResourcePath):
    """The name of an engine that speaks to PostgreSQL."""

    prefix = "database.listener."


class ChannelName(Located):
    """The name of a channel of PostgreSQL, exactly as NOTIFY says it."""


class EngineSettings(dict[str, Any]):
    """The URL of a database, and any option of SQLAlchemy's `create_engine`."""

    __shape__ = {"url": str, ...: Any}

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> EngineSettings | None:
        written = checker.value(dict[str, Any], node, owner="the engine")
        if written is None:
            return None
        settings, where = cls(written), node.at("url")
        if where is None or not isinstance(settings["url"], str):
            fix = "add it, such as url: sqlite:///data.db or url: postgresql+psycopg://user@host/name"
            place = node.named_at if where is None else where.where
            checker.problems.append(Problem("the engine needs the option 'url', a text", place, fix))
            return None
        for name in ["url", *(name for name in settings if name != "url")]:
            one = {"url": settings["url"], name: settings[name]}
            problem = _problem_of(one) if name == "url" else _problem_with(name, one)
            if problem is not None:
                member = node.at((name,)) or where
                checker.problems.append(Problem(problem[0], member.where, problem[1]))
                return None
        if (problem := _problem_with(None, settings)) is not None:
            checker.problems.append(Problem(problem[0], node.named_at, problem[1]))
            return None
        return settings

    @property
    def parsed(self) -> URL:
        return make_url(self["url"])

    @property
    def is_postgresql(self) -> bool:
        return self.parsed.get_backend_name() == "postgresql"

    def make(self) -> Engine | AsyncEngine:
        """The engine, which has not connected yet."""
        return make_engine(self)


def _problem_of(settings: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why there can be no engine with these settings, and what to do about it; never with the URL, which is secret."""
    try:
        make_url(settings["url"])
    except ValueError:  # it has what stands there, which may be a part of the password
        fix = "write it as kind+driver://user:password@host:port/name"
        return "the engine cannot be made: the port in its URL is no number", fix
    except ArgumentError:
        pass  # told below
    try:
        make_engine(settings)
    except NoSuchModuleError:
        url = make_url(settings["url"])
        known = ["sqlite", "sqlite+aiosqlite", "postgresql+psycopg", "postgresql+psycopg_async", "postgresql+asyncpg"]
        advice = did_you_mean(url.drivername, known) or f"such as {', '.join(known)}"
        return f"SQLAlchemy knows no databases of the kind {url.drivername!r}", advice
    except ModuleNotFoundError as error:
        needed = error.name or str(error)
        fix = f"pip install '{_INSTALLED_BY.get(needed, needed)}', or name another driver in the URL"
        if settings.get("url", "").startswith("postgresql+psycopg2"):
            fix += ": postgresql+psycopg:// needs what piped[database] brings"
        return f"the driver {needed!r} is not installed", fix
    except ArgumentError as error:
        return f"the engine cannot be made: {_first_line(error)}", "write it as kind+driver://user:password@host/name"
    except Exception as error:  # each driver has its own
        return f"the engine cannot be made: {_first_line(error)}", "these are options of sqlalchemy.create_engine"
    return None


def _problem_with(name: str | None, settings: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why an option does not suit an engine whose URL does; None is all of them together."""
    written = settings.get(name) if name is not None else None
    if name in _NUMBERS and (isinstance(written, bool) or not isinstance(written, int | float)):
        return f"{name} must be a number, not {written!r}", "it is an option of sqlalchemy.create_engine"
    try:
        make_engine(settings)
    except Exception as error:  # each option has its own
        advice = "these are options of sqlalchemy.create_engine"
        if name is not None and name not in _OPTIONS and "Invalid argument" in str(error):
            advice = did_you_mean(name, _OPTIONS) or advice
        within = "" if name is None else f" with {name}"
        return f"the engine cannot be made{within}: {_first_line(error)}", advice
    return None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(", using configuration")[0]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """One database.

    Args:
        engine: the `url`, and any option of SQLAlchemy's `create_engine`, such as `pool_size` or `echo`.
        checkout: SQL that is run each time a connection is taken out of the pool.
        checkin: SQL that is run each time a connection is put back. If it fails the connection is closed.
        events: functions to be called with SQLAlchemy's events of an engine or its pool: lists of names by event.
        timeout: how long a step may take on a connection, unless it says otherwise; 0 for any time.
        max_waiting: how many steps may wait for a connection at a time; those above fail at once. How long they may
            wait is `engine.pool_timeout`.
        ping_interval: from one look whether the database still answers to the next.
        ping_timeout: how long it may take to answer.
        retry_interval: the longest wait between two attempts to reach it, or to get a lock; the first are shorter.
        txid_poll_interval: taken and not used, as in Piped 0.7.
    """

    engine: EngineSettings
    checkout: list[str] = field(default_factory=list)
    checkin: list[str] = field(default_factory=list)
    events: dict[str, list[DottedName]] = field(default_factory=dict)
    timeout: Seconds = 60
    max_waiting: Count = 1000
    ping_interval: Interval = 10
    ping_timeout: Interval = 5
    retry_interval: Interval = 5
    txid_poll_interval: Seconds = 0.1

    def __post_init__(self) -> None:
        for name, handlers in self.events.items():
            try:
                listen_to_events(self.engine.make(), {name: handlers})
            except InvalidRequestError as error:
                hint = did_you_mean(name, _EVENTS) or "SQLAlchemy's documentation has the events of engines and pools"
                raise ConfigurationError(f"an engine has no event {name!r}", hint=hint) from error


@dataclass(frozen=True, kw_only=True)
class ListenerOptions:
    """What is told to one pipeline.

    Args:
        engine: the name of an engine that speaks to PostgreSQL.
        channels: the channels to listen to.
        processor: what gets the notifications.
        json: payloads are JSON, and come as what that stands for. One that is none is logged, and left out.
        on_connect: what gets a baton each time the listening has begun, also after the connection was lost: what was
            notified before that is not told any more, so that this is the place to catch up.
        max_running: how many notifications are processed at a time. With 1 they keep their order.
        max_waiting: how many may wait for that, before no more are read from the server.
    """

    engine: ListenerName
    channels: list[ChannelName]
    processor: ProcessorPath
    json: bool = False
    on_connect: ProcessorPath | None = None
    max_running: Count = 1
    max_waiting: Count = 1000

    def __post_init__(self) -> None:
        if not self.channels:
            raise ConfigurationError("a listener without channels hears nothing", hint="add channels: [name]")
        for channel in self.channels:
            try:
                quoted(channel)
            except ValueError as error:
                raise ConfigurationError(problems=[Problem(str(error), channel.where)]) from error


@dataclass(frozen=True, kw_only=True)
class LeaderOptions:
    """One office that only one process holds at a time.

    Args:
        engine: the name of an engine that speaks to PostgreSQL.
        lock: the name of the advisory lock that whoever leads holds; by default the name of the leader.
    """

    engine: ListenerName
    lock: str | None = None
