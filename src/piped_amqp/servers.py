"""Servers: the brokers of a connection, as they may be written, and as endpoints."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any, Final

from piped import Mark, Problem
from piped.config.nodes import Node

if TYPE_CHECKING:
    from piped.spec.checking import Checker

#: What is in this process alone, instead of a broker.
MEMORY: Final = "memory://"
_WRITE: Final = "write one such as tcp:localhost:5672, tls:rabbit.example.com:5671 or unix:/run/amqp"
#: The port of an endpoint to connect to, as its second argument or by its name.
_PORT = re.compile(r"^(?:tcp|tls|ssl):(?:\\.|[^:\\])*:(\d+)|:port=(\d+)")
_HIGHEST: Final = 65535
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
        return _endpoint(reactor, self)


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
        _endpoint(None, written)
    except ValueError as error:
        return str(error), _WRITE
    return "", ""


def _endpoint(reactor: Any, written: str) -> Any:
    # Imported late, as it brings OpenSSL along, for which a check of what connects to nothing would wait.
    from twisted.internet.endpoints import clientFromString

    port = _PORT.search(written)
    if port and int(port[1] or port[2]) > _HIGHEST:
        raise ValueError(f"{written!r} is no endpoint to connect to: the highest port is {_HIGHEST}")
    try:
        with warnings.catch_warnings():  # while it is only checked, there is no resolver of names
            warnings.simplefilter("ignore", DeprecationWarning)
            return clientFromString(reactor, str(written))  # which it has to be, and no subclass
    except Exception as error:  # each kind of endpoint is a plug-in, and raises what it likes
        raise ValueError(f"{written!r} is no endpoint to connect to: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, TypeError):
        return "it has not the parts that such an endpoint needs"
    cause = getattr(error, "originalException", error)
    if isinstance(cause, OSError) and cause.strerror:
        return f"cannot read {cause.filename}: {cause.strerror.lower()}"
    return str(error) or type(error).__name__
