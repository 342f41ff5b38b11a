"""Checkers: who may log in, by the checkers of Twisted's cred and by the keys in files of authorized keys."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.conch.checkers import IAuthorizedKeysDB
from twisted.conch.error import NotEnoughAuthentication, ValidPublicKey
from twisted.conch.ssh.keys import Key
from twisted.cred.checkers import ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import ISSHPrivateKey, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import maybeDeferred
from zope.interface import implementer

from piped import DottedName, Problem, told
from piped.spec.spec import Spec
from piped_manhole.host_keys import accepted, public_key, read_file, said

if TYPE_CHECKING:
    from piped.config.nodes import Node
    from piped.spec.checking import Checker

_log = logging.getLogger("piped.manhole")
#: What SSH can ask for: a key that the client proves to have, and a password.
KINDS = (ISSHPrivateKey, IUsernamePassword)
#: Calls something that blocks in a thread.
InThread = Callable[..., Any]


@dataclass(frozen=True)
class Credentials:
    """A checker of Twisted's cred.

    Args:
        checker: the full name of its class, or of a function that makes one.
        arguments: what it is called with.
    """

    checker: DottedName
    arguments: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Any:
        """The ICredentialsChecker that the mapping stands for; None for a Problem."""
        if node.is_mapping or node.value is None:
            found = checker.options(Spec.of(cls), node, owner="a checker", where=node.named_at)
            written = node.at("checker")
        else:
            name = checker.value(DottedName, node, owner="a checker")
            found, written = None if name is None else {"checker": name}, node
        if found is None or written is None:
            return None
        try:
            return made(found["checker"].load(), found.get("arguments", {}))
        except Exception as error:  # somebody's class, whose constructor may raise anything
            what = str(error) if type(error) is ValueError else told(error)
            checker.problems.append(Problem(f"the checker {found['checker']!s} cannot be used: {what}", written.where))
            return None


def made(factory: Any, arguments: Mapping[str, Any]) -> Any:
    """The ICredentialsChecker that a class or function makes of its arguments.

    Names and passwords are what a client sends: UTF-8. A database of authorized keys becomes a checker of keys.

    Raises:
        ValueError: it is no checker, or none for what SSH asks for.
    """
    if factory is InMemoryUsernamePasswordDatabaseDontUse:
        in_memory = factory()
        for name, password in arguments.items():
            if not isinstance(password, str):
                raise ValueError(f"the password of {name!r} must be text: put it in quotes")
            in_memory.addUser(name.encode(), password.encode())
        return in_memory
    if not callable(factory):
        raise ValueError("it is no class")
    _bind(factory, arguments)
    checker: Any = factory(**arguments)
    if IAuthorizedKeysDB.providedBy(checker):
        checker = KeyChecker(checker.getAuthorizedKeys)
    if not ICredentialsChecker.providedBy(checker):
        raise ValueError("it gives no ICredentialsChecker of twisted.cred")
    if not any(kind in checker.credentialInterfaces for kind in KINDS):
        raise ValueError("it checks neither passwords nor keys (IUsernamePassword, ISSHPrivateKey)")
    return checker


def _bind(factory: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Say what is wrong with arguments without saying what they are, which may be secrets."""
    try:
        signature = inspect.signature(factory)
    except ValueError:  # it is built in, and tells nobody
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ValueError(f"its arguments do not fit: {error}") from None


@implementer(ICredentialsChecker)
class KeyChecker:
    """Checks keys: a key that is not authorized is refused before the client is asked to prove that it has it.

    Args:
        keys_of: the authorized keys of a user, whose name is bytes; it may give a Deferred.
    """

    credentialInterfaces = (ISSHPrivateKey,)

    def __init__(self, keys_of: Callable[[bytes], Any]) -> None:
        self._keys_of = keys_of

    async def requestAvatarId(self, credentials: Any) -> bytes:
        try:
            key = accepted(Key.fromString(credentials.blob))
        except ValueError as error:
            raise UnauthorizedLogin(str(error)) from None
        if all(key != known for known in await maybeDeferred(self._keys_of, credentials.username)):
            raise UnauthorizedLogin("the key is not authorized")
        if not credentials.signature:
            raise ValidPublicKey
        if not key.verify(credentials.signature, credentials.sigData):
            raise UnauthorizedLogin("the signature is wrong")
        username: bytes = credentials.username
        return username


class KeyFiles:
    """The keys in files, by the names of users; they are read anew for each login.

    Args:
        files: for each user the paths of files as ssh-keygen and OpenSSH write them.
        in_thread: reads them.
    """

    def __init__(self, files: Mapping[bytes, Sequence[str]], in_thread: InThread) -> None:
        self._files, self._in_thread = files, in_thread

    async def keys_of(self, username: bytes) -> list[Key]:
        """The keys that a user may log in with."""
        found: list[Key] = await self._in_thread(self._read, username)
        return found

    def _read(self, username: bytes) -> list[Key]:
        found = []
        for path in self._files.get(username, ()):
            try:
                keys, mistakes = authorized_keys(path)
            except (OSError, ValueError) as error:
                _log.error("the keys of %s cannot be read: %s", username.decode(errors="replace"), said(error))
                continue
            found += keys
            for mistake in mistakes:
                _log.warning("%s", mistake)
        return found


def authorized_keys(path: str) -> tuple[list[Key], list[str]]:
    """The keys in a file, one a line, and for each line that holds none what is wrong with it.

    Options in front of a key (`from="…"`, `command="…"`) are restrictions: a line that has them is not taken, as they
    would not be kept. Nor is a file that others may write: any of them could let himself in.

    Source: sshd(8), AUTHORIZED_KEYS FILE FORMAT.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too long for one, or others may write it.
    """
    keys, mistakes = [], []
    data = read_file(path, 0o022, "others may write {}: chmod go-w it")
    for number, line in enumerate(data.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith(b"#"):
            continue
        try:
            if not line.startswith((b"ssh-", b"ecdsa-", b"sk-")):
                raise ValueError("this is no public key, or it has options in front, which are not understood")
            keys.append(public_key(line))
        except ValueError as error:
            mistakes.append(f"{path}:{number}: {error}")
    return keys, mistakes


@implementer(ICredentialsChecker)
class FirstAccepting:
    """Several checkers as one: the first that accepts lets the user in.

    Args:
        kind: the interface of the credentials that they check.
        checkers: in the order in which they are asked.
    """

    def __init__(self, kind: Any, checkers: Sequence[Any]) -> None:
        self.credentialInterfaces = (kind,)
        self._checkers = checkers

    async def requestAvatarId(self, credentials: Any) -> Any:
        refusal = UnauthorizedLogin("nobody checks that")
        for checker in self._checkers:
            try:
                return await maybeDeferred(checker.requestAvatarId, credentials)
            except (ValidPublicKey, NotEnoughAuthentication):  # "prove it", and "what else do you have?"
                raise
            except UnauthorizedLogin as error:
                refusal = error
            except Exception as error:  # somebody's checker: the others are asked, and nobody is let in by a mistake
                # Its text is not logged: it may hold the password, or lines that a client has made up for the log.
                frames = "".join(traceback.format_tb(error.__traceback__)).rstrip()
                _log.error("%s has failed: %s\n%s", type(checker).__name__, type(error).__name__, frames)
                refusal = UnauthorizedLogin("a checker has failed")
        raise refusal


def portal_of(realm: Any, checkers: Iterable[Any]) -> Portal:
    """The portal through which users come to a realm."""
    portal, checkers = Portal(realm), list(checkers)
    for kind in KINDS:
        if fitting := [checker for checker in checkers if kind in checker.credentialInterfaces]:
            first: Any = FirstAccepting(kind, fitting)  # mypy does not see what zope's implementer declares
            portal.registerChecker(first)
    return portal
