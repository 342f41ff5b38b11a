"""Tests of sessions: what a client says, and what it is told."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from mail_stage import CONTENT, MAIL, OPEN, Slow, Station, codes
from twisted.internet.defer import Deferred

from piped import Rejected, processor


def test_a_mail_becomes_a_baton() -> None:
    """A mail that was taken is a baton with its message, its sender and its recipient, and 250 comes after that."""
    station = Station()
    wire = station.session()
    assert codes(wire.say(*MAIL)) == [250, 250, 354]
    assert codes(wire.say(*CONTENT)) == [250]
    [baton] = station.batons
    message = baton.pop("message")
    assert baton == {"from_addr": "ada@example.org", "to_addr": "bob@example.org"}
    assert (message["Subject"], message.get_content()) == ("hello", "How are you?\n")
    assert message["Received"] == (
        "from me ([192.0.2.1]) by here with ESMTP id smtp.in-1 for <bob@example.org>; Thu, 01 Jan 1970 00:16:40 +0000"
    )


def test_a_whole_session_may_come_at_once() -> None:
    """However far ahead a client sends, its answers come in order, also when pipelines wait."""
    slow = Slow()
    station = Station(OPEN + "\npipelines: {main: [wait-here, record]}\n", slow())
    wire = station.connect()
    said = wire.say("EHLO me", *MAIL, *CONTENT, *MAIL, *CONTENT, "QUIT")
    assert codes(said) == [250, 250, 250, 354]
    slow.waiting[0].callback(None)
    assert codes(wire.take().decode()) == [250, 250, 250, 354]
    slow.waiting[1].callback(None)
    assert codes(wire.take().decode()) == [250, 221]
    assert (len(station.batons), wire.is_closed) == (2, True)


def test_each_recipient_has_a_mail_of_its_own() -> None:
    """What a pipeline does to the mail of one recipient is not seen by that of the next."""

    @processor("mark")
    def mark(baton: Any) -> None:
        baton["message"]["X-For"] = baton["to_addr"]

    station = Station(OPEN + "\npipelines: {main: [mark, record]}\n", mark)
    wire = station.session()
    wire.say(MAIL[0], "RCPT TO:<a@x.org>", "RCPT TO:<b@x.org>", "DATA", *CONTENT)
    assert [(baton["to_addr"], baton["message"].get_all("X-For")) for baton in station.batons] == [
        ("a@x.org", ["a@x.org"]),
        ("b@x.org", ["b@x.org"]),
    ]


def test_one_baton_may_stand_for_all_recipients() -> None:
    """With `per_message` a mail is one baton, with all recipients."""
    station = Station(options="per_message: true")
    wire = station.session()
    wire.say(MAIL[0], "RCPT TO:<a@x.org>", "RCPT TO:<b@x.org>", "DATA", *CONTENT)
    [baton] = station.batons
    assert (baton["to_addrs"], "to_addr" in baton) == (["a@x.org", "b@x.org"], False)


@pytest.mark.parametrize(
    ("error", "code", "level"),
    [(ValueError("it is broken"), 451, "ERROR"), (Rejected("no\r\n250 spam"), 554, "INFO")],
    ids=["failed", "rejected"],
)
def test_a_mail_that_is_not_processed_is_not_taken(
    error: Exception, code: int, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure asks the sender to try again, and is logged once; one that is `Rejected` refuses it with its text."""

    @processor("break")
    def break_(baton: Any) -> None:
        if baton["to_addr"] == "b@x.org":
            raise error

    caplog.set_level(logging.INFO)
    station = Station(OPEN + "\npipelines: {main: [record, break]}\n", break_)
    wire = station.session()
    wire.say(MAIL[0], "RCPT TO:<a@x.org>", "RCPT TO:<b@x.org>", "RCPT TO:<c@x.org>", "DATA")
    said = wire.say(*CONTENT)
    assert codes(said) == [code]
    assert "spam" not in said or said == "554 5.7.1 b@x.org: no 250 spam\r\n"
    assert [baton["to_addr"] for baton in station.batons] == ["a@x.org", "b@x.org"]  # c gets it with the next try
    records = [record for record in caplog.records if record.name == "piped.mail"]
    assert [record.levelname for record in records] == [level]
    assert codes(wire.say(*MAIL)) == [250, 250, 354]  # the session goes on


def test_nothing_is_taken_for_a_pipeline_that_is_not_ready() -> None:
    """While the processor is not ready the sender is asked to try again."""
    station = Station()
    wire = station.session()
    source = station.server.delivery.source
    source.pause()
    assert codes(wire.say(*MAIL)) == [250, 250, 451]
    source.resume()
    assert codes(wire.say("DATA")) == [354]
    source.pause()
    assert codes(wire.say(*CONTENT)) == [451]
    assert station.batons == []


def test_a_pipeline_that_takes_too_long_is_given_up() -> None:
    """After `processing_timeout` the sender is asked to try again, and the pipeline is stopped."""
    slow = Slow()
    text = OPEN + "    processing_timeout: 5\npipelines: {main: [wait-here, record]}\n"
    station = Station(text, slow())
    wire = station.session()
    wire.say(*MAIL)
    assert wire.say(*CONTENT) == ""
    station.clock.advance(4.9)
    assert wire.take() == b""
    station.clock.advance(0.1)
    assert wire.take() == b"451 4.3.0 the mail could not be processed in time, try again later\r\n"
    assert station.server.delivery.source.running == 0


@pytest.mark.parametrize(
    "head", ["Content-Type: multipart/mixed; boundary=b{0}\r\n\r\n--b{0}", "Content-Type: message/rfc822\r\n"]
)
def test_parts_within_parts_have_an_end(head: str) -> None:
    """A mail whose parts are nested too deeply is refused for good, and does not keep the server busy."""
    station = Station()
    wire = station.session()
    wire.say(*MAIL)
    assert codes(wire.say(*(head.format(number) for number in range(2000)), ".")) == [554]
    assert codes(wire.say(*MAIL, *CONTENT)) == [250, 250, 354, 250]


def test_a_client_that_leaves_stops_the_pipeline() -> None:
    """Whoever leaves before the answer will send the mail again: it is not processed any further."""
    slow = Slow()
    station = Station(OPEN + "\npipelines: {main: [wait-here, record]}\n", slow())
    wire = station.session()
    wire.say(*MAIL, *CONTENT)
    assert station.server.delivery.source.running == 1
    wire.end()
    assert (station.server.delivery.source.running, station.server.sessions, station.batons) == (0, 0, [])
    assert station.clock.getDelayedCalls() == []


def test_nobody_is_accepted_unless_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Without validators every sender is refused, and the log says so at the start."""
    station = Station("smtp: {in: {listen: 10025, processor: main}}")
    assert codes(station.session().say(MAIL[0], MAIL[1], "DATA")) == [550, 503, 503]
    assert "smtp.in has no validate_from, so that every mail is refused" in caplog.text
    station = Station("smtp: {in: {listen: 10025, processor: main, validate_from: 'p, h, o: True'}}")
    assert codes(station.session().say(*MAIL)) == [250, 550, 503]


def test_only_who_is_accepted_sends_and_gets() -> None:
    """A validator that says no refuses the sender, or the one recipient; the others get the mail."""
    text = """
    smtp:
      in:
        listen: 10025
        processor: main
        validate_from: 'p, helo, origin: str(origin) == "ada@example.org"'
        validate_to: 'p, user: str(user.dest).startswith("b")'
    """
    station = Station(text)
    wire = station.session()
    assert codes(wire.say("MAIL FROM:<eve@x.org>", MAIL[0])) == [550, 250]
    said = wire.say("RCPT TO:<a@x.org>", "RCPT TO:<b@x.org>", "RCPT TO:<c@x.org>", "DATA", *CONTENT)
    assert codes(said) == [550, 250, 550, 354, 250]
    assert [baton["to_addr"] for baton in station.batons] == ["b@x.org"]


def test_lambdas_see_what_they_are_documented_to_see() -> None:
    """The lambdas get the protocol, how the client calls itself, an Address and a User; they may be asynchronous."""
    seen: list[Any] = []
    waiting: list[Deferred[bool]] = []

    def wait() -> Deferred[bool]:
        waiting.append(Deferred())
        return waiting[-1]

    text = """
    smtp:
      in:
        listen: 10025
        processor: main
        validate_from: 'protocol, helo, origin: notes.append((protocol.peer, helo, str(origin))) or wait()'
        validate_to: 'proto, user: notes.append((user.helo, str(user.orig), str(user.dest), str(user))) or wait()'
        received_header: 'protocol, helo, origin, recipients: "Received: BY piped.localhost\\n FOR %s" % recipients[0]'
        namespace: {notes: test_mail_notes.notes, wait: test_mail_notes.wait}
    """
    import sys
    from types import ModuleType

    module = ModuleType("test_mail_notes")
    module.notes, module.wait = seen, wait  # type: ignore[attr-defined]  # made here
    sys.modules["test_mail_notes"] = module
    try:
        station = Station(text)
    finally:
        del sys.modules["test_mail_notes"]
    wire = station.session()
    assert wire.say(MAIL[0], MAIL[1]) == ""
    waiting[0].callback(True)
    assert codes(wire.take().decode()) == [250]
    waiting[1].callback(True)
    assert codes(wire.take().decode()) == [250]
    assert seen == [
        ("192.0.2.1", ("me", "192.0.2.1"), "ada@example.org"),
        (("me", "192.0.2.1"), "ada@example.org", "bob@example.org", "bob@example.org"),
    ]
    wire.say("DATA", *CONTENT)
    assert station.batons[0]["message"].get_all("Received") == ["BY piped.localhost FOR bob@example.org"]


def test_a_header_may_be_left_out() -> None:
    """With null for a header, none is added."""
    station = Station(options="received_header: 'protocol, helo, origin, recipients: None'")
    station.session().say(*MAIL, *CONTENT)
    assert station.batons[0]["message"].keys() == ["Subject"]


@pytest.mark.parametrize(("given", "code"), [("'by here'", 451), ("' Received: by here'", 451), ("''", 354)])
def test_what_is_no_header_spoils_no_mail(given: str, code: int, caplog: pytest.LogCaptureFixture) -> None:
    """What would hide the headers behind it is not put before them: the mail waits until that is corrected."""
    station = Station(options=f'received_header: "protocol, helo, origin, recipients: {given}"')
    assert codes(station.session().say(*MAIL)) == [250, 250, code]
    assert ("which is no header" in caplog.text) == (code == 451)


def test_a_refusal_may_quote_anything() -> None:
    """A text of a refusal with what is in no encoding is told, and the session goes on."""

    @processor("refuse")
    def refuse(baton: Any) -> None:
        raise Rejected("not \udcff")

    station = Station(OPEN + "\npipelines: {main: [refuse]}\n", refuse)
    wire = station.session()
    wire.say(*MAIL)
    assert wire.say(*CONTENT) == "554 5.7.1 bob@example.org: not ?\r\n"
    assert codes(wire.say("NOOP")) == [250]


def test_a_lambda_that_fails_is_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    """A validator that raises asks the sender to try again, and is logged."""
    text = OPEN.replace('"protocol, helo, origin: True"', '"protocol, helo, origin: 1 / len(str(origin))"')
    station = Station(text)
    assert codes(station.session().say("MAIL FROM:<>", MAIL[0])) == [451, 250]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("MAIL FROM:ada@example.org", 250),
        ("mail from: <ada@example.org>", 250),
        ("MAIL FROM:<>", 250),
        ('MAIL FROM:<"a >b"@example.org>', 250),
        ("MAIL FROM:<a@[192.0.2.7]>", 250),
        ("MAIL FROM:<@relay.example:a@b.c>", 250),
        ("MAIL FROM:<postmaster>", 250),
        ("MAIL FROM:<øl@x.org> SMTPUTF8", 250),
        ("MAIL FROM:<øl@x.org>", 553),
        ("MAIL FROM:<a@b@c>", 553),
        ("MAIL FROM:<a b@c>", 553),
        ("MAIL FROM:<" + "a" * 300 + "@b.c>", 553),
        ("MAIL FROM:<a@b.c", 501),
        ("MAIL FROM:", 501),
        ("MAIL", 501),
        ("MAIL FROM:<a@b.c> X=1", 555),
        ("MAIL FROM:<a@b.c> SIZE=-1", 501),
        ("RCPT TO:<a@b.c>", 503),
        ("DATA", 503),
        ("EHLO", 501),
        ("VRFY root", 252),
        ("EXPN all", 500),
        ("HELP", 214),
        ("RSET", 250),
        ("STARTTLS", 503),
        ("AUTH PLAIN", 500),
    ],
)
def test_commands_are_read_strictly(command: str, code: int) -> None:
    """Each command has the answer that it deserves."""
    assert codes(Station().session().say(command)) == [code]
