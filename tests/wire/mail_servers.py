"""Mail servers that tests start: a whole Postfix in a folder of its own, and one that does exactly what it is told."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import wait_until

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/lib
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.example
mydestination =
relayhost = [127.0.0.1]:{relay}
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_host_lookup = native
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
transport_retry_time = 1s
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
alias_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
"""
MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Postfix:
    """Listens on `port`, and relays every mail to another port, now or once that takes it."""

    def __init__(self, folder: Path, port: int, relay: int) -> None:
        self.folder, self.port = folder, port
        for name in ("etc", "spool", "lib"):
            (folder / name).mkdir(exist_ok=True)
        shutil.chown(folder / "lib", "postfix")
        (folder / "etc/main.cf").write_text(MAIN.format(folder=folder, relay=relay))
        (folder / "etc/master.cf").write_text(MASTER.format(port=port))

    def start(self) -> None:
        command = ["postfix", "-c", self.folder / "etc", "start-fg"]
        with open(self.folder / "start.log", "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(lambda: self.process.poll() is not None or greets(self.port))
        assert self.process.poll() is None, (self.folder / "start.log").read_text()

    def kill(self) -> None:
        """End it at once, with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        pid_file = self.folder / "spool/pid/master.pid"
        if pid_file.exists():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(pid_file.read_text()), signal.SIGKILL)
        self.process.wait(30)
        wait_until(lambda: not accepts(self.port))

    @property
    def log(self) -> str:
        file = self.folder / "maillog"
        return file.read_text() if file.exists() else ""


@contextlib.contextmanager
def postfix(relay: int) -> Iterator[Postfix]:
    """A Postfix of our own, which runs."""
    if os.geteuid() != 0:
        pytest.skip("Postfix can be started by root only")
    # Its parts run as other users, who may not look into the folders of pytest.
    folder = Path(tempfile.mkdtemp(prefix="piped-postfix-", dir="/tmp"))
    folder.chmod(0o755)
    server = Postfix(folder, free_port(), relay)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


def greets(port: int) -> bool:
    """Whether a mail server says that it is ready."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.settimeout(5)
            return connection.recv(3) == b"220"
    except OSError:
        return False


class Scripted:
    """Says to each line that comes what `answer` gives: bytes, or None to hang up; in one thread for each connection.

    Args:
        answer: is given the number of the connection, from 1, and the line; b"" for the beginning.
    """

    def __init__(self, answer: Callable[[int, bytes], bytes | None]) -> None:
        self.answer = answer
        self.lines: list[tuple[int, bytes]] = []
        self._connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._connections += 1
            threading.Thread(target=self._serve, args=(connection, self._connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            line = b""
            while (said := self.answer(number, line)) is not None:
                connection.sendall(said)
                line = stream.readline().rstrip(b"\r\n")
                if not line:
                    line = stream.readline().rstrip(b"\r\n")
                self.lines.append((number, line))
