"""What the tests of cases share: configurations as text, and what becomes of their cases."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from piped.cases.notation import Case
from piped.cases.reading import read_cases
from piped.cases.running import Played, play
from piped.config.gathering import gather_text
from piped.runtime.assembly import Assembly, check


def checked(text: str, *processors: Any, environ: dict[str, str] | None = None) -> Assembly:
    """A configuration without mistakes."""
    assembly = check(gather_text(text, "site.yaml", environ=environ or {}), environ or {}, processors)
    assert assembly.errors == []
    return assembly


def cases_of(assembly: Assembly) -> list[Case]:
    """Its cases, which have no mistakes."""
    cases, problems = read_cases(assembly)
    assert problems == []
    return cases


def begun(text: str, *processors: Any, reactor: Any = None) -> "Deferred[Played]":
    """The only case of a configuration while it is played."""
    assembly = checked(text, *processors)
    [case] = cases_of(assembly)
    return Deferred.fromCoroutine(play(case, assembly, reactor or Clock()))


def played(text: str, *processors: Any) -> Played:
    """What became of the only case of a configuration, which waits for nothing real."""
    outcomes: list[Any] = []
    begun(text, *processors).addBoth(outcomes.append)
    [outcome] = outcomes
    assert isinstance(outcome, Played), outcome
    return outcome


def found(text: str, *processors: Any) -> list[str]:
    """What was not as expected."""
    return [str(problem) for problem in played(text, *processors).found]


def problems_of(text: str, environ: dict[str, str] | None = None) -> list[str]:
    """What is wrong with the cases of a configuration."""
    return [str(problem) for problem in read_cases(checked(text, environ=environ))[1]]
