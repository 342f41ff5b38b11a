"""Access: who a client is, and who may do what with the nodes that it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from kazoo.security import ACL, Id, Permissions

from piped import ConfigurationError, Problem
from piped.config.nodes import Node

if TYPE_CHECKING:
    from piped.spec.checking import Checker

_FORM: Final = "write scheme:identity, such as digest:user:password"


class Auth(tuple[tuple[str, str], ...]):
    """Who the client is: `scheme:identity`, several with commas; or a list of such, or of {scheme, identity}."""

    __slots__ = ()
    __shape__ = str | list[Any]

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Auth | None:
        # What is wrong is never shown: it is a secret.
        if node.is_list:
            found = [_identity(checker, each) for each in node.value]
        elif node.is_mapping:
            found = [_identity(checker, node)]
        else:
            written = checker.value(str, node, owner="the secret of auth")
            found = [] if written is None else [_parted(checker, node, part.strip()) for part in written.split(",")]
        return cls(each for each in found if each is not None)

    def __repr__(self) -> str:
        return f"<Auth {', '.join(scheme for scheme, _ in self)}>"


def _identity(checker: Checker, node: Node) -> tuple[str, str] | None:
    if not node.is_mapping:
        written = checker.value(str, node, owner="the secret of auth")
        return None if written is None else _parted(checker, node, written)
    if set(node.value) != {"scheme", "identity"}:
        what = "an identity has a scheme and an identity, and nothing else"
        checker.problems.append(Problem(what, node.where, "write {scheme: digest, identity: 'user:password'}"))
        return None
    texts = [checker.value(str, node.value[name], owner=f"the secret {name}") for name in ("scheme", "identity")]
    return None if None in texts else (str(texts[0]), str(texts[1]))


def _parted(checker: Checker, node: Node, written: str) -> tuple[str, str] | None:
    scheme, colon, identity = written.partition(":")
    if not colon or not scheme:
        checker.problems.append(Problem("what stands in auth has no scheme", node.where, _FORM))
        return None
    return scheme, identity


PermissionName = Literal["read", "write", "create", "delete", "admin", "all"]


@dataclass(frozen=True, kw_only=True)
class EncodedACL:
    """Who may do what with a node.

    Args:
        scheme: how it is known who somebody is: `world`, `auth`, `digest`, `ip` …
        id: who: `anyone` of `world`, nothing of `auth`, `user:hash` of `digest`, an address of `ip`.
        perms: what he may do; or the sum of ZooKeeper's numbers for it.
    """

    scheme: str
    id: str = ""
    perms: int | PermissionName | list[PermissionName]

    def __post_init__(self) -> None:
        if not 0 < self._number <= Permissions.ALL:
            what = f"perms are a number from 1 to {Permissions.ALL}, which is all, or at least one name"
            raise ConfigurationError(what, hint="write perms: [read, write], or perms: all")

    @property
    def _number(self) -> int:
        if isinstance(self.perms, int):
            return self.perms
        names = [self.perms] if isinstance(self.perms, str) else self.perms
        number = 0
        for name in names:
            number |= getattr(Permissions, name.upper())
        return number

    @property
    def acl(self) -> ACL:
        """As kazoo has it."""
        return ACL(self._number, Id(self.scheme, self.id))
