"""Tests of what may be written about servers, and of how they are set up."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mail_stage import CONTENT, MAIL, OPEN, Station, codes

from piped import ConfigurationError
from piped.mail.relay_options import Relay


def pem(folder: Path, name: str) -> Path:
    """A file with a key and its certificate."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    none = serialization.NoEncryption()
    file = folder / f"{name}.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, none)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


def problems(options: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        Station(options=options)
    return [str(problem) for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("checker: no.such.Thing", "cannot import 'no.such.Thing'"),
        ("checker: {name: builtins.dict}", "builtins.dict is no checker"),
        ("checker: {name: twisted.cred.checkers.FilePasswordDB}", "cannot be made with these arguments: TypeError"),
        ("checker: {name: twisted.cred.checkers.FilePasswordDB, arguments: {filname: x}}", "cannot be made"),
        ("tls: {private_key: /none.pem, certificate: /none.pem}", "cannot read /none.pem: no such file"),
        ("tls: {certificate: /none.pem}", "needs the option 'private_key'"),
        ("require_tls: true", "nobody can begin TLS with this server"),
        ("validate_too: 'a: b'", "did you mean 'validate_to'?"),
        ("max_recipients: 0", "a number of at least 1"),
        ("received_header: 'a b'", "is no Python"),
    ],
)
def test_mistakes_are_told_where_they_are(options: str, told: str) -> None:
    """What cannot be is a problem, at its place, before anything starts."""
    [problem, *_] = problems(options)
    assert problem.startswith("site.yml:")
    assert told in problem


def test_a_host_has_a_name() -> None:
    """What would break an answer, or a command, is no name of a host."""
    with pytest.raises(ConfigurationError, match="no name of a host"):
        Station(OPEN.replace("host: here", 'host: "a\\nb"'))
    for options in ({"host": ""}, {"host": "bad host"}, {"helo": "me\r\nRSET"}):
        with pytest.raises(ConfigurationError, match="no name of a host"):
            Relay(**options)


def test_a_key_belongs_to_its_certificate(tmp_path: Path) -> None:
    """A key and a certificate that do not belong together are a problem, and a file that holds neither."""
    one, other = pem(tmp_path, "one"), pem(tmp_path, "other")
    (tmp_path / "text.pem").write_text("text")
    for key, certificate in ((one, other), (tmp_path / "text.pem", one), (one, tmp_path / "text.pem")):
        [problem] = problems(f"tls: {{private_key: {key}, certificate: {certificate}}}")
        assert "are no key with its certificate" in problem
    Station(options=f"tls: {{private_key: {one}, certificate: {one}}}\nrequire_tls: true")


def test_secrets_of_a_checker_are_not_told() -> None:
    """A checker that cannot be made does not show what it was given."""
    [problem] = problems("checker: {name: builtins.int, arguments: {password: secret}}")
    assert "secret" not in problem


@pytest.mark.parametrize(
    ("place", "told"),
    [("tcp:99999", "99999 is no port"), ("nonsense:1", "'nonsense:1' is no endpoint"), ("[]", "without a place")],
)
def test_a_place_to_listen_is_checked(place: str, told: str) -> None:
    """Where nothing can listen is a problem."""
    with pytest.raises(ConfigurationError, match=told):
        Station(OPEN.replace("10025", place))


def test_there_may_be_several_servers_and_places() -> None:
    """Each server listens at all its places, unless it is not enabled; ports come last."""
    text = """
    smtp:
      one: {listen: [10025, 'tcp:10026'], processor: main}
      two: {listen: 10027, processor: main, enabled: false}
      three: {listen: 10028, processor: pipeline.main}
    """
    listeners = Station(text).environment.listeners.members
    assert [listener.owner for listener in listeners] == ["smtp.one", "smtp.one", "smtp.three"]
    assert listeners[0].factory is listeners[1].factory
    assert [listener.what for listener in listeners] == ["smtp"] * 3


def test_one_of_several_checkers_has_to_know_a_sender() -> None:
    """Checkers are asked one after the other; anonymous senders may be welcome beside those who log in."""
    memory = "twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse"
    station = Station(
        options=f"""
        checker:
          - {{name: {memory}, arguments: {{ada: one}}}}
          - {{name: {memory}, arguments: {{bob: two}}}}
          - twisted.cred.checkers.AllowAnonymousAccess
        """
    )
    wire = station.session()
    wire.protocol.is_secure = True  # type: ignore[attr-defined]  # as after STARTTLS
    assert codes(wire.say(*MAIL, *CONTENT, "AUTH PLAIN AGJvYgB0d28=", *MAIL, *CONTENT))[-5:] == [
        235,
        250,
        250,
        354,
        250,
    ]
    assert [baton["avatar_id"] for baton in station.batons] == [(), "bob"]


def test_a_password_file_works(tmp_path: Path) -> None:
    """Twisted's FilePasswordDB lets in who is in the file."""
    file = tmp_path / "passwords"
    file.write_text("ada:secret\n")
    station = Station(
        options=f"checker: {{name: twisted.cred.checkers.FilePasswordDB, arguments: {{filename: {file}}}}}"
    )
    wire = station.session()
    wire.protocol.is_secure = True  # type: ignore[attr-defined]  # as after STARTTLS
    assert codes(wire.say("AUTH PLAIN AGFkYQBzZWNyZXQ=", "RSET")) == [235, 250]
