"""AMQProtocol: one connection to a broker, with channels by name, and the reason when it ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pika.adapters.twisted_connection import TwistedProtocolConnection
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from piped.resources.events import Event
from piped_amqp.channels import AMQPChannel
from piped_amqp.link import Link

if TYPE_CHECKING:
    from piped_amqp.publishing import Publisher

_log = logging.getLogger("piped.amqp")
#: How many messages of one connection may wait for the broker's confirmation, unless told otherwise.
MAX_UNCONFIRMED = 1000

# Whatever it tells is told in our words, with the place in the configuration.
if logging.getLogger("pika").level == logging.NOTSET:
    logging.getLogger("pika").setLevel(logging.CRITICAL)


class AMQProtocol(TwistedProtocolConnection):
    """A connection to a broker.

    `ready` is a Deferred that fires with it when it can be used, or fails with the reason; `closed` is one that fires
    with the reason when a connection that could be used has ended.

    Args:
        parameters: pika's ConnectionParameters.
        clock: the reactor; None for the one that runs.
        name: how log lines call it.
        max_unconfirmed: how many published messages may wait for the broker's confirmation.
    """

    def __init__(
        self, parameters: Any, clock: Any = None, name: str = "amqp.connection", max_unconfirmed: int = MAX_UNCONFIRMED
    ) -> None:
        super().__init__(parameters, clock)
        self._impl: Link = Link(
            parameters, self._on_connection_ready, self._on_connection_failed, self._on_connection_closed, clock
        )
        self.name, self._max_unconfirmed = name, max_unconfirmed
        #: Whether the broker takes no messages now: it has too little memory or disk.
        self.is_blocked = False
        #: Called when the broker stops taking messages, with its reason.
        self.on_blocked: Event[[str]] = Event()
        #: Called when it takes them again.
        self.on_unblocked: Event[[]] = Event()
        #: Called with the reason when the connection has ended, also one that could not be used yet.
        self.on_lost: Event[[Failure]] = Event()
        self._impl.add_on_connection_blocked_callback(self._blocked)
        self._impl.add_on_connection_unblocked_callback(self._unblocked)
        self._named: dict[str, AMQPChannel] = {}
        self._opening: dict[str, list[Deferred[AMQPChannel]]] = {}
        self._publisher: Publisher | None = None

    # Channels

    def channel(self, channel_number: int | None = None) -> Deferred[AMQPChannel]:
        """Open a channel; fails with the reason if the connection is lost meanwhile."""

        def opened(made: Any) -> None:
            if opening in self._calls:
                self._calls.discard(opening)
                opening.callback(AMQPChannel(made, self))
            else:  # nobody waits for it any more
                made.close()

        opening: Deferred[AMQPChannel] = Deferred(self._calls.discard)
        try:
            made = self._impl.channel(channel_number, opened)
        except Exception:  # pika's, for a connection that is closed, or has as many as it may have
            return fail()
        self._calls.add(opening)
        made.add_on_close_callback(lambda _, reason: self._not_opened(opening, reason))
        return opening

    def _not_opened(self, opening: Deferred[AMQPChannel], reason: Exception) -> None:
        if opening in self._calls:  # the broker has closed it before it was open
            self._calls.discard(opening)
            opening.errback(reason)

    def open_channel(self) -> Deferred[AMQPChannel]:
        """Open a channel of one's own."""
        return self.channel()

    def get_named_channel(self, name: str) -> Deferred[AMQPChannel]:
        """The channel of that name, for all who ask for it; opened when there is none, or when it was closed."""
        known = self._named.get(name)
        if known is not None and known.is_open:
            return succeed(known)
        waiting = self._opening.setdefault(name, [])
        waiter: Deferred[AMQPChannel] = Deferred(waiting.remove)
        waiting.append(waiter)
        if len(waiting) == 1:
            self.open_channel().addBoth(self._opened, name)
        return waiter

    def _opened(self, result: AMQPChannel | Failure, name: str) -> None:
        if not isinstance(result, Failure):
            self._named[name] = result
        waiting = self._opening.pop(name)
        while waiting:  # one that hears it may have another one cancelled
            waiting.pop(0).callback(result)

    # Publishing

    @property
    def publisher(self) -> Publisher:
        """What sends messages and waits for the broker's confirmations; made when it is first asked for."""
        if self._publisher is None:
            from piped_amqp.publishing import Publisher  # late, as it needs this module

            self._publisher = Publisher(self, self._max_unconfirmed)
        return self._publisher

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: Any = None,
        mandatory: bool = True,
        confirm: bool = True,
    ) -> Deferred[None]:
        """Send a message; fires when the broker has it, fails when it does not take it or finds no queue for it.

        Args:
            mandatory: fail where no queue gets it.
            confirm: wait for the broker; otherwise it fires when the message was sent.
        """
        return self.publisher.publish(exchange, routing_key, body, properties, mandatory, confirm)

    def _blocked(self, _: object, told: Any) -> None:
        self.is_blocked = True
        reason = told.method.reason
        _log.warning("%s is blocked by the broker (%s): what is published waits until it takes more", self.name, reason)
        self.on_blocked(reason)

    def _unblocked(self, _: object, told: Any) -> None:
        if self.is_blocked:
            self.is_blocked = False
            _log.info("%s is unblocked: the broker takes messages again", self.name)
            self.on_unblocked()

    # Its life

    @property
    def parameters(self) -> Any:
        """Pika's parameters, as the two sides have agreed upon them."""
        return self._impl.params

    @property
    def traffic(self) -> int:
        """How many bytes were sent and received; heartbeats are such, too."""
        return int(self._impl.bytes_sent + self._impl.bytes_received)

    @property
    def last_state(self) -> int:
        """How far the handshake was when the connection ended: one of the states of pika's Connection."""
        return self._impl.last_state

    def give_up(self, reason: Exception) -> None:
        """End the connection at once, whatever the other side does; `on_lost` and all who wait get the reason."""
        if self.transport is not None and not self._impl.is_closed:
            self._impl._terminate_stream(reason)

    def close(self, reply_code: int = 200, reply_text: str = "Normal shutdown") -> Deferred[Any]:
        """Close channels and connection in order; fires when the connection has ended."""
        if self.transport is None or self._impl.is_closed:
            return succeed(None)
        ended = self.on_lost.wait_until_fired()
        if not self._impl.is_closing:
            self._impl.close(reply_code, reply_text)
        return ended.addCallback(lambda _: None)

    def makeConnection(self, transport: Any) -> None:
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)  # or what is small waits for the answer to what was sent before
        super().makeConnection(transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.on_lost(Failure(self._impl.cause))

    def _on_connection_failed(self, connection: Any, error: Any = None) -> None:
        ready, self.ready = self.ready, None
        if ready is not None:
            ready.errback(self._impl.cause or error)
