"""Streams of anything at all: no server stops for them, and nobody stays connected."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest
from mail_stage import MAIL, OPEN, Station, codes
from twisted.internet.ssl import CertificateOptions

WORDS = [
    b"EHLO me\r\n",
    b"HELO me\r\n",
    b"MAIL FROM:<a@b.c>\r\n",
    b"MAIL FROM:<> SIZE=99999999999999999999 BODY=8BITMIME\r\n",
    b"RCPT TO:<bob@here>\r\n",
    b"RCPT TO:<\xc3\xb8@here>\r\n",
    b"DATA\r\n",
    b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n",
    b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n====\r\n",
    b"From: =?utf-8?b?//?= <@@,;:>\r\nDate: never\r\nTo: \r\n ,,\r\n",
    b".\r\n",
    b"..\r\n",
    b"\n.\n",
    b"\r",
    b"\n",
    b"\0",
    b"\xff\xfe",
    b"AUTH PLAIN\r\n",
    b"AUTH LOGIN dXNlcg==\r\n",
    b"AUTH PLAIN AGFkYQBzZWNyZXQ=\r\n",
    b"*\r\n",
    b"STARTTLS\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"VRFY <root>\r\n",
    b"QUIT\r\n",
    b"x" * 3000,
    b"x" * 900 + b"\r\n",
    b'MAIL FROM:<"' + b"\\" * 60 + b"\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
]
OPTIONS = """
max_message_size: 4000
max_line_length: 1000
max_recipients: 5
max_errors: 8
max_connections: 10
max_connections_per_peer: 10
checker: {name: twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse, arguments: {ada: secret}}
"""
STREAMS = 2500


def stream(chance: random.Random) -> bytes:
    """Words in any order, some of them broken."""
    data = b"".join(chance.choices(WORDS, k=chance.randint(1, 25)))
    if chance.random() < 0.3:
        data = data[: chance.randint(0, len(data))]
    if chance.random() < 0.3:
        at = chance.randint(0, len(data))
        data = data[:at] + chance.randbytes(chance.randint(1, 20)) + data[at:]
    return data


@pytest.mark.parametrize("has_checker", [False, True])
def test_any_stream_is_answered_or_cut(has_checker: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Five thousand broken sessions leave a server that takes a mail, with nobody connected and nothing to wait for."""
    caplog.set_level(logging.ERROR)
    station = Station(OPEN + "\npipelines: {main: [parse-email-message, record]}\n")
    if has_checker:
        text = OPEN + "\n".join("    " + line for line in OPTIONS.splitlines())
        station = Station(text + "\npipelines: {main: [parse-email-message, record]}\n")
        station.server.tls = CertificateOptions()
    chance = random.Random(20)
    for number in range(STREAMS):
        wire = station.connect()
        data = stream(chance)
        while data and not wire.is_closed:
            cut = chance.randint(1, len(data))
            wire.protocol.dataReceived(data[:cut])
            data = data[cut:]
            if not wire.is_closed:
                held(wire)
        said = wire.take().split(b"\r\n")
        assert said[0].startswith(b"220 ")
        assert all(line[:3].isdigit() for line in said if line), number
        wire.end()
        assert station.server.sessions == 0
    assert station.clock.getDelayedCalls() == []
    assert station.server.delivery.source.running == 0
    wire = station.session()
    assert codes(wire.say(*MAIL))[0] == (550 if has_checker else 250)
    assert caplog.records == []


def held(wire: Any) -> None:
    """What a session keeps of what came is bounded."""
    session = wire.protocol
    assert len(session._incoming) <= 64 * 1024
    if session._data is not None:
        assert session._data.content.size <= session.options.max_message_size
        assert len(session._data._held) <= session.options.max_line_length + 2
