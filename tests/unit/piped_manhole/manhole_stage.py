"""A manhole in memory: its connections on a clock, and a client that sends whatever a test wants."""

from __future__ import annotations

from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import SSHClientTransport
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from piped import DottedName
from piped.runtime.console import Console
from piped_manhole.checkers import made
from piped_manhole.connections import Connection, Connections
from piped_manhole.options import ManholeOptions
from piped_manhole.session import Session

PASSWORDS = DottedName("twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse")
HOST_KEY = Key(Ed25519PrivateKey.generate())
PEER = IPv4Address("TCP", "192.0.2.1", 4711)


class Manhole:
    """The server's side. `namespace` is what its sessions see."""

    def __init__(self, checkers: list[Any] | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.namespace: dict[str, Any] = {}
        passwords = made(PASSWORDS.load(), {"ada": "sesame"})
        checkers = [passwords] if checkers is None else checkers
        new_session = partial(Session, lambda: Console(self.namespace), "hello\n")
        given = ManholeOptions(enabled=False, **options)
        self.connections = Connections("manholes.test", given, checkers, new_session, self.clock)
        self.connections.use_key(HOST_KEY)
        self.connections.doStart()

    def connect(self) -> Wire:
        connection = self.connections.buildProtocol(PEER)
        return Wire(self, connection)


class Wire:
    """One connection; `send` sends bytes, `client` speaks SSH over it."""

    def __init__(self, manhole: Manhole, server: Connection) -> None:
        self.manhole, self.server = manhole, server
        self.transport = StringTransport(peerAddress=PEER)
        self.server.makeConnection(self.transport)
        self.is_open = True

    def send(self, data: bytes) -> None:
        if self.is_open:
            self.server.dataReceived(data)
        self.settle()

    def settle(self) -> None:
        """What the server has closed is closed, as far as a real transport would have done it by now."""
        if self.is_open and self.transport.disconnecting:
            self.lose()

    def lose(self) -> None:
        if self.is_open:
            self.is_open = False
            self.server.connectionLost(Failure(ConnectionDone()))

    def client(self) -> Client:
        client = Client(self)
        client.makeConnection(StringTransport())
        client.pump()
        return client


class Client(SSHClientTransport):
    """Keeps every message that it gets, and sends what it is told."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.messages: list[tuple[int, bytes]] = []

    def verifyHostKey(self, hostKey: bytes, fingerprint: bytes) -> Deferred[int]:
        return succeed(1)

    def connectionSecure(self) -> None:
        """Nothing is asked for by itself."""

    def dispatchMessage(self, messageNum: int, payload: bytes) -> None:
        self.messages.append((messageNum, payload))
        if messageNum < 50 and messageNum != 6:
            super().dispatchMessage(messageNum, payload)

    def say(self, message: int, payload: bytes) -> None:
        self.sendPacket(message, payload)
        self.pump()

    def pump(self) -> None:
        """Carry bytes both ways until nobody has any."""
        while True:
            theirs, ours = self.transport.value(), self.wire.transport.value()
            self.transport.clear()
            self.wire.transport.clear()
            if not theirs and not ours:
                self.wire.settle()
                return
            if theirs and self.wire.is_open:
                self.wire.server.dataReceived(theirs)
            if ours:
                self.dataReceived(ours)

    def log_in(self, user: str = "ada", password: str = "sesame") -> bool:
        """Ask for the service, and log in by password."""
        if not any(number == 6 for number, _ in self.messages):
            self.say(5, NS(b"ssh-userauth"))
        self.say(50, NS(user.encode()) + NS(b"ssh-connection") + NS(b"password") + b"\0" + NS(password.encode()))
        return any(number == 52 for number, _ in self.messages)

    def received(self, number: int) -> list[bytes]:
        """The payloads of all messages of that number."""
        return [payload for each, payload in self.messages if each == number]
