"""Log lines: Twisted and the standard library in one stream, each signed with the baton that it was written for."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import re
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from twisted.internet import defer
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogBeginner
from twisted.python.failure import Failure
from twisted.python.reflect import safe_str
from zope.interface import implementer

from piped.ground.errors import PipedError
from piped.runtime.signing import current_baton

#: Where the frames are that are the same for every failure: how a step or a provider came to be called.
_ENGINE = (
    *(f"{Path(__file__).parents[1] / room}{os.sep}" for room in ("app", "pipelines", "runtime")),
    defer.__file__,
)
#: Twisted's ports have no namespace of their own in the log.
_OF_PORTS = re.compile(r".+ starting on (\d+|b?'.*')|\(.*Port .+ Closed\)")
Format = Literal["text", "json"]
_LEVELS = {
    LogLevel.debug: logging.DEBUG,
    LogLevel.info: logging.INFO,
    LogLevel.warn: logging.WARNING,
    LogLevel.error: logging.ERROR,
    LogLevel.critical: logging.CRITICAL,
}


class SignedRecord(logging.LogRecord):
    """A record with the baton that was being processed: `baton` ("web.site-17") and `source` ("web.site")."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        baton = current_baton.get()
        self.baton = str(baton) if baton else ""
        self.source = baton.source if baton else ""


class TextFormatter(logging.Formatter):
    """One line for people: time in UTC, level, logger, the baton if there is one, the message."""

    def format(self, record: logging.LogRecord) -> str:
        baton = getattr(record, "baton", "")
        signed = f" <{baton}>" if baton else ""
        line = f"{_time_of(record)} [{record.levelname:<5}] [{record.name}]{signed} {record.getMessage()}"
        return "\n".join(filter(None, (line, _traceback_in(record))))


class JSONFormatter(logging.Formatter):
    """One JSON object a line, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "baton": getattr(record, "baton", ""),
            "source": getattr(record, "source", ""),
            "traceback": _traceback_in(record),
        }
        return json.dumps({key: value for key, value in told.items() if value}, ensure_ascii=False)


def _time_of(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(record.msecs):03d}Z"


def _traceback_in(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    return "" if error is None else traceback_of(error)


def traceback_of(error: BaseException) -> str:
    """The traceback with the notes that say which pipeline and step failed (Failure.getTraceback leaves them out).

    Frames of the engine are left out: how a baton came there is what the notes say.
    """
    told = traceback.TracebackException.from_exception(error)
    todo = [told]
    while todo:
        one = todo.pop()
        if not all(map(_is_engine, one.stack)):
            *way, last = one.stack
            one.stack[:] = [frame for frame in way if not _is_engine(frame)] + [last]
        todo += [other for other in (one.__cause__, one.__context__, *(one.exceptions or ())) if other]
    return "".join(told.format()).rstrip()


def _is_engine(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith(_ENGINE)


def told(error: BaseException | None, with_notes: bool = True) -> str:
    """An exception in one line: its type, its text, what to do, and where in which pipeline it happened."""
    text = safe_str(error) if error is not None else ""
    if isinstance(error, PipedError):
        detail = " ".join((error.detail or "").split())
        text = f"{error.msg}{f': {detail}' if detail else ''}{f' – {error.hint}' if error.hint else ''}"
    name = type(error).__name__
    notes = "; ".join(getattr(error, "__notes__", ())) if with_notes else ""
    return f"{name}: {text}".rstrip(": ") + (f" ({notes})" if notes else "")


@implementer(ILogObserver)
class StandardLibraryObserver:
    """Hands Twisted's events to `logging`, under the logger that the event's system names up to a comma."""

    def __call__(self, event: LogEvent) -> None:
        text = formatEvent(event)
        failure = event.get("log_failure")
        if not text and failure is None:
            return
        level = _LEVELS.get(event.get("log_level", LogLevel.info), logging.INFO)
        if level == logging.INFO and _is_inner(event, text):
            level = logging.DEBUG
        system = str(event.get("log_system") or event.get("system") or event.get("log_namespace") or "-")
        name = system.split(",")[0]
        logger = logging.getLogger("twisted" if name == "-" else name)
        logger.log(level, "%s", text or "unhandled error", exc_info=_exc_info(failure))


def _is_inner(event: LogEvent, text: str) -> bool:
    """Whether Twisted tells of its own loop, factories or ports: who opened a port tells of it in words of his own."""
    namespace = event.get("log_namespace", "")
    return namespace.startswith("twisted.internet.") or (namespace == "log_legacy" and bool(_OF_PORTS.fullmatch(text)))


def _exc_info(failure: Failure | None) -> Any:
    if failure is None:
        return None
    return (failure.type, failure.value, failure.getTracebackObject())


def start(
    *,
    level: str = "info",
    form: Format = "text",
    stream: TextIO | None = None,
    configuration: dict[str, Any] | None = None,
) -> None:
    """Send everything that is logged, by Twisted too, to one handler; or where `configuration` says.

    Args:
        level: the least level that is shown.
        stream: where to; the standard error by default.
        configuration: as `logging.config.dictConfig`; replaces the other arguments.
    """
    if configuration is not None:
        logging.config.dictConfig({"disable_existing_loggers": False} | configuration)
    else:
        handler: logging.Handler = logging.StreamHandler(stream or sys.stderr)
        handler.setFormatter(JSONFormatter() if form == "json" else TextFormatter())
        root = logging.getLogger()
        root.handlers[:] = [handler]
        root.setLevel(level.upper())
    # Not a filter of the handlers: a configuration may give handlers to any logger.
    logging.setLogRecordFactory(SignedRecord)
    logging.captureWarnings(True)
    observer: Any = StandardLibraryObserver()  # mypy does not see what zope's implementer declares
    globalLogBeginner.beginLoggingTo([observer], discardBuffer=True, redirectStandardIO=False)
