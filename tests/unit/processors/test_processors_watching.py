"""Tests of the steps that show what goes by."""

from __future__ import annotations

import io
import logging
import os
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from twisted.python.failure import NoCurrentExceptionError

from piped.ground.errors import ConfigurationError
from piped.processors.watching import Log, ReportRate, is_terminal, usable

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


def test_a_path_is_no_message(main: Main) -> None:
    """Its text would be logged in place of what lies there; the error says how that is written."""
    with pytest.raises(ConfigurationError, match=r"write message_path: a\.b"):
        main("- log: {message: !path a.b}")


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


def printed_by(main: Main, capsys: pytest.CaptureFixture[str], options: str, batons: int) -> str:
    site = main(f"- print-nth: {{{options}}}")
    for n in range(batons):
        assert site.run({"n": 10 * n}) == [{"n": 10 * n}]
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ("n: 1", "1\n2\n3\n4\n5\n"),
        ("n: 2", "2\n4\n"),
        ("n: 6", ""),
        ("n: 2, prefix: 'so far: '", "so far: 2\nso far: 4\n"),
        ("n: 2, formatter: \"count, baton: count + baton['n']\"", "12\n34\n"),
        ("n: 4, prefix: '> ', formatter: 'c, b: f(self.name)', namespace: {f: builtins.str.upper}", "> PRINT-NTH\n"),
    ],
)
def test_prints_some_of_many(main: Main, capsys: pytest.CaptureFixture[str], options: str, printed: str) -> None:
    """Every so many batons there is a line: the count, or what the formatter makes of it and of the latest baton."""
    assert printed_by(main, capsys, options, 5) == printed


@pytest.mark.parametrize("options", ["", "n: 0", "n: -1"])
def test_there_is_no_zeroth(main: Main, options: str) -> None:
    """How many go by from line to line has to be said."""
    with pytest.raises(ConfigurationError):
        main(f"- print-nth: {{{options}}}")


@pytest.mark.parametrize(
    ("options", "baton", "message"),
    [
        ({}, {"n": 10, "delta": 4}, "2.50"),
        ({"delta_path": "a.b"}, {"n": 10, "a": {"b": 4}}, "2.50"),
        ({"format": "%(value)d in %(delta)d s: 100 %%"}, {"n": 10, "delta": 4}, "10 in 4 s: 100 %"),
        ({"report_zero": True}, {"n": 0, "delta": 4}, "0.00"),
    ],
)
def test_reports_a_rate(caplog: pytest.LogCaptureFixture, options: Any, baton: Any, message: str) -> None:
    """The counter by the time is logged, in the form that was asked for."""
    with caplog.at_level(logging.INFO):
        assert ReportRate("n", **options).process(baton) is baton
    assert caplog.record_tuples == [("piped.processors.watching", logging.INFO, message)]


@pytest.mark.parametrize("delta", [4, 0])
def test_nothing_counted_is_not_reported(caplog: pytest.LogCaptureFixture, delta: int) -> None:
    """A rate of zero is no news, even if no time has passed."""
    with caplog.at_level(logging.INFO):
        ReportRate("n").process({"n": 0, "delta": delta})
    assert not caplog.records


@pytest.mark.parametrize("baton", [{"n": 5, "a": {"b": 0}}, {"n": 0, "a": {"b": 0.0}}])
def test_a_rate_needs_time(baton: Any) -> None:
    """The error names the path where the time should have been."""
    with pytest.raises(ZeroDivisionError, match=r"no rate without time: what lies at 'a\.b' is 0"):
        ReportRate("n", "a.b", report_zero=True).process(baton)


@pytest.mark.parametrize(
    ("baton", "there"),
    [({"n": 5}, "5 at 'n' and None at 'delta'"), ({"n": "5", "delta": 1}, "'5' at 'n' and 1 at 'delta'"),
     ({"delta": 1}, "None at 'n' and 1 at 'delta'")],
)  # fmt: skip
def test_a_rate_needs_numbers(baton: Any, there: str) -> None:
    """The error names both paths, and what there is."""
    with pytest.raises(TypeError, match=f"a rate needs two numbers, not {there}"):
        ReportRate("n").process(baton)


@pytest.mark.parametrize("format", ["%(rat).2f", "%(rate)", "%(rate)q", "%d"])
def test_a_format_is_checked(main: Main, format: str) -> None:
    """A format that nothing can be filled into is told before anything runs, with what it may use."""
    with pytest.raises(ConfigurationError, match=r"report-rate: .* is no format for a rate: .*%\(rate\)\.2f"):
        main(f"- report-rate: {{counter_path: n, format: '{format}'}}")


def test_nobody_debugs_a_service(main: Main, capsys: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Where there is no terminal a baton is not held; the log says why."""
    assert main("- set-pdb-trace").run({"n": 1}) == [{"n": 1}]
    assert "there is no terminal to debug at" in caplog.text
    assert capsys.readouterr().out == ""


@pytest.fixture
def terminal() -> Iterator[int]:
    """The file descriptor of a real terminal."""
    keyboard, screen = os.openpty()
    yield screen
    os.close(keyboard)
    os.close(screen)


def test_what_is_a_terminal(terminal: int) -> None:
    """A terminal is one; a file, a closed one or none at all is none."""
    with open(terminal, closefd=False) as screen:
        assert is_terminal(screen)
    assert not is_terminal(screen)
    assert not is_terminal(io.StringIO())
    assert not is_terminal(None)


def test_a_terminal_is_usable_for_a_while(terminal: int) -> None:
    """Whatever has been done to it, it is as a person needs it; and afterwards as it was, also after a failure."""
    tty.setraw(terminal)
    os.set_blocking(terminal, False)
    before = termios.tcgetattr(terminal)
    with suppress(KeyError), usable(terminal):
        iflag, oflag, _, lflag, *_ = termios.tcgetattr(terminal)
        assert iflag & termios.ICRNL
        assert oflag & termios.OPOST
        assert all(lflag & flag for flag in (termios.ICANON, termios.ECHO, termios.ISIG))
        assert os.get_blocking(terminal)
        raise KeyError
    assert termios.tcgetattr(terminal) == before
    assert not os.get_blocking(terminal)
