"""Going to the background, and the file that says which process did."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import click


class Foreground:
    """The process that was started by hand, while another one goes on in the background: it waits to be released."""

    def __init__(self, pipe: int) -> None:
        self._pipe: int | None = pipe

    def release(self, exit_code: int) -> None:
        """Let it end with an exit code, and this process leave the terminal; does nothing the second time."""
        if self._pipe is None:
            return
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        os.close(nowhere)
        os.write(self._pipe, bytes([exit_code]))
        os.close(self._pipe)
        self._pipe = None


def become_daemon() -> Foreground:
    """Go on in a process of the background, as daemon(7) asks for.

    The one in the foreground ends when it is released: once the service has started, or could not. It ends with 1 when
    the other one dies before.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        told = os.read(reading, 1)
        os._exit(told[0] if told else 1)
    os.close(reading)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.umask(0o022)
    return Foreground(writing)


@contextmanager
def pid_file(path: str | None) -> Iterator[None]:
    """Holds this process's id in a file as long as it runs; None holds nothing.

    The file is locked meanwhile: one that was left behind by a crash is taken over, whatever runs under its id now.

    Raises:
        click.ClickException: another process holds the file, or it cannot be written.
    """
    if not path:
        yield
        return
    try:
        file = open(path, "a+")  # noqa: SIM115 - held open while the process runs, as the lock is
    except OSError as error:
        raise click.ClickException(f"cannot write the pid file {path}: {error.strerror}") from error
    with file:
        _lock(file, path)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            os.remove(path)


def _lock(file: TextIO, path: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        raise click.ClickException(f"{path}: already running as process {file.read().strip()}") from error
