"""Queues, exchanges and bindings: declared on a channel, and what the broker has against it in a user's words."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Final

from pika.exceptions import ChannelClosed

from piped import Mark, PipedError, Problem
from piped_amqp.channels import reason_of
from piped_amqp.consumer_options import Binding, Exchange, Queue

#: What to do about the broker's reply codes, by what was asked for.
_FIXES: Final = {
    ("queue", 404): "declare it: write a mapping such as {{queue: {name}, durable: true}}, or make it on the broker",
    ("queue", 406): "write it as it is on the broker, or delete it there",
    ("queue", 405): "it belongs to another connection alone: give this one another name",
    ("exchange", 404): "declare it: write a mapping such as {{name: {name}, type: topic}}, or make it on the broker",
    ("exchange", 406): "write it as it is on the broker, or delete it there",
    ("consumer", 403): "somebody else consumes from it alone, or wants to: `exclusive` is for one consumer",
    ("consumer", 405): "it belongs to another connection alone: give this one another name",
}
#: What to do about it where the broker's text says more than its code.
_SAID: Final = {
    "invalid arg": "write what the broker wants there",
    "reserved prefix": "give it a name that does not begin with 'amq.'",
    "refused for user": "let the user of this connection: rabbitmqctl set_permissions",
}


class Undeclarable(PipedError):
    """The broker refuses what a configuration asks for; `problem` says what, where, and what to do about it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what, hint=problem.fix)
        self.problem = problem


async def declare(
    channel: Any, queue: Queue | None, bindings: Sequence[Binding] = (), where: Mark | None = None
) -> str:
    """Have a queue, the exchanges and the bindings be there; gives the name of the queue.

    Args:
        queue: None for one that the broker names, and that is gone with the connection.
        where: it was asked for, if not where the queue is written.

    Raises:
        Undeclarable: the broker refuses; the channel is closed with that.
    """
    queue = queue or Queue()
    declaring = channel.queue_declare(**queue.options.declaration())
    declared = await asked(declaring, "queue", queue.name, queue.where or where)
    name: str = declared.method.queue
    for binding in bindings:
        exchange = binding.exchange
        if exchange.options is not None:
            await asked(_declared(channel, exchange), "exchange", exchange.name, exchange.where)
        bound = channel.queue_bind(name, exchange.name, binding.routing_key, binding.arguments or None)
        await asked(bound, "exchange", exchange.name, exchange.where)
    return name


def _declared(channel: Any, exchange: Exchange) -> Any:
    options = exchange.options
    assert options is not None
    return channel.exchange_declare(
        exchange=options.name,
        exchange_type=options.type,
        durable=options.durable,
        auto_delete=options.auto_delete,
        arguments=options.arguments or None,
    )


async def asked(answer: Awaitable[Any], what: str, name: str, where: Mark | None) -> Any:
    """The answer of the broker.

    Args:
        what: "queue", "exchange" or "consumer": what was asked for.
        name: of the queue or the exchange.

    Raises:
        Undeclarable: the broker has closed the channel instead.
    """
    try:
        return await answer
    except ChannelClosed as error:
        raise Undeclarable(explained(error, what, name, where)) from error


def explained(error: ChannelClosed, what: str, name: str, where: Mark | None) -> Problem:
    """What the broker has against a declaration, or against a consumer."""
    of_what = "queue" if what == "consumer" else what
    named = f"the {of_what} {name!r}" if name else f"a {of_what}"
    verb = "consume from" if what == "consumer" else "use"
    fix = next((fix for part, fix in _SAID.items() if part in error.reply_text), None)
    if fix is None:
        fix = _FIXES.get((what, error.reply_code), "").format(name=name)
    return Problem(f"cannot {verb} {named}: the broker says {reason_of(error)}", where, fix)
