"""A PostgreSQL of one's own in a folder: started, killed, frozen and asked.

    python -m servers.postgres FOLDER      runs it until ctrl-C; its data stay in the folder

Everything it has is in its folder and on a free port of loopback. It refuses to run as root, so that root starts it as
the user postgres, who must be able to reach the folder. It ends with the process that has started it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Self

from servers.grouped import Grouped, run_until_interrupted
from servers.ports import free_ports

PROGRAMS = Path("/usr/lib/postgresql")
#: It is processes that are killed here, and not the machine: what it has handed to the system is safe.
OPTIONS = ("listen_addresses=127.0.0.1", "shared_buffers=32MB", "fsync=off", "max_connections=50")


def is_installed() -> bool:
    """Whether the Debian package postgresql is here."""
    return any(PROGRAMS.glob("*/bin/postgres")) and shutil.which("setpriv") is not None


class Postgres:
    """One server with its data in a folder. Its user is postgres, without a password; there is a database postgres.

    As a context it starts, and is killed at the end.

    Args:
        folder: where it keeps everything; made if it is not there.
        port: where it listens; a free one if it is left out.

    Example:
        >>> from pathlib import Path
        >>> server = Postgres(Path("/tmp/server"), port=15432)
        >>> server.url("postgres", driver="asyncpg")
        'postgresql+asyncpg://postgres@127.0.0.1:15432/postgres'
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self.port = free_ports(1)[0] if port is None else port
        self._group = Grouped("PostgreSQL", self.folder / "postgres.log")
        self._frozen: list[int] = []
        self._numbers = itertools.count(1)

    @property
    def is_running(self) -> bool:
        return self._group.is_running

    def url(self, database: str, driver: str = "psycopg") -> str:
        """Where a database is, in the words of SQLAlchemy."""
        return f"postgresql+{driver}://postgres@127.0.0.1:{self.port}/{database}"

    def start(self, timeout: float = 60) -> None:
        """Start it, and wait until it takes connections: 1 s the first time on an idle machine, then 0.2 s.

        Raises:
            RuntimeError: it ended, or was not ready in time; with the end of what it has said.
        """
        self._prepare()
        options = [word for option in OPTIONS for word in ("-c", option)]
        command = ["-D", str(self._data), "-p", str(self.port), "-k", str(self.folder), *options]
        deadline = time.monotonic() + timeout
        while not self._begin(command, deadline):
            # Killed, it leaves a lock that names its process; that may be there for a while yet.
            if time.monotonic() > deadline:
                self.kill()
                raise self._group.did_not_start()
            time.sleep(0.1)

    def stop(self, timeout: float = 30) -> None:
        """End it in good order, which breaks the connections, or kill it after a time."""
        self._group.end(lambda: os.kill(self._processes()[0], signal.SIGINT), timeout)

    def kill(self) -> None:
        """End it at once, as if the power had failed."""
        # Its children are in groups of their own.
        for pid in self._processes() if self._group.is_running else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._group.kill()
        self._frozen = []

    def restart(self) -> None:
        """Kill it, and start it again with the same data on the same port."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Hold all its processes: connections stay open, and nothing answers."""
        self._frozen = self._processes()
        for pid in self._frozen:
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        frozen, self._frozen = self._frozen, []
        for pid in frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints for a statement: a line for each row, with `|` between columns.

        Raises:
            subprocess.CalledProcessError: it failed; `stderr` says why.
        """
        command = [self._program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port)]
        command += ["-U", "postgres", "-d", database, "-c", statement]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    def database(self) -> str:
        """The name of a new and empty database."""
        name = f"test_{next(self._numbers)}_{secrets.token_hex(3)}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def cut(self, database: str, where: str = "true") -> int:
        """Break the connections to a database for which a condition on pg_stat_activity holds; how many there were."""
        condition = f"datname = '{database}' AND pid <> pg_backend_pid() AND ({where})"
        return int(self.sql(f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {condition}"))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _begin(self, command: list[str], deadline: float) -> bool:
        """Start it once; whether it takes connections now."""
        self._group.launch(*self._as_user(), self._program("postgres"), *command)
        while time.monotonic() < deadline and self.is_running:
            if self._is_ready():
                return True
            time.sleep(0.02)
        return False

    def _is_ready(self) -> bool:
        ask = [self._program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        return subprocess.run(ask, timeout=30).returncode == 0

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        if not (self._data / "PG_VERSION").exists():
            how = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
            make = [*self._as_user(), self._program("initdb"), "-D", str(self._data), *how]
            subprocess.run(make, cwd=self.folder, capture_output=True, check=True)

    @staticmethod
    def _as_user() -> list[str]:
        root = os.geteuid() == 0
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if root else []

    def _processes(self) -> list[int]:
        """The server and its children, which are in groups of their own."""
        [pid, *_] = _children(self._group.leader) or [0]
        return [pid, *_children(pid)] if pid else []

    @staticmethod
    def _program(name: str) -> str:
        found = sorted(PROGRAMS.glob(f"*/bin/{name}"), key=lambda program: float(program.parts[-3]))
        if not found:
            raise RuntimeError("PostgreSQL is not installed: apt install postgresql")
        return str(found[-1])


def _children(pid: int) -> list[int]:
    """The processes that one has started, the oldest first; none if it has ended."""
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except (FileNotFoundError, ProcessLookupError):
        return []


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m servers.postgres", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    server = Postgres(options.folder, options.port)

    def start() -> str:
        server.start()
        return f"{server.url('postgres')}, without a password"

    run_until_interrupted(start, lambda: server.is_running, server.stop)


if __name__ == "__main__":
    main()
