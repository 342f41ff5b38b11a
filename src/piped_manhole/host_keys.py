"""Host keys: by which clients know the server again; read from a configuration, or made once and kept."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
    load_ssh_private_key,
)
from twisted.conch.ssh.keys import BadKeyError, Key
from twisted.python.filepath import FilePath

from piped import Problem
from piped.config.nodes import Node, shown
from piped.spec.spec import Spec

if TYPE_CHECKING:
    from piped.spec.checking import Checker

#: The file of the key that a manhole makes for itself, in the run directory.
OWN_KEY = "manhole_host_key"
#: Bits of an RSA key that is still worth something.
LEAST_BITS = 2048
#: No file of a key is longer.
MOST_BYTES = 64 * 1024


@dataclass(frozen=True)
class HostKeys:
    """The key of the server: RSA, ECDSA or Ed25519, in the form of OpenSSH, PEM or PKCS8, without a passphrase.

    Args:
        private_key: the key itself; `${NAME}` takes it from the environment.
        private_key_file: the file that holds it.
        public_key: its public half, which has to belong to it; it may be left out.
        public_key_file: the file that holds the public half.
    """

    private_key: str | None = None
    private_key_file: FilePath | None = None  # type: ignore[type-arg]  # the checker knows the class, not its kinds
    public_key: str | None = None
    public_key_file: FilePath | None = None  # type: ignore[type-arg]  # as above

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Key | None:
        """The private key that the mapping stands for; None where it is empty, or for a Problem."""
        owner = "the keys of a manhole"
        before = len(checker.problems)
        arguments = checker.options(Spec.of(cls), node, owner=owner, where=node.named_at)
        if not arguments:
            return None
        private = _read(checker, node, arguments, "private_key", private_key)
        public = _read(checker, node, arguments, "public_key", public_key)
        if len(checker.problems) > before:
            return None
        if private is None:
            what = f"{owner} have a public key only"
            checker.problems.append(Problem(what, node.named_at, "add private_key_file: the file of the private key"))
        elif public is not None and private.public() != public:
            what = f"{owner}: the public key does not belong to the private key"
            checker.problems.append(Problem(what, node.named_at, "leave it out: the private key is enough"))
        return private


def _read(
    checker: Checker, node: Node, arguments: dict[str, Any], name: str, parse: Callable[[bytes], Key]
) -> Key | None:
    """The key behind an option or the one that names its file; None where neither is written, or for a Problem."""
    written = [option for option in (name, f"{name}_file") if arguments.get(option) is not None]
    if len(written) == 2:
        what = f"the keys of a manhole have both {name!r} and '{name}_file'"
        checker.problems.append(Problem(what, node.named_at, "leave one out"))
    if len(written) != 1:
        return None
    [option] = written
    value = arguments[option]
    try:
        return parse(read_file(value.path) if isinstance(value, FilePath) else value.encode())
    except (OSError, ValueError) as error:
        where = (node.at(option) or node).where
        checker.problems.append(Problem(f"option {option!r} of the keys of a manhole: {said(error)}", where))
        return None


def said(error: OSError | ValueError) -> str:
    """Why a file of keys cannot be used."""
    if isinstance(error, FileNotFoundError):
        return f"there is no file {shown(error.filename)}"
    if isinstance(error, OSError) and error.filename:
        return f"cannot read {shown(error.filename)}: {(error.strerror or '').lower()}"
    return str(error)


def read_file(path: str, forbidden: int = 0, why: str = "") -> bytes:
    """What a file of keys holds.

    Args:
        forbidden: permissions that others may not have, and
        why: not.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too long for one, or others have permissions that are forbidden.
    """
    with open(path, "rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & forbidden:
            raise ValueError(why.format(shown(path)))
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"{shown(path)} is too long for a file of keys")
    return data


def private_key(data: bytes) -> Key:
    """The private key that a text stands for.

    Raises:
        ValueError: it is none that can be used; the text says why, and shows nothing of it.
    """
    data = data.strip() + b"\n"
    load: Any = load_ssh_private_key if b"BEGIN OPENSSH" in data.split(b"\n", 1)[0] else load_pem_private_key
    try:
        key = load(data, password=None)
    except TypeError:
        fix = "take the passphrase off: ssh-keygen -p -f FILE"
        raise ValueError(f"the private key is protected by a passphrase, which nobody could type – {fix}") from None
    except (ValueError, UnsupportedAlgorithm):  # their texts are about ASN.1
        raise ValueError("this is no private key in the form of OpenSSH, PEM or PKCS8") from None
    if isinstance(key, RSAPrivateKey):
        if key.key_size < LEAST_BITS:
            raise ValueError(f"an RSA key of {key.key_size} bits is too short: it needs at least {LEAST_BITS}")
    elif not isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise ValueError("the private key is none of RSA, ECDSA and Ed25519")
    return Key(key)


def public_key(data: bytes) -> Key:
    """The public key that a line of OpenSSH stands for, or a PEM text.

    Raises:
        ValueError: it is none that can be used.
    """
    data = data.strip()
    if b"PRIVATE KEY" in data.split(b"\n", 1)[0]:
        raise ValueError("this is a private key, where a public one belongs")
    try:
        key = Key(load_pem_public_key(data)) if data.startswith(b"-----BEGIN") else Key.fromString(data)
    except Exception as error:  # Conch's parser raises whatever its first wrong step raises
        said = f": {error}" if isinstance(error, BadKeyError) and "unknown" not in str(error) else ""
        raise ValueError(f"this is no public key{said}") from None
    return accepted(key)


def accepted(key: Key) -> Key:
    """The same public key, if it is of a kind and length that is still worth something.

    Raises:
        ValueError: it is not.
    """
    if not key.isPublic():
        raise ValueError("this is a private key, where a public one belongs")
    if key.type() not in ("RSA", "EC", "Ed25519"):
        raise ValueError(f"a key of the kind {key.type()} is not accepted: use Ed25519, ECDSA or RSA")
    if key.type() == "RSA" and key.size() < LEAST_BITS:
        raise ValueError(f"an RSA key of {key.size()} bits is too short: it needs at least {LEAST_BITS}")
    return key


def own_key(path: str) -> tuple[Key, bool]:
    """The key in a file, made there unless there is one; and whether it was made. It blocks.

    Of several processes that make one at the same time, all take the first.

    Raises:
        OSError: the file can be neither read nor made.
        ValueError: it holds no key, or others may read it.
    """
    with suppress(FileNotFoundError):
        return _kept_key(path), False
    secret = Ed25519PrivateKey.generate()
    data = secret.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    descriptor, written = tempfile.mkstemp(prefix=f"{os.path.basename(path)}.", dir=os.path.dirname(path) or ".")
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.link(written, path)  # rather than rename: it never replaces what somebody else has made
    except FileExistsError:
        return _kept_key(path), False
    finally:
        os.unlink(written)
    return Key(secret), True


def _kept_key(path: str) -> Key:
    data = read_file(path, 0o077, "others may read {}: chmod 600 it, or remove it and a new one is made")
    try:
        return private_key(data)
    except ValueError as error:
        raise ValueError(f"{shown(path)}: {error}") from None
