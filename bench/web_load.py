"""Servers in processes of their own, load for them, and what they spend on it."""

from __future__ import annotations

import re
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

#: Connections at a time.
CLIENTS: Final = 50
#: Clients that come at once to follow a stream: as many as any server lets wait until it takes them.
_AT_ONCE: Final = 40
#: Seconds without a message of any stream.
_PATIENCE: Final = 30
_POST: Final = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [[%s]]
"""


@dataclass(frozen=True)
class Server:
    """A server that runs: the processes of it, and the port on which it listens."""

    process: psutil.Process
    port: int

    def cpu_seconds(self) -> float:
        """CPU time so far, of the user and the system, with that of child processes."""
        times = [each.cpu_times() for each in (self.process, *self.process.children(recursive=True))]
        return sum(time.user + time.system for time in times)


@contextmanager
def serving(*command: object, folder: str | Path) -> Iterator[Server]:
    """A server that is started in a folder, with its port in the place of PORT, and stopped afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [str(part).replace("PORT", str(port)) for part in command]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(arguments, cwd=folder, stdout=said, stderr=said) as process,
    ):
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    connect(port).close()
                    break
                except ConnectionRefusedError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        said.seek(0)
                        raise SystemExit(f"{arguments} did not open its port:\n{said.read().decode()}") from None
                    time.sleep(0.01)
            yield Server(psutil.Process(process.pid), port)
        finally:
            process.terminate()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


@dataclass(frozen=True)
class Cost:
    """What a server has spent on each request or message, and how many there were in a second."""

    cpu: float
    rate: float


def ask(server: Server, path: str, seconds: int, sends: bytes | None = None) -> Cost:
    """Let wrk ask for all that the server can give: with GET, or with POST where it `sends` JSON."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if sends is not None:
            script.write(_POST % sends.decode())
            script.flush()
        command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "-s", script.name]
        before = server.cpu_seconds()
        told = subprocess.run(
            [*command, f"http://127.0.0.1:{server.port}{path}"], check=True, capture_output=True, text=True
        ).stdout
        spent = server.cpu_seconds() - before
    if "Non-2xx" in told or "Socket errors" in told:
        raise SystemExit(told)
    [[requests, took, unit]] = re.findall(r"(\d+) requests in ([\d.]+)(s|m)", told)
    return Cost(spent / int(requests), int(requests) / (float(took) * (60 if unit == "m" else 1)))


def follow(server: Server, path: str, clients: int, seconds: float, mark: bytes) -> Cost:
    """Let clients read streams that do not end, and count what they get once all are there.

    Args:
        mark: a byte that each message has once, and nothing else has.
    """
    connections: dict[int, socket.socket] = {}
    with select.epoll() as poll:
        try:
            while len(connections) < clients:
                newcomers = [connect(server.port) for _ in range(min(_AT_ONCE, clients - len(connections)))]
                connections |= {each.fileno(): each for each in newcomers}
                for connection in newcomers:
                    connection.sendall(b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path.encode())
                    poll.register(connection, select.EPOLLIN)
                waiting = {each.fileno() for each in newcomers}
                while waiting:
                    counts = _received(poll, connections, mark)
                    waiting.difference_update(number for number, count in counts.items() if count)
            spent, began, messages = server.cpu_seconds(), time.monotonic(), 0
            while (took := time.monotonic() - began) < seconds:
                messages += sum(_received(poll, connections, mark).values())
            return Cost((server.cpu_seconds() - spent) / messages, messages / took)
        finally:
            for connection in connections.values():
                connection.close()


def _received(poll: select.epoll, connections: dict[int, socket.socket], mark: bytes) -> dict[int, int]:
    """How many messages came, by the numbers of the connections on which something came."""
    counts = {}
    for number, _ in poll.poll(_PATIENCE):
        if not (data := connections[number].recv(1 << 16)):
            raise SystemExit("the server has ended a stream")
        counts[number] = data.count(mark)
    if not counts:
        raise SystemExit("the server sends nothing")
    return counts
