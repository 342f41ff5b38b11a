"""What stands behind `parameters:` of a connection: pika's parameters by their names."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from annotated_types import Ge, Le

from piped import ConfigurationError, Problem, Seconds
from piped.config.nodes import Node
from piped.ground.units import Meaning, Unit
from piped_amqp.sendable import Name, Table

if TYPE_CHECKING:
    from pika.connection import ConnectionParameters

    from piped.spec.checking import Checker

#: What pika has too, but does not decide here: what does instead.
_ELSEWHERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("host", "port"), "write them in `servers`: tcp:localhost:5672"),
    **dict.fromkeys(("ssl", "ssl_options"), "write tls:host:5671 in `servers`"),
    **dict.fromkeys(("socket_timeout", "stack_timeout"), "use `connect_timeout` of the connection"),
    **dict.fromkeys(("connection_attempts", "retry_delay"), "use `reconnect_interval`: it is tried until it works"),
    "tcp_options": "leave it out: `heartbeat` finds out whether the broker is there",
}

Heartbeat = Annotated[int, Unit("s"), Ge(0), Le(65535)]
ChannelMax = Annotated[int, Meaning("a number from 1 to 65535"), Ge(1), Le(65535)]
FrameMax = Annotated[int, Unit("bytes"), Ge(4096), Le(131072)]


@dataclass(frozen=True)
class Login:
    """Who logs in.

    Args:
        username: the name.
        password: the one for it; `${NAME}` takes it from the environment.
    """

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """How to speak with the broker.

    Args:
        username: log in under this name.
        password: the one for it; `${NAME}` takes it from the environment.
        credentials: the two as one mapping, or `external` for the certificate of a TLS endpoint.
        virtual_host: which part of the broker.
        heartbeat: a sign of life goes out after half of it, and a broker that is silent is left: after twice it and
            10 s at the latest; 0: never.
        blocked_connection_timeout: how long the broker may take no messages, before the connection is made anew; null
            waits.
        channel_max: how many channels there may be at once.
        frame_max: how large one frame may be.
        client_properties: what the broker shows of this connection, besides what Piped says of itself.
        locale: of the broker's texts.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    credentials: Login | Literal["external"] | None = None
    virtual_host: Name = "/"
    heartbeat: Heartbeat = 10
    blocked_connection_timeout: Seconds | None = None
    channel_max: ChannelMax = 2047
    frame_max: FrameMax = 131072
    client_properties: Table = field(default_factory=dict)
    locale: str = "en_US"

    def __post_init__(self) -> None:
        if self.credentials is not None and (self.username or self.password) is not None:
            raise ConfigurationError("credentials are written twice", hint="write either username and password or them")
        if (self.username is None) != (self.password is None):
            missing = "password" if self.password is None else "username"
            raise ConfigurationError(f"a {missing} is missing", hint="write both, or none for guest and guest")

    @property
    def user(self) -> str:
        """Who logs in."""
        if self.credentials == "external":
            return "the owner of the certificate"
        return (self.credentials or self).username or "guest"

    def for_pika(self, name: str) -> ConnectionParameters:
        """Pika's own, for a connection of that name."""
        from pika import credentials
        from pika.connection import ConnectionParameters

        if self.credentials == "external":
            login: Any = credentials.ExternalCredentials()
        else:
            given = self.credentials or self
            login = credentials.PlainCredentials(given.username or "guest", given.password or "guest")
        return ConnectionParameters(
            credentials=login,
            virtual_host=self.virtual_host,
            heartbeat=self.heartbeat,
            blocked_connection_timeout=self.blocked_connection_timeout,
            channel_max=self.channel_max,
            frame_max=self.frame_max,
            client_properties={**_own_properties(name), **self.client_properties},
            locale=self.locale,
        )


@dataclass(frozen=True, kw_only=True)
class PikaParameters(Parameters):
    """How to speak with the broker: pika's parameters, by their names."""

    __shape__: ClassVar = Parameters

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Parameters | None:
        if not node.is_mapping:
            made: Parameters | None = checker.value(Parameters, node, owner="parameters")
            return made
        for key in node.value.keys() & _ELSEWHERE.keys():
            what = f"the parameter {key!r} of pika means nothing here"
            checker.problems.append(Problem(what, node.value[key].named_at, _ELSEWHERE[key]))
        rest = {key: member for key, member in node.value.items() if key not in _ELSEWHERE}
        made = checker.value(Parameters, replace(node, value=rest), owner="parameters")
        return made


def _own_properties(name: str) -> dict[str, Any]:
    """What the broker shows of a connection, so that whoever looks there finds the process."""
    return {
        "product": "Piped",
        "version": version("piped"),
        "information": "pika on Twisted",
        "connection_name": f"{name} of process {os.getpid()} on {socket.gethostname()}",
    }
