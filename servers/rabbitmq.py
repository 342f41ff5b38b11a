"""A RabbitMQ of one's own in a folder: started, killed, frozen and looked into.

    python -m servers.rabbitmq FOLDER      runs it until ctrl-C; what is durable stays in the folder

Everything it has is in its folder and on loopback: the broker, its management and Erlang's own name server have free
ports, and a cookie and a name of their own, so any number of them may run beside each other and beside the system's.
It ends with the process that has started it, however that ends.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from servers.grouped import Grouped, run_until_interrupted
from servers.ports import free_ports, opens

PROGRAMS = Path("/usr/lib/rabbitmq/lib")

#: The broker beside Erlang's name server, in one group.
BOTH = 'epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" & exec "$0"'
CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
loopback_users.guest = true
log.console = false
log.file = {folder}/log/rabbit.log
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
collect_statistics_interval = 1000
management.sample_retention_policies.global.minute = 5
management.sample_retention_policies.basic.minute = 1
management.sample_retention_policies.detailed.10 = 5
"""
TLS = """\
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
"""
#: Two schedulers that do not spin, so that an idle broker costs nothing; distribution on loopback.
ERLANG = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"


def is_installed() -> bool:
    """Whether the Debian package rabbitmq-server is here."""
    return any(PROGRAMS.glob("rabbitmq_server-*")) and shutil.which("epmd") is not None


class RabbitMQ:
    """One broker with its data in a folder. User and password are guest; the virtual host `/` exists.

    As a context it starts, and is killed at the end.

    Args:
        folder: where it keeps everything; made if it is not there.
        port: where it speaks AMQP; a free one if it is left out.
        tls: a certificate and its key, both PEM files: it also listens on `tls_port` then.

    Example:
        >>> from pathlib import Path
        >>> broker = RabbitMQ(Path("/tmp/broker"), port=15672)
        >>> broker.endpoint
        'tcp:127.0.0.1:15672'
    """

    def __init__(self, folder: Path, port: int | None = None, *, tls: tuple[Path, Path] | None = None) -> None:
        self.folder = folder.absolute()
        own, self.management, self._distribution, self._epmd, self.tls_port = free_ports(5)
        self.port = own if port is None else port
        self.tls = tls
        logs = (self.folder / "log" / name for name in ("startup.log", "rabbit.log"))
        self._group = Grouped("RabbitMQ", *logs)
        self._numbers = itertools.count(1)

    @property
    def endpoint(self) -> str:
        """Where it is, in the words of Twisted."""
        return f"tcp:127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._group.is_running

    def start(self, timeout: float = 120) -> None:
        """Start it, and wait until it speaks AMQP and its management answers: 7 s on an idle machine.

        Raises:
            RuntimeError: it ended, or was not ready in time; with the end of what it has said.
        """
        self._prepare()
        self._group.launch("sh", "-c", BOTH, self._program("rabbitmq-server"), environment=self._environment())
        self._group.wait(lambda: self.is_ready() and opens(self.management), timeout)

    def stop(self, timeout: float = 60) -> None:
        """End it in good order, which takes about 6 s, or kill it after a time."""
        self._group.end(lambda: os.kill(int(self._pid_file.read_text()), signal.SIGTERM), timeout)

    def kill(self) -> None:
        """End it at once, as if the power had failed; its ports are free when this returns."""
        self._group.kill()
        while opens(self.port) or opens(self.management):
            time.sleep(0.01)

    def restart(self) -> None:
        """Kill it, and start it again with the same data on the same ports."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Hold all its processes: connections stay open, and nothing answers."""
        self._group.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self._group.signal(signal.SIGCONT)

    def is_ready(self) -> bool:
        """Whether it answers to the first bytes of AMQP with a method, which it does only when it has booted."""
        if not self._pid_file.exists():
            return False
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
        return False

    def api(self, method: str, path: str, body: object = None) -> Any:
        """What the management API answers; the path is the part behind `/api/`, such as `connections`.

        Raises:
            RuntimeError: with the status and the text, if that is an error.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.management, timeout=30)
        login = base64.b64encode(b"guest:guest").decode()
        try:
            headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
            connection.request(method, f"/api/{path}", None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            raise RuntimeError(f"{method} /api/{path}: {response.status} {text.decode()}")
        return json.loads(text) if text else None

    def ctl(self, *arguments: object) -> str:
        """What `rabbitmqctl` prints for some arguments; takes a second or two.

        Raises:
            subprocess.CalledProcessError: it failed; `stderr` says why.
        """
        command = [self._program("rabbitmqctl"), "-q", *map(str, arguments)]
        environment = self._environment()
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout

    def vhost(self) -> str:
        """The name of a new virtual host, in which guest may do everything."""
        name = f"vhost-{next(self._numbers)}-{secrets.token_hex(3)}"
        self.api("PUT", f"vhosts/{name}")
        self.api("PUT", f"permissions/{name}/guest", {"configure": ".*", "write": ".*", "read": ".*"})
        return name

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def _pid_file(self) -> Path:
        return self.folder / "rabbitmq.pid"

    def _program(self, name: str) -> str:
        # Not the one of the path, which changes to the user rabbitmq and to the folders of the system.
        found = sorted(PROGRAMS.glob(f"rabbitmq_server-*/sbin/{name}"))
        if not found:
            raise RuntimeError("RabbitMQ is not installed: apt install rabbitmq-server")
        return str(found[-1])

    def _prepare(self) -> None:
        for name in ("log", "mnesia", "home"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._pid_file.unlink(missing_ok=True)
        cookie = self.folder / "home" / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(secrets.token_hex(20))
            cookie.chmod(0o600)
        text = CONFIGURATION.format(port=self.port, management=self.management, folder=self.folder)
        if self.tls is not None:
            text += TLS.format(port=self.tls_port, certificate=self.tls[0], key=self.tls[1])
        (self.folder / "rabbitmq.conf").write_text(text)
        (self.folder / "rabbitmq-env.conf").write_text("")
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n")

    def _environment(self) -> Mapping[str, str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        return others | {
            "HOME": str(self.folder / "home"),
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self._pid_file),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG,
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m servers.rabbitmq", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    broker = RabbitMQ(options.folder, options.port)
    print("Starting RabbitMQ, which takes about 7 s ...", flush=True)

    def start() -> str:
        broker.start()
        told = f"AMQP: {broker.endpoint}, user guest, password guest; virtual host /"
        return f"{told}\nManagement: http://127.0.0.1:{broker.management}"

    run_until_interrupted(start, lambda: broker.is_running, broker.stop)


if __name__ == "__main__":
    main()
