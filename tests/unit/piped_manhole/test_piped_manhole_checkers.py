"""Checkers: who may log in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.error import ValidPublicKey
from twisted.conch.ssh.keys import Key
from twisted.cred.checkers import AllowAnonymousAccess, FilePasswordDB, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword, SSHPrivateKey, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, execute, fail, maybeDeferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from piped.config.nodes import shown
from piped_manhole.checkers import FirstAccepting, KeyChecker, KeyFiles, authorized_keys, made

ADA, EVE = Key(Ed25519PrivateKey.generate()), Key(Ed25519PrivateKey.generate())


def result_of(checker: Any, credentials: Any) -> Any:
    """The avatar, or the error."""
    found: list[Any] = []
    maybeDeferred(checker.requestAvatarId, credentials).addBoth(found.append)
    [result] = found
    return result.value if isinstance(result, Failure) else result


def with_key(key: Key, user: bytes = b"ada", signed_by: Key | None = None) -> SSHPrivateKey:
    signature = signed_by.sign(b"data") if signed_by else None
    return SSHPrivateKey(user, b"ssh-ed25519", key.public().blob(), b"data", signature)


def line_of(key: Key) -> bytes:
    line: bytes = key.public().toString("OPENSSH")
    return line


class Answers:
    """A checker that answers as it was told."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        return fail(self._answer) if isinstance(self._answer, Exception) else succeed(self._answer)


@pytest.mark.parametrize(("name", "password"), [("ada", "sesame"), ("bób", "pässword☃")])
def test_passwords_of_a_configuration_match_what_is_typed(name: str, password: str) -> None:
    """Clients send UTF-8."""
    checker = made(InMemoryUsernamePasswordDatabaseDontUse, {name: password})
    assert result_of(checker, UsernamePassword(name.encode(), password.encode())) == name.encode()
    assert isinstance(result_of(checker, UsernamePassword(name.encode(), b"wrong")), UnauthorizedLogin)


def test_passwords_in_a_file(tmp_path: Path) -> None:
    """Another checker of Twisted, with its own arguments."""
    (tmp_path / "passwords").write_text("ada:sesame\n")
    checker = made(FilePasswordDB, {"filename": str(tmp_path / "passwords")})
    assert result_of(checker, UsernamePassword(b"ada", b"sesame")) == b"ada"


@pytest.mark.parametrize(
    ("factory", "arguments", "told"),
    [
        (InMemoryUsernamePasswordDatabaseDontUse, {"ada": 123}, "the password of 'ada' must be text"),
        (FilePasswordDB, {"file": "x"}, "its arguments do not fit: missing a required argument: 'filename'"),
        (AllowAnonymousAccess, {}, "it checks neither passwords nor keys"),
        (dict, {}, "it gives no ICredentialsChecker"),
        (3, {}, "it is no class"),
    ],
)
def test_what_is_no_checker_is_told(factory: Any, arguments: dict[str, Any], told: str) -> None:
    """Without the value of a password."""
    with pytest.raises(ValueError, match=told) as caught:
        made(factory, arguments)
    assert "123" not in str(caught.value)


def test_a_key_is_asked_for_only_if_it_would_be_accepted() -> None:
    """A strange key is refused at once; a known one has to be proved."""
    checker = KeyChecker(lambda user: {b"ada": [ADA.public()]}.get(user, []))
    assert isinstance(result_of(checker, with_key(ADA)), ValidPublicKey)
    assert result_of(checker, with_key(ADA, signed_by=ADA)) == b"ada"
    for refused in (
        with_key(EVE),
        with_key(EVE, signed_by=EVE),
        with_key(ADA, signed_by=EVE),
        with_key(ADA, user=b"eve", signed_by=ADA),
    ):
        error = result_of(checker, refused)
        assert isinstance(error, UnauthorizedLogin)
        assert not isinstance(error, ValidPublicKey)


def test_files_of_keys_are_read_anew(tmp_path: Path) -> None:
    """Whoever is added can log in and whoever is removed cannot, at once; a file that is lost opens nothing."""
    path = tmp_path / "keys"
    checker = KeyChecker(KeyFiles({b"ada": [str(path)]}, execute).keys_of)
    path.write_bytes(line_of(EVE))
    path.chmod(0o644)
    assert isinstance(result_of(checker, with_key(ADA, signed_by=ADA)), UnauthorizedLogin)
    path.write_bytes(line_of(EVE) + b"\n" + line_of(ADA))
    assert result_of(checker, with_key(ADA, signed_by=ADA)) == b"ada"
    path.unlink()
    assert isinstance(result_of(checker, with_key(ADA, signed_by=ADA)), UnauthorizedLogin)


def test_a_file_that_others_may_write_opens_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Any of them could let himself in; as with OpenSSH, nobody can, and the log tells why."""
    path = tmp_path / "keys"
    path.write_bytes(line_of(ADA))
    checker = KeyChecker(KeyFiles({b"ada": [str(path)]}, execute).keys_of)
    for mode in (0o664, 0o646):
        path.chmod(mode)
        assert isinstance(result_of(checker, with_key(ADA, signed_by=ADA)), UnauthorizedLogin)
    assert f"the keys of ada cannot be read: others may write {shown(str(path))}: chmod go-w it" in caplog.text
    path.chmod(0o644)
    assert result_of(checker, with_key(ADA, signed_by=ADA)) == b"ada"


def test_restricted_keys_are_not_taken(tmp_path: Path) -> None:
    """Their restrictions would not be kept; each line that is not taken is told with its number."""
    data = b"\n# a comment\n" + line_of(ADA) + b'\nfrom="10.0.0.1" ' + line_of(EVE) + b"\nssh-rsa AAAA\n"
    path = tmp_path / "keys"
    path.write_bytes(data)
    path.chmod(0o644)
    keys, mistakes = authorized_keys(str(path))
    assert keys == [ADA.public()]
    assert [mistake.split(": ")[0] for mistake in mistakes] == [f"{path}:4", f"{path}:5"]
    assert "options in front" in mistakes[0]


def test_the_first_that_accepts_decides(caplog: pytest.LogCaptureFixture) -> None:
    """One that refuses or fails passes the question on; one that fails is told."""

    def asked(*answers: Any) -> Any:
        return result_of(FirstAccepting(IUsernamePassword, [Answers(each) for each in answers]), None)

    assert asked(b"first", b"second") == b"first"
    assert asked(UnauthorizedLogin(), b"second") == b"second"
    assert asked(ZeroDivisionError("broken"), b"second") == b"second"
    assert isinstance(asked(ValidPublicKey(), b"second"), ValidPublicKey)
    assert str(asked(ZeroDivisionError())) == "a checker has failed"
    assert "Answers has failed: ZeroDivisionError\n" in caplog.text


def test_a_checker_that_fails_tells_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the place, and not the text: databases put the password into it, and clients lines of their own."""

    class Broken:
        def requestAvatarId(self, credentials: Any) -> Any:
            raise LookupError(f"no such row: {credentials.username!s} {credentials.password!s}\nforged line")

    credentials = UsernamePassword("eve", "sesame")
    assert isinstance(result_of(FirstAccepting(IUsernamePassword, [Broken()]), credentials), UnauthorizedLogin)
    assert "Broken has failed: LookupError" in caplog.text
    assert f'File "{__file__}", line' in caplog.text
    for told in ("sesame", "eve", "\nforged"):
        assert told not in caplog.text


def test_a_database_of_keys_is_a_checker() -> None:
    """`UNIXAuthorizedKeysFiles` of Conch can be named as it is."""
    from twisted.conch.checkers import IAuthorizedKeysDB

    @implementer(IAuthorizedKeysDB)
    class Database:
        def getAuthorizedKeys(self, user: bytes) -> list[Key]:
            return [ADA.public()]

    assert result_of(made(Database, {}), with_key(ADA, signed_by=ADA)) == b"ada"
