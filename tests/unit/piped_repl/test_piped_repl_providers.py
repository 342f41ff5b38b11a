"""The section `repl`: what may be written, and what comes of it."""

from __future__ import annotations

import textwrap
from functools import partial
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.task import Clock

from piped import ConfigurationError, RuntimeEnvironment
from piped.config.gathering import gather_text
from piped.runtime.assembly import check, configure
from piped_repl.console import Console
from piped_repl.providers import REPLProvider, Wanted
from piped_repl.repl import REPL


class OwnConsole(Console):
    """A console of a user."""


class OwnREPL(REPL):
    """A prompt of a user that is like the one that there is."""


class OtherREPL:
    """A prompt of a user that is like no other."""

    def __init__(self, colour: str, width: int = 80) -> None:
        self.colour, self.width = colour, width

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.environment = runtime_environment

    def setServiceParent(self, parent: Any) -> None:
        parent.other = self


HERE = __name__


def problems_of(text: str) -> list[str]:
    """What is wrong with a configuration."""
    assembly = check(gather_text(textwrap.dedent(text), "site.yml", environ={}), {})
    return [str(problem) for problem in assembly.problems]


def started(text: str, loop: Any = reactor) -> RuntimeEnvironment:
    """The environment of a configuration; what comes after the start has come."""
    assembly = check(gather_text(textwrap.dedent(text), "site.yml", environ={}), {})
    environment = RuntimeEnvironment(assembly.document, reactor=loop)
    if problems := assembly.errors or configure(assembly, environment):
        raise ConfigurationError(problems=problems)
    environment.after_start()
    return environment


def prompt_of(environment: RuntimeEnvironment) -> Any:
    [service] = list(environment.application)
    return service


@pytest.mark.parametrize("section", ["{}", "null", "{enabled: false}", "{dependencies: {}}"])
def test_there_is_no_prompt_unless_it_is_enabled(section: str) -> None:
    """The section may stand in a configuration for `--repl` to use."""
    assert list(started(f"repl: {section}").application) == []


def test_the_prompt_comes_after_the_start() -> None:
    """`piped trace`, which only starts what a pipeline needs, shows none."""
    environment = RuntimeEnvironment(reactor=reactor)
    environment.options[REPLProvider] = Wanted(True, partial(OtherREPL, "red"))
    REPLProvider().configure(environment)
    assert not hasattr(environment.application, "other")
    environment.after_start()
    assert hasattr(environment.application, "other")


def test_the_names_of_the_prompt() -> None:
    """The environment, the dependencies under both names, and the pipelines."""
    environment = started(
        """
        repl: {enabled: true, dependencies: {store: context.store, run: {provider: pipeline.main}}}
        contexts: {store: {a: 1}}
        pipelines: {main: [passthrough]}
        """
    )
    names = prompt_of(environment).namespace
    assert names["runtime_environment"] is environment
    assert names["d"] is names["dependencies"]
    assert (names["d"].store, names["d"].run) == ({"a": 1}, names["pipelines"]["main"])


def test_a_reactor_without_asyncio_is_refused() -> None:
    """The Problem stands at the section and says what to do."""
    with pytest.raises(ConfigurationError) as caught:
        started("repl: {enabled: true}", Clock())
    assert str(caught.value.problems[0]) == (
        "site.yml:1:1: the prompt does not work on Clock – run with -r asyncio, or without -r"
    )


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("{enabld: true}", "site.yml:1:8: repl has no option 'enabld' – did you mean 'enabled'?"),
        ("3", "site.yml:1:7: repl must be a mapping, not 3"),
        (
            "{dependencies: {store: context.stor}}",
            "site.yml:1:30: there is no 'context.stor' – did you mean 'context.store'?",
        ),
        ("{bootstrap: 'a b'}", "site.yml:1:22: option 'bootstrap' of repl is no Python: invalid syntax"),
        ("{console_manhole: nowhere.Console}", "option 'console_manhole' of repl"),
        (
            "{console_manhole: datetime.datetime}",
            "must be the name of a subclass of piped_repl.console.Console, not 'datetime.datetime'",
        ),
        ("{repl_implementation: os.getcwd}", "must be the name of a class, not 'os.getcwd'"),
        (
            f"{{repl_implementation: {HERE}.OtherREPL, colour: red, widht: 3}}",
            "repl has no option 'widht' – did you mean 'width'?",
        ),
        (
            f"{{repl_implementation: {HERE}.OtherREPL, colour: red, enabled: 3}}",
            "option 'enabled' of repl must be true",
        ),
    ],
)
def test_mistakes_have_their_places(section: str, told: str) -> None:
    """Each is told once, where it is written."""
    problems = problems_of(f"repl: {section}\ncontexts: {{store: {{}}}}")
    assert told in problems[0]
    assert problems[0].startswith("site.yml:1:")


def test_a_console_and_a_prompt_of_ones_own() -> None:
    """A subclass of either takes the place of the one that there is, with its options."""
    section = f"{{enabled: true, repl_implementation: {HERE}.OwnREPL, console_manhole: {HERE}.OwnConsole}}"
    prompt = prompt_of(started(f"repl: {section}"))
    assert type(prompt) is OwnREPL
    assert prompt.options.console_manhole.load() is OwnConsole


def test_a_prompt_that_is_like_no_other() -> None:
    """Its constructor says which options there are, and gets them converted."""
    environment = started(
        f"repl: {{enabled: true, repl_implementation: {HERE}.OtherREPL, colour: red, width: '40'}}", Clock()
    )
    other = environment.application.other  # type: ignore[attr-defined]
    assert (other.colour, other.width, other.environment) == ("red", 40, environment)


def test_a_section_that_nobody_has_checked_is_checked_when_it_is_configured() -> None:
    """A provider that is used by hand reads the same section."""
    environment = RuntimeEnvironment()
    REPLProvider().configure(environment)
    assert list(environment.application) == []
