"""Who sends a mail: logins of AUTH PLAIN and AUTH LOGIN, judged by checkers of Twisted's cred."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Sequence
from hmac import compare_digest
from typing import Any

from twisted.cred.credentials import Anonymous, IAnonymous, IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from zope.interface import implementer


@implementer(IUsernamePassword, IUsernameHashedPassword)
class Login:
    """A name and a password as a client has sent them, which are bytes; they match text that is written in UTF-8."""

    def __init__(self, username: bytes, password: bytes) -> None:
        self.username, self.password = username, password

    def checkPassword(self, password: object) -> bool:
        """Whether it is the one that was sent, found out in the same time for every wrong one."""
        wanted = password if isinstance(password, bytes) else str(password).encode()
        return compare_digest(wanted, self.password)


class Checkers:
    """Asks checkers one after the other.

    Args:
        checkers: of passwords, or for clients without one.
    """

    def __init__(self, checkers: Sequence[Any]) -> None:
        self._by_password = [one for one in checkers if _takes(one, IUsernamePassword, IUsernameHashedPassword)]
        self._anonymous = [one for one in checkers if _takes(one, IAnonymous)]

    @property
    def know_passwords(self) -> bool:
        return bool(self._by_password)

    async def login(self, username: bytes, password: bytes) -> Any:
        """The avatar id.

        Raises:
            UnauthorizedLogin: no checker knows this name with this password.
        """
        return await _first(self._by_password, Login(username, password))

    async def anonymous(self) -> Any:
        """The avatar id of those who do not log in.

        Raises:
            UnauthorizedLogin: they have to.
        """
        return await _first(self._anonymous, Anonymous())


async def _first(checkers: Sequence[Any], credentials: Any) -> Any:
    for checker in checkers:
        try:
            avatar_id = checker.requestAvatarId(credentials)
            if hasattr(avatar_id, "__await__"):
                avatar_id = await avatar_id
        except UnauthorizedLogin:
            continue
        return avatar_id.decode(errors="replace") if isinstance(avatar_id, bytes) else avatar_id
    raise UnauthorizedLogin("nobody knows this name with this password")


def _takes(checker: Any, *interfaces: Any) -> bool:
    return any(wanted in interfaces for wanted in checker.credentialInterfaces)


class Challenge:
    """A login that is under way: asks for what is missing, and reads what comes.

    Args:
        mechanism: `PLAIN` or `LOGIN`.

    Source: RFC 4954 and RFC 4616; LOGIN is described nowhere, and spoken everywhere.

    Example:
        >>> login = Challenge("LOGIN")
        >>> login.question, login.answer(b"YWRh"), login.question, login.answer(b"c2VjcmV0")
        (b'VXNlcm5hbWU6', None, b'UGFzc3dvcmQ6', (b'ada', b'secret'))
        >>> Challenge("PLAIN").answer(b"AGFkYQBzZWNyZXQ=")
        (b'ada', b'secret')
    """

    def __init__(self, mechanism: str) -> None:
        self._is_plain = mechanism == "PLAIN"
        self._username: bytes | None = None

    @property
    def question(self) -> bytes:
        """What the client is asked, in base64."""
        if self._is_plain:
            return b""
        return b"VXNlcm5hbWU6" if self._username is None else b"UGFzc3dvcmQ6"

    def answer(self, line: bytes) -> tuple[bytes, bytes] | None:
        """The name and the password, or None while there is more to ask.

        Raises:
            ValueError: that is no answer.
        """
        try:
            sent = b64decode(line, validate=True)
        except binascii.Error:
            raise ValueError("that is not in base64") from None
        if self._is_plain:
            authority, username, password = sent.split(b"\0")
            if authority not in (b"", username):
                raise ValueError("nobody sends in the name of somebody else")
            return username, password
        if self._username is None:
            self._username = sent
            return None
        return self._username, sent
