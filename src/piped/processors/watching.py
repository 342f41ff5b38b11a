"""Steps that show what goes by: to the log, to the terminal."""

from __future__ import annotations

import logging
import os
import pdb
import sys
import termios
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pprint import pprint
from types import FrameType
from typing import Any, TextIO

from twisted.python.failure import NoCurrentExceptionError

from piped import (
    BatonPath,
    ConfigurationError,
    Count,
    Lambda,
    LevelName,
    Namespace,
    Path,
    Processor,
    RuntimeEnvironment,
    current_failure,
    get_path,
    processor,
)
from piped.pipelines.processor import Baton
from piped.processors.lambdas import bind

logger = logging.getLogger(__name__)

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


class Log(Processor):
    """Write a line to the log; an empty message is not written.

    Args:
        message: the message.
        message_path: where the message lies in the baton, instead of `message`.
        logger_name: the name of the logger; left out, the root logger.
        level: how important it is.

    Example:
        - log:
            message: a baton went by
            level: debug
    """

    name = "log"

    def __init__(
        self,
        message: Any = None,
        message_path: Path | None = None,
        logger_name: str | None = None,
        level: LevelName = "info",
    ) -> None:
        super().__init__()
        if (message is None) == (message_path is None):
            raise ConfigurationError("log needs either message or message_path", hint="write one of the two")
        if level not in LEVELS:
            raise ValueError(f"{level!r} is no log level: there is {', '.join(LEVELS)}")
        if isinstance(message, BatonPath):
            raise ConfigurationError("the message is not looked up in the baton", hint=f"write message_path: {message}")
        self._message, self._message_path = message, message_path
        self._logger, self._level = logging.getLogger(logger_name), LEVELS[level]

    def process(self, baton: Baton) -> Baton:
        message = self._message if self._message_path is None else get_path(baton, self._message_path)
        if message:
            self._logger.log(self._level, message)
        return baton


class PrettyPrint(Processor):
    """Print the baton, or a part of it, to standard output.

    Args:
        path: what to print.
        formatter: makes what is printed from it: `value: value['name']`. It sees the step as `self`.
        namespace: names for the formatter: texts are imported as full names, other values are taken as they are.

    Example:
        - set-value: {path: words, value: [this, is, fine]}
        - pretty-print:
            path: words
            formatter: "words: ' '.join(words)"
    """

    name = "pretty-print"

    def __init__(
        self,
        path: Path = "",
        formatter: Lambda | None = None,
        namespace: Namespace | None = None,
    ) -> None:
        super().__init__()
        self._path, self._formatter, self._namespace = path, formatter, namespace

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._format: Callable[[Any], Any] | None = None
        if self._formatter:
            self._format = bind(self, self._formatter, self._namespace)

    def process(self, baton: Baton) -> Baton:
        value = get_path(baton, self._path)
        pprint(value if self._format is None else self._format(value))
        return baton


@processor("print-failure-traceback")
def print_failure_traceback(baton: Baton) -> None:
    """Print the traceback of the failure that an error consumer handles to standard error, with its notes.

    Example:
        - passthrough:
            error_consumers:
                - print-failure-traceback
        - raise-exception
    """
    failure = current_failure()
    if failure is None:
        raise NoCurrentExceptionError("print-failure-traceback is no error consumer here: there is no failure")
    # Failure.printTraceback leaves the notes out, which say where in the pipeline it happened.
    traceback.print_exception(failure.value)


class PrintNth(Processor):
    """Print a line to standard output for every so many batons.

    Args:
        n: of how many batons one is printed.
        prefix: what the line begins with.
        formatter: makes the rest of the line from how many batons there were and the latest of them:
            `count, baton: baton['name']`. It sees the step as `self`. Left out, the rest is how many there were.
        namespace: names for the formatter: texts are imported as full names, other values are taken as they are.

    Example:
        - print-nth:
            n: 1000
            prefix: "batons so far: "
    """

    name = "print-nth"

    def __init__(
        self,
        n: Count,
        prefix: str = "",
        formatter: Lambda | None = None,
        namespace: Namespace | None = None,
    ) -> None:
        super().__init__()
        self._n, self._prefix, self._formatter, self._namespace = n, prefix, formatter, namespace
        self._counting = count(1)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._format: Callable[[int, Any], Any] | None = None
        if self._formatter:
            self._format = bind(self, self._formatter, self._namespace)

    def process(self, baton: Baton) -> Baton:
        number = next(self._counting)
        if number % self._n == 0:
            print(f"{self._prefix}{number if self._format is None else self._format(number, baton)}")
        return baton


class ReportRate(Processor):
    """Write to the log how much something has grown in a second: what a counter has counted, by the time it took.

    A tick has that time at `delta`.

    Args:
        counter_path: where the number lies that has been counted up.
        delta_path: where the seconds lie that it took.
        format: the message, in Python's percent-format, with `%(rate)f`, `%(value)f` and `%(delta)f`.
        report_zero: report also that nothing was counted.

    Example:
        - set-values: {mapping: {requests: 30, delta: 2}}
        - report-rate:
            counter_path: requests
            format: "%(rate).1f requests in a second"
    """

    name = "report-rate"

    def __init__(
        self,
        counter_path: Path,
        delta_path: Path = "delta",
        format: str = "%(rate).2f",
        report_zero: bool = False,
    ) -> None:
        super().__init__()
        try:
            format % {"rate": 1.0, "delta": 1.0, "value": 1}
        except (KeyError, TypeError, ValueError) as error:
            what = f"{format!r} is no format for a rate: {error}"
            raise ConfigurationError(what, hint="it may use %(rate).2f, %(value)d and %(delta).2f") from error
        self._counter_path, self._delta_path = counter_path, delta_path
        self._format, self._report_zero = format, report_zero

    def process(self, baton: Baton) -> Baton:
        value, delta = get_path(baton, self._counter_path), get_path(baton, self._delta_path)
        if value == 0 and not self._report_zero:
            return baton
        try:
            rate = value / delta
        except ZeroDivisionError:
            raise ZeroDivisionError(f"no rate without time: what lies at {self._delta_path!r} is 0") from None
        except TypeError:
            there = f"{value!r} at {self._counter_path!r} and {delta!r} at {self._delta_path!r}"
            raise TypeError(f"a rate needs two numbers, not {there}") from None
        logger.info(self._format % {"rate": rate, "delta": delta, "value": value})
        return baton


@processor("set-pdb-trace")
def set_pdb_trace(baton: Baton) -> None:
    """Stop in Python's debugger, here, where `baton` is in sight.

    `up` and `next` lead out of this step, `continue` lets the baton go on, `quit` fails it. Everything in the process
    stands still meanwhile. Where nobody sits at a terminal the baton goes on at once, with a warning in the log.

    Example:
        - set-pdb-trace
    """
    if not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        logger.warning("set-pdb-trace: there is no terminal to debug at; the baton goes on")
        return
    TerminalDebugger(nosigint=True).set_trace(sys._getframe())


class TerminalDebugger(pdb.Pdb):
    """Python's debugger, which talks to a person even where something has taken the terminal for itself."""

    def interaction(self, frame: FrameType | None, traceback: Any) -> None:
        with usable(sys.stdin.fileno()):
            super().interaction(frame, traceback)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person may sit at a stream of the process; it may be closed, or None as that of a daemon."""
    return stream is not None and not stream.closed and stream.isatty()


@contextmanager
def usable(terminal: int) -> Iterator[None]:
    """A terminal that shows what is typed, hands it over in lines and waits for it; afterwards it is as it was.

    A prompt of ours, or of anybody else in this process, may have changed all that.

    Args:
        terminal: its file descriptor.
    """
    before, is_blocking = termios.tcgetattr(terminal), os.get_blocking(terminal)
    iflag, oflag, cflag, lflag, *rest = before
    iflag |= termios.ICRNL
    oflag |= termios.OPOST | termios.ONLCR
    lflag |= termios.ICANON | termios.ECHO | termios.ISIG
    termios.tcsetattr(terminal, termios.TCSADRAIN, [iflag, oflag, cflag, lflag, *rest])
    os.set_blocking(terminal, True)
    try:
        yield
    finally:
        os.set_blocking(terminal, is_blocking)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
