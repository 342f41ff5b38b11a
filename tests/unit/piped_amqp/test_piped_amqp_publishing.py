"""Tests of publishing with confirmations."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties
from pika.exceptions import ChannelClosedByBroker
from publishing_stage import Protocol, outcome
from twisted.internet.defer import CancelledError, Deferred, fail

from piped_amqp.errors import PublishError, UnconfirmedError, UnroutableError
from piped_amqp.publishing import Publisher


def opened(most: int = 10, **options: int) -> tuple[Protocol, Publisher]:
    """A publisher whose channel to the default exchange confirms, with one message sent and confirmed."""
    protocol = Protocol()
    publisher = Publisher(protocol, most, **options)
    first = publisher.publish("", "q", b"first")
    protocol.channels[0].confirms()
    protocol.channels[0].ack(1)
    assert outcome(first) is None
    del protocol.channels[0]._channel.written[:]
    return protocol, publisher


def test_a_message_is_published_when_the_broker_has_it() -> None:
    """The Deferred fires with the confirmation, not with the sending."""
    protocol, publisher = opened()
    sent = publisher.publish("", "q", b"hello")
    assert (protocol.channels[0].bodies, sent.called) == ([b"hello"], False)
    protocol.channels[0].ack(2)
    assert outcome(sent) is None


def test_nothing_is_sent_before_the_channel_confirms() -> None:
    """A message that is sent before confirmations were asked for would never be confirmed."""
    protocol = Protocol()
    publisher = Publisher(protocol, 10)
    sent = [publisher.publish("", "q", body) for body in (b"a", b"b")]
    assert protocol.channels[0].bodies == []
    protocol.channels[0].confirms()
    assert protocol.channels[0].bodies == [b"a", b"b"]
    protocol.channels[0].ack(2, multiple=True)
    assert list(map(outcome, sent)) == [None, None]


def test_so_many_are_under_way_and_the_others_wait_in_order() -> None:
    """The number of messages without a confirmation is bounded; each confirmation lets the next one go."""
    protocol, publisher = opened(most=2)
    sent = [publisher.publish("", "q", bytes([n])) for n in range(5)]
    [channel] = protocol.channels
    assert channel.bodies == [b"\0", b"\1"]
    channel.ack(3)
    assert channel.bodies == [b"\0", b"\1", b"\2"]
    channel.ack(4, multiple=True)
    assert channel.bodies == [b"\0", b"\1", b"\2", b"\3", b"\4"]
    channel.ack(6, multiple=True)
    assert list(map(outcome, sent)) == [None] * 5


def test_a_message_that_waits_can_be_cancelled() -> None:
    """It is never sent, and the one behind it is."""
    protocol, publisher = opened(most=1)
    first, second, third = (publisher.publish("", "q", body) for body in (b"1", b"2", b"3"))
    second.cancel()
    protocol.channels[0].ack(2)
    assert protocol.channels[0].bodies == [b"1", b"3"]
    protocol.channels[0].ack(3)
    assert (outcome(first), type(outcome(second)), outcome(third)) == (None, CancelledError, None)


def test_a_message_that_waits_for_its_channel_can_be_cancelled() -> None:
    """It is never sent, and its place is free again."""
    protocol = Protocol()
    publisher = Publisher(protocol, 1)
    publisher.publish("", "q", b"1").addErrback(lambda failure: None).cancel()
    publisher.publish("", "q", b"2")
    protocol.channels[0].confirms()
    assert protocol.channels[0].bodies == [b"2"]


def test_a_message_that_was_sent_keeps_its_place_when_it_is_cancelled() -> None:
    """The broker will confirm it all the same: only then another one may be sent."""
    protocol, publisher = opened(most=1)
    first, second = publisher.publish("", "q", b"1"), publisher.publish("", "q", b"2")
    first.cancel()
    assert (type(outcome(first)), protocol.channels[0].bodies) == (CancelledError, [b"1"])
    protocol.channels[0].ack(2)
    assert protocol.channels[0].bodies == [b"1", b"2"]
    protocol.channels[0].ack(3)
    assert outcome(second) is None


def test_a_message_that_no_queue_wants_fails_with_where_it_was_to_go() -> None:
    """The broker gives it back before it confirms it."""
    protocol, publisher = opened()
    sent = publisher.publish("", "nowhere", b"hello")
    protocol.channels[0].give_back("nowhere", b"hello")
    protocol.channels[0].ack(2)
    error = outcome(sent)
    assert type(error) is UnroutableError
    assert error.msg == (
        "no queue takes a message to the default exchange with the routing key 'nowhere' (NO_ROUTE, 312)"
    )


def test_messages_that_come_back_are_told_apart() -> None:
    """One confirmation may be for many, of which the broker gave back some: each is told what became of it."""
    protocol, publisher = opened()
    keys = ["a", "gone", "b", "gone", "gone"]
    sent = [publisher.publish("", key, bytes([n])) for n, key in enumerate(keys)]
    for n in (1, 4):
        protocol.channels[0].give_back("gone", bytes([n]))
    protocol.channels[0].ack(6, multiple=True)
    assert [type(outcome(each)) for each in sent] == [
        type(None),
        UnroutableError,
        type(None),
        type(None),
        UnroutableError,
    ]


def test_messages_that_are_alike_but_for_their_properties_are_told_apart() -> None:
    """By their message id, say."""
    protocol, publisher = opened()
    sent = [publisher.publish("", "q", b"", BasicProperties(message_id=name)) for name in ("one", "two")]
    protocol.channels[0].give_back("q", b"", message_id="two")
    protocol.channels[0].ack(3, multiple=True)
    assert [type(outcome(each)) for each in sent] == [type(None), UnroutableError]


def test_messages_that_are_alike_but_for_their_headers_are_told_apart() -> None:
    """An exchange may look at them alone; the broker takes out the header BCC."""
    protocol, publisher = opened()
    headers: list[dict[str, Any]] = [{"a": 1}, {"a": 2, "BCC": ["x"]}, {"a": 3}]
    sent = [publisher.publish("", "", b"", BasicProperties(headers=each)) for each in headers]
    protocol.channels[0].give_back("", b"", headers={"a": 2})
    protocol.channels[0].ack(4, multiple=True)
    assert [type(outcome(each)) for each in sent] == [type(None), UnroutableError, type(None)]


def test_a_message_that_comes_back_is_none_that_cannot() -> None:
    """The broker has dropped its twin that was not mandatory, and one that it had confirmed is in a queue."""
    protocol, publisher = opened()
    publisher.publish("", "slow", b"")
    sent = [publisher.publish("", "q", b"twin", mandatory=is_mandatory) for is_mandatory in (False, True, True)]
    protocol.channels[0].ack(4)
    protocol.channels[0].give_back("q", b"twin")
    protocol.channels[0].ack(5, multiple=True)
    assert [type(outcome(each)) for each in sent] == [type(None), type(None), UnroutableError]


def test_messages_that_are_alike_each_come_back() -> None:
    """As many fail as were given back."""
    protocol, publisher = opened()
    sent = [publisher.publish("", "gone", b"same") for _ in range(3)]
    for _ in range(2):
        protocol.channels[0].give_back("gone", b"same")
    protocol.channels[0].ack(4, multiple=True)
    assert sorted(type(outcome(each)).__name__ for each in sent) == ["NoneType", "UnroutableError", "UnroutableError"]


def test_confirmations_out_of_order_free_each_place_once() -> None:
    """One that comes alone, and again for all up to a later message; nothing settled is kept."""
    protocol, publisher = opened(most=3)
    sent = [publisher.publish("", "q", bytes([n])) for n in range(9)]
    [channel] = protocol.channels
    channel.ack(3)
    channel.ack(4, multiple=True)
    assert len(channel.bodies) == 6
    channel.ack(6)
    channel.ack(5)
    assert len(publisher._lanes[""]._sent) == 3
    channel.ack(9, multiple=True)
    channel.ack(10)
    assert list(map(outcome, sent)) == [None] * 9


def test_a_message_comes_back_on_a_channel_that_was_opened_anew() -> None:
    """Numbers begin with 1 again."""
    protocol, publisher = opened()
    for _ in range(3):
        publisher.publish("", "q", b"").addErrback(lambda failure: None)
    protocol.channels[0].give_back("q", b"")
    protocol.channels[0].close(ChannelClosedByBroker(541, "INTERNAL_ERROR"))
    sent = publisher.publish("", "gone", b"")
    protocol.channels[1].confirms()
    protocol.channels[1].give_back("gone", b"")
    protocol.channels[1].ack(1)
    assert type(outcome(sent)) is UnroutableError


def test_a_message_that_the_broker_refuses_fails() -> None:
    """As when its queue is full and declared so."""
    protocol, publisher = opened()
    sent = publisher.publish("shop", "q", b"hello")
    protocol.channels[1].confirms()
    protocol.channels[1].nack(1)
    error = outcome(sent)
    assert type(error) is PublishError
    assert "the broker refuses a message to the exchange 'shop'" in error.msg


def test_a_missing_exchange_fails_those_who_publish_to_it_and_nobody_else() -> None:
    """The broker closes a channel for it; each exchange has one of its own, opened anew for the next message."""
    protocol, publisher = opened()
    good, bad = publisher.publish("", "q", b"good"), publisher.publish("nope", "x", b"bad")
    protocol.channels[1].confirms()
    protocol.channels[1].close(ChannelClosedByBroker(404, "NOT_FOUND - no exchange 'nope'"))
    error = outcome(bad)
    assert type(error) is PublishError
    assert error.msg == (
        "the broker does not take a message to the exchange 'nope' with the routing key 'x': "
        "NOT_FOUND - no exchange 'nope' (404)"
    )
    protocol.channels[0].ack(2)
    assert outcome(good) is None
    again = publisher.publish("nope", "x", b"again")
    protocol.channels[2].confirms()
    protocol.channels[2].ack(1)
    assert outcome(again) is None


def test_a_channel_that_was_lost_says_that_the_message_may_have_arrived() -> None:
    """Only the broker knows; the next message goes over another channel."""
    protocol, publisher = opened(most=1)
    first, second = publisher.publish("", "q", b"1"), publisher.publish("", "q", b"2")
    protocol.channels[0].close(ChannelClosedByBroker(541, "INTERNAL_ERROR"))
    error = outcome(first)
    assert type(error) is UnconfirmedError
    assert error.msg.endswith("was not confirmed, it may have arrived or not: INTERNAL_ERROR (541)")
    protocol.channels[1].confirms()
    assert protocol.channels[1].bodies == [b"2"]
    protocol.channels[1].ack(1)
    assert outcome(second) is None


def test_a_lost_connection_is_told_to_all_who_wait() -> None:
    """What was sent may have arrived, what was not has not."""
    protocol, publisher = opened(most=2)
    sent = [publisher.publish("", "q", b""), publisher.publish("slow", "q", b""), publisher.publish("", "q", b"")]
    protocol.lose(ConnectionError("it is gone"))
    errors = list(map(outcome, sent))
    assert [type(error) for error in errors] == [UnconfirmedError, PublishError, PublishError]
    assert all("it is gone" in error.msg for error in errors)
    assert ["was not sent" in error.msg for error in errors] == [False, True, True]


def test_a_lost_connection_is_told_to_any_number_that_wait() -> None:
    """Channels cannot be opened any more, and nobody tries for each of them, one within the other."""
    protocol, publisher = opened(most=1000)
    sent = [publisher.publish("", "q", b"") for _ in range(5000)]
    tried: list[None] = []

    def no_more() -> Deferred[Any]:
        tried.append(None)
        return fail(ConnectionError("closed"))

    protocol.opens = no_more
    protocol.lose(ConnectionError("it is gone"))
    assert [type(outcome(each)) for each in sent] == [UnconfirmedError] * 1000 + [PublishError] * 4000
    assert tried == []


def test_who_hears_of_a_message_may_end_the_connection() -> None:
    """All that one confirmation was for are confirmed, and each frees one place."""
    protocol, publisher = opened()
    sent = [publisher.publish("", "q", bytes([n])) for n in range(5)]
    sent[0].addCallback(lambda _: protocol.lose(ConnectionError("it is gone")))
    protocol.channels[0].ack(5, multiple=True)
    assert list(map(type, map(outcome, sent))) == [type(None)] * 4 + [UnconfirmedError]
    assert publisher._free == 10


def test_nothing_waits_for_a_connection_that_has_ended() -> None:
    """Also if the broker had blocked it: nobody will ever unblock it."""
    protocol, publisher = opened()
    protocol.is_blocked = True
    protocol.lose(ConnectionError("it is gone"))
    error = outcome(publisher.publish("", "q", b""))
    assert (type(error), error.msg.endswith("was not sent: the connection is closed")) == (PublishError, True)


def test_so_many_bytes_wait() -> None:
    """A broker that takes nothing does not fill the memory; a single message may be of any size."""
    protocol, publisher = opened(most=1, max_waiting=25_000)
    protocol.is_blocked = True
    body = bytes(10_000)
    sent = [publisher.publish("", "q", body) for _ in range(3)]
    error = outcome(sent[2])
    assert (type(error), "2 wait already, with 22048 bytes" in error.msg) == (PublishError, True)
    sent[0].addErrback(lambda failure: None).cancel()
    assert outcome(publisher.publish("", "q", body)) == "waits"
    protocol.is_blocked = False
    protocol.on_unblocked()
    protocol.channels[0].ack(2)
    protocol.channels[0].ack(3)
    assert publisher._size == 0
    protocol.is_blocked = True
    assert outcome(publisher.publish("", "q", bytes(30_000))) == "waits"


def test_nothing_is_sent_while_the_broker_blocks() -> None:
    """It lacks memory or disk; what waits is sent, in order, when it has them again."""
    protocol, publisher = opened()
    protocol.is_blocked = True
    sent = [publisher.publish("", "q", body) for body in (b"1", b"2")]
    assert protocol.channels[0].bodies == []
    protocol.is_blocked = False
    protocol.on_unblocked()
    assert protocol.channels[0].bodies == [b"1", b"2"]
    protocol.channels[0].ack(3, multiple=True)
    assert list(map(outcome, sent)) == [None, None]


def test_a_channel_that_opens_while_the_broker_blocks_waits_too() -> None:
    """A message that waits for its channel is held back as all others are."""
    protocol = Protocol()
    publisher = Publisher(protocol, 10)
    publisher.publish("", "q", b"1")
    protocol.is_blocked = True
    protocol.channels[0].confirms()
    assert protocol.channels[0].bodies == []
    protocol.is_blocked = False
    protocol.on_unblocked()
    assert protocol.channels[0].bodies == [b"1"]


def test_a_channel_that_cannot_be_opened_is_told() -> None:
    """The message was not sent; the next one tries again."""
    protocol = Protocol(opens=lambda: fail(ConnectionError("no more channels")))
    publisher = Publisher(protocol, 10)
    error = outcome(publisher.publish("", "q", b"1"))
    assert (type(error), "was not sent: ConnectionError: no more channels" in error.msg) == (PublishError, True)
    protocol.opens = None
    publisher.publish("", "q", b"2")
    protocol.channels[0].confirms()
    assert protocol.channels[0].bodies == [b"2"]


def test_what_has_no_place_in_amqp_fails_alone() -> None:
    """The channel is as good as before."""
    protocol, publisher = opened(most=1)
    error = outcome(publisher.publish("", "q", b"", BasicProperties(headers={"x": 1.5})))
    assert type(error) is PublishError
    assert error.msg.endswith("cannot be sent: 1.5 is of the class float, which it does not know")
    publisher.publish("", "q", b"next")
    assert protocol.channels[0].bodies == [b"next"]


def test_any_number_of_messages_may_have_no_place_in_amqp() -> None:
    """Each is told why, and the next one is sent."""
    protocol, publisher = opened(most=1)
    publisher.publish("", "q", b"")
    bad = [publisher.publish("", "q", b"", BasicProperties(headers={"x": 1.5})) for _ in range(2000)]
    publisher.publish("", "q", b"next")
    protocol.channels[0].ack(2)
    assert {type(outcome(each)) for each in bad} == {PublishError}
    assert outcome(bad[-1]) is None
    assert protocol.channels[0].bodies == [b"", b"next"]


def test_without_waiting_for_confirmation_what_is_wrong_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It fires when the message is sent; a message that comes back is not forgotten in silence."""
    protocol, publisher = opened(most=1)
    sent = publisher.publish("", "nowhere", b"1", confirm=False)
    assert outcome(sent) is None
    publisher.publish("", "q", b"2")
    assert protocol.channels[0].bodies == [b"1"]  # it is under way all the same
    protocol.channels[0].give_back("nowhere", b"1")
    with caplog.at_level(logging.WARNING):
        protocol.channels[0].ack(2)
    assert "UnroutableError: no queue takes a message" in caplog.text
    assert protocol.channels[0].bodies == [b"1", b"2"]


def test_channels_of_exchanges_that_are_not_used_are_closed() -> None:
    """Names of exchanges may come from anywhere; channels are few."""
    protocol = Protocol()
    publisher = Publisher(protocol, 10)
    for n in range(100):
        sent = publisher.publish(f"exchange{n}", "", b"")
        protocol.channels[-1].confirms()
        protocol.channels[-1].ack(1)
        assert outcome(sent) is None
        publisher.publish("often", "", b"")
        if n == 0:
            protocol.channels[1].confirms()
        protocol.channels[1].ack(n + 1)
    assert sum(channel.is_open for channel in protocol.channels) <= 32
    assert (protocol.channels[-1].is_open, protocol.channels[1].is_open) == (True, True)


@given(
    most=st.integers(1, 4),
    moves=st.lists(
        st.sampled_from(
            [
                "publish",
                "publish",
                "publish",
                "ack",
                "ack up to",
                "nack",
                "return",
                "cancel",
                "block",
                "unblock",
                "close",
            ]
        ),
        min_size=10,
        max_size=80,
    ),
    data=st.data(),
)
def test_each_message_ends_once_and_as_the_broker_says(most: int, moves: list[str], data: Any) -> None:
    """Whatever the order of confirmations, returns, blocks and losses: nobody waits for ever, none is told wrongly."""
    protocol = Protocol()
    publisher = Publisher(protocol, most)
    world = World(protocol, publisher)
    for move in moves:
        world.move(move, data)
        assert len(world.unconfirmed) <= most
    world.end()
    assert all(each.called for each in world.sent.values())
    for number, expected in world.expected.items():
        assert type(world.outcomes[number]) is expected, number


class World:
    """A model of a broker: what it has got on the channel that is open, and what each message has to be told."""

    def __init__(self, protocol: Protocol, publisher: Publisher) -> None:
        self.protocol, self.publisher = protocol, publisher
        self.sent: dict[int, Deferred[None]] = {}
        self.outcomes: dict[int, Any] = {}
        self.expected: dict[int, type] = {}
        #: By the tag of the present channel.
        self.unconfirmed: dict[int, int] = {}
        self.returned = 0
        self.taken = 0

    def move(self, move: str, data: Any) -> None:
        getattr(self, move.replace(" ", "_"))(data)
        self.take()

    def take(self) -> None:
        """Notice what was written."""
        if self.protocol.channels and self.protocol.channels[-1].is_open:
            channel = self.protocol.channels[-1]
            if not hasattr(channel, "is_selected"):
                channel.is_selected = True  # type: ignore[attr-defined] # the model's own mark
                channel.confirms()
            for body in channel.bodies[self.taken :]:
                self.taken += 1
                self.unconfirmed[self.taken] = int(body)

    def publish(self, data: Any) -> None:
        number = len(self.sent)
        self.sent[number] = sent = self.publisher.publish("", "q", str(number).encode())
        sent.addBoth(lambda result: self.outcomes.__setitem__(number, getattr(result, "value", None)))

    def confirm(self, data: Any, settle: Any, expected: type, multiple: bool = False) -> None:
        if self.unconfirmed:
            tag = data.draw(st.sampled_from(sorted(self.unconfirmed)))
            for each in [each for each in self.unconfirmed if each == tag or (multiple and each < tag)]:
                self.expected.setdefault(self.unconfirmed.pop(each), expected)
            settle(tag, multiple)

    def ack(self, data: Any) -> None:
        if self.protocol.channels:
            self.confirm(data, self.protocol.channels[-1].ack, type(None))

    def ack_up_to(self, data: Any) -> None:
        if self.protocol.channels:
            self.confirm(data, self.protocol.channels[-1].ack, type(None), multiple=True)

    def nack(self, data: Any) -> None:
        if self.protocol.channels:
            self.confirm(data, self.protocol.channels[-1].nack, PublishError)

    def return_(self, data: Any) -> None:
        behind = [tag for tag in self.unconfirmed if tag > self.returned]
        if behind:
            self.returned = data.draw(st.sampled_from(behind))
            number = self.unconfirmed[self.returned]
            self.expected.setdefault(number, UnroutableError)
            self.protocol.channels[-1].give_back("q", str(number).encode())

    def cancel(self, data: Any) -> None:
        waiting = [number for number, sent in self.sent.items() if not sent.called]
        if waiting:
            number = data.draw(st.sampled_from(waiting))
            self.expected[number] = CancelledError
            self.sent[number].cancel()

    def block(self, data: Any) -> None:
        self.protocol.is_blocked = True

    def unblock(self, data: Any) -> None:
        self.protocol.is_blocked = False
        self.protocol.on_unblocked()

    def close(self, data: Any) -> None:
        if self.protocol.channels:
            lost, self.unconfirmed = self.unconfirmed, {}
            self.taken = self.returned = 0
            for number in lost.values():
                self.expected.setdefault(number, UnconfirmedError)
                if self.expected[number] is UnroutableError:
                    self.expected[number] = UnconfirmedError  # it was not confirmed in the end
            self.protocol.channels[-1].close(ChannelClosedByBroker(541, "INTERNAL_ERROR"))

    def end(self) -> None:
        for number in self.unconfirmed.values():
            self.expected[number] = self.expected.get(number, UnconfirmedError)
            if self.expected[number] is UnroutableError:
                self.expected[number] = UnconfirmedError
        self.protocol.lose(ConnectionError("the end"))


setattr(World, "return", World.return_)
