"""Logins: with which signatures, and until when."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from manhole_stage import Client, Manhole
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.keys import Key
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import Deferred

from piped_manhole.checkers import KeyChecker
from piped_manhole.connections import BEAT

KEY = Key(rsa.generate_private_key(65537, 2048))
LONG = rsa.generate_private_key(65537, 3072)
SUCCESS = 52


def log_in(client: Client, said: bytes, signed: bytes) -> bool:
    """Log in with an RSA key, and a signature that is said to be of one kind."""
    blob = KEY.public().blob()
    request = NS(b"ada") + NS(b"ssh-connection") + NS(b"publickey") + b"\1" + NS(said) + NS(blob)
    signature = KEY.sign(NS(client.sessionID) + b"\x32" + request, signatureType=signed)
    client.say(5, NS(b"ssh-userauth"))
    client.say(50, request + NS(signature))
    return client.received(SUCCESS) != []


@pytest.mark.parametrize(
    ("said", "signed", "is_accepted"),
    [
        (b"rsa-sha2-512", b"rsa-sha2-512", True),
        (b"rsa-sha2-256", b"rsa-sha2-256", True),
        (b"ssh-rsa", b"ssh-rsa", False),
        (b"rsa-sha2-256", b"ssh-rsa", False),
        (b"no\nsuch", b"rsa-sha2-256", False),
    ],
)
def test_signatures_are_made_with_sha2(said: bytes, signed: bytes, is_accepted: bool) -> None:
    """SHA-1 is not accepted, whatever it is said to be."""
    manhole = Manhole([KeyChecker(lambda user: [KEY.public()])])
    assert log_in(manhole.connect().client(), said, signed) is is_accepted


@pytest.mark.parametrize(
    "blob",
    [
        LONG.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        Key(LONG).privateBlob(),
        NS(b"ssh-rsa") + b"\0" * 200_000,
        NS(b"ssh-ed25519") + NS(b"x" * 32),
        KEY.public().toString("OPENSSH"),
        KEY.public().blob() + b"x",
        b"\0\0",
        b"",
    ],
    ids=["PEM", "agent", "parts", "another kind", "text", "more", "less", "nothing"],
)
def test_only_public_keys_are_looked_at(blob: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """As SSH sends them; to see whether a long private key is sound would hold up the process for seconds."""
    client = Manhole([KeyChecker(lambda user: [KEY.public()])]).connect().client()
    client.say(5, NS(b"ssh-userauth"))
    client.say(50, NS(b"ada") + NS(b"ssh-connection") + NS(b"publickey") + b"\0" + NS(b"rsa-sha2-256") + NS(blob))
    assert len(client.received(51)) == 1
    assert "is refused by publickey: the key is not what it is said to be" in caplog.text


def test_what_clients_send_does_not_break_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A refusal is one line, also of a user or a method whose name has several."""
    client = Manhole().connect().client()
    client.log_in("eve\n2026 forged line", "secret words")
    client.wire.manhole.clock.advance(1)
    [record] = [each for each in caplog.records if each.name == "piped.manhole"]
    assert "\n" not in record.getMessage()
    assert "is refused by password: wrong user or password" in record.getMessage()
    assert "secret" not in record.getMessage()


def test_a_login_that_comes_too_late_is_none() -> None:
    """A checker may take its time, but not longer than the client has."""

    class Slow:
        credentialInterfaces = (IUsernamePassword,)
        waited: Deferred[bytes] = Deferred()

        def requestAvatarId(self, credentials: object) -> Deferred[bytes]:
            return self.waited

    manhole = Manhole([Slow()], login_time=60)
    client = manhole.connect().client()
    client.log_in()
    manhole.clock.advance(60)
    Slow.waited.callback(b"ada")
    assert client.wire.server.user == ""


def test_a_client_that_is_silent_is_sent_something() -> None:
    """Otherwise nobody would find out that it has vanished."""
    manhole = Manhole()
    client = manhole.connect().client()
    client.log_in()
    manhole.clock.advance(BEAT)
    client.pump()
    assert len(client.received(2)) == 1
    client.wire.lose()
    assert manhole.clock.getDelayedCalls() == []
