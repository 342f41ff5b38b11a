"""ZooKeepers of one's own in a folder, one or an ensemble: started, killed, frozen and asked.

    python -m servers.zookeeper FOLDER [--members 3]      runs them until ctrl-C; their data stay in the folder

Everything they have is in the folder and on free ports of loopback. They end with the process that has started them.
A tick is half a second, so that sessions may last from 1 to 10 s.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from servers.grouped import Grouped, run_until_interrupted
from servers.ports import free_ports, opens

JAR = Path("/usr/share/java/zookeeper.jar")
JAVA = ["-Xms32m", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true"]
CONFIGURATION = """\
tickTime=500
dataDir={folder}/data
clientPort={port}
clientPortAddress=127.0.0.1
initLimit=20
syncLimit=10
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=srvr,cons,dump
"""
LOGGING = """\
log4j.rootLogger=INFO, F
log4j.appender.F=org.apache.log4j.FileAppender
log4j.appender.F.File={folder}/zookeeper.log
log4j.appender.F.layout=org.apache.log4j.PatternLayout
log4j.appender.F.layout.ConversionPattern=%d{{ISO8601}} %-5p [%t:%C{{1}}@%L] - %m%n
"""


def is_installed() -> bool:
    """Whether the Debian package zookeeper is here."""
    return JAR.exists() and shutil.which("java") is not None


class Member:
    """One server, alone or of an ensemble.

    Args:
        folder: where it keeps everything; made if it is not there.
        port: where it listens for clients.
        number: which of the ensemble it is, from 1; 0 if it is alone.
        ensemble: the lines of a configuration that name all members.
    """

    def __init__(self, folder: Path, port: int, number: int = 0, ensemble: Iterable[str] = ()) -> None:
        self.folder, self.port, self.number = folder.absolute(), port, number
        self._ensemble = tuple(ensemble)
        self._group = Grouped("ZooKeeper", self.folder / "stdout.log", self.folder / "zookeeper.log")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._group.is_running

    @property
    def mode(self) -> str:
        """`leader`, `follower` or `standalone`; '' if it does not serve clients."""
        for line in self.ask("srvr").splitlines():
            if line.startswith("Mode: "):
                return line.removeprefix("Mode: ")
        return ""

    def begin(self) -> None:
        """Start it, without waiting for anything."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        text = CONFIGURATION.format(folder=self.folder, port=self.port)
        (self.folder / "zoo.cfg").write_text(text + "".join(f"{line}\n" for line in self._ensemble))
        (self.folder / "log4j.properties").write_text(LOGGING.format(folder=self.folder))
        if self.number:
            (self.folder / "data" / "myid").write_text(str(self.number))
        settings = [f"-Dlog4j.configuration=file:{self.folder}/log4j.properties", "-Dzookeeper.jmx.log4j.disable=true"]
        program = ["-cp", str(JAR), "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(self.folder / "zoo.cfg")]
        self._group.launch("java", *JAVA, *settings, *program)

    def wait(self, timeout: float = 60) -> None:
        """Wait until it serves clients.

        Raises:
            RuntimeError: it ended, or was not ready in time; with the end of what it has said.
        """
        self._group.wait(lambda: self.mode != "", timeout)

    def start(self, timeout: float = 60) -> None:
        """Start it, and wait until it serves clients: half a second on an idle machine."""
        self.begin()
        self.wait(timeout)

    def kill(self) -> None:
        """End it at once, as if the power had failed; its port is free when this returns."""
        self._group.kill()
        while opens(self.port):
            time.sleep(0.01)

    def restart(self) -> None:
        """Kill it, and start it again with the same data on the same port."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Hold it: connections stay open, and nothing answers."""
        self._group.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self._group.signal(signal.SIGCONT)

    def ask(self, word: str) -> str:
        """What it answers to a word of four letters, such as `srvr` or `cons`; '' if it does not."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 2) as connection:
            connection.sendall(word.encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        return ""


class ZooKeeper:
    """One server, or an ensemble of several, with their data in a folder.

    As a context they start, and are killed at the end.

    Args:
        folder: where they keep everything; made if it is not there.
        members: how many there are.

    Example:
        >>> from pathlib import Path
        >>> ensemble = ZooKeeper(Path("/tmp/ensemble"), members=3)
        >>> len(ensemble.servers.split(","))
        3
    """

    def __init__(self, folder: Path, members: int = 1) -> None:
        ports = free_ports(members * 3)
        clients, others = ports[:members], iter(ports[members:])
        lines = [f"server.{n}=127.0.0.1:{next(others)}:{next(others)}" for n in range(1, members + 1)]
        if members == 1:
            self.members = [Member(folder, clients[0])]
        else:
            self.members = [Member(folder / str(n), port, n, lines) for n, port in enumerate(clients, 1)]

    @property
    def servers(self) -> str:
        """All members as clients name them: their addresses, with commas between them."""
        return ",".join(member.address for member in self.members)

    @property
    def leader(self) -> Member:
        """The member that leads the ensemble, once there is one."""
        return self._first(lambda member: member.mode in ("leader", "standalone"))

    def member_of(self, session: int) -> Member:
        """The member that a session of a client is connected to, once there is one."""
        return self._first(lambda member: f"sid=0x{session & (1 << 64) - 1:x}," in member.ask("cons"))

    def start(self, timeout: float = 60) -> None:
        """Start all, and wait until they serve clients: an ensemble of three takes 1.2 s on an idle machine."""
        for member in self.members:
            member.begin()
        for member in self.members:
            member.wait(timeout)

    def kill(self) -> None:
        """End all at once."""
        for member in self.members:
            member.kill()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _first(self, is_wanted: Callable[[Member], bool]) -> Member:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for member in self.members:
                if member.is_running and is_wanted(member):
                    return member
            time.sleep(0.05)
        raise RuntimeError("there is no such member")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m servers.zookeeper", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--members", type=int, default=1)
    options = parser.parse_args()
    ensemble = ZooKeeper(options.folder, options.members)

    def start() -> str:
        ensemble.start()
        return f"servers: {ensemble.servers}"

    run_until_interrupted(start, lambda: any(member.is_running for member in ensemble.members), ensemble.kill)


if __name__ == "__main__":
    main()
