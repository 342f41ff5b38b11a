"""Steps that append to files."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.python.filepath import FilePath

from piped import (
    ConfigurationError,
    Lambda,
    Namespace,
    Path,
    Problem,
    Processor,
    RuntimeEnvironment,
    get_path,
)
from piped.pipelines.processor import Baton
from piped.processors.appending import Appender, name_of
from piped.processors.lambdas import bind
from piped.processors.text import check_encoding


class AppendToFile(Processor):
    """Append a line to a file; an input that is empty, 0, false or null is left out.

    The baton goes on when the operating system has the line, and fails with an OSError if it cannot be written. The
    file is opened when the process starts, and opened anew on SIGHUP: to rotate it, move it away and send that signal.
    Steps that name the same file write their lines in turn.

    Args:
        file_path: the file, in a folder that exists; it is made if it is missing.
        input_path: what to write; '' is the whole baton.
        format: how to write it, as Python's operator % does: `%(name)s` for members of a mapping.
        formatter: called with the input, gives what to write instead. It sees the step as `self`.
        namespace: names for the formatter: texts are imported as full names, other values are taken as they are.
        encode: the encoding of the file. Bytes are written as they are; with null there may be nothing else.

    Example:
        - set-value: {path: visit, value: {name: Ada, pages: 3}}
        - append-to-file:
            file_path: visits.txt
            input_path: visit
            format: "%(name)s has read %(pages)d pages\\n"
    """

    name = "append-to-file"
    is_daily: ClassVar[bool] = False

    def __init__(
        self,
        file_path: FilePath,  # type: ignore[type-arg]  # the checker knows the class, not its kinds
        input_path: Path = "",
        format: str = "%s\n",
        formatter: Lambda | None = None,
        namespace: Namespace | None = None,
        encode: str | None = "utf8",
    ) -> None:
        super().__init__()
        self._file: str = file_path.path
        self._input_path, self._format = input_path, format
        self._formatter, self._namespace = formatter, namespace
        self._encoding = None if encode is None else _check_encoding_of_lines(encode)
        _check_format(format)
        try:
            self._format_of_bytes = format.encode(encode or "utf8")
        except UnicodeEncodeError as error:
            raise ConfigurationError(f"the format does not fit the encoding: {error}") from error

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._formatted = bind(self, self._formatter, self._namespace) if self._formatter else None
        self._appender = _appender_for(self, self._file, runtime_environment)

    def process(self, baton: Baton) -> Any:
        value = get_path(baton, self._input_path)
        if not value:
            return baton
        written: Deferred[Any] = self._appender.append(self._line(self._formatted(value) if self._formatted else value))
        return written.addCallback(lambda _: baton)

    def _line(self, value: Any) -> bytes:
        if isinstance(value, bytes):
            return self._format_of_bytes % value
        if self._encoding is None:
            raise TypeError(f"without an encoding only bytes can be written, not {type(value).__name__}")
        text: str = self._format % value
        return text.encode(self._encoding)


class AppendToLog(AppendToFile):
    """Append a line to a file of which every day has its own: the others are put aside as `<file>.2026_11_22`.

    That is done when the first line of a day comes, by local time. Everything else is as with append-to-file.

    Example:
        - set-value: {path: visit, value: Ada was here}
        - append-to-log: {file_path: visits.log, input_path: visit}
    """

    name = "append-to-log"
    is_daily = True


def _check_encoding_of_lines(encoding: str) -> str:
    if "".encode(check_encoding(encoding)):
        what = f"{encoding!r} would put a mark in front of every line"
        raise ConfigurationError(what, hint="write utf8, or say the order of bytes: utf-16-le")
    return encoding


def _check_format(format: str) -> None:
    try:
        format % defaultdict(int)  # which has a number by every name
    except TypeError:
        pass  # it may fit another value
    except ValueError as error:
        what = f"{format!r} is no format for a line: {error}"
        raise ConfigurationError(what, hint="a percent sign is written %%") from error


def _appender_for(step: AppendToFile, path: str, environment: RuntimeEnvironment) -> Appender:
    """The one of that file in this process.

    Raises:
        ConfigurationError: nothing can be written to it, or another step rotates it and this one does not.
    """
    try:
        appender: Appender = environment.application.getServiceNamed(name_of(path))
    except KeyError:
        appender = Appender(path, step.is_daily, environment)
        try:
            appender.check()
        except OSError as error:
            what, fix = f"{path} cannot be written: {error.strerror}", "check its folder and its permissions"
            raise ConfigurationError(problems=[Problem(what, step.where, fix)]) from error
        environment.application.addService(appender)
    if appender.is_daily is not step.is_daily:
        what = f"{path} is written by append-to-file and by append-to-log"
        raise ConfigurationError(problems=[Problem(what, step.where, "use one of them for all of its lines")])
    return appender
