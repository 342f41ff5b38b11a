"""Servers: the brokers of a connection, as they may be written, and as endpoints."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from piped import Mark, Problem
from piped.config.nodes import Node
from piped.runtime.endpoints import client_endpoint

if TYPE_CHECKING:
    from piped.spec.checking import Checker

#: What is in this process alone, instead of a broker.
MEMORY: Final = "memory://"
_WRITE: Final = "write one such as tcp:localhost:5672, tls:rabbit.example.com:5671 or unix:/run/amqp"
_URL = re.compile(r"amqps?://|.*@")
_HOST_AND_PORT = re.compile(r"[\w.-]+:\d+")


class Server(str):
    """A Twisted endpoint such as `tcp:localhost:5672` or `tls:rabbit.example.com:5671`, or `memory://name`."""

    __shape__ = str
    where: Mark | None

    def __new__(cls, written: str, where: Mark | None = None) -> Server:
        made = super().__new__(cls, written)
        made.where = where
        return made

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Server | None:
        written = checker.value(str, node, owner="a server")
        if written is None:
            return None
        text = written.strip()
        what, fix = _wrong_with(text)
        if what:
            checker.problems.append(Problem(what, node.where, fix))
            return None
        return cls(text, node.where)

    def endpoint(self, reactor: Any) -> Any:
        """The IStreamClientEndpoint of it.

        Raises:
            ValueError: there can be none; the text says why.
        """
        if self.startswith(MEMORY):
            from piped_amqp.memory import endpoint  # late, as hardly anybody needs it

            return endpoint(reactor, self.removeprefix(MEMORY))
        return client_endpoint(reactor, self)


class Servers(tuple[Server, ...]):
    """One broker, or a list of those of a cluster, which are tried in turns."""

    __slots__ = ()
    __shape__ = str | list[str]

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Servers | None:
        if not node.is_list:
            server = Server.__check__(checker, node)
            return None if server is None else cls([server])
        if not node.value:
            checker.refuse("what stands behind servers", "at least one server", node)
            return None
        servers = [Server.__check__(checker, each) for each in node.value]
        return cls(server for server in servers if server is not None)


def _wrong_with(written: str) -> tuple[str, str]:
    """What is wrong with a server, and what to do; two empty texts for one that can be used."""
    if _URL.match(written) and not written.startswith(("unix:", MEMORY)):  # not shown, as there may be a password in it
        fix = "write tcp:host:5672 (tls:host:5671 for amqps), and username, password, virtual_host in `parameters`"
        return "a server is written as an endpoint, not as a URL", fix
    if written.startswith(MEMORY):
        return ("", "") if written != MEMORY else ("a broker in memory needs a name", "write memory://name")
    if _HOST_AND_PORT.fullmatch(written) and written.partition(":")[0] not in ("tcp", "tls", "ssl", "unix"):
        return f"{written!r} is no endpoint to connect to", f"did you mean 'tcp:{written}'?"
    try:
        client_endpoint(None, written)
    except ValueError as error:
        return str(error), _WRITE
    return "", ""
