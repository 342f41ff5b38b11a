"""What may be written for one of `amqp.rpc_clients`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from piped import ConfigurationError, Count, DottedName, Mark, Problem, RuntimeEnvironment, Seconds
from piped.config.nodes import Node
from piped.spec.spec import Spec
from piped_amqp.consumer_options import Interval, Queue, QueueOptions
from piped_amqp.naming import ConnectionName, connection_for
from piped_amqp.replying import DIRECT

if TYPE_CHECKING:
    from piped.spec.checking import Checker
    from piped_amqp.rpc import RPCClientBase


@dataclass(frozen=True, kw_only=True)
class ReplyConsumer:
    """How a client gets its replies.

    Args:
        queue: where they come to: the name of a queue that exists, a mapping by which it is declared, or
            `amq.rabbitmq.reply-to`, which needs none; left out, the broker makes one for as long as the connection
            lasts.
        no_ack: the broker forgets a reply once it was sent.
        exclusive: nobody else may consume from the queue.
    """

    queue: Queue = field(default_factory=Queue)
    no_ack: bool = True
    exclusive: bool = True

    def __post_init__(self) -> None:
        if self.is_direct and not self.no_ack:
            raise ConfigurationError(f"{DIRECT} knows no acknowledgements", hint="leave out no_ack")

    @classmethod
    def of(cls, written: ReplyConsumer | Mapping[str, Any] | None) -> ReplyConsumer:
        """What was written in Python, where the queue may be a name or a mapping as well."""
        if isinstance(written, ReplyConsumer):
            return written
        options = dict(written or {})
        return cls(**options | {"queue": Queue.of(options.get("queue"))})

    @property
    def is_direct(self) -> bool:
        """Whether replies come without a queue."""
        return self.queue.name == DIRECT


def direct() -> Queue:
    """What stands for replies without a queue."""
    return Queue(QueueOptions(queue=DIRECT, passive=True))


class RPCClientOptions:
    """One client: `type`, the full name of its class, and the arguments of its constructor.

    Args:
        kind: the class.
        arguments: by keyword, without `name`.
        where: the client is named.
    """

    __shape__: ClassVar = {
        "type": DottedName,
        "connection": ConnectionName,
        "reopen_consumer_channel_interval": Interval,
        "consumer": ReplyConsumer,
        "timeout": Seconds,
        "max_calls": Count,
        ...: Any,
    }

    def __init__(self, kind: type[RPCClientBase], arguments: dict[str, Any], where: Mark) -> None:
        self.kind, self.arguments, self.where = kind, arguments, where

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> RPCClientOptions | None:
        kind = _kind(checker, node)
        if kind is None:
            return None
        before = len(checker.problems)
        spec = _without_connection(Spec.of(kind).without("name"))
        arguments = checker.options(spec, node, owner="the client", where=node.named_at, ignore=("type",))
        _check_untyped(checker, node, kind)
        return None if arguments is None or len(checker.problems) > before else cls(kind, arguments, node.named_at)

    def made(self, name: str, environment: RuntimeEnvironment) -> RPCClientBase:
        """The client; a class that has to be told of a connection gets the only one there is.

        Raises:
            ConfigurationError: its class does not like its arguments.
        """
        arguments, connection = self.arguments, Spec.of(self.kind).by_name.get("connection")
        if connection is not None and connection.required and "connection" not in arguments:
            only = connection_for(environment, None, f"amqp.rpc_client.{name}")
            arguments = arguments | {"connection": only}
        try:
            return self.kind(name=name, **arguments)
        except ConfigurationError as error:
            problems = error.problems or [Problem(error.msg, self.where, error.hint)]
            raise ConfigurationError(problems=problems) from error


def _without_connection(spec: Spec) -> Spec:
    """The same, where the connection may be left out."""
    parameters = (replace(each, default=None) if each.name == "connection" else each for each in spec.parameters)
    return replace(spec, parameters=tuple(parameters))


def _check_untyped(checker: Checker, node: Node, kind: type[RPCClientBase]) -> None:
    """Check what a class takes without a type, and hands on to the base; it gets what was written."""
    known = Spec.of(_base()).by_name
    for parameter in Spec.of(kind).parameters:
        written = node.value.get(parameter.name) if node.is_mapping else None
        is_untyped = parameter.annotation is Any and parameter.name in known
        if is_untyped and written is not None and written.value is not None:
            owner = f"option {parameter.name!r} of the client"
            checker.value(known[parameter.name].annotation, written, owner=owner)


def _kind(checker: Checker, node: Node) -> type[RPCClientBase] | None:
    base = _base()
    written = node.value.get("type") if node.is_mapping else None
    if written is None or written.value is None:
        return base
    name = checker.value(DottedName, written, owner="the type of the client")
    if name is None:
        return None
    kind = name.load()
    if not isinstance(kind, type) or not issubclass(kind, base):
        fix = "make it a subclass of piped_amqp.rpc.RPCClientBase"
        checker.problems.append(Problem(f"{str(name)!r} is no class of RPC clients", written.where, fix))
        return None
    spec = Spec.of(kind)
    if "name" not in spec.by_name and not spec.takes_any:
        what = f"{str(name)!r} cannot be told its name"
        checker.problems.append(Problem(what, written.where, "let its constructor take `name`, and hand it on"))
        return None
    return kind


def _base() -> type[RPCClientBase]:
    from piped_amqp.rpc import RPCClientBase  # late, as it reads its arguments by this module

    return RPCClientBase
