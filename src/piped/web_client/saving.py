"""A body becomes a file: under another name until all of it is there, and written in threads."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import AsyncIterable, Callable
from threading import Lock
from typing import Any, BinaryIO

from twisted.internet.defer import Deferred


async def save(parts: AsyncIterable[bytes], name: str, in_thread: Callable[..., Deferred[Any]], *, sync: bool) -> int:
    """Write parts to a file, in place of one that is there already; gives how many bytes there were.

    The next part is asked for when one is written. However this ends, the name leads to the whole file, or to what it
    led to before.

    Args:
        sync: wait until the disk has it, so that it survives a power cut.

    Raises:
        OSError: it cannot be written.
    """
    file = _Unfinished(name)
    size = 0
    try:
        await in_thread(file.open)
        async for part in parts:
            await in_thread(file.write, part)
            size += len(part)
        await in_thread(file.complete, sync)
    except BaseException:
        await in_thread(file.discard)
        raise
    return size


class _Unfinished:
    """A file under another name, beside where it is to be.

    Who is cancelled leaves a thread that goes on: with `discard` the others do nothing, whichever comes first.
    """

    def __init__(self, name: str) -> None:
        self._name = os.path.abspath(name)
        folder, base = os.path.split(self._name)
        self._other_name = os.path.join(folder, f".{base[:200]}.{secrets.token_hex(6)}.part")
        self._file: BinaryIO | None = None
        self._is_discarded = False
        self._lock = Lock()

    def open(self) -> None:
        with self._lock:
            if not self._is_discarded:
                # Not by tempfile, whose files nobody but their owner may read.
                self._file = open(self._other_name, "xb")  # noqa: SIM115 - closed by another method

    def write(self, data: bytes) -> None:
        with self._lock:
            if self._file is not None:
                self._file.write(data)

    def complete(self, sync: bool) -> None:
        with self._lock:
            if self._file is None:
                return
            self._file.flush()
            if sync:
                os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._other_name, self._name)
            self._file = None
            if sync:
                _sync_folder(os.path.dirname(self._name))

    def discard(self) -> None:
        with self._lock:
            self._is_discarded = True
            if self._file is None:
                return
            with contextlib.suppress(OSError):  # what could not be written before cannot be now
                self._file.close()
            self._file = None
            os.unlink(self._other_name)


def _sync_folder(name: str) -> None:
    """Have the disk know the names in a folder."""
    folder = os.open(name, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
