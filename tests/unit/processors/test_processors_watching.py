"""Tests of the steps that show what goes by."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from twisted.python.failure import NoCurrentExceptionError

from piped.ground.errors import ConfigurationError
from piped.processors.watching import Log

Main = Callable[[str], Any]


def logged(caplog: pytest.LogCaptureFixture, baton: Any, **options: Any) -> list[tuple[str, int, str]]:
    with caplog.at_level(logging.DEBUG):
        assert Log(**options).process(baton) is baton
    return caplog.record_tuples


def test_logs_at_info_to_the_root(caplog: pytest.LogCaptureFixture) -> None:
    """The defaults are the root logger and the level info."""
    assert logged(caplog, {}, message="a %s b") == [("root", logging.INFO, "a %s b")]


@pytest.mark.parametrize("level", ["debug", "info", "warn", "warning", "error", "critical"])
def test_logs_at_each_level(caplog: pytest.LogCaptureFixture, level: Any) -> None:
    """Every level that the standard library knows can be named."""
    expected = logging.WARNING if level == "warn" else getattr(logging, level.upper())
    assert logged(caplog, {}, message="a", level=level, logger_name="some.one") == [("some.one", expected, "a")]


def test_logs_what_the_baton_says(caplog: pytest.LogCaptureFixture) -> None:
    """`message_path` takes the message of each baton, of whatever kind."""
    assert logged(caplog, {"a": {"b": [1]}}, message_path="a.b") == [("root", logging.INFO, "[1]")]


@pytest.mark.parametrize("baton", [{"a": ""}, {"a": None}, {}])
def test_an_empty_message_is_not_logged(caplog: pytest.LogCaptureFixture, baton: Any) -> None:
    """Nothing to say is not said."""
    assert logged(caplog, baton, message_path="a") == []


@pytest.mark.parametrize("options", [{}, {"message": "a", "message_path": "b"}])
def test_exactly_one_message(options: dict[str, Any]) -> None:
    """Neither message, or both, is a mistake when the step is made."""
    with pytest.raises(ConfigurationError, match="either message or message_path"):
        Log(**options)


def test_an_unknown_level_is_refused(main: Main) -> None:
    """A level that there is not is a mistake when the step is made, in Python as in a configuration."""
    with pytest.raises(ValueError, match="'failure' is no log level"):
        Log(message="a", level="failure")  # type: ignore[arg-type] # that is what is tested
    with pytest.raises(ConfigurationError):
        main("- log: {message: a, level: failure}")


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ("", "{'words': ['a', 'b']}\n"),
        ("path: words", "['a', 'b']\n"),
        ("path: gone", "None\n"),
        ("path: words, formatter: 'w: len(w)'", "2\n"),
        ("path: words, formatter: 'w: up(w[0])', namespace: {up: builtins.str.upper}", "'A'\n"),
        ("formatter: 'w: self.name'", "'pretty-print'\n"),
    ],
)
def test_prints(main: Main, capsys: pytest.CaptureFixture[str], options: str, printed: str) -> None:
    """What lies at the path is printed to standard output, formatted if asked for."""
    baton = {"words": ["a", "b"]}
    assert main(f"- pretty-print: {{{options}}}").run(baton)[0] is baton
    assert capsys.readouterr().out == printed


def test_prints_the_traceback_of_what_is_handled(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    """An error consumer can show what happened and where, also after a wait."""
    site = main("""
        - passthrough:
            id: start
            chained_error_consumers:
              - wait: {delay: 1}
              - print-failure-traceback
        - eval-lambda: {lambda: "baton: baton['gone']", id: look}
    """)
    running = site.start({})
    site.clock.advance(1)
    assert running.result == [{}]
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback (most recent call last)")
    assert "site.yml" in printed
    assert "KeyError: 'gone'\nin pipeline main, step look" in printed


def test_there_has_to_be_a_failure_to_print(main: Main) -> None:
    """Outside of error consumers there is no traceback."""
    with pytest.raises(NoCurrentExceptionError):
        main("- print-failure-traceback").run({})
