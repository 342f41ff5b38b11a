"""Publisher: messages to a broker that confirms each; so many may be under way, the others wait in order."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from pika import spec
from pika.exceptions import ChannelClosedByBroker, ConnectionWrongStateError
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped import told
from piped_amqp.errors import PublishError, UnconfirmedError, UnroutableError
from piped_amqp.frames import Frames
from piped_amqp.messages import copied, unfit
from piped_amqp.publication import Message

if TYPE_CHECKING:
    from piped_amqp.channels import AMQPChannel
    from piped_amqp.protocol import AMQProtocol

_log = logging.getLogger("piped.amqp")
#: Channels that are kept for exchanges to which nothing is under way.
_MOST_IDLE: Final = 32
#: How many bytes may wait to be sent on one connection.
_MOST_WAITING: Final = 256 * 1024 * 1024


class Publisher:
    """Publishes on one connection, until that is lost; every exchange has a channel of its own.

    Channels are opened when they are needed. One that the broker closes, say because there is no such exchange, fails
    what is under way to that exchange, and nothing else. While the broker blocks the connection nothing is sent.

    Args:
        max_unconfirmed: how many messages may be sent and not confirmed. Others wait, and are sent in order.
        channel: sends everything on this one instead.
        max_waiting: how many bytes may wait to be sent; a single message may be of any size.
    """

    def __init__(
        self,
        protocol: AMQProtocol,
        max_unconfirmed: int,
        channel: AMQPChannel | None = None,
        *,
        max_waiting: int = _MOST_WAITING,
    ) -> None:
        self._protocol, self._channel, self._max_waiting = protocol, channel, max_waiting
        self._free = max_unconfirmed
        self._waiting: OrderedDict[Message, None] = OrderedDict()
        #: How many bytes they take.
        self._size = 0
        self._is_going_on = False
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        protocol.on_unblocked += self._unblocked
        protocol.on_lost += self._lost

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: spec.BasicProperties | None = None,
        mandatory: bool = True,
        confirm: bool = True,
    ) -> Deferred[None]:
        """A Deferred that fires when the broker has the message. Cancelled before it is sent, it never will be.

        It fails with an UnroutableError if no queue wants a `mandatory` one, with an UnconfirmedError if the connection
        is lost meanwhile, else with a PublishError.

        Args:
            confirm: False lets it fire when the message is sent; what is wrong later is logged.
        """
        message = Message(
            self._given_up, exchange, routing_key, body, properties or spec.BasicProperties(), mandatory, confirm
        )
        if self._free and not self._waiting and not self._protocol.is_blocked:
            self._send(message)
        else:
            self._wait(message)
        return message

    def close(self) -> None:
        """Let go of the connection; what is under way is told of as before."""
        self._protocol.on_unblocked -= self._unblocked
        self._protocol.on_lost -= self._lost

    def _wait(self, message: Message) -> None:
        if not self._protocol.is_open:
            message.settle(PublishError(f"{message} was not sent: the connection is closed"))
        elif self._waiting and self._size + message.size > self._max_waiting:
            what = f"{message} was not sent: {len(self._waiting)} wait already, with {self._size} bytes"
            message.settle(PublishError(what, hint="the broker is too slow, or blocks the connection: wait for it"))
        else:
            self._waiting[message] = None
            self._size += message.size

    def _waits_no_longer(self, message: Message) -> None:
        del self._waiting[message]
        self._size -= message.size

    def _send(self, message: Message) -> None:
        self._free -= 1
        name = "" if self._channel is not None else message.exchange
        lane = self._lanes.get(name)
        if lane is None:
            self._close_idle()
            lane = self._lanes[name] = _Lane(self._protocol, self._freed, self._channel)
        self._lanes.move_to_end(name)  # the one that was used last
        lane.send(message)

    def _close_idle(self) -> None:
        if len(self._lanes) >= _MOST_IDLE:
            name = next((name for name, lane in self._lanes.items() if lane.is_idle), None)
            if name is not None:
                self._lanes.pop(name).close()

    def _freed(self, count: int) -> None:
        self._free += count
        # One that cannot be sent comes here from within; on a connection that ends none can, and `_lost` tells them.
        if self._is_going_on or not self._protocol.is_open:
            return
        self._is_going_on = True
        try:
            while self._waiting and self._free and not self._protocol.is_blocked:
                message = next(iter(self._waiting))
                self._waits_no_longer(message)
                self._send(message)
        finally:
            self._is_going_on = False

    def _given_up(self, message: Message) -> None:
        """Somebody cancels a message."""
        if message in self._waiting:
            self._waits_no_longer(message)
            return
        lane = self._lanes.get("" if self._channel is not None else message.exchange)
        if lane is not None and lane.forget(message):
            self._freed(1)

    def _unblocked(self) -> None:
        for lane in list(self._lanes.values()):
            lane.go_on()
        self._freed(0)

    def _lost(self, reason: Failure) -> None:
        waiting, self._waiting, self._size = self._waiting, OrderedDict(), 0
        for lane in list(self._lanes.values()):
            lane.lost(reason.value)
        for message in waiting:
            message.settle(PublishError(f"{message} was not sent: {told(reason.value)}"))


class _Lane:
    """The messages to one exchange, on a channel in confirm mode, which is opened anew when it was closed.

    Args:
        freed: called with a number of messages that are no longer under way.
        channel: the only one it ever uses.
    """

    def __init__(self, protocol: AMQProtocol, freed: Callable[[int], None], channel: AMQPChannel | None) -> None:
        self._protocol, self._freed, self._only = protocol, freed, channel
        self._unsent: OrderedDict[Message, None] = OrderedDict()
        #: In the order of sending; those at its beginning are not settled.
        self._sent: deque[Message] = deque()
        #: The number of the first of them on its channel.
        self._first = 1
        #: The number up to which messages were given back.
        self._returned = 0
        self._is_opening = False
        self._channel: AMQPChannel | None = None
        #: pika's own channel, once it confirms.
        self._raw: Any = None

    @property
    def is_idle(self) -> bool:
        return not (self._sent or self._unsent or self._is_opening)

    def send(self, message: Message) -> None:
        if self._raw is not None and not self._unsent:
            self._write(message)
        else:
            self._unsent[message] = None
            self._open()

    def forget(self, message: Message) -> bool:
        """Whether it was not sent yet, and now never will be."""
        return self._unsent.pop(message, self) is None

    def go_on(self) -> None:
        """Send what can be sent."""
        while self._unsent and self._raw is not None and not self._protocol.is_blocked:
            message, _ = self._unsent.popitem(last=False)
            self._write(message)

    def close(self) -> None:
        """Close the channel."""
        channel, self._channel, self._raw = self._channel, None, None
        if channel is not None and channel.is_open:
            channel.close()

    def lost(self, reason: BaseException | None) -> None:
        """Fail all there is: the connection is gone."""
        self._channel = self._raw = None
        self._fail_sent(reason)
        self._fail_unsent(reason)

    # Opening and closing

    def _open(self) -> None:
        if not self._is_opening and self._channel is None:
            self._is_opening = True
            opening = self._protocol.open_channel() if self._only is None else _succeed(self._only)
            opening.addCallback(self._opened).addErrback(self._cannot_open)

    def _opened(self, channel: AMQPChannel) -> None:
        self._is_opening, self._channel = False, channel
        self._first, self._returned = 1, 0
        channel.on_closed.addBoth(self._closed, channel)
        if not channel.is_open:
            return  # and that was told
        raw = channel._channel  # what TwistedChannel makes of confirmations costs more than all the rest
        raw.add_on_return_callback(self._given_back)
        raw.confirm_delivery(self._confirmed, lambda _: self._confirms(channel))

    def _confirms(self, channel: AMQPChannel) -> None:
        if channel is self._channel:
            raw = self._raw = channel._channel
            self._frames = Frames(raw.channel_number, raw.connection._body_max_length)
            self.go_on()

    def _cannot_open(self, failure: Failure) -> None:
        self._is_opening, self._channel = False, None
        self._fail_unsent(failure.value)

    def _closed(self, reason: Any, channel: AMQPChannel) -> Any:
        if channel is self._channel:
            self._channel = self._raw = None
            self._fail_sent(reason)
            if self._only is not None or not self._protocol.is_open:
                self._fail_unsent(reason)
            elif self._unsent:
                self._open()
        return reason

    def _fail_sent(self, reason: BaseException | None) -> None:
        sent, self._sent = self._sent, deque()
        self._first = 1
        unsettled = [message for message in sent if not message.is_settled]
        for message in unsettled:
            message.settle(_unconfirmed(message, reason))
        if unsettled:
            self._freed(len(unsettled))

    def _fail_unsent(self, reason: BaseException | None) -> None:
        unsent, self._unsent = self._unsent, OrderedDict()
        for message in unsent:
            message.settle(PublishError(f"{message} was not sent: {_words(reason)}"))
        if unsent:
            self._freed(len(unsent))

    # Messages and what the broker says of them

    def _write(self, message: Message) -> None:
        try:
            written = self._frames.of(
                message.exchange, message.routing_key, message.body, message.properties, message.mandatory
            )
        except Exception as error:  # pika raises what it likes for what has no place in AMQP; nothing is sent
            message.settle(PublishError(f"{message} cannot be sent: {unfit(error)}"))
            self._freed(1)
            return
        self._sent.append(message)
        self._raw.connection._output_marshaled_frames((written,))
        if not message.confirm:
            message.callback(None)

    def _given_back(self, _: Any, method: spec.Basic.Return, properties: spec.BasicProperties, body: bytes) -> None:
        """The broker returns messages in the order in which it got them, each before it confirms it."""
        start = max(self._returned + 1, self._first)
        behind = enumerate(islice(self._sent, start - self._first, None), start)
        alike = ((tag, message) for tag, message in behind if message.is_same_as(method, properties, body))
        first, fields = next(alike, None), _fields(properties)
        if first is None:
            _log.error("%s gave back a message to %r that nobody knows", self._protocol, method.exchange)
            return
        # Whoever changes properties on the way, it is one of them.
        same = (each for each in chain((first,), alike) if _fields(each[1].properties) == fields)
        self._returned, message = next(same, first)
        message.returned = method

    def _confirmed(self, frame: Any) -> None:
        method, sent = frame.method, self._sent
        is_refused = isinstance(method, spec.Basic.Nack)
        index = method.delivery_tag - self._first
        if not 0 <= index < len(sent):
            return
        if index and not method.multiple:
            self._settle(sent[index], is_refused)
            self._freed(1)
            return
        ended = [sent.popleft() for _ in range(index + 1)]
        while sent and sent[0].is_settled:
            ended.append(sent.popleft())
        self._first += len(ended)
        count = 0
        for message in ended:  # who hears of one may have the channel closed
            if not message.is_settled:
                count += 1
                self._settle(message, is_refused)
        self._freed(count)

    def _settle(self, message: Message, is_refused: bool) -> None:
        returned = message.returned
        if returned is not None:
            said = f"{returned.reply_text}, {returned.reply_code}"
            message.settle(UnroutableError(f"no queue takes {message} ({said})"))
        elif is_refused:
            message.settle(PublishError(f"the broker refuses {message}: its queue is full, say, or has failed"))
        else:
            message.settle(None)


def _succeed(channel: AMQPChannel) -> Deferred[AMQPChannel]:
    opened: Deferred[AMQPChannel] = Deferred()
    opened.callback(channel)
    return opened


def _fields(properties: spec.BasicProperties) -> list[bytes]:
    """What tells messages apart; without the one header that the broker takes out."""
    own = copied(properties)
    own.headers = {key: value for key, value in (own.headers or {}).items() if key != "BCC"}
    return list(own.encode())


def _unconfirmed(message: Message, reason: BaseException | None) -> PublishError:
    if isinstance(reason, ChannelClosedByBroker) and reason.reply_code in (403, 404, 405):
        return PublishError(f"the broker does not take {message}: {_words(reason)}")
    return UnconfirmedError(f"{message} was not confirmed, it may have arrived or not: {_words(reason)}")


def _words(reason: BaseException | None) -> str:
    if isinstance(reason, ChannelClosedByBroker):
        return f"{reason.reply_text} ({reason.reply_code})"
    is_closed = reason is None or isinstance(reason, ConnectionWrongStateError)
    return "the connection is closed" if is_closed else told(reason)
