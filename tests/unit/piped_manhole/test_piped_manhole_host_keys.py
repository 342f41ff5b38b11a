"""Host keys: read in every form, and made once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from piped_manhole.host_keys import own_key, private_key, public_key, read_file

RSA = rsa.generate_private_key(65537, 2048)
ECDSA = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
FORMS = (PrivateFormat.OpenSSH, PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL)


@pytest.mark.parametrize(
    ("key", "form"),
    [(key, form) for key in (RSA, ECDSA) for form in FORMS]
    + [(ED25519, PrivateFormat.OpenSSH), (ED25519, PrivateFormat.PKCS8)],  # it has no old PEM
)
def test_private_keys_are_read_in_every_form(key, form) -> None:
    """OpenSSH, PKCS8 and the old PEM, also where an editor has added lines."""
    data = key.private_bytes(Encoding.PEM, form, NoEncryption())
    read = private_key(b"\n" + data + b"\n\n")
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    assert read.public() == public_key(line) == public_key(line + b" ada@home\n")
    assert read.public() == public_key(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "this is no private key in the form"),
        (b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----", "this is no private key in the form"),
        (ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")), "by a passphrase"),
        (ED25519.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(b"x")), "by a passphrase"),
        (
            rsa.generate_private_key(65537, 1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "1024 bits is too short",
        ),
        (
            dsa.generate_private_key(1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "none of RSA, ECDSA and Ed25519",
        ),
    ],
    ids=["empty", "nonsense", "passphrase", "passphrase of OpenSSH", "short", "dsa"],
)
def test_what_is_no_key_is_told(data: bytes, told: str) -> None:
    """In words, and without a piece of it."""
    with pytest.raises(ValueError, match=told):
        private_key(data)


@pytest.mark.parametrize("data", [b"", b"ssh-ed25519", b"ssh-rsa AAAA", b"ssh-ed25519 %%%", b"\x00\x00\x00\x07ssh-rsa"])
def test_what_is_no_public_key_is_told(data: bytes) -> None:
    """Whatever the parser stumbles over."""
    with pytest.raises(ValueError, match="no public key"):
        public_key(data)


def test_a_private_key_is_no_public_one() -> None:
    """Nobody spreads his private key by mistake."""
    with pytest.raises(ValueError, match="this is a private key"):
        public_key(ED25519.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))


def test_a_key_is_made_once(tmp_path: Path) -> None:
    """For its owner only; the next start finds it, and nothing else is left behind."""
    path = str(tmp_path / "key")
    (made, is_new), (found, is_newer) = own_key(path), own_key(path)
    assert (is_new, is_newer) == (True, False)
    assert made == found
    assert made.sshType() == b"ssh-ed25519"
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["key"]


def test_what_a_crash_has_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    """In a container each process has the same number; half a key of a former one is no reason not to start."""
    (tmp_path / f"key.{os.getpid()}").write_text("half")
    assert own_key(str(tmp_path / "key"))[1]
    assert not own_key(str(tmp_path / "key"))[1]


def test_a_key_that_others_could_read_is_not_used(tmp_path: Path) -> None:
    """Nor is one replaced that cannot be read: clients would be alarmed."""
    path = tmp_path / "key"
    own_key(str(path))
    path.chmod(0o640)
    with pytest.raises(ValueError, match="others may read"):
        own_key(str(path))
    path.chmod(0o600)
    path.write_text("nonsense")
    with pytest.raises(ValueError, match="key: this is no private key"):
        own_key(str(path))
    with pytest.raises(OSError, match="No such file"):
        own_key(str(tmp_path / "nowhere" / "key"))


def test_a_file_of_keys_is_not_long(tmp_path: Path) -> None:
    """A mistyped name may be that of a large file, which is not read."""
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    with pytest.raises(ValueError, match="too long for a file of keys"):
        read_file(str(tmp_path / "large"))
