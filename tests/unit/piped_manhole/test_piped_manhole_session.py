"""Session: what a client asks of a channel, and how output comes to one that takes it slowly or not at all."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from manhole_stage import Client, Manhole
from twisted.conch.ssh.common import NS, getNS
from twisted.internet.defer import Deferred

from piped_manhole import session

SUCCESS, FAILURE, DATA, ERRORS, EOF, CLOSE, REQUEST = 99, 100, 94, 95, 96, 97, 98


class Channel:
    """One session of a client that is logged in."""

    def __init__(self, window: int = 2**30, idle_timeout: float | None = None, **namespace: Any) -> None:
        self.manhole = Manhole(idle_timeout=idle_timeout)
        self.manhole.namespace = namespace
        self.client: Client = self.manhole.connect().client()
        self.client.log_in()
        self.client.say(90, NS(b"session") + struct.pack(">3L", 0, window, 2**15))

    def ask(self, request: bytes, data: bytes = b"") -> bool:
        """Whether a request is granted."""
        granted = len(self.client.received(SUCCESS))
        self.client.say(REQUEST, struct.pack(">L", 0) + NS(request) + b"\1" + data)
        is_granted = len(self.client.received(SUCCESS)) > granted
        self.manhole.clock.advance(0)
        self.client.pump()
        return is_granted

    def terminal(self, width: int = 80, height: int = 24) -> bool:
        return self.ask(b"pty-req", NS(b"xterm") + struct.pack(">4L", width, height, 0, 0) + NS(b""))

    def say(self, message: int, data: bytes = b"") -> None:
        self.client.say(message, struct.pack(">L", 0) + data)
        self.manhole.clock.advance(0)
        self.client.pump()

    @property
    def out(self) -> str:
        return b"".join(getNS(payload[4:])[0] for payload in self.client.received(DATA)).decode()

    @property
    def error(self) -> str:
        return b"".join(getNS(payload[8:])[0] for payload in self.client.received(ERRORS)).decode()

    @property
    def status(self) -> int | None:
        """The exit status; None as long as the session is not closed."""
        found = [payload for payload in self.client.received(REQUEST) if b"exit-status" in payload]
        if not found or not self.client.received(CLOSE):
            return None
        status: int = struct.unpack(">L", found[0][-4:])[0]
        return status


def test_a_command_is_answered_after_it_was_granted() -> None:
    """Success, output, exit status, end of input, close; in this order."""
    channel = Channel()
    assert channel.ask(b"exec", NS(b"print('a'); 1 / 0"))
    assert (channel.out, channel.status) == ("a\n", 1)
    assert "ZeroDivisionError" in channel.error
    numbers = [number for number, _ in channel.client.messages if number in (SUCCESS, DATA, EOF, CLOSE)]
    assert numbers == [SUCCESS, DATA, EOF, CLOSE]


@pytest.mark.parametrize(
    ("request_", "data"),
    [
        (b"subsystem", NS(b"sftp")),
        (b"env", NS(b"LANG") + NS(b"C")),
        (b"x11-req", b""),
        (b"pty-req", b"\0\0"),
        (b"exec", b"\0"),
        (b"exec", NS(b"\xff")),
        (b"\xff\xfe", b""),
    ],
)
def test_nothing_else_is_granted(request_: bytes, data: bytes) -> None:
    """No files, no environment, nothing that is malformed; the connection goes on."""
    channel = Channel()
    assert not channel.ask(request_, data)
    assert len(channel.client.received(FAILURE)) == 1
    assert channel.ask(b"exec", NS(b"1"))


def test_a_session_is_for_one_thing() -> None:
    """A second command needs a second session."""
    channel = Channel(waited=Deferred())
    assert channel.ask(b"exec", NS(b"await waited"))
    assert not channel.ask(b"exec", NS(b"1"))
    assert not channel.ask(b"shell")


def test_on_a_terminal_lines_begin_at_the_left() -> None:
    """The greeting, what is printed, and a traceback, which has no stream of its own there."""
    channel = Channel()
    assert channel.terminal()
    assert channel.ask(b"shell")
    channel.say(DATA, NS(b"print('a\\nb'); 1 / 0\r"))
    assert channel.out.startswith("hello\r\n")
    assert "a\r\nb\r\n" in channel.out
    assert "ZeroDivisionError: division by zero\r\n" in channel.out
    assert "\n" not in channel.out.replace("\r\n", "")
    assert channel.error == ""


def test_the_size_of_the_terminal_may_change() -> None:
    """What is being typed is drawn anew for it."""
    channel = Channel()
    channel.terminal(80)
    channel.ask(b"shell")
    channel.say(DATA, NS(b"x" * 50))
    assert "x" * 50 in channel.out
    assert channel.ask(b"window-change", struct.pack(">4L", 24, 10, 0, 0))
    assert channel.out.endswith(f">>> \x1b[0m{'x' * 20}\r\n{'x' * 24}\r\n{'x' * 6}")


def test_what_is_sent_too_early_waits() -> None:
    """A client may send its input before it was told that it may."""
    channel = Channel()
    channel.say(DATA, NS(b"print(1)\n"))
    channel.say(EOF)
    assert channel.status == 0 if channel.status is not None else True
    channel = Channel()
    channel.client.sendPacket(REQUEST, struct.pack(">L", 0) + NS(b"shell") + b"\1")
    channel.client.sendPacket(DATA, struct.pack(">L", 0) + NS(b"print(1)\n"))
    channel.client.sendPacket(EOF, struct.pack(">L", 0))
    channel.client.pump()
    channel.manhole.clock.advance(0)
    channel.client.pump()
    assert (channel.out, channel.status) == ("1\n", 0)


def test_a_script_that_waits_has_its_client_wait() -> None:
    """What is piped in meanwhile is neither kept without end nor refused: it comes once it can be used."""
    waited: Deferred[None] = Deferred()
    channel = Channel(waited=waited)
    early = NS(b"await waited\n" + b"n = 1\n" * 5000)
    for _ in range(2):
        channel.client.sendPacket(DATA, struct.pack(">L", 0) + early)
    channel.ask(b"shell")
    for _ in range(2):
        channel.say(DATA, early)
    assert channel.client.received(93) == []
    waited.callback(None)
    channel.client.pump()
    [more] = channel.client.received(93)
    assert struct.unpack(">2L", more) == (0, 4 * (len(early) - 4))
    channel.say(DATA, NS(b"n + 1\n"))
    channel.say(EOF)
    assert (channel.out, channel.status) == ("2\n", 0)


def test_a_slow_client_gets_everything() -> None:
    """In pieces, as its window opens, and the end after the last of them."""
    channel = Channel(window=10)
    channel.ask(b"exec", NS(b"for n in range(1000): print(n)"))
    assert (len(channel.out), channel.status) == (10, None)
    while channel.status is None:
        before = len(channel.out)
        channel.say(93, struct.pack(">L", 500))
        assert before < len(channel.out) <= before + 500 or channel.status == 0
    assert channel.out.split() == [str(n) for n in range(1000)]


def test_output_that_nobody_takes_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond it is left out and told; it costs no time to speak of either."""
    channel = Channel(window=10)
    channel.ask(b"exec", NS(b"for n in range(30_000): print('x' * 999)"))
    [waiting] = channel.client.wire.server.service.channels.values()
    kept = len(waiting.buf) + len(waiting._unsent)
    assert kept <= session.MOST_UNSENT
    channel.say(93, struct.pack(">L", 2**31))
    assert f"… {30_000_000 - kept - 10} bytes were left out" in channel.out[-100:]
    assert channel.status == 0


@pytest.mark.parametrize("how", ["close", "lose", "signal", "goodbye"])
def test_whatever_ends_a_session_cancels_what_it_waits_for(how: str) -> None:
    """A channel that is closed, a connection that is lost, ctrl-C as a signal, and the stop of the process."""
    cancelled: list[object] = []
    channel = Channel(waited=Deferred(cancelled.append))
    channel.ask(b"exec", NS(b"await waited"))
    assert cancelled == []
    if how == "close":
        channel.say(CLOSE)
    elif how == "lose":
        channel.client.wire.lose()
    elif how == "signal":
        assert channel.ask(b"signal", NS(b"INT"))
        assert (channel.error, channel.status) == ("cancelled\n", 1)
    else:
        channel.manhole.connections.close("the process stops")
        channel.client.pump()
        assert "the process stops" in channel.out
    assert len(cancelled) == 1


def test_a_client_that_closes_early_leaves_nothing_behind() -> None:
    """What was still to be sent to it is forgotten, and its place is free."""
    channel = Channel(window=10)
    channel.ask(b"exec", NS(b"for n in range(1000): print(n)"))
    channel.say(CLOSE)
    assert channel.client.wire.server.service.channels == {}
    assert len(channel.client.received(CLOSE)) == 1


def test_who_waits_is_not_idle() -> None:
    """A session in which something is running does not end for want of input."""
    waited: Deferred[None] = Deferred()
    channel = Channel(waited=waited, idle_timeout=100)
    channel.ask(b"shell")
    channel.say(DATA, NS(b"await waited\n"))
    channel.manhole.clock.advance(1000)
    channel.client.pump()
    assert channel.client.wire.is_open
    waited.callback(None)
    channel.manhole.clock.advance(1000)
    channel.client.pump()
    assert not channel.client.wire.is_open
