"""Going to the background, and the file that says which process did."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click


def become_daemon() -> None:
    """Leave the terminal: fork twice with a session in between, as daemon(7) asks for."""
    for is_last in (False, True):
        sys.stdout.flush()
        sys.stderr.flush()
        if os.fork():
            os._exit(0)
        if not is_last:
            os.setsid()
    os.umask(0o022)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)


@contextmanager
def pid_file(path: str | None) -> Iterator[None]:
    """Holds this process's id in a file as long as it runs; None holds nothing.

    Raises:
        click.ClickException: the file names a process that is still running, or cannot be written.
    """
    if not path:
        yield
        return
    if (running := _running(path)) is not None:
        raise click.ClickException(f"{path}: already running as process {running}")
    try:
        with open(path, "w") as file:
            file.write(f"{os.getpid()}\n")
    except OSError as error:
        raise click.ClickException(f"cannot write the pid file {path}: {error.strerror}") from error
    try:
        yield
    finally:
        os.remove(path)


def _running(path: str) -> int | None:
    """The id in a pid file if such a process exists."""
    try:
        with open(path) as file:
            pid = int(file.read())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid
