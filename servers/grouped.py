"""Grouped: a server in a process group of its own, which ends with whoever has started it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

#: Ends the group with the server, or when nobody holds its stdin any more.
_LEADER = """
exec 3<&0
"$@" </dev/null &
server=$!
{ read -r _; kill -KILL 0; } <&3 &
wait "$server"
kill -KILL 0
"""


class Grouped:
    """One server at a time, with the processes that it starts.

    Args:
        name: how messages call it.
        logs: what it says goes to the first of these files; the ends of all are told when it does not start.
    """

    def __init__(self, name: str, *logs: Path) -> None:
        self._name, self._logs = name, logs
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def leader(self) -> int:
        """The process that leads the group.

        Raises:
            RuntimeError: it does not run.
        """
        if self._process is None:
            raise RuntimeError(f"{self._name} does not run")
        return self._process.pid

    def launch(self, *command: str | Path, environment: Mapping[str, str] | None = None) -> None:
        """Start it, without waiting for anything."""
        with self._logs[0].open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", _LEADER, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def wait(self, is_ready: Callable[[], bool], timeout: float) -> None:
        """Wait until it is ready.

        Raises:
            RuntimeError: it ended, or was not ready in time; with the end of what it has said.
        """
        deadline = time.monotonic() + timeout
        while not is_ready():
            if not self.is_running or time.monotonic() > deadline:
                self.kill()
                raise self.did_not_start()
            time.sleep(0.05)

    def did_not_start(self) -> RuntimeError:
        """What to raise then, with the end of what it has said."""
        words = (log.read_text(errors="replace")[-2000:] for log in self._logs if log.exists())
        return RuntimeError(f"{self._name} did not start:\n" + "\n".join(words))

    def end(self, send: Callable[[], object], timeout: float) -> None:
        """Ask it to end, and kill it after a time."""
        if self._process is not None and self.is_running:
            send()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """End the group at once."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None

    def signal(self, number: int) -> None:
        """Send a signal to the group."""
        os.killpg(self.leader, number)


def run_until_interrupted(start: Callable[[], str], is_running: Callable[[], bool], stop: Callable[[], None]) -> None:
    """Run a server for a person, until ctrl-C or SIGTERM.

    Args:
        start: starts it, and gives what is to be told of it.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print(start())
        print("ctrl-C ends it; its data stay in the folder.", flush=True)
        while is_running():
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("\nStopping ...", flush=True)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    finally:
        stop()
