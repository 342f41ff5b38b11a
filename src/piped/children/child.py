"""Child: one run of a command, whose pipes the reactor reads and writes, and whose end it hears of."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred, succeed

from piped import Seconds
from piped.children.group import Group
from piped.children.guard import Guard
from piped.children.pipes import PipeReader, PipeWriter, Receiver
from piped.resources.events import Event


@dataclass(frozen=True)
class Command:
    """What is run, and what hears what it says.

    Args:
        name: how messages call it.
        arguments: the executable and its arguments.
        folder: where it works; None for where this process does.
        stdout: what hears its output.
        stderr: what hears its errors; None sends them where the output goes.
    """

    name: str
    arguments: Sequence[str]
    folder: str | None
    stdout: Receiver
    stderr: Receiver | None


class Child:
    """A command that runs, in a session of its own: no signal of the terminal comes to it, and its group is its own.

    Raises:
        OSError: it cannot be started.
    """

    # Not the reactor's spawnProcess: that forks in Python, tells no failure to start from a program that fails, and
    # leaves the child in our own session.
    def __init__(self, command: Command, reactor: Any, guard: Guard) -> None:
        # Blocks until the command is executed, a millisecond, as asyncio's own does.
        self._process = subprocess.Popen(
            command.arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if command.stderr is None else subprocess.PIPE,
            cwd=command.folder,
            start_new_session=True,
            bufsize=0,
        )
        self.pid = self._process.pid
        self._reactor, self._guard = reactor, guard
        self._group = Group(command.name, self.pid)
        guard.add(self.pid)
        self.stdin = PipeWriter(reactor, _taken(self._process.stdin), f"{command.name}.stdin")
        self.stdout = PipeReader(reactor, _taken(self._process.stdout), f"{command.name}.stdout", command.stdout)
        self.stderr: PipeReader | None = None
        if command.stderr is not None:
            self.stderr = PipeReader(reactor, _taken(self._process.stderr), f"{command.name}.stderr", command.stderr)
        self._code: int | None = None
        self._on_ended: Event[[]] = Event()
        # A thread waits, because SIGCHLD reaches Python in different ways under different reactors.
        Thread(target=self._wait, name=command.name, daemon=True).start()

    def _wait(self) -> None:
        code = self._process.wait()
        self._reactor.callFromThread(self._ended, code)

    def _ended(self, code: int) -> None:
        self._code = code
        self._on_ended()

    def when_ended(self) -> Deferred[Any]:
        """Fires with its exit code when it has ended; with the number of the signal, negative, that has killed it."""
        ended = succeed(None) if self._code is not None else self._on_ended.wait_until_fired()
        return ended.addCallback(lambda _: self._code)

    async def end(self, kill_after: Seconds) -> None:
        """End all processes of its group, and read the last of what they have said."""
        await self._group.end(self._reactor, kill_after)
        await self.when_ended()
        self._group.fetch()
        self._guard.discard(self.pid)
        self.stdin.close()
        readers = [reader for reader in (self.stdout, self.stderr) if reader is not None]
        for reader in readers:
            reader.finish()
        for reader in readers:
            await reader.when_ended()

    def kill(self) -> None:
        """End all processes of its group at once."""
        self._group.send(signal.SIGKILL)


def in_words(code: int) -> str:
    """How a process has ended, by its exit code, or the number of the signal as a negative one.

    Example:
        >>> in_words(3), in_words(-9)
        ('ended with code 3', 'was killed by SIGKILL')
    """
    if code >= 0:
        return f"ended with code {code}"
    names = {each.value: each.name for each in signal.Signals}
    return f"was killed by {names.get(-code, f'signal {-code}')}"


def _taken(pipe: Any) -> int:
    """A descriptor of our own for a pipe of Popen's, which closes those that it has made."""
    with pipe:
        return os.dup(pipe.fileno())
