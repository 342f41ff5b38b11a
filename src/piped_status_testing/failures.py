"""Texts of failures: where a test failed, in which words, and through which lines of its own."""

from __future__ import annotations

import asyncio
import inspect
import os
import unittest
from pathlib import Path
from traceback import TracebackException
from types import ModuleType, TracebackType
from typing import Final

import twisted

import piped
from piped import told
from piped_status_testing.statustest import StatusTestCase


def _folder(module: ModuleType) -> str:
    return f"{Path(str(module.__file__)).parent}{os.sep}"


#: Where the frames are that are no news to who wrote a test: how it came to be called, and how it waited.
_FRAMEWORK: Final = (*map(_folder, (asyncio, piped, twisted, unittest)), f"{Path(__file__).parent}{os.sep}")


def told_failure(test: StatusTestCase, error: BaseException) -> str:
    """What a failed test says: a line with the place and the words, then the traceback of the user's own lines.

    The place is the last line that was reached in the file of the test; without one it is where the test begins.
    """
    said = TracebackException.from_exception(error)
    _cut(said)
    file, line = _beginning(test)
    for frame in said.stack:
        if frame.filename == file and frame.lineno is not None:
            line = frame.lineno
    if not said.stack and said.__cause__ is None:
        return f"{file}:{line}: {told(error)}"
    headline = told(error, with_notes=False).splitlines()[0]
    return f"{file}:{line}: {headline}\n{''.join(said.format()).rstrip()}"


def without_framework(traceback: TracebackType | None) -> TracebackType | None:
    """The same traceback, without the frames that are no news."""
    ways = []
    while traceback is not None:
        ways.append(traceback)
        traceback = traceback.tb_next
    kept = None
    for way in reversed(ways):
        if not _is_framework(way.tb_frame.f_code.co_filename):
            kept = TracebackType(kept, way.tb_frame, way.tb_lasti, way.tb_lineno)
    return kept


def _cut(said: TracebackException) -> None:
    """Take the framework's frames out of a traceback, and of those of its causes."""
    said.stack[:] = [frame for frame in said.stack if not _is_framework(frame.filename)]
    for other in (said.__cause__, said.__context__, *(said.exceptions or ())):
        if other is not None:
            _cut(other)


def _is_framework(file: str) -> bool:
    return file.startswith(_FRAMEWORK)


def _beginning(test: StatusTestCase) -> tuple[str, int]:
    """The file and the line at which a test is defined."""
    code = inspect.unwrap(getattr(test, test.method_name)).__code__
    return code.co_filename, code.co_firstlineno
