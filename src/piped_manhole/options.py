"""What may be written in the section `manholes`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.python.filepath import FilePath

from piped import ConfigurationError, Count, Namespace, Problem, ResourcePath, Seconds
from piped.runtime.places import Listen
from piped_manhole.checkers import Credentials, authorized_keys
from piped_manhole.host_keys import HostKeys, said

if TYPE_CHECKING:
    from piped.config.nodes import Node
    from piped.spec.checking import Checker


class KeyFile(str):
    """A file with public keys, one a line, such as `~/.ssh/authorized_keys` or `id_ed25519.pub`."""

    __slots__ = ()
    __shape__ = str

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> KeyFile | None:
        file = checker.value(FilePath, node, owner="a file of authorized keys")
        if file is None:
            return None
        try:
            keys, mistakes = authorized_keys(file.path)
            if mistakes or not keys:
                raise ValueError(mistakes[0] if mistakes else "there is no key in it")
        except (OSError, ValueError) as error:
            checker.problems.append(Problem(f"the authorized keys in {str(node.value)!r}: {said(error)}", node.where))
            return None
        return cls(file.path)


_PORT = Listen("10022")


@dataclass(frozen=True)
class ManholeOptions:
    """One manhole.

    Args:
        enabled: open it at all.
        port: where it listens, on loopback unless `interface` says otherwise.
        interface: the address that a mere port listens on; 0.0.0.0 is every IPv4 address of the machine.
        listen: a Twisted endpoint, instead of `port` and `interface`.
        keys: the key by which clients know the server again. Without one it makes its own at the first start, in the
            file `manhole_host_key` of the run directory.
        checkers: who may log in; they are asked in this order, and the first that accepts decides.
        authorized_keys: who may log in with a key: for each user a file, or a list of files, with public keys.
        dependencies: resources by the names under which `dependencies` has them at the prompt.
        namespace: further names at the prompt, each with the full name of what it stands for.
        login_time: how long a client may take to log in.
        max_attempts: how often a client may try before it is hung up on.
        max_connections: how many clients are connected at once; those above are hung up on.
        idle_timeout: after how long without input a session ends in which nothing is running; by default never.
    """

    enabled: bool = True
    port: Listen = _PORT
    interface: str = "127.0.0.1"
    listen: Listen | None = None
    keys: HostKeys | None = None
    checkers: dict[str, Credentials] = field(default_factory=dict)
    authorized_keys: dict[str, KeyFile | list[KeyFile]] = field(default_factory=dict)
    dependencies: dict[str, ResourcePath] = field(default_factory=dict)
    namespace: Namespace = field(default_factory=dict)
    login_time: Seconds = 60
    max_attempts: Count = 6
    max_connections: Count = 20
    idle_timeout: Seconds | None = None

    def __post_init__(self) -> None:
        if self.enabled and not self.checkers and not self.authorized_keys:
            hint = "add `authorized_keys` or `checkers`, or `enabled: false`"
            raise ConfigurationError("nobody can log in: there are no checkers and no authorized keys", hint=hint)
