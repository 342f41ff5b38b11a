"""What every verb begins with: its common options, the configuration they name, and its Problems told to a person."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import click
from twisted.python.filepath import FilePath

from piped.app.reactors import known_reactor
from piped.catalog.catalog import Catalog
from piped.catalog.discovery import discover
from piped.config.environment import Unset, fill
from piped.config.gathering import gather
from piped.config.nodes import Node, shown
from piped.ground.errors import Problem
from piped.runtime import logs
from piped.runtime.assembly import Assembly, check

#: EX_CONFIG of sysexits.h: the configuration cannot run.
CANNOT_RUN = 78
LEVELS = ["debug", "info", "warning", "error", "critical"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The options that work on every verb, and the folder in which they were written."""

    overrides: tuple[str, ...] = ()
    rundir: str = "."
    logging_config: str | None = None
    log_level: str = "info"
    log_format: logs.Format = "text"
    reactor: str | None = None
    is_debugging: bool = False
    is_strict: bool = False
    written_in: str = field(default_factory=os.getcwd)


_OPTIONS = {
    "overrides": click.option(
        "-O",
        "--override",
        "overrides",
        multiple=True,
        metavar="PATH:VALUE",
        help="Replace one value, such as web.site.port:8081; may be repeated.",
    ),
    "rundir": click.option("-d", "--rundir", default=".", metavar="DIR", help="Change to this directory first."),
    "logging_config": click.option(
        "-l", "--logging-config", metavar="FILE", help="Log as this file for Python's logging.config says, in YAML."
    ),
    "log_level": click.option(
        "--log-level",
        default="info",
        metavar="LEVEL",
        type=click.Choice(LEVELS, case_sensitive=False),
        help="Log lines from this level on: debug, info, warning, error or critical.  [default: info]",
    ),
    "log_format": click.option(
        "--log-format",
        default="text",
        metavar="FORMAT",
        type=click.Choice(["text", "json"]),
        help="text, or json: an object a line.  [default: text]",
    ),
    "reactor": click.option(
        "-r",
        "--reactor",
        metavar="NAME",
        callback=known_reactor,
        help="Run on this reactor; 'piped run --help-reactors' lists them.",
    ),
    "is_debugging": click.option(
        "-D",
        "is_debugging",
        is_flag=True,
        help="Debug Deferreds: an unhandled failure tells where it was made; slower.",
    ),
    "is_strict": click.option("--strict", "is_strict", is_flag=True, help="Take warnings for mistakes."),
}


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the common options; it gets them as its first argument, `settings`."""

    @wraps(command)
    def verb(**arguments: Any) -> Any:
        common = {name: arguments.pop(name) for name in _OPTIONS}
        return command(Settings(**common), **arguments)

    for option in reversed(_OPTIONS.values()):
        verb = option(verb)
    return verb


def enter(settings: Settings) -> dict[str, Any] | None:
    """Change to the run directory; gives the logging configuration, if one is named. Exits when one is not possible."""
    try:
        os.chdir(settings.rundir)
    except OSError as error:
        raise click.UsageError(f"cannot change to the run directory {settings.rundir}: {error.strerror}") from error
    return None if settings.logging_config is None else _logging_configuration(settings.logging_config, settings)


def load(file: str, settings: Settings) -> Assembly:
    """Check the configuration in a file; exits with its Problems if it cannot run."""
    assembly = checked(file, settings)
    tell_or_refuse(assembly.problems, settings)
    return assembly


def checked(file: str, settings: Settings) -> Assembly:
    """Gather and check one file, whose folder and the run directory are searched for its modules."""
    path = located(file, settings)
    for folder in (os.getcwd(), os.path.dirname(os.path.abspath(path))):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    return check(gather(path, settings.overrides, environ=os.environ), os.environ)


def located(file: str, settings: Settings) -> str:
    """The path, from the run directory, of a file that is named as seen from where the command was written.

    One that is not there is meant as seen from the run directory.
    """
    written = os.path.join(settings.written_in, os.path.expandvars(os.path.expanduser(file)))
    return shown(written) if os.path.exists(written) else file


def catalog_of(conf: str | None, settings: Settings) -> Catalog:
    """Everything that exists; with what the bundles of a configuration hold, if one is named."""
    enter(settings)
    if conf is None:
        catalog, problems = discover(None, None, ())
        tell(problems, settings)
    else:
        catalog = load(conf, settings).catalog
    catalog.open_houses()
    return catalog


def mistakes(problems: Iterable[Problem], settings: Settings) -> list[Problem]:
    """Those that keep a configuration from running: all of them when strict, else what is no warning."""
    return [problem for problem in problems if settings.is_strict or not problem.is_warning]


def tell(problems: Iterable[Problem], settings: Settings) -> None:
    """Write Problems to the standard error, one a line: in colours on a terminal, or as JSON where the log is."""
    for problem in problems:
        text = str(problem)
        if settings.log_format == "json":
            _tell_as_json(logging.WARNING if problem.is_warning else logging.ERROR, text)
            continue
        place = f"{problem.where}: " if problem.where else ""
        colour = "yellow" if problem.is_warning else "red"
        click.echo(click.style(place, bold=True) + click.style(text[len(place) :], fg=colour), err=True)


def tell_or_refuse(problems: Sequence[Problem], settings: Settings) -> None:
    """Tell Problems; exits with 78 if some of them are mistakes."""
    tell(problems, settings)
    failing = mistakes(problems, settings)
    if not failing:
        return
    text = f"{counted(failing, 'problem')}: the configuration cannot run"
    if settings.log_format == "json":
        _tell_as_json(logging.CRITICAL, text)
    else:
        click.echo(text, err=True)
    sys.exit(CANNOT_RUN)


def _tell_as_json(level: int, text: str) -> None:
    told = {"name": "piped", "levelno": level, "levelname": logging.getLevelName(level), "msg": text}
    click.echo(logs.JSONFormatter().format(logging.makeLogRecord(told)), err=True)


def counted(things: Sized, name: str) -> str:
    """How many there are, with their name in the singular or plural."""
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def start_logging(settings: Settings, configuration: dict[str, Any] | None) -> None:
    """Log as the settings say; exits when the logging configuration cannot be used."""
    try:
        logs.start(level=settings.log_level, form=settings.log_format, configuration=configuration)
    except (ValueError, TypeError, AttributeError, ImportError) as error:  # what dictConfig raises
        # It raises the ValueError that tells which part is wrong from the error that tells how; or one error only.
        how = f": {error.__cause__}" if error.__cause__ and str(error.__cause__) != str(error) else ""
        problem = Problem(f"{settings.logging_config} cannot be used for logging: {error}{how}")
        tell_or_refuse([problem], settings)


def _logging_configuration(file: str, settings: Settings) -> dict[str, Any]:
    gathered = gather(located(file, settings), environ=os.environ)
    problems = list(gathered.problems)
    configuration: dict[str, Any] = {}
    try:
        configuration = gathered.root.plain(_plain_scalar)
    except Unset as error:
        problems.append(error.problem)
    tell_or_refuse(problems, settings)
    return configuration


def _plain_scalar(node: Node) -> Any:
    """A scalar of the logging configuration; logging knows files by their names only."""
    value = fill(node, os.environ)
    return value.path if isinstance(value, FilePath) else value
