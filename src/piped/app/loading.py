"""What every verb begins with: its common options, the configuration they name, and its Problems told to a person."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Any, NoReturn

import click

from piped.catalog.catalog import Catalog
from piped.catalog.discovery import discover
from piped.config.document import Document
from piped.config.gathering import gather
from piped.ground.errors import Problem
from piped.runtime import logs
from piped.runtime.assembly import Assembly, check

#: EX_CONFIG of sysexits.h: the configuration cannot run.
CANNOT_RUN = 78


@dataclass(frozen=True, slots=True)
class Settings:
    """The options that work on every verb."""

    overrides: tuple[str, ...] = ()
    rundir: str = "."
    logging_config: str | None = None
    log_level: str = "info"
    log_format: logs.Format = "text"
    reactor: str | None = None
    is_debugging: bool = False
    is_strict: bool = False


_OPTIONS = (
    click.option("-O", "--override", "overrides", multiple=True, metavar="PATH:VALUE", help="Replace one value."),
    click.option("-d", "--rundir", default=".", metavar="DIR", help="Change to this directory first."),
    click.option("-l", "--logging-config", metavar="FILE", help="A file for Python's logging.config, in YAML."),
    click.option(
        "--log-level",
        default="info",
        type=click.Choice(["debug", "info", "warning", "error", "critical"], case_sensitive=False),
        help="Show lines from this level on.  [default: info]",
    ),
    click.option("--log-format", default="text", type=click.Choice(["text", "json"]), help="[default: text]"),
    click.option("-r", "--reactor", metavar="NAME", help="See --help-reactors of 'run'."),
    click.option("-D", "is_debugging", is_flag=True, help="Keep the frames of failures: slower, better tracebacks."),
    click.option("--strict", "is_strict", is_flag=True, help="Take warnings for mistakes."),
)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the common options; it gets them as its first argument, `settings`."""

    @wraps(command)
    def verb(**arguments: Any) -> Any:
        common = {name: arguments.pop(name) for name in Settings.__dataclass_fields__}
        return command(Settings(**common), **arguments)

    for option in reversed(_OPTIONS):
        verb = option(verb)
    return verb


def load(file: str, settings: Settings) -> Assembly:
    """Check the configuration in a file; exits with its Problems if it cannot run."""
    (path,) = located([file], settings)
    enter(settings)
    assembly = checked(path, settings)
    tell(assembly.problems)
    if failing := mistakes(assembly.problems, settings):
        refuse(failing)
    return assembly


def located(files: Iterable[str], settings: Settings) -> list[str]:
    """The paths of files that are named as seen from here, or else from the run directory."""
    paths = []
    for file in files:
        path = os.path.expandvars(os.path.expanduser(file))
        here = os.path.abspath(path)
        paths.append(here if os.path.exists(here) else os.path.abspath(os.path.join(settings.rundir, path)))
    return paths


def enter(settings: Settings) -> None:
    """Change to the run directory; exits when that is not possible."""
    try:
        os.chdir(settings.rundir)
    except OSError as error:
        raise click.UsageError(f"cannot change to the run directory {settings.rundir}: {error.strerror}") from error


def checked(path: str, settings: Settings) -> Assembly:
    """Gather and check one file, whose folder and the run directory are searched for its modules."""
    for folder in (os.getcwd(), os.path.dirname(path)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    return check(gather(path, settings.overrides, environ=os.environ), os.environ)


def catalog_of(conf: str | None, settings: Settings) -> Catalog:
    """Everything that exists; with what the bundles of a configuration hold, if one is named."""
    if conf is None:
        enter(settings)
        catalog, problems = discover(None, None, ())
        tell(problems)
    else:
        catalog = load(conf, settings).catalog
    catalog.open_houses()
    return catalog


def mistakes(problems: Iterable[Problem], settings: Settings) -> list[Problem]:
    """Those that keep a configuration from running: all of them when strict, else what is no warning."""
    return [problem for problem in problems if settings.is_strict or not problem.is_warning]


def tell(problems: Iterable[Problem]) -> None:
    """Write Problems to the standard error, one a line; in colours on a terminal."""
    for problem in problems:
        text = str(problem)
        place = f"{problem.where}: " if problem.where else ""
        colour = "yellow" if problem.is_warning else "red"
        click.echo(click.style(place, bold=True) + click.style(text[len(place) :], fg=colour), err=True)


def refuse(problems: list[Problem]) -> NoReturn:
    count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
    click.echo(f"{count}: the configuration cannot run", err=True)
    sys.exit(CANNOT_RUN)


def start_logging(settings: Settings) -> None:
    """Log as the settings say; exits when the logging configuration cannot be used."""
    configuration = None
    if settings.logging_config is not None:
        gathered = gather(settings.logging_config, environ=os.environ)
        tell(gathered.problems)
        if failing := mistakes(gathered.problems, settings):
            refuse(failing)
        configuration = Document(gathered.root, environ=os.environ).get("")
    try:
        logs.start(level=settings.log_level, form=settings.log_format, configuration=configuration)
    except (ValueError, TypeError, AttributeError, ImportError) as error:  # what dictConfig raises
        cause = error.__cause__ or error
        tell([Problem(f"{settings.logging_config} cannot be used for logging: {error}: {cause}")])
        sys.exit(CANNOT_RUN)
