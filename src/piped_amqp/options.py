"""What may be written for one of `amqp.connections`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Gt

from piped import Count, Seconds
from piped.ground.units import Unit
from piped_amqp.consumer_options import ConsumerOptions
from piped_amqp.parameters import PikaParameters
from piped_amqp.servers import Servers

Interval = Annotated[float, Unit("s"), Gt(0)]


@dataclass(frozen=True, kw_only=True)
class ConnectionOptions:
    """One connection.

    Args:
        servers: a Twisted endpoint such as `tcp:localhost:5672` or `tls:rabbit.example.com:5671`, or a list of those of
            a cluster, which are tried in turns; `memory://name` is a broker inside this process, which keeps nothing.
        max_idle_time: make the connection anew when no byte went either way for so long; it is looked at that often.
            Heartbeats are bytes.
        reconnect_interval: how long to wait, more or less, when none of the servers could be reached.
        max_reconnect_interval: the longest such wait, unless the interval is longer.
        connect_timeout: how long connecting to a server may take, and its greeting and the login as long again.
        close_timeout: how long the broker may take to say goodbye when the process stops.
        max_unconfirmed: how many published messages may wait for the broker's confirmation; those above wait their
            turn.
        parameters: how to speak with the broker.
        basic_consumers: what consumes from its queues.
    """

    servers: Servers
    max_idle_time: Interval | None = None
    reconnect_interval: Seconds = 1
    max_reconnect_interval: Seconds = 1.5
    connect_timeout: Interval = 10
    close_timeout: Interval = 5
    max_unconfirmed: Count = 1000
    parameters: PikaParameters = field(default_factory=PikaParameters)
    basic_consumers: dict[str, ConsumerOptions] = field(default_factory=dict)
