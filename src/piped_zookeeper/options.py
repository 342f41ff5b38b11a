"""What may be written in the section `zookeeper`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

from annotated_types import Gt

from piped import ConfigurationError, Count, PipedError, ProcessorPath, ResourcePath
from piped.ground.units import Unit
from piped_zookeeper.access import Auth, EncodedACL
from piped_zookeeper.paths import node_path
from piped_zookeeper.servers import Servers

Interval = Annotated[float, Unit("s"), Gt(0)]


class ClientName(ResourcePath):
    """The name of a client of the section `zookeeper.clients`."""

    prefix = "zookeeper.client."


class LeaderName(ResourcePath):
    """The name of a leader of the section `zookeeper.leaders`."""

    prefix = "zookeeper.leader."


class LockName(ResourcePath):
    """The name of a lock of the section `zookeeper.locks`."""

    prefix = "zookeeper.lock."


@dataclass(frozen=True, kw_only=True)
class EventOptions:
    """What is told of the life of a client; each pipeline gets batons with the `event` and the `client`.

    Args:
        starting: before it connects.
        stopping: before it disconnects, or when the session is over.
        connected: there is a session, which is a new one.
        reconnecting: the connection is lost; the session may go on.
        reconnected: there is a connection again, and the session goes on.
        expired: the server has ended the session, and all its ephemeral nodes are gone.
    """

    starting: ProcessorPath | None = None
    stopping: ProcessorPath | None = None
    connected: ProcessorPath | None = None
    reconnecting: ProcessorPath | None = None
    reconnected: ProcessorPath | None = None
    expired: ProcessorPath | None = None

    def __iter__(self) -> Iterator[tuple[str, ProcessorPath]]:
        for each in fields(self):
            processor = getattr(self, each.name)
            if processor is not None:
                yield each.name, processor


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """One client.

    Args:
        servers: the servers of an ensemble: host:port, several with commas or as a list. A path behind the last one is
            the root of this client.
        events: what gets batons when something becomes of the connection.
        connect_timeout: how long it tries to get a session before it begins anew.
        reconnect_timeout: how long it tries to get back to a session before it begins anew, with a new one.
        session_timeout: how long the server keeps a session of which it hears nothing; it has limits of its own.
            10 s if it is left out.
        reuse_session: go on with the session when the connection was lost; otherwise there is a new one each time.
        auth: who the client is: `scheme:identity`, several with commas; or a list of such, or of {scheme, identity}.
        default_encoded_acls: who may do what with the nodes that it makes; if there is none, everybody everything.
        default_acls: refused since Piped 0.6.
        max_cached: how many answers are kept. What is read when there are so many is asked for each time.
    """

    servers: Servers
    events: EventOptions = field(default_factory=EventOptions)
    connect_timeout: Interval = 86400
    reconnect_timeout: Interval = 30
    session_timeout: Interval | None = None
    reuse_session: bool = True
    auth: Auth = field(default_factory=Auth)
    default_encoded_acls: list[EncodedACL] = field(default_factory=list)
    default_acls: Any = None
    max_cached: Count = 10_000

    def __post_init__(self) -> None:
        if self.default_acls is not None:
            hint = "write default_encoded_acls: [{scheme: world, id: anyone, perms: all}]"
            raise ConfigurationError("default_acls is understood no more", hint=hint)


@dataclass(frozen=True, kw_only=True)
class HoldingOptions:
    """One thing that only one process has at a time.

    Args:
        client: the name of a client.
        path: the node below which the candidates queue up, each with a node of its own; made if it is missing.
        identifier: what the node of this process says, for people who look; by default its host and its number.
    """

    client: ClientName
    path: str
    identifier: str | None = None

    def __post_init__(self) -> None:
        try:
            path = node_path(self.path)
        except PipedError as error:
            raise ConfigurationError(error.msg, hint=error.hint) from error
        if path == "/":
            raise ConfigurationError("candidates need a node of their own", hint="such as path: /leaders/reports")


@dataclass(frozen=True, kw_only=True)
class ZookeeperOptions:
    """ZooKeeper.

    Args:
        install_log_stream: let the log lines of the library (kazoo) come into Piped's log: warnings and errors, with
            `--log-level debug` all of them.
        clients: each client by its name.
        leaders: what only one process of many is, each by its name.
        locks: what only one process of many has, each by its name.
    """

    install_log_stream: bool = True
    clients: dict[str, ClientOptions] = field(default_factory=dict)
    leaders: dict[str, HoldingOptions] = field(default_factory=dict)
    locks: dict[str, HoldingOptions] = field(default_factory=dict)
