"""What may be written in the section `zmq`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final, Literal

import zmq
from annotated_types import Ge
from zmq.constants import _OptType

from piped import ConfigurationError, Count, Mark, Problem, ProcessorPath, ResourcePath, Seconds, did_you_mean
from piped.config.nodes import Node
from piped.ground.units import Unit
from piped_zmq.addresses import BindAddress, ConnectAddress

if TYPE_CHECKING:
    from piped.spec.checking import Checker

TypeName = Literal[
    "REQ", "REP", "DEALER", "ROUTER", "XREQ", "XREP", "PUB", "SUB", "XPUB", "XSUB", "PUSH", "PULL", "PAIR", "STREAM"
]
Milliseconds = Annotated[int, Unit("ms"), Ge(0)]
_ONLY_SENDING: Final = frozenset({"PUSH", "PUB"})
#: What begins with the identity of the peer.
_WITH_IDENTITY: Final = frozenset({"ROUTER", "XREP", "STREAM"})
_NAMES: Final = {name: (option,) for name, option in zmq.SocketOption.__members__.items()} | {
    # One number for both ways until ZeroMQ 3.
    "HWM": (zmq.SocketOption.SNDHWM, zmq.SocketOption.RCVHWM)
}
_NUMBER: Final = re.compile(r"-?\d{1,20}")
_READ_ONLY: Final = frozenset({"EVENTS", "FD", "LAST_ENDPOINT", "MECHANISM", "RCVMORE", "THREAD_SAFE", "TYPE"})


class QueueName(ResourcePath):
    """The name of a queue."""

    prefix = "zmq.socket."


class OptionName(str):
    """The name of a socket option, such as `SNDHWM`, or its number."""

    __shape__ = str | int
    where: Mark | None

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> OptionName | None:
        written = checker.value(str | int, node, owner="a socket option")
        if written is None:
            return None
        numbers = {int(option): name for name, option in zmq.SocketOption.__members__.items()}
        name = numbers.get(int(written)) if str(written).isdecimal() else str(written).upper().removeprefix("ZMQ_")
        if name not in _NAMES or name in _READ_ONLY:
            what = f"ZeroMQ has no socket option {written!r} that can be set"
            advice = did_you_mean(str(written).upper(), set(_NAMES) - _READ_ONLY)
            checker.problems.append(Problem(what, node.where, advice))
            return None
        made = cls(name)
        made.where = node.where
        return made


@dataclass(frozen=True)
class SocketOption:
    """One option of a socket; see `man zmq_setsockopt`.

    Args:
        key: its name, such as SNDHWM or SUBSCRIBE, or its number. HWM stands for SNDHWM and RCVHWM.
        value: a number, or a text where it is one; true and false are 1 and 0.
    """

    key: OptionName
    value: bool | int | str = field(repr=False)

    def __post_init__(self) -> None:
        if not self._is_text and isinstance(self.value, str) and not _NUMBER.fullmatch(self.value):
            # Not the value itself, which may be a secret at the wrong place.
            raise self._fault("is a number")

    @property
    def _is_text(self) -> bool:
        return _NAMES[self.key][0]._opt_type is _OptType.bytes

    def set_on(self, socket: zmq.Socket[bytes]) -> None:
        """Set it.

        Raises:
            ConfigurationError: a socket of this type, or this ZeroMQ, will not have it.
        """
        value: bytes | int = str(self.value).encode() if self._is_text else int(self.value)
        for option in _NAMES[self.key]:
            try:
                socket.setsockopt(option, value)
            except zmq.ZMQError as error:
                raise self._fault(f"cannot be set: {error.strerror.lower()}", "see man zmq_setsockopt") from error
            except OverflowError as error:
                raise self._fault("cannot be set: the number is too large", "see man zmq_setsockopt") from error

    def _fault(self, what: str, fix: str = "") -> ConfigurationError:
        where = getattr(self.key, "where", None)
        return ConfigurationError(problems=[Problem(f"the socket option {self.key} {what}", where, fix)])


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """One socket.

    Args:
        type: what kind of socket it is. XREQ and XREP are the old names of DEALER and ROUTER.
        sockopts: its options, set in this order before it binds or connects.
        connects: addresses of other sockets, such as `tcp://127.0.0.1:5555`.
        binds: addresses where others find it, such as `tcp://127.0.0.1:5555`, or `tcp://127.0.0.1:*` for any port.
        processor: what gets the messages that come; without one, none are read.
        multipart: messages are lists of bytes, one for each part. Otherwise they are bytes, and one that has several
            parts is an error.
        max_running: how many messages are processed at once. With 1 they are processed in the order in which they come.
            A REP answers one after the other in any case.
        processing_timeout: how long a message may be processed; then its pipeline is stopped, and has failed.
        error_reply: what the peer of a REP or ROUTER is told when the pipeline fails. Left out, a REP sends an empty
            message, as it must answer before it can read on, and a ROUTER nothing.
        max_waiting: how many messages may wait until the socket can send them; one above that is an error.
    """

    type: TypeName
    sockopts: list[SocketOption] = field(default_factory=list)
    connects: list[ConnectAddress] = field(default_factory=list)
    binds: list[BindAddress] = field(default_factory=list)
    processor: ProcessorPath | None = None
    multipart: bool = False
    max_running: Count = 1
    processing_timeout: Seconds | None = None
    error_reply: str | None = None
    max_waiting: Count = 1000

    def __post_init__(self) -> None:
        if self.processor is not None and self.type in _ONLY_SENDING:
            raise ConfigurationError(f"a {self.type} receives nothing to process", hint="remove `processor`")
        if self.error_reply is not None and not self.has_replies:
            raise ConfigurationError(f"a {self.type} sends no replies", hint="remove `error_reply`")

    @property
    def has_identity(self) -> bool:
        """Whether messages begin with the identity of the peer, and so do replies."""
        return self.type in _WITH_IDENTITY

    @property
    def has_replies(self) -> bool:
        """Whether what a pipeline puts at `reply` is sent back."""
        return self.type == "REP" or self.has_identity


@dataclass(frozen=True)
class ZMQOptions:
    """The ZeroMQ sockets of a process.

    Args:
        queues: each socket by its name. One that nobody uses is not made.
        maximum_batch_size: how many messages of a socket are taken before everybody else has a turn.
        poll_timeout: accepted, and without effect: nothing is polled, sockets wake the reactor.
    """

    queues: dict[str, QueueOptions] = field(default_factory=dict)
    maximum_batch_size: Count = 10
    poll_timeout: Milliseconds = 100
