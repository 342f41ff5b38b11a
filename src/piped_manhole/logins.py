"""Logins: what a client has to do before it is let in, one attempt at a time, and each told in the log."""

from __future__ import annotations

from typing import Any, Final

from twisted.conch.error import ConchError, IgnoreAuthentication
from twisted.conch.ssh.common import NS, getNS
from twisted.conch.ssh.transport import DISCONNECT_PROTOCOL_ERROR
from twisted.conch.ssh.userauth import SSHUserAuthServer
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

#: With what a client may sign: no SHA-1 and no DSA. The last two are keys on a security token.
SIGNATURES: Final = (
    b"ssh-ed25519",
    b"ecdsa-sha2-nistp256",
    b"ecdsa-sha2-nistp384",
    b"ecdsa-sha2-nistp521",
    b"rsa-sha2-512",
    b"rsa-sha2-256",
    b"sk-ssh-ed25519@openssh.com",
    b"sk-ecdsa-sha2-nistp256@openssh.com",
)


#: Bytes of a public key; RSA of 16,384 bits, the longest that OpenSSL takes, needs half of it.
MOST_KEY: Final = 4096


class Quiet(Logger):
    """What Conch itself tells: only what has gone wrong in it.

    The rest would show what is typed, and calls the end of each connection an error.
    """

    def emit(self, level: Any, format: str | None = None, **rest: object) -> None:
        if level is LogLevel.critical:
            super().emit(level, format, **rest)


class Logins(SSHUserAuthServer):
    """The service `ssh-userauth`; what it finds out is told to the connection, which counts, logs and limits."""

    transport: Any  # a Connection
    _log = Quiet()
    _is_asked = False

    @property
    def clock(self) -> Any:  # type: ignore[override]  # a class attribute of Conch, which is the global reactor
        return self.transport.clock

    def ssh_USERAUTH_REQUEST(self, packet: bytes) -> Any:
        """One attempt; a second one before the first is answered would be one more than is counted."""
        if self._is_asked:
            self.transport.sendDisconnect(DISCONNECT_PROTOCOL_ERROR, b"one attempt at a time")
            return None
        _, service, _, _ = getNS(packet, 3)
        if service != b"ssh-connection":
            self.transport.sendDisconnect(DISCONNECT_PROTOCOL_ERROR, b"no such service")
            return None
        self._is_asked = True
        return super().ssh_USERAUTH_REQUEST(packet)

    def tryAuth(self, kind: bytes, user: bytes, data: bytes) -> Deferred[Any]:
        return super().tryAuth(kind, user, data).addCallbacks(self._accepted, self._refused)

    def auth_publickey(self, packet: bytes) -> Deferred[Any]:
        """A key, or the proof that the client has it; signatures are of the algorithm that the client has named."""
        algorithm, key, signature = getNS(packet[1:], 2)
        if algorithm not in SIGNATURES:
            return fail(UnauthorizedLogin(f"signatures of the kind {algorithm[:40]!r} are not accepted"))
        if not _is_public(key, algorithm):
            return fail(UnauthorizedLogin("the key is not what it is said to be"))
        if packet[0] and getNS(getNS(signature)[0])[0] != algorithm:
            return fail(UnauthorizedLogin("the signature is not what it is said to be"))
        return super().auth_publickey(packet)

    def _accepted(self, result: Any) -> Any:
        self._is_asked = False
        if self.transport.is_cut:  # too late: the time was over, or the client has gone
            raise ConchError("the connection is closed")
        self.transport.logged_in(self.user, self.method)
        return result

    def _refused(self, failure: Failure) -> Failure:
        self._is_asked = False
        if self.method != b"none" and not failure.check(IgnoreAuthentication):
            # What else may fail is somebody's checker or what was sent, whose words nobody knows.
            is_known = failure.check(UnauthorizedLogin, ConchError)
            why = str(failure.value) or "wrong user or password" if is_known else type(failure.value).__name__
            self.transport.refused(self.user, self.method, why)
        return failure


def _is_public(key: bytes, algorithm: bytes) -> bool:
    """Whether it is a public key of the kind that makes such signatures.

    Conch would also read private keys, in any form, and compute for seconds whether a long one is sound.

    Source: RFC 4253, 6.6; RFC 8332, 3: all RSA keys are of the kind `ssh-rsa`.
    """
    kind = b"ssh-rsa" if algorithm.startswith(b"rsa-") else algorithm
    if len(key) > MOST_KEY or not key.startswith(NS(kind)):
        return False
    parts = 0
    while len(key) >= 4:
        parts, key = parts + 1, getNS(key)[1]
    return parts <= 4 and not key  # private ones have more
