"""Steps that show what goes by: to the log, to the terminal."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pprint import pprint
from typing import Any

from twisted.python.failure import NoCurrentExceptionError

from piped import (
    ConfigurationError,
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
