"""Tests of `piped_amqp.channels` and `piped_amqp.settling`: consumers, and deliveries that are settled once."""

from __future__ import annotations

import pytest
from amqp_connecting import Link, delivery
from pika import frame, spec
from pika.exceptions import ChannelClosed, ConsumerCancelled, ShortStringTooLong

from piped_amqp.settling import MOST_DUE


@pytest.fixture
def link():
    return Link()


class Consumer:
    """Notes what comes, and how it ended."""

    def __init__(self, link, queue="work", **options):
        self.link, self.channel = link, link.channel()
        self.got, self.ended = [], []
        consuming = self.channel.consume(queue, self.delivered, on_cancelled=self.ended.append, **options)
        self.tag = link.result(consuming)

    def delivered(self, method, properties, body):
        self.got.append((method.delivery_tag, body))


class Frames:
    """Notes what a channel sends: the names of methods and what they carry."""

    def __init__(self, link):
        self._sent = []
        transport, link = link.protocol._impl._transport, link
        write = transport.write

        def noted(data):
            at = 0
            while at < len(data):
                size, one = frame.decode_frame(data[at:])
                at += size
                if isinstance(one, frame.Method):
                    self._sent.append(one.method)
            write(data)

        transport.write = noted

    def take(self):
        sent, self._sent = self._sent, []
        return sent

    @property
    def acks(self):
        return [(one.delivery_tag, one.multiple) for one in self.take() if isinstance(one, spec.Basic.Ack)]


def test_messages_come_as_they_were_published(link):
    """A consumer gets method, properties and body of each message, in order."""
    link.queue("work", b"one", b"", b"three")
    assert Consumer(link).got == [(1, b"one"), (2, b""), (3, b"three")]


def test_settled_deliveries_leave_the_queue(link):
    """What is acknowledged is gone, what is given back is there again."""
    link.queue("work", b"one", b"two", b"three")
    consumer = Consumer(link)
    assert consumer.channel.basic_ack(1)
    assert consumer.channel.basic_reject(2, requeue=False)
    link.result(consumer.channel.close())
    assert link.waiting("work") == 1


def test_a_delivery_is_settled_once(link):
    """Who settles what is settled, or what was never delivered, does nothing and is told so."""
    link.queue("work", b"one", b"two")
    channel = Consumer(link).channel
    assert [channel.basic_ack(1), channel.basic_ack(1), channel.basic_nack(1), channel.basic_reject(1)] == [
        True,
        False,
        False,
        False,
    ]
    assert [channel.basic_nack(2), channel.basic_ack(2), channel.basic_ack(17)] == [True, False, False]
    link.turn()
    assert channel.is_open


def test_it_is_known_what_waits_to_be_settled(link):
    """A delivery is unsettled from its coming until it is settled; one without acknowledgement never is."""
    link.queue("work", b"one", b"two")
    link.queue("free", b"one")
    channel = Consumer(link).channel
    assert [channel.is_unsettled(tag) for tag in (1, 2, 3)] == [True, True, False]
    channel.basic_ack(1)
    assert (channel.is_unsettled(1), channel.unsettled) == (False, 1)
    free = Consumer(link, "free", no_ack=True)
    assert (free.got, free.channel.is_unsettled(1), free.channel.basic_ack(1)) == ([(1, b"one")], False, False)


def test_acknowledgements_of_a_turn_go_out_together(link):
    """Those in a row are one frame at the end of the turn; one that is left out is never meant."""
    link.queue("work", *[b"x"] * 10)
    channel, frames = Consumer(link).channel, Frames(link)
    for tag in (1, 2, 3, 5, 4, 7):
        channel.basic_ack(tag)
    assert frames.acks == []
    link.turn()
    assert frames.acks == [(5, True), (7, False)]


def test_what_is_acknowledged_while_reading_goes_out_after_it(link):
    """A consumer that acknowledges at once has one frame sent for all that was read."""
    link.queue("work", *[b"x"] * 10)
    channel, frames = link.channel(), Frames(link)
    channel.consume("work", lambda method, *_: channel.basic_ack(method.delivery_tag), on_cancelled=print)
    link.turn()
    assert frames.acks == [(10, True)]
    assert link.waiting("work") == 0


def test_many_acknowledgements_are_not_kept_back(link):
    """In a long turn the broker hears of some already, so that it goes on sending."""
    link.queue("work", *[b"x"] * (MOST_DUE + 1))
    channel, frames = Consumer(link).channel, Frames(link)
    for tag in range(1, MOST_DUE + 2):
        channel.basic_ack(tag)
    assert frames.acks == [(MOST_DUE, True)]


def test_all_up_to_one_are_settled(link):
    """With `multiple` all are meant that wait, up to that one; 0 stands for the last that has come."""
    link.queue("work", *[b"x"] * 6)
    channel, frames = Consumer(link).channel, Frames(link)
    channel.basic_nack(1)
    assert channel.basic_ack(3, multiple=True)
    assert not channel.basic_ack(3, multiple=True)
    assert channel.basic_nack(0, multiple=True, requeue=False)
    assert not channel.basic_nack(0, multiple=True)
    link.turn()
    assert [(type(one), one.delivery_tag) for one in frames.take()][:3] == [
        (spec.Basic.Nack, 1),
        (spec.Basic.Ack, 3),  # before what is given back, or it would be given back as well
        (spec.Basic.Nack, 6),  # as 0 would be meant for what is on its way, too
    ]
    assert channel.is_open


def test_what_was_got_by_hand_is_not_acknowledged_with_others(link):
    """A message from basic_get waits to be settled like any other."""
    link.queue("work", b"got")
    channel, frames = link.channel(), Frames(link)
    assert link.result(channel.basic_get("work")).body == b"got"
    link.queue("more", b"one", b"two")
    link.result(channel.consume("more", lambda *_: None, on_cancelled=print))
    assert (channel.basic_ack(2), channel.basic_ack(3)) == (True, True)
    link.turn()
    assert frames.acks == [(2, False), (3, False)]
    assert channel.is_unsettled(1)


def test_closing_sends_what_was_acknowledged(link):
    """What was acknowledged in the turn in which the channel is closed is not processed again."""
    link.queue("work", b"one", b"two")
    consumer = Consumer(link)
    consumer.channel.basic_ack(1)
    link.result(consumer.channel.close())
    assert link.waiting("work") == 1
    assert link.result(consumer.channel.close()) is None  # a second time it is closed at once


def test_a_closed_channel_settles_nothing(link):
    """On a channel that the broker has closed, settling does nothing: the broker has taken everything back."""
    link.queue("work", b"one", b"two")
    consumer = Consumer(link)
    consumer.channel.basic_ack(1)
    link.tell(consumer.channel.channel_number, spec.Channel.Close(406, "PRECONDITION_FAILED", 0, 0))
    channel = consumer.channel
    assert [channel.basic_ack(2), channel.basic_nack(2), channel.basic_reject(2)] == [False] * 3
    assert not channel.is_unsettled(2)
    with pytest.raises(ChannelClosed):
        link.result(channel.consume("work", print, on_cancelled=print))


def test_a_consumer_hears_that_the_broker_has_ended_it(link):
    """When the queue is deleted `on_cancelled` is called with the reason, once."""
    link.queue("work")
    consumer = Consumer(link)
    link.result(link.channel().queue_delete("work"))
    assert [type(one) for one in consumer.ended] == [ConsumerCancelled]
    assert link.result(consumer.channel.basic_cancel(consumer.tag)) is None  # there is nothing left to end
    assert consumer.channel.is_open


def test_who_ends_a_consumer_is_not_told_of_it(link):
    """A consumer that was cancelled gets nothing more, and no `on_cancelled`."""
    link.queue("work")
    consumer = Consumer(link)
    link.result(consumer.channel.basic_cancel(consumer.tag))
    link.queue("work", b"late")
    assert (consumer.got, consumer.ended, link.waiting("work")) == ([], [], 1)


@pytest.mark.parametrize("comes_in_one_piece", [True, False])
def test_what_comes_while_a_consumer_ends_is_given_back(link, comes_in_one_piece):
    """Messages that were on their way are not handed over any more; others get them."""
    link.queue("work")
    consumer = Consumer(link)
    frames = Frames(link)
    consumer.channel.basic_cancel(consumer.tag)
    data = delivery(1, b"late", consumer.tag, consumer.channel.channel_number)
    for part in [data] if comes_in_one_piece else [data[:30], data[30:]]:
        link.protocol.dataReceived(part)
    rejected = [one for one in frames.take() if isinstance(one, spec.Basic.Reject)]
    assert [(one.delivery_tag, one.requeue) for one in rejected] == [(1, True)]
    assert consumer.got == []


def test_a_consumer_that_nobody_waits_for_is_ended(link):
    """Whoever gives up waiting for the consumer to begin gets no messages."""
    link.queue("work", b"one")
    got = []
    channel = link.channel()
    consuming = channel.consume("work", lambda *_: got.append(1), on_cancelled=print)
    consuming.addErrback(lambda _: None)
    consuming.cancel()
    link.turn()
    assert (got, channel.consumer_tags, link.waiting("work")) == ([], [], 1)


def test_what_is_recovered_waits_no_more(link):
    """After basic_recover the former numbers mean nothing, and are not sent."""
    link.queue("work", b"one", b"two")
    consumer = Consumer(link)
    consumer.channel.basic_ack(1)
    link.result(consumer.channel.basic_recover(requeue=True))
    assert not consumer.channel.basic_ack(2)
    assert consumer.got[2:] == [(3, b"two")]
    assert consumer.channel.is_unsettled(3)


def test_a_consumer_that_raises_ends_nothing(link, caplog):
    """What somebody's own function raises is logged; the next message comes, and the connection stays."""
    got = []

    def delivered(method, properties, body):
        got.append(body)
        raise ValueError("not today")

    link.queue("work", b"one", b"two")
    channel = link.channel()
    link.result(channel.consume("work", delivered, on_cancelled=print))
    assert (got, channel.unsettled, link.lost) == ([b"one", b"two"], 2, [])
    assert "a consumer of 'work' has failed with a message, and not settled it" in caplog.text
    assert "ValueError: not today" in caplog.text


def test_what_cannot_be_sent_fails_whoever_wanted_it_alone(link):
    """A name that is too long, also one whose turn is yet to come, disturbs neither the channel nor the connection."""
    channel = link.channel()
    one, wrong, other = (channel.queue_declare(name) for name in ("one", "x" * 300, "other"))
    with pytest.raises(ShortStringTooLong):
        link.result(wrong)
    assert link.result(one).method.queue == "one"
    assert link.result(other).method.queue == "other"
    assert not channel._calls  # nothing is left that would fail once more, with nobody to hear it
    assert link.lost == []
