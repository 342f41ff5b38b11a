"""Tests of logins: who may send, and what nobody overhears."""

from __future__ import annotations

import logging

import pytest
from mail_stage import CONTENT, MAIL, Station, codes
from twisted.internet.ssl import CertificateOptions


def with_checker(options: str = "") -> Station:
    station = Station(
        options=f"""
        checker:
          name: twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse
          arguments: {{ada: søcret, bob: 1234}}
        {options}
        """
    )
    station.server.tls = CertificateOptions()
    return station


def test_mails_need_a_login_where_there_is_a_checker() -> None:
    """With a checker nobody sends without a login; that needs TLS, and is not offered before."""
    station = with_checker()
    wire = station.session()
    offered = wire.say("EHLO me")
    assert ("STARTTLS" in offered, "AUTH" in offered) == (True, False)
    assert codes(wire.say(MAIL[0], "AUTH PLAIN AGFkYQBzZWNyZXQ=", "AUTH LOGIN")) == [550, 530, 530]
    assert codes(wire.say("STARTTLS", "MAIL FROM:<evil@x.org>")) == [220]  # what came ahead is forgotten
    assert len(wire.tls) == 1
    offered = wire.say("EHLO me")
    assert ("STARTTLS" in offered, "AUTH PLAIN LOGIN" in offered) == (False, True)
    assert codes(wire.say(MAIL[0], "AUTH PLAIN AGFkYQB3cm9uZw==", "AUTH PLAIN")) == [550, 535, 334]
    assert codes(wire.say("AGFkYQBzw7hjcmV0", *MAIL, *CONTENT)) == [235, 250, 250, 354, 250]
    assert station.batons[0]["avatar_id"] == "ada"
    assert "with ESMTPSA id" in station.batons[0]["message"]["Received"]
    assert codes(wire.say("AUTH LOGIN")) == [503]


def test_passwords_are_never_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Who logs in is logged, and that somebody could not; what was sent is not."""
    caplog.set_level(logging.DEBUG)
    wire = with_checker().session()
    wire.say("STARTTLS")
    assert codes(wire.say("AUTH LOGIN", "Ym9i", "d3Jvbmc=")) == [334, 334, 535]
    assert codes(wire.say("AUTH LOGIN Ym9i", "MTIzNA==")) == [334, 235]
    assert "somebody at 192.0.2.1 could not log in" in caplog.text
    assert "bob logged in from 192.0.2.1" in caplog.text
    assert not any(secret in caplog.text for secret in ("wrong", "1234", "d3Jvbmc", "MTIzNA"))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["AUTH"], [501]),
        (["AUTH CRAM-MD5"], [504]),
        (["AUTH PLAIN !"], [501]),
        (["AUTH PLAIN ="], [501]),
        (["AUTH PLAIN", "*"], [334, 501]),
        (["AUTH PLAIN", "AGFkYQ=="], [334, 501]),
        (["AUTH PLAIN ZXZlAGFkYQBzZWNyZXQ="], [501]),
        ([MAIL[0], "AUTH LOGIN"], [550, 334]),
    ],
)
def test_broken_logins_are_told(lines: list[str], expected: list[int]) -> None:
    """A login that is not as it should be is refused, and the session goes on."""
    wire = with_checker().session()
    wire.say("STARTTLS")
    wire.say("EHLO me")
    assert codes(wire.say(*lines)) == expected


def test_anonymous_senders_may_be_welcome() -> None:
    """With AllowAnonymousAccess nobody has to log in, and the avatar id is the anonymous one."""
    station = Station(options="checker: twisted.cred.checkers.AllowAnonymousAccess")
    wire = station.session()
    assert "AUTH" not in wire.say("EHLO me")
    wire.say(*MAIL, *CONTENT)
    assert station.batons[0]["avatar_id"] == ()


def test_tls_may_be_required() -> None:
    """With `require_tls` nothing is taken before STARTTLS."""
    station = with_checker()
    station.server.options.__dict__["require_tls"] = True
    assert codes(station.session().say(MAIL[0])) == [530]
