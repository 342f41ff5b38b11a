"""Servers: the servers of a client, as they may be written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from piped import PipedError, Problem
from piped.config.nodes import Node
from piped_zookeeper.paths import node_path

if TYPE_CHECKING:
    from piped.spec.checking import Checker

_SERVER = re.compile(r"(?P<host>[\w.-]+|\[[0-9A-Fa-f:.%]+\])(?::(?P<port>\d+))?")
_HIGHEST: Final = 65535
_WRITE: Final = "write them as host:port, with commas between them"


class Servers(tuple[str, ...]):
    """The servers of an ensemble: host:port, several with commas or as a list; /path behind them is the root."""

    __shape__ = str | list[str]

    #: The path that stands for the root of this client; '' for the root itself.
    chroot: str

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Servers | None:
        nodes = node.value if node.is_list else [node]
        if not nodes:
            checker.refuse("what stands behind servers", "at least one server", node)
            return None
        servers: list[str] = []
        roots: set[str] = set()
        for each in nodes:
            written = checker.value(str, each, owner="a server")
            if written is None:
                return None
            try:
                found, root = _parsed(written)
            except PipedError as error:
                checker.problems.append(Problem(error.msg, each.where, error.hint))
                return None
            servers += found
            roots |= root
        if len(roots) > 1:
            what = f"servers of one client have one root, and not {len(roots)}: {', '.join(sorted(roots))}"
            checker.problems.append(Problem(what, node.where, "write it once, behind the last server"))
            return None
        return cls.of(servers, "".join(roots))

    @classmethod
    def of(cls, servers: list[str], chroot: str) -> Servers:
        made = cls(servers)
        made.chroot = "" if chroot == "/" else chroot
        return made

    @property
    def hosts(self) -> str:
        """As kazoo writes them."""
        return ",".join(self) + self.chroot


def _parsed(written: str) -> tuple[list[str], set[str]]:
    """The servers that a text names, and the roots."""
    if written.startswith("found+http"):
        what = "servers are not found by HTTP any more"
        raise PipedError(what, hint="name them: servers: one:2181,two:2181,three:2181/root")
    if "://" in written:
        raise PipedError("servers are not written as a URL", hint=_WRITE)
    servers, roots = [], set()
    for part in written.split(","):
        server, slash, root = part.strip().partition("/")
        match = _SERVER.fullmatch(server)
        if match is None:
            raise PipedError(f"{part.strip()!r} is no server", hint=_WRITE)
        port = int(match["port"] or 2181)
        if not 0 < port <= _HIGHEST:
            raise PipedError(f"{part.strip()!r} has no port from 1 to {_HIGHEST}", hint=_WRITE)
        servers.append(f"{match['host']}:{port}")
        if slash:
            roots.add(node_path(f"/{root}"))
    return servers, roots
