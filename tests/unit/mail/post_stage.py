"""A sender whose servers are functions, on a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mail_stage import Wire
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from piped.mail.client import Client
from piped.mail.outgoing import Outgoing
from piped.mail.relay_options import Relay
from piped.mail.sending import Sender
from piped.mail.turns import begin

Says = Callable[[bytes], "bytes | None"]


class Post:
    """A sender whose servers are functions: what each says to a line, None to hang up; one for each connection."""

    def __init__(self, *servers: Says | Exception, **options: Any) -> None:
        self.clock = Clock()
        self.relay = Relay(**{"helo": "me", "retries": 2, **options})
        self.servers = list(servers)
        #: What came to each server, line by line.
        self.heard: list[list[bytes]] = []
        self.wires: list[Wire] = []
        self.sender = Sender(self.relay, self.clock, self.connect, "tls", chance=lambda: 0.0)
        self.sender.startService()

    def connect(self, client: Client) -> Deferred[Any]:
        server = self.servers.pop(0)
        if isinstance(server, Exception):
            return fail(server)
        wire, lines = Wire(client), []
        self.wires.append(wire)
        self.heard.append(lines)

        def hear() -> None:
            while wire.written and not wire.is_over:
                data, wire.written = wire.written, b""
                for line in data.split(b"\r\n")[:-1]:
                    lines.append(line)
                    answer(server(line))
            if wire.is_closed:
                wire.end()

        def answer(said: bytes | None) -> None:
            if said is None:
                wire.end()
            elif said and not wire.is_over:
                client.dataReceived(said)

        wire.write = lambda data: (Wire.write(wire, data), self.clock.callLater(0, hear))[0]  # type: ignore[method-assign]  # it hears later
        self.clock.callLater(0, lambda: answer(server(b"")))
        return succeed(client)

    def send(self, *recipients: str, message: Any = "Subject: x\n\n.y\n") -> Any:
        """What becomes of a mail; what it fails with is raised."""
        turn = begin(self.sender.send(self.mail(*recipients, message=message)))
        self.run()
        return turn.result() if turn.done() else turn

    def mail(self, *recipients: str, message: Any = "Subject: x\n\n.y\n") -> Outgoing:
        return Outgoing("ada@x.org", recipients or ("bob@x.org",), message, 0, "me")

    def run(self, seconds: float = 0) -> None:
        self.clock.advance(seconds)
        for _ in range(50):
            self.clock.advance(0)


def server(*extensions: str, **special: bytes | None) -> Says:
    """A server that takes everything, but for commands that are named by their first word."""
    state: dict[str, bool] = {"data": False}

    def says(line: bytes) -> bytes | None:
        word = line.split(b" ")[0].decode() or "HELLO"
        if state["data"]:
            state["data"] = line != b"."
            return special.get("END", b"250 taken\r\n") if line == b"." else b""
        if word in special:
            return special[word]
        if word == "EHLO":
            return "".join(f"250-{one}\r\n" for one in ("here", *extensions)).encode() + b"250 HELP\r\n"
        if word == "DATA":
            state["data"] = True
            return b"354 go on\r\n"
        return b"220 here\r\n" if word == "HELLO" else b"221 bye\r\n" if word == "QUIT" else b"250 ok\r\n"

    return says


def per_recipient(**answers: bytes) -> Says:
    """A server that has its own answer for some recipients, by their names."""
    inner = server("PIPELINING")

    def says(line: bytes) -> bytes | None:
        if line.startswith(b"RCPT TO:<"):
            return answers.get(line[9:].split(b"@")[0].decode(), b"250 ok\r\n")
        return inner(line)

    return says
