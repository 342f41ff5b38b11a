"""Tests of what keeps a conversation within bounds: sizes, times, numbers, and the ends of lines."""

from __future__ import annotations

import pytest
from mail_stage import CONTENT, MAIL, OPEN, Slow, Station, codes


def test_nobody_is_idle_who_waits_for_us() -> None:
    """While a pipeline works on a mail its client is not hung up on; after that it has its time again."""
    slow = Slow()
    station = Station(OPEN + "    idle_timeout: 5\npipelines: {main: [wait-here, record]}\n", slow())
    wire = station.session()
    wire.say(*MAIL, *CONTENT)
    station.clock.advance(100)
    slow.waiting[0].callback(None)
    assert codes(wire.take().decode()) == [250]
    station.clock.advance(4)
    assert wire.take() == b""
    station.clock.advance(1)
    assert codes(wire.take().decode()) == [421]


def test_limits_hold() -> None:
    """A mail that is too big, has too long lines or too many recipients is not taken; the session goes on."""
    station = Station(options="max_message_size: 1000\nmax_line_length: 100\nmax_recipients: 2")
    wire = station.session()
    assert "250-SIZE 1000\r\n" in wire.say("EHLO me")
    assert codes(wire.say("MAIL FROM:<a@b.c> SIZE=1001", "MAIL FROM:<a@b.c> SIZE=1000 BODY=8BITMIME")) == [552, 250]
    assert codes(wire.say(*["RCPT TO:<a@b.c>"] * 3)) == [250, 250, 452]
    assert codes(wire.say("DATA", *["x" * 80] * 20, ".")) == [354, 552]
    assert codes(wire.say(*MAIL, "x" * 101, ".")) == [250, 250, 354, 554]
    assert codes(wire.say(*MAIL, "x" * 98, ".")) == [250, 250, 354, 250]
    assert codes(wire.say("NOOP " + "x" * 20_000)) == [500]
    assert len(station.batons) == 1


def test_a_mail_without_end_is_cut_off() -> None:
    """A client that goes on long after its mail was too big is hung up on."""
    station = Station(options="max_message_size: 1000")
    wire = station.session()
    wire.say(*MAIL)
    assert codes(wire.say(b"x" * 70 * 1024)) == [421]
    assert wire.is_closed


def test_mistakes_have_an_end() -> None:
    """After `max_errors` a client is hung up on; a mail that was taken forgives what was before."""
    station = Station(options="max_errors: 3")
    wire = station.session()
    assert codes(wire.say("X", "X", "X", *MAIL, *CONTENT)) == [500, 500, 500, 250, 250, 354, 250]
    assert codes(wire.say("X", "X", "X")) == [500, 500, 500]
    assert codes(wire.say("X", "NOOP")) == [421]
    assert wire.is_closed


def test_whoever_is_silent_is_hung_up_on() -> None:
    """A client that says nothing for `idle_timeout` gets 421; a byte now and then is nothing."""
    station = Station(options="idle_timeout: 10")
    wire = station.session()
    station.clock.advance(9)
    assert codes(wire.say("NOOP")) == [250]
    station.clock.advance(9)
    wire.say(b"NO")
    station.clock.advance(1)
    assert codes(wire.take().decode()) == [421]
    assert wire.is_closed
    wire = station.session()
    wire.say(*MAIL)
    for _ in range(3):
        station.clock.advance(9)
        assert wire.say(b"x" * 2000 + b"\r\n" + b"y" * 2100) == ""
    for _ in range(9):
        station.clock.advance(1)
        wire.say(b"x\r\n")
    station.clock.advance(1)
    assert codes(wire.take().decode()) == [421]


def test_a_client_that_takes_no_answer_is_dropped() -> None:
    """The last answer is waited for ten seconds at most."""
    station = Station()
    wire = station.session()
    wire.say("QUIT")
    assert not wire.is_over
    station.clock.advance(10)
    assert (wire.is_over, station.server.sessions) == (True, 0)
    assert station.clock.getDelayedCalls() == []


def test_there_are_only_so_many_connections() -> None:
    """Clients above `max_connections`, or from one address above `max_connections_per_peer`, get 421."""
    station = Station(options="max_connections: 3\nmax_connections_per_peer: 2")
    wires = [station.connect(peer) for peer in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3")]
    assert [codes(wire.take().decode()) for wire in wires] == [[220], [220], [421], [220], [421]]
    for wire in wires:
        wire.end()
    assert station.server.sessions == 0
    assert codes(station.connect().take().decode()) == [220]


def test_whoever_sends_too_far_ahead_has_to_wait() -> None:
    """What a client sends while its mail is processed is not read without bound."""
    slow = Slow()
    station = Station(OPEN + "\npipelines: {main: [wait-here]}\n", slow())
    wire = station.session()
    wire.say(*MAIL, *CONTENT, b"NOOP\r\n" * 12_000)
    assert wire.is_paused
    slow.waiting[0].callback(None)
    assert not wire.is_paused
    assert len(codes(wire.take().decode())) == 12_001


def test_whoever_hears_nothing_is_told_nothing() -> None:
    """A client that does not take its answers gets no more of them, and may not fill the memory with them."""
    wire = Station().session()
    wire.protocol.pauseProducing()  # type: ignore[attr-defined]  # as a transport does that is full
    assert (wire.say("NOOP"), wire.is_paused) == ("", False)
    assert (wire.say(b"NOOP\r\n" * 12_000), wire.is_paused) == ("", True)
    wire.protocol.resumeProducing()  # type: ignore[attr-defined]
    assert (wire.is_paused, len(codes(wire.take().decode()))) == (False, 12_001)


def test_at_the_end_all_are_told() -> None:
    """At shutdown clients are told to come again, and a mail that is sent meanwhile, too."""
    station = Station()
    wire, sending = station.session(), station.session()
    sending.say(*MAIL)
    station.server.delivery.source.drain()
    assert codes(sending.say(*CONTENT)) == [421]
    stopped: list[None] = []
    station.environment.application.stopService().addCallback(stopped.append)
    assert codes(wire.take().decode()) == [421]
    assert stopped == []
    wire.end(), sending.end()
    assert stopped == [None]


@pytest.mark.parametrize(
    "junk",
    [
        b"\n",
        b"NOOP\n",
        b"NO\rOP\r\n",
        b"NOOP\r\r\n",
        b"MAIL FROM:<a@b.c>\nRCPT TO:<a@b.c>\r\n",
        b"\xff\xfe\r\n",
        b"\0\r\n",
    ],
)
def test_lines_end_with_cr_lf(junk: bytes) -> None:
    """What is no line of SMTP is refused as a whole."""
    station = Station()
    assert set(codes(station.session().say(junk))) <= {500, 503}


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\n\n.\r\n", b"\0\r.\n"]
)
def test_no_mail_can_be_smuggled(end: bytes) -> None:
    """A mail that other servers may take for two is refused, and nothing behind it is heard."""
    station = Station()
    wire = station.session()
    wire.say(*MAIL)
    smuggled = b"MAIL FROM:<root@here>\r\nRCPT TO:<bob@here>\r\nDATA\r\nSubject: boo\r\n\r\nboo\r\n.\r\n"
    assert codes(wire.say(b"Subject: x\r\n\r\nx" + end + smuggled)) == [550]
    assert (station.batons, wire.is_closed) == ([], True)
