"""The ports of a process: opened last, when everything else was resolved, and closed first."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError

from piped.ground.errors import ConfigurationError, Mark, Problem


@dataclass(slots=True, eq=False)
class Listener:
    """One port that waits for its turn to open.

    `what` says to a person what answers there, such as "http"; `owner` who asked for it, such as "web.my_site".
    """

    owner: str
    what: str
    #: An IStreamServerEndpoint, an IProtocolFactory and an IListeningPort: mypy cannot call interfaces of zope.
    endpoint: Any
    factory: Any
    where: Mark | None = None
    port: Any = None

    def __str__(self) -> str:
        return f"{self.owner} on {self.address}"

    @property
    def address(self) -> str:
        """Where it listens, as one would type it; only what answers there while it is not open."""
        if self.port is None:
            return self.what
        host = self.port.getHost()
        if isinstance(host, IPv4Address):
            return f"{self.what}://{host.host}:{host.port}"
        if isinstance(host, IPv6Address):
            return f"{self.what}://[{host.host}]:{host.port}"
        if isinstance(host, UNIXAddress):
            return f"{self.what}+unix:{(host.name or b'').decode(errors='replace')}"
        return f"{self.what}:{host}"


@dataclass(slots=True, eq=False)
class Listeners:
    """Every listener of the process, in the order in which they were asked for."""

    members: list[Listener] = field(default_factory=list)

    def add(self, listener: Listener) -> Listener:
        self.members.append(listener)
        return listener

    async def open(self) -> list[Problem]:
        """Open all ports; what could not be opened is told, the others stay open."""
        problems = []
        for listener in self.members:
            try:
                listener.port = await listener.endpoint.listen(listener.factory)
            except (CannotListenError, OSError) as error:
                problems.append(_cannot_listen(listener, error))
            except ConfigurationError as error:
                problems += [replace(problem, where=problem.where or listener.where) for problem in error.problems]
        return problems

    def close(self) -> Deferred[Any]:
        """Take no more connections; those that are open stay. Fires when every port is closed."""
        ports = [listener.port for listener in self.members if listener.port is not None]
        for listener in self.members:
            listener.port = None
        return gatherResults([maybeDeferred(port.stopListening) for port in ports], consumeErrors=True)


def _cannot_listen(listener: Listener, error: CannotListenError | OSError) -> Problem:
    cause, wanted = error, ""
    if isinstance(error, CannotListenError):
        cause = error.socketError
        wanted = f" on port {error.port}" if isinstance(error.port, int) else f" on {error.port}"
    reason = str(getattr(cause, "strerror", None) or cause).lower()
    return Problem(f"{listener.owner} cannot listen{wanted}: {reason}", listener.where, _fix(cause))


def _fix(cause: object) -> str:
    match getattr(cause, "errno", None):
        case errno.EADDRINUSE:
            return "stop what is listening there, or choose another port"
        case errno.EACCES:
            return "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE): choose another port, or give it"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address: choose another interface"
        case _:
            return ""
