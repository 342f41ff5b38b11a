"""Where sockets meet: addresses such as tcp://127.0.0.1:5555, checked as they are written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

import zmq

from piped import Mark, Problem
from piped.config.nodes import Node

if TYPE_CHECKING:
    from piped.spec.checking import Checker

_HIGHEST_PORT: Final = 65535
#: Source: unix(7), the size of sun_path without the zero at its end.
_LONGEST_PATH: Final = 107
#: Source: zmq_inproc(7).
_LONGEST_NAME: Final = 256
_BUILT_IN: Final = ("tcp", "ipc", "inproc")
#: Transports that a ZeroMQ may have been built without.
_OTHERS: Final = ("ws", "wss", "pgm", "epgm", "tipc", "vmci", "norm", "udp")
_HOST_AND_PORT: Final = re.compile(r"(?:[^;]+;)?(?P<host>\[[^]]+\]|[^:]*):(?P<port>\*|\d{1,5})")

Self = TypeVar("Self", bound="Address")


class Address(str):
    """An address of ZeroMQ."""

    __shape__ = str
    is_bound: ClassVar[bool] = False
    where: Mark | None

    def __new__(cls: type[Self], written: str, where: Mark | None = None) -> Self:
        made = super().__new__(cls, written)
        made.where = where
        return made

    @classmethod
    def __check__(cls: type[Self], checker: Checker, node: Node) -> Self | None:
        written = checker.value(str, node, owner="an address")
        if written is None:
            return None
        if fault := fault_of(written, cls.is_bound):
            fix = "write one such as tcp://127.0.0.1:5555, ipc:///run/jobs or inproc://jobs"
            checker.problems.append(Problem(f"{written!r} is no address {cls.__purpose()}: {fault}", node.where, fix))
            return None
        return cls(written, node.where)

    @classmethod
    def __purpose(cls) -> str:
        return "to bind" if cls.is_bound else "to connect to"


class BindAddress(Address):
    """Where a socket waits for others, such as `tcp://127.0.0.1:5555`, `tcp://*:5555` or `ipc:///run/jobs`."""

    is_bound = True


class ConnectAddress(Address):
    """Where the socket of another one waits, such as `tcp://jobs.example.org:5555` or `ipc:///run/jobs`."""


def fault_of(address: str, is_bound: bool) -> str:
    """What is wrong with an address; '' if nothing is.

    Example:
        >>> fault_of("tcp://*:5555", is_bound=True)
        ''
        >>> fault_of("tcp://*:5555", is_bound=False)
        'it needs a host and a port'
    """
    transport, separator, place = address.partition("://")
    if not separator or not place:
        return "it needs a transport and a place"
    if "\0" in place:
        return "it holds a zero byte"
    if transport in ("tcp", "ws", "wss"):
        fault = _fault_of_port(place, is_bound)
    elif transport == "ipc":
        fault = "" if len(place.encode()) <= _LONGEST_PATH else f"no socket has a path above {_LONGEST_PATH} bytes"
    elif transport == "inproc":
        fault = "" if len(place) <= _LONGEST_NAME else f"no name is above {_LONGEST_NAME} characters"
    else:
        fault = "" if transport in _OTHERS else f"there is no transport {transport!r}"
    if not fault and transport not in _BUILT_IN and not zmq.has(transport):
        fault = f"this ZeroMQ was built without {transport}"
    return fault


def _fault_of_port(place: str, is_bound: bool) -> str:
    match = _HOST_AND_PORT.fullmatch(place.split("/")[0])
    if match is None:
        return "it needs a host and a port"
    host, port = match["host"], match["port"]
    if not host or (not is_bound and (host == "*" or port in ("*", "0"))):
        return "it needs a host and a port"
    if port != "*" and int(port) > _HIGHEST_PORT:
        return f"the highest port is {_HIGHEST_PORT}"
    return ""
