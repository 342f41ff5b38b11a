"""Login: who may call, asked of a checker of Twisted's cred."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import reprlib
from collections.abc import Callable
from typing import Any, Final

from twisted.cred.credentials import Anonymous, IAnonymous, IUsernameHashedPassword
from twisted.cred.error import LoginFailed, UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.spread import pb
from zope.interface import implementer

from piped import told
from piped.spread.banana import Expression, Unreadable

_log = logging.getLogger("piped.spread")

#: After so many tries without success a peer is hung up on.
MOST_TRIES: Final = 5
#: What a checker has to understand: no password comes, but a hash of it.
UNDERSTOOD: Final = (IUsernameHashedPassword, pb.IUsernameMD5Password, IAnonymous)


@implementer(IRealm)
class Realm:
    """What somebody gets who has logged in.

    Args:
        door: makes what he may call, for the `avatar_id` that the checker has given.
    """

    def __init__(self, door: Callable[[Any], pb.Referenceable]) -> None:
        self._door = door

    def requestAvatar(self, avatar_id: Any, mind: Any, *interfaces: Any) -> Any:
        # Twisted's checkers give the name as bytes; a pipeline compares it with texts.
        name = avatar_id.decode("utf-8", "replace") if isinstance(avatar_id, bytes) else avatar_id
        return pb.IPerspective, self._door(name), lambda: None


class LoginRoot(pb.Referenceable):
    """What a peer can call before it has logged in: nothing but that."""

    def __init__(self, portal: Portal, broker: Any) -> None:
        self.portal, self.broker = portal, broker
        self._tries = 0

    def remoteMessageReceived(self, broker: Any, message: str, args: Expression, kw: Expression) -> Any:
        arguments = broker.unserialize(args)
        if message not in ("login", "loginAnonymous"):
            raise pb.NoSuchMethod(f"No such method: remote_{message}")
        if not isinstance(arguments, tuple | list) or len(arguments) != 1:
            raise Unreadable("a login of another form")
        self._tries += 1
        if self._tries > MOST_TRIES:
            _log.warning("%s hangs up on %s: too many logins", broker.name, broker.peer)
            broker.hang_up()
            raise UnauthorizedLogin("too many tries")
        if message == "loginAnonymous":
            return self.login(Anonymous(), "anonymous", arguments[0])
        challenge = os.urandom(16)
        return broker.serialize((challenge, Challenger(self, _bytes(arguments[0]), challenge)))

    def login(self, credentials: Any, name: str | bytes, mind: Any) -> Deferred[Any]:
        """The expression of what whoever the credentials are of may call."""
        checked: Deferred[Any] = self.portal.login(credentials, mind, pb.IPerspective)
        return checked.addCallbacks(self._admitted, self._refused, callbackArgs=(name,), errbackArgs=(name,))

    def _admitted(self, avatar: tuple[Any, Any, Any], name: str | bytes) -> Any:
        self._tries = 0
        self.broker.admit()
        _log.info("%s: %s has logged in from %s", self.broker.name, _shown(name), self.broker.peer)
        return self.broker.serialize(avatar[1])

    def _refused(self, failure: Failure, name: str | bytes) -> Any:
        error, by_whom = failure.value, (_shown(name), self.broker.peer)
        if isinstance(error, CancelledError):  # the peer has left meanwhile
            return failure
        if isinstance(error, LoginFailed):  # also of a kind that the checker does not know
            _log.warning("%s refuses the login of %s from %s", self.broker.name, *by_whom)
        else:
            what = "%s cannot check the login of %s from %s: %s"
            _log.error(what, self.broker.name, *by_whom, told(error), exc_info=error)
        raise UnauthorizedLogin("the login was refused") from None


@implementer(IUsernameHashedPassword, pb.IUsernameMD5Password)
class Challenger(pb.Referenceable):
    """The credentials of a peer that answers a challenge: it hashes that with its password.

    Args:
        username: as it came, in bytes, as Twisted's checkers have it.
    """

    def __init__(self, root: LoginRoot, username: bytes, challenge: bytes) -> None:
        self._root, self.username, self._challenge = root, username, challenge
        self._response: bytes | None = None

    def remoteMessageReceived(self, broker: Any, message: str, args: Expression, kw: Expression) -> Any:
        arguments = broker.unserialize(args)
        if message != "respond" or not isinstance(arguments, tuple | list) or len(arguments) != 2:
            raise pb.NoSuchMethod(f"No such method: remote_{message}")
        if self._response is not None:
            raise UnauthorizedLogin("a challenge is answered once")
        self._response = _bytes(arguments[0])
        return self._root.login(self, self.username, arguments[1])

    def checkPassword(self, password: str | bytes) -> bool:
        """Whether that is the password; a text, as one written in a configuration is, counts as UTF-8."""
        return self.checkMD5Password(_md5(_bytes(password)))

    def checkMD5Password(self, digest: bytes) -> bool:
        """Whether that is the MD5 digest of the password."""
        return hmac.compare_digest(self._response or b"", _md5(digest + self._challenge))


def _shown(name: str | bytes) -> str:
    return reprlib.repr(name.decode("utf-8", "replace") if isinstance(name, bytes) else name)


def _md5(data: bytes) -> bytes:
    # The protocol has it so; over TLS nobody sees the challenge and what it was answered with.
    return hashlib.md5(data, usedforsecurity=False).digest()


def _bytes(text: Any) -> bytes:
    if isinstance(text, str):
        return text.encode()
    if not isinstance(text, bytes):
        raise Unreadable("a name or password that is no text")
    return text
