"""What the tests of mail stand on: servers and clients that talk in memory, on a clock that stands still."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import directlyProvides

from piped import ConfigurationError, RuntimeEnvironment, processor
from piped.config.gathering import gather_text
from piped.runtime.assembly import check, configure

OPEN = """
smtp:
  in:
    listen: 10025
    processor: main
    host: here
    validate_from: "protocol, helo, origin: True"
    validate_to: "protocol, user: True"
"""


class Wire:
    """One end of a connection: what is written comes to whoever reads it, when they do."""

    def __init__(self, protocol: Protocol, peer: str = "192.0.2.1") -> None:
        self.protocol, self.peer = protocol, peer
        self.written = b""
        self.is_closed = self.is_over = self.is_paused = False
        self.tls: list[Any] = []
        protocol.makeConnection(self)  # type: ignore[arg-type]  # as much of a transport as is used

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", self.peer, 1234)

    def write(self, data: bytes) -> None:
        if not self.is_closed:
            self.written += data

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer
        while self.producer is not None and not streaming:
            self.producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.is_paused = True

    def resumeProducing(self) -> None:
        self.is_paused = False

    def startTLS(self, context: Any) -> None:
        self.tls.append(context)
        directlyProvides(self, ISSLTransport)

    def loseConnection(self) -> None:
        self.is_closed = True

    def abortConnection(self) -> None:
        self.is_closed = True
        self.end(ConnectionAborted())

    def end(self, error: Exception | None = None) -> None:
        """The connection is over."""
        if not self.is_over:
            self.is_closed = self.is_over = True
            self.protocol.connectionLost(Failure(error or ConnectionDone()))

    def say(self, *lines: str | bytes) -> str:
        """What is said to some lines that come together."""
        self.take()
        data = b"".join(line if isinstance(line, bytes) else line.encode() + b"\r\n" for line in lines)
        self.protocol.dataReceived(data)
        return self.take().decode()

    def take(self) -> bytes:
        written, self.written = self.written, b""
        return written


def codes(answers: str) -> list[int]:
    """The codes of answers."""
    return [int(line[:3]) for line in answers.splitlines() if line[3:4] == " "]


class Station:
    """The servers of a configuration.

    Args:
        text: the configuration; by default a server that takes anything.
    """

    def __init__(
        self,
        text: str = OPEN,
        *plugins: Callable[..., Any],
        options: str = "",
        environ: Mapping[str, str] = MappingProxyType({}),
        has_pipeline: bool = True,
    ) -> None:
        self.batons: list[Any] = []
        self.clock = Clock()
        self.environment = RuntimeEnvironment(reactor=self.clock, wall_clock=lambda: 1000.0)

        @processor("record")
        def record(baton: Any) -> None:
            self.batons.append(baton)

        text = textwrap.dedent(text) + textwrap.indent(textwrap.dedent(options), "    ")
        if has_pipeline and "pipelines:" not in text:
            text += "\npipelines: {main: [record]}\n"
        gathered = gather_text(text, "site.yml", environ=environ)
        assembly = check(gathered, environ, [record, *plugins], {})
        if problems := assembly.errors or configure(assembly, self.environment):
            raise ConfigurationError(problems=problems)
        self.environment.application.startService()

    @property
    def server(self) -> Any:
        return self.environment.listeners.members[0].factory

    def connect(self, peer: str = "192.0.2.1") -> Wire:
        """A client that has been greeted."""
        return Wire(self.server.buildProtocol(None), peer)

    def session(self, *options: str) -> Wire:
        """A client that has introduced itself."""
        wire = self.connect()
        wire.say("EHLO me")
        return wire


MAIL = ("MAIL FROM:<ada@example.org>", "RCPT TO:<bob@example.org>", "DATA")
CONTENT = ("Subject: hello", "", "How are you?", ".")


class Slow:
    """A step that waits until its test says how to go on."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[Any]] = []

    def __call__(self) -> Any:
        @processor("wait-here")
        def wait_here(baton: Any) -> Deferred[Any]:
            self.waiting.append(Deferred())
            return self.waiting[-1]

        return wait_here
