"""What may be written for one of the `basic_consumers` of a connection."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from annotated_types import Ge, Gt, Le

from piped import ConfigurationError, Count, Mark, ProcessorPath
from piped.config.nodes import Node
from piped.ground.units import Meaning, Unit
from piped_amqp.acking import Acking, Failed, Last
from piped_amqp.sendable import Name, Table

if TYPE_CHECKING:
    from piped.spec.checking import Checker

#: A wait that is none would make whatever it stands between spin.
Interval = Annotated[float, Unit("s"), Gt(0)]
Prefetch = Annotated[int, Meaning("a number from 0 to 65535"), Ge(0), Le(65535)]
PrefetchSize = Annotated[int, Meaning("0, as RabbitMQ knows no other"), Ge(0), Le(0)]
_LEVELS: Final = {"debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40, "critical": 50}
_ONE_OF: Final = f"one of {', '.join(_LEVELS)}, or null"


class FailureLevel(int):
    """The level of log lines about failures; written as its name, in capitals or not, or false for no such lines."""

    __shape__ = str | bool

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> FailureLevel | None:
        written = node.value if node.value is False else checker.value(str, node, owner="a level of the log")
        if written and written.lower() not in _LEVELS:
            checker.refuse("a level of the log", _ONE_OF, node)
            return None
        return cls.of(written)

    @classmethod
    def of(cls, written: str | bool | int | None) -> FailureLevel | None:
        """The level of a name, or of a number as `logging` has them; None for false and None.

        Raises:
            ConfigurationError: there is no such level.
        """
        if isinstance(written, str):
            if written.lower() not in _LEVELS:
                raise ConfigurationError(f"a level of the log must be {_ONE_OF}, not {written!r}")
            return cls(_LEVELS[written.lower()])
        return cls(written) if written else None

    def __repr__(self) -> str:
        return logging.getLevelName(self).lower()


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """A queue that is declared: made where it does not exist; one that exists has to be of the same kind.

    Args:
        queue: its name; left out, the broker makes one up, and the queue is gone with the connection.
        type: `quorum` is replicated and counts its deliveries, and is always durable; `classic` is the broker's usual.
        durable: it outlives a restart of the broker.
        exclusive: only this connection may use it, and it is gone with it.
        auto_delete: it is gone with its last consumer.
        passive: do not make it: it has to exist.
        arguments: what else the broker shall know, such as `x-dead-letter-exchange` or `x-message-ttl`.
    """

    queue: Name = ""
    type: Literal["classic", "quorum"] | None = None
    durable: bool | None = None
    exclusive: bool | None = None
    auto_delete: bool = False
    passive: bool = False
    arguments: Table = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.type is not None and "x-queue-type" in self.arguments:
            raise ConfigurationError("the type of the queue is written twice", hint="leave out x-queue-type")
        if self.is_quorum:
            for option, unfit in (("durable", False), ("exclusive", True), ("auto_delete", True)):
                if getattr(self, option) is unfit:
                    what = f"a quorum queue cannot have {option}: {str(unfit).lower()}"
                    raise ConfigurationError(what, hint="leave it out")
            if not self.queue:
                raise ConfigurationError("a quorum queue needs a name", hint="add queue: its name")

    @property
    def is_quorum(self) -> bool:
        return self.type == "quorum" or self.arguments.get("x-queue-type") == "quorum"

    def declaration(self) -> dict[str, Any]:
        """The keyword arguments of pika's `queue_declare`."""
        arguments = self.arguments | ({"x-queue-type": self.type} if self.type else {})
        return {
            "queue": self.queue,
            "passive": self.passive,
            "durable": self.is_quorum if self.durable is None else self.durable,
            "exclusive": not self.queue if self.exclusive is None else self.exclusive,
            "auto_delete": self.auto_delete,
            "arguments": arguments or None,
        }


class Queue:
    """A queue: the name of one that exists, or how it is declared; null for one that the broker names."""

    __shape__ = str | QueueOptions

    def __init__(self, options: QueueOptions | None = None, where: Mark | None = None) -> None:
        self.options, self.where = options or QueueOptions(), where

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Queue | None:
        if node.value is None:
            return cls(where=node.where)
        if not node.is_mapping and not isinstance(node.value, str):
            checker.refuse("queue", "the name of a queue, or a mapping by which it is declared", node)
            return None
        written = checker.value(QueueOptions if node.is_mapping else Name, node, owner="queue")
        return None if written is None else cls.of(written, node.where)

    @classmethod
    def of(cls, written: Queue | QueueOptions | Mapping[str, Any] | str | None, where: Mark | None = None) -> Queue:
        """The queue that is meant: a name is one that exists, a mapping one that is declared."""
        if isinstance(written, Queue):
            return written
        if isinstance(written, str):
            written = QueueOptions(queue=written, passive=True)
        return cls(QueueOptions(**written) if isinstance(written, Mapping) else written, where)

    @property
    def name(self) -> str:
        """What is written; '' for one that the broker names."""
        return self.options.queue

    @property
    def dead_letters(self) -> bool:
        """Whether it is declared so that the broker keeps what is rejected."""
        return "x-dead-letter-exchange" in self.options.arguments

    def __repr__(self) -> str:
        return repr(self.name) if self.name else "null"


@dataclass(frozen=True, kw_only=True)
class ExchangeOptions:
    """An exchange that is declared: made where it does not exist.

    Args:
        name: its name.
        type: which queues get a message: those bound with its routing key, those whose pattern fits (`topic`), all
            (`fanout`), or those whose arguments fit its headers.
        durable: it outlives a restart of the broker.
        auto_delete: it is gone with its last binding.
        arguments: what else the broker shall know.
    """

    name: Name
    type: Literal["direct", "topic", "fanout", "headers"] = "direct"
    durable: bool = False
    auto_delete: bool = False
    arguments: Table = field(default_factory=dict)


class Exchange:
    """An exchange: the name of one that exists, or how it is declared."""

    __shape__ = str | ExchangeOptions

    def __init__(self, name: str, options: ExchangeOptions | None = None, where: Mark | None = None) -> None:
        self.name, self.options, self.where = name, options, where

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Exchange | None:
        shape = ExchangeOptions if node.is_mapping else Name
        written = checker.value(shape, node, owner="exchange")
        if written is None:
            return None
        if isinstance(written, str):
            return cls(written, None, node.where)
        return cls(written.name, written, node.where)


@dataclass(frozen=True, kw_only=True)
class Binding:
    """What a queue gets from an exchange.

    Args:
        exchange: its name; or a mapping with its `name`, `type` and so on, by which it is declared.
        routing_key: which messages; what that means depends on the exchange.
        arguments: for an exchange that looks at headers.
    """

    exchange: Exchange
    routing_key: Name = ""
    arguments: Table = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Qos:
    """How much the broker sends ahead.

    Args:
        prefetch_count: how many messages may be without an acknowledgement; 0 is as many as there are.
        prefetch_size: how many bytes; RabbitMQ knows only 0, no limit.
        global_qos: the count is for all consumers of the channel; as that has but one, it is the same either way.
    """

    prefetch_count: Prefetch = 200
    prefetch_size: PrefetchSize = 0
    global_qos: bool = False


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """Where a message goes that cannot be processed.

    Args:
        exchange: the name of an exchange; '' is the one by which each queue is reached under its name.
        routing_key: of what is published there; left out, that of the message.
    """

    exchange: Name = ""
    routing_key: Name | None = None

    def __post_init__(self) -> None:
        if not self.exchange and not self.routing_key:
            raise ConfigurationError("dead letters would go nowhere", hint="add routing_key: the name of a queue")


_WARN: Final = FailureLevel(logging.WARNING)


@dataclass(frozen=True, kw_only=True)
class ConsumerOptions:
    """One consumer.

    Args:
        processor: what gets the messages.
        queue: the name of a queue that exists, or a mapping by which it is declared; left out, the broker makes one
            for as long as the connection lasts.
        bindings: what the queue gets from exchanges.
        qos: how much the broker sends ahead.
        no_ack: the broker forgets a message once it was sent; nothing is ever acknowledged, and `qos` and what is to be
            done after processing mean nothing.
        exclusive: nobody else may consume from the queue.
        arguments: of the consumer, such as `x-priority`.
        max_running: how many messages are processed at once; left out, as many as the broker sends ahead.
        ack_after_successful_processing: acknowledge what was processed; false leaves that to the pipeline.
        ack_after_failed_processing: acknowledge also what has failed, which is then gone.
        nack_after_failed_processing: give back what has failed, as told below; false leaves that to the pipeline. Left
            out, it is true unless `ack_after_failed_processing` is.
        max_redeliveries: how often a failed message is tried again; left out, for ever, or never with a `dead_letter`
            or `requeue: false`.
        redelivery_delay: how long the first of these waits; each further one waits twice as long.
        max_redelivery_delay: what no wait is longer than.
        dead_letter: where a message is published that was tried often enough, or rejected.
        requeue: false rejects what was tried often enough, so that the broker drops it, or sends it where the queue's
            own dead letters go. Otherwise consuming pauses then, unless there is a place for dead letters.
        channel_reopen_interval: how long to wait after the channel was closed, or consuming cancelled, by the broker;
            ever longer, up to ten times that, while it does not help.
        log_processor_exceptions: level of the log line for a failed message; null or false logs none.
    """

    processor: ProcessorPath
    queue: Queue = field(default_factory=Queue)
    bindings: list[Binding] = field(default_factory=list)
    qos: Qos = field(default_factory=Qos)
    no_ack: bool = False
    exclusive: bool = False
    arguments: Table = field(default_factory=dict)
    max_running: Count | None = None
    ack_after_successful_processing: bool = True
    ack_after_failed_processing: bool = False
    nack_after_failed_processing: bool | None = None
    max_redeliveries: Annotated[int, Meaning("a number of at least 0"), Ge(0)] | None = None
    redelivery_delay: Interval = 1
    max_redelivery_delay: Interval = 60
    dead_letter: DeadLetter | None = None
    requeue: bool = True
    channel_reopen_interval: Interval = 1
    log_processor_exceptions: FailureLevel | None = _WARN

    def __post_init__(self) -> None:
        for does_contradict, what, hint in self._contradictions():
            if does_contradict:
                raise ConfigurationError(what, hint=hint)

    def _contradictions(self) -> list[tuple[bool, str, str]]:
        """What cannot be meant, and what to do about it."""
        written = {
            "ack_after_failed_processing": self.ack_after_failed_processing,
            "nack_after_failed_processing": bool(self.nack_after_failed_processing),
            "dead_letter": self.dead_letter is not None,
            "max_redeliveries": self.max_redeliveries is not None,
            "requeue: false": not self.requeue,
        }
        failing = [name for name in ("dead_letter", "max_redeliveries", "requeue: false") if written[name]]
        longest = self.max_redelivery_delay
        return [
            (
                written["ack_after_failed_processing"] and written["nack_after_failed_processing"],
                "ack_after_failed_processing and nack_after_failed_processing exclude each other",
                "a message that has failed is either gone or given back: remove one",
            ),
            (
                self.no_ack and bool(failing),
                f"no_ack and {' and '.join(failing)} exclude each other",
                "with no_ack the broker forgets a message once it was sent: remove one",
            ),
            (
                not self.no_ack and bool(failing) and self.failed is Failed.ACK,
                f"ack_after_failed_processing and {' and '.join(failing)} exclude each other",
                "what is acknowledged is gone: remove one",
            ),
            (
                not self.no_ack and bool(failing) and self.failed is Failed.BY_HAND,
                f"nack_after_failed_processing: false and {' and '.join(failing)} exclude each other",
                "a message that the pipeline settles is not given back: remove one",
            ),
            (
                self.redelivery_delay > longest,
                f"redelivery_delay is longer than max_redelivery_delay ({longest:g} s)",
                "write a longer max_redelivery_delay",
            ),
        ]

    @property
    def failed(self) -> Failed:
        """What happens to a message that has failed."""
        if self.ack_after_failed_processing:
            return Failed.ACK
        return Failed.BY_HAND if self.nack_after_failed_processing is False else Failed.GIVE_BACK

    @property
    def acking(self) -> Acking:
        """How messages are settled."""
        if self.dead_letter is not None:
            last = Last.DEAD_LETTER
        elif not self.requeue or self.queue.dead_letters:
            last = Last.REJECT
        else:
            last = Last.PAUSE
        most = self.max_redeliveries
        if most is None and (self.dead_letter is not None or not self.requeue):
            most = 0
        return Acking(
            no_ack=self.no_ack,
            acks_processed=self.ack_after_successful_processing,
            failed=self.failed,
            max_redeliveries=most,
            last=last,
        )
