"""Going to the background, and the file that says which process did."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click


def become_daemon() -> Callable[[int], None]:
    """Go on in a process of the background, as daemon(7) asks for; the one in the foreground waits.

    Gives a function that lets it end, with an exit code: to be called once the service has started, or could not.
    It takes the terminal away from this process. When this process ends before, the exit code is 1.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        _end_as_told(reading)
    os.close(reading)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.umask(0o022)

    def release(exit_code: int) -> None:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        os.write(writing, bytes([exit_code]))
        os.close(writing)

    return release


def _end_as_told(reading: int) -> NoReturn:
    told = os.read(reading, 1)
    os._exit(told[0] if told else 1)


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


def _lock(file: Any, path: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        raise click.ClickException(f"{path}: already running as process {file.read().strip()}") from error
