"""`piped test`: the cases of a configuration, and the status tests of the service that it describes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from piped.app import garbage, reactors
from piped.app.errands import run_errand
from piped.app.live import LiveProcess, run_live, runs_its_own, suites_of
from piped.app.loading import Settings, checked, enter, located, settings_options, start_logging, tell_or_refuse
from piped.app.process import environment_of
from piped.app.run import DRAIN
from piped.app.verdicts import Kind, Verdict, failures, junit, shown, summary
from piped.cases.notation import Case
from piped.cases.reading import read_cases
from piped.cases.running import Played, play
from piped.ground.errors import did_you_mean, in_order
from piped.runtime.assembly import Assembly

#: The exit code where there is nothing to test.
NOTHING = 5
#: Of what was found in a case no more is shown.
MOST_PROBLEMS = 20
#: What a file of tests is called, after the name of the configuration that it tests.
BESIDE = "_tests"


@dataclass
class Session:
    """What is to be tested, and what became of it so far.

    Attributes:
        cases: each with the configuration that it stands in.
        service: the configuration whose status tests are to run; None for none.
        suites: which of its suites.
        exit_code: of the service, or 1 if a signal came.
    """

    settings: Settings
    is_verbose: bool
    cases: list[tuple[Case, Assembly]] = field(default_factory=list)
    service: Assembly | None = None
    suites: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    exit_code: int = 0

    async def run(self, reactor: Any) -> None:
        """Test it all."""
        for case, assembly in self.cases:
            await deferLater(reactor, 0)  # a signal can come in between
            self.tell(_verdict(await play(case, assembly, reactor), self.is_verbose))
        if self.service is not None:
            click.echo("starting the service for its status tests")
            environment = environment_of(self.service, reactor, self.settings.is_debugging)
            deadline = self.service.framework.get("drain", DRAIN)
            process = LiveProcess(self.service, environment, deadline=deadline)
            try:
                await run_live(process, self.suites, self.tell)
            finally:
                self.exit_code = process.exit_code

    def tell(self, verdict: Verdict) -> None:
        """Show a verdict, and keep it."""
        self.verdicts.append(verdict)
        click.echo(shown(verdict))


@click.command("test")
@click.argument("file", type=click.Path())
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Only cases and suites with this text in their names, or whose names fit a pattern with *; may be repeated.",
)
@click.option("-v", "--verbose", "is_verbose", is_flag=True, help="Show what passing cases have logged, too.")
@click.option("--no-live", is_flag=True, help="Leave status tests out: nothing is started.")
@click.option("--junit", "junit_file", type=click.Path(dir_okay=False), help="Write the results there as well, as XML.")
@settings_options
def test_(
    settings: Settings, file: str, only: tuple[str, ...], is_verbose: bool, no_live: bool, junit_file: str | None
) -> None:
    """Test a configuration by the cases that it holds.

    The cases stand in its section 'tests', and in the file beside it that is called like it with _tests at the end:
    a configuration that includes it. Nothing is started for them; piped show tests tells how they are written.
    If there are status tests, the service is then started as by piped run, to run them once.

    \b
    Exit codes: 0 all passed, 1 something failed, 2 wrong command line,
    5 there is nothing to test, 78 a configuration that cannot run.

    \b
    Example:
        piped test site.yaml
        piped test site.yaml --only 'orders*' --junit results.xml
    """
    start_logging(settings, enter(settings))
    # Before anything is loaded: a module that imports the reactor would install another one.
    reactor = reactors.install(settings.reactor)
    session = _chosen(file, settings, only, is_verbose, not no_live)
    garbage.resume()
    _run(reactor, session)
    for line in failures(session.verdicts) if len(session.verdicts) > 1 else ():
        click.secho(line, fg="red")
    click.echo(summary(session.verdicts) if session.verdicts else f"{file}: there is nothing to test")
    if junit_file:
        _write(junit_file, junit(session.verdicts), settings)
    sys.exit(_exit_code(session))


def _write(file: str, content: bytes, settings: Settings) -> None:
    try:
        Path(settings.written_in, file).write_bytes(content)
    except OSError as error:
        raise click.ClickException(f"cannot write {file}: {error.strerror}") from error


def _exit_code(session: Session) -> int:
    if session.exit_code:
        return session.exit_code
    if not session.verdicts:
        return NOTHING
    return int(any(verdict.outcome == "failed" for verdict in session.verdicts))


# What is to be tested


def _chosen(file: str, settings: Settings, only: Sequence[str], is_verbose: bool, is_live: bool) -> Session:
    """Everything that is to be tested; exits with the Problems of the configurations and of their cases."""
    assemblies = [checked(name, settings) for name in _files(file, settings)]
    problems = [problem for assembly in assemblies for problem in assembly.problems]
    session = Session(settings, is_verbose)
    places = set()
    for assembly in assemblies:
        cases, wrong = read_cases(assembly)
        problems += wrong
        for case in cases:
            if case.name.where not in places:  # a file beside that defines none has those that it includes
                places.add(case.name.where)
                session.cases.append((case, assembly))
    tell_or_refuse(in_order(problems), settings)
    if is_live:
        _add_live_tests(session, assemblies[0])
    if only:
        _leave_only(session, only)
    return session


def _files(file: str, settings: Settings) -> Iterator[str]:
    """The configuration, and the one that tests it if there is one."""
    yield file
    path = Path(located(file, settings))
    beside = path.with_name(f"{path.stem}{BESIDE}{path.suffix}")
    if beside.exists():
        yield os.path.abspath(beside)


def _add_live_tests(session: Session, assembly: Assembly) -> None:
    session.suites = suites_of(assembly)
    if session.suites or runs_its_own(assembly):
        session.service = assembly


def _leave_only(session: Session, only: Sequence[str]) -> None:
    """Leave out what nobody asks for; exits when that is everything."""
    names = [*(case.name for case, _ in session.cases), *session.suites]
    session.cases = [(case, assembly) for case, assembly in session.cases if _is_meant(case.name, only)]
    session.suites = [name for name in session.suites if _is_meant(name, only)]
    if not session.suites:
        session.service = None
    if not session.cases and not session.suites:
        advice = did_you_mean(only[0], names)
        raise click.UsageError(f"there is no test {' or '.join(map(repr, only))}{f' – {advice}' if advice else ''}")


def _is_meant(name: str, only: Sequence[str]) -> bool:
    name = name.lower()
    return any(fnmatchcase(name, one.lower()) if "*" in one else one.lower() in name for one in only)


# Running


def _run(reactor: Any, session: Session) -> None:
    try:
        run_errand(reactor, lambda: session.run(reactor))
    except CancelledError:
        click.echo("stopped before the end", err=True)
        session.exit_code = 1


def _verdict(played: Played, is_verbose: bool) -> Verdict:
    told = [str(problem) for problem in played.found[:MOST_PROBLEMS]]
    if len(played.found) > MOST_PROBLEMS:
        told.append(f"… and {len(played.found) - MOST_PROBLEMS} differences more")
    told += played.asides
    if played.traceback:
        told.append(played.traceback)
    if played.log and (is_verbose or not played.has_passed):
        told += ["what was logged:", *played.log]
    name = played.case.name
    suite = name.where.file if name.where else ""
    outcome: Kind = "passed" if played.has_passed else "failed"
    return Verdict(suite, name, outcome, played.seconds, "\n".join(told), name.where)
