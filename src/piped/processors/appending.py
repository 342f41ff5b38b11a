"""Appender: the one writer of a file, for all steps that append to it."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Sequence
from datetime import date, datetime
from itertools import accumulate
from typing import Final

from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.python.failure import Failure

from piped import PipedService, RuntimeEnvironment

logger = logging.getLogger(__name__)

#: In place of the descriptor of a file that is not open.
CLOSED: Final = -1


class Appender(PipedService):
    """Writes lines to a file in the order in which they come, in a thread, and tells each one what became of it.

    The file is held open while the process runs; before and after that it is opened for what there is to write. There
    is no buffer: whatever waits is a line that somebody waits with.

    Args:
        path: the file; the links on the way to it are followed each time it is opened.
        is_daily: when the first line of a new day comes, put the file aside as `<file>.<year>_<month>_<day>`.
    """

    def __init__(self, path: str, is_daily: bool, environment: RuntimeEnvironment) -> None:
        super().__init__()
        self.name = name_of(path)
        self.path, self.is_daily, self._environment = path, is_daily, environment
        self._one_at_a_time = DeferredLock()
        #: The lines that nobody writes yet, by what waits for them.
        self._waiting: dict[Deferred[None], bytes] = {}
        self._descriptor = CLOSED
        #: The day that the lines in the file are of, in local time.
        self._day = date.min

    def append(self, line: bytes) -> Deferred[None]:
        """Fires when the operating system has the line. One that is cancelled before its turn is not written.

        Fails with an OSError, and then no part of the line is in the file.
        """
        written: Deferred[None] = Deferred(self._withdraw)
        self._waiting[written] = line
        if len(self._waiting) == 1:  # those that come now are written together with it
            self._one_at_a_time.run(lambda: Deferred.fromCoroutine(self._write()))
        return written

    def reopen(self) -> Deferred[None]:
        """Let what follows go to the file that is then at the path, and is made if somebody has moved it away."""
        return self._one_at_a_time.run(self._environment.in_thread, self._exchange)

    def check(self) -> None:
        """See whether lines can be written; makes the file.

        Raises:
            OSError: they cannot.
        """
        self._open()
        self._close()

    def startService(self) -> None:
        if not self.running:
            self._open()
            self._environment.on_reopen += self.reopen
            super().startService()

    def stopService(self) -> Deferred[None]:
        if not self.running:
            return succeed(None)
        self._environment.on_reopen -= self.reopen
        closed = self._one_at_a_time.run(self._environment.in_thread, self._close)
        return super().stopService().addCallback(lambda _: closed)

    def _withdraw(self, written: Deferred[None]) -> None:
        self._waiting.pop(written, None)

    async def _write(self) -> None:
        batch, self._waiting = self._waiting, {}
        if not batch:  # all were cancelled
            return
        try:
            outcomes = await self._environment.in_thread(self._append, list(batch.values()))
        except Exception as error:
            outcomes = [error] * len(batch)
        for written, outcome in zip(batch, outcomes, strict=True):
            if not written.called:  # else it was cancelled meanwhile
                written.callback(outcome and Failure(outcome))

    # In a thread, one at a time:

    def _append(self, lines: Sequence[bytes]) -> Sequence[OSError | None]:
        is_held = self._descriptor != CLOSED
        if not is_held:
            self._open()
        try:
            if self.is_daily and self._today() > self._day:
                self._put_aside()
            outcomes = write_lines(self._descriptor, lines)
        finally:
            if not is_held:
                self._close()
        for error in filter(None, outcomes):
            error.filename = self.path
        return outcomes

    def _open(self) -> None:
        # Without O_NONBLOCK a pipe that nobody reads from would stop the process here.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
        self._descriptor = os.open(self.path, flags, 0o666)
        os.set_blocking(self._descriptor, True)
        self._day = self._day_of(os.fstat(self._descriptor))

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, CLOSED
        os.close(descriptor)

    def _exchange(self) -> None:
        """Hold the file that is at the path now; if it cannot be opened, the one that is held already."""
        former = self._descriptor
        try:
            self._open()
        except OSError as error:
            logger.error("%s cannot be opened anew, lines go to where they went: %s", self.path, error.strerror)
        else:
            os.close(former)

    def _put_aside(self) -> None:
        """Give the file the name of its day, and begin a new one; if that fails, go on with it."""
        file, held = os.path.realpath(self.path), os.fstat(self._descriptor)
        aside = f"{file}.{self._day.year}_{self._day.month}_{self._day.day}"
        self._day = self._today()
        if not _lies_at(file, held):  # somebody has put it aside himself
            self._exchange()
        elif os.path.lexists(aside):
            logger.error("%s is not put aside, as there is %s already", file, aside)
        else:
            try:
                os.rename(file, aside)
            except OSError as error:
                logger.error("%s cannot be put aside as %s: %s", file, aside, error.strerror)
                return
            self._exchange()
            os.fchmod(self._descriptor, stat.S_IMODE(held.st_mode))

    def _day_of(self, file: os.stat_result) -> date:
        if not stat.S_ISREG(file.st_mode):
            return date.max  # /dev/null and its kin are never put aside
        return date.fromtimestamp(file.st_mtime) if file.st_size else self._today()

    def _today(self) -> date:
        return datetime.fromtimestamp(self._environment.wall_clock()).date()


def name_of(path: str) -> str:
    """The name of the service that appends to a file: the same for all ways to write its path."""
    return f"file {os.path.realpath(path)}"


def _lies_at(path: str, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(file, os.stat(path))
    except FileNotFoundError:
        return False


def write_lines(descriptor: int, lines: Sequence[bytes]) -> list[OSError | None]:
    """Write lines; gives for each None, or why no part of it is in the file.

    All with one call to the operating system if that is possible: each call may cost a thread its turn.
    """
    written, error = _write(descriptor, b"".join(lines))
    if error is None:
        return [None] * len(lines)
    ends = [end for end in accumulate(map(len, lines)) if end <= written]
    take_back(descriptor, written - (ends[-1] if ends else 0))
    # The line that failed may have been the longest.
    following = [outcome for line in lines[len(ends) + 1 :] for outcome in write_lines(descriptor, [line])]
    return [None] * len(ends) + [error] + following


def _write(descriptor: int, content: bytes) -> tuple[int, OSError | None]:
    """How many bytes were written, and why not all."""
    view, written = memoryview(content), 0
    try:
        while written < len(view):
            written += os.write(descriptor, view[written:])
    except OSError as error:
        return written, error
    return written, None


def take_back(descriptor: int, length: int) -> None:
    """Cut off what was written last, if this is a file, and nobody else has written behind it."""
    status = os.fstat(descriptor)
    if length and stat.S_ISREG(status.st_mode) and status.st_size == os.lseek(descriptor, 0, os.SEEK_CUR):
        os.ftruncate(descriptor, status.st_size - length)
