"""Tests of `piped_amqp.protocol` and `piped_amqp.link`: channels by name, what is read, and why it ended."""

from __future__ import annotations

import logging

import pika.adapters.twisted_connection as adapter
import pytest
from amqp_connecting import Link, Once, Peer, delivery
from hypothesis import given, settings
from hypothesis import strategies as st
from pika import frame, spec
from pika.channel import Channel
from pika.exceptions import AMQPError, ChannelClosed, ConnectionClosedByBroker, InvalidFrameError
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from piped_amqp.parameters import Parameters
from piped_amqp.protocol import AMQProtocol
from piped_amqp.reasons import GivenUp


@pytest.fixture
def link():
    return Link()


# Channels by name


def test_a_named_channel_is_shared(link):
    """Whoever asks for the same name gets the same channel, another name another one."""
    get = link.protocol.get_named_channel
    first = link.result(get("a"))
    assert link.result(get("a")) is first
    assert link.result(get("b")) is not first
    assert first.protocol is link.protocol


def test_who_asks_at_the_same_time_waits_for_one_opening(link):
    """Concurrent requests for a name open one channel."""
    waiting = [link.protocol.get_named_channel("a") for _ in range(3)]
    channels = [link.result(each) for each in waiting]
    assert channels[0] is channels[1] is channels[2]
    assert len(link.protocol._impl._channels) == 1


def test_a_named_channel_that_was_closed_is_opened_anew(link):
    """The next request after a channel was closed gets one that is open."""
    first = link.result(link.protocol.get_named_channel("a"))
    with pytest.raises(ChannelClosed, match="404"):
        link.result(first.queue_declare("missing", passive=True))
    second = link.result(link.protocol.get_named_channel("a"))
    assert second is not first
    assert second.is_open


def test_a_failed_opening_is_told_to_all_who_wait_and_forgotten():
    """All that wait for a channel hear of the failure; the next request tries it again."""
    protocol, peer, told = AMQProtocol(Parameters().for_pika("x"), Clock()), Peer(), []
    peer.connect(Once(protocol))
    peer.greet()
    for _ in range(3):
        protocol.get_named_channel("a").addErrback(told.append)
    peer.tell(1, spec.Channel.Close(504, "CHANNEL_ERROR", 0, 0))
    assert [failure.value.reply_code for failure in told] == [504] * 3
    protocol.get_named_channel("a").addCallback(told.append)
    peer.tell(1, spec.Channel.OpenOk())
    assert told[3].is_open


def test_who_gives_up_waiting_takes_the_channel_from_nobody(link):
    """One of several who wait may leave."""
    left, stays = link.protocol.get_named_channel("a"), link.protocol.get_named_channel("a")
    left.addErrback(lambda _: None)
    left.cancel()
    assert link.result(stays).is_open


def test_a_channel_that_nobody_waits_for_is_closed(link):
    """Whoever gives up waiting for a channel leaves none behind."""
    opening = link.protocol.open_channel()
    opening.addErrback(lambda _: None)
    opening.cancel()
    link.turn()
    assert link.protocol._impl._channels == {}


def test_a_lost_connection_gives_no_channels(link):
    """Channels fail, and do not raise, whether the connection is lost before or while they are opened."""
    opening = link.protocol.open_channel()
    link.protocol.give_up(GivenUp("it is enough"))
    failing = [opening, link.protocol.open_channel(), link.protocol.get_named_channel("a")]
    for each in failing:
        with pytest.raises(AMQPError):
            link.result(each)


# Why it ended


def test_the_reason_of_the_broker_is_kept(link):
    """What a broker says when it closes a connection is what `on_lost` and `closed` tell."""
    closed = link.protocol.closed
    link.tell(0, spec.Connection.Close(320, "CONNECTION_FORCED - broker forced connection closure", 0, 0))
    link.turn()
    (lost,) = link.lost
    assert isinstance(lost.value, ConnectionClosedByBroker)
    assert (lost.value.reply_code, "broker forced" in lost.value.reply_text) == (320, True)
    assert link.result(closed) is lost.value


def test_channels_hear_of_a_lost_connection(link):
    """Whoever waits on a channel is told when the connection ends, and what was delivered waits no more."""
    link.queue("work", b"one")
    channel = link.channel()
    link.result(channel.consume("work", lambda *_: None, on_cancelled=print))
    asking = channel.queue_declare("other")
    link.protocol.connectionLost(Failure(ConnectionLost("cut")))
    with pytest.raises(AMQPError):
        link.result(asking)
    assert not channel.basic_ack(1)
    assert [type(lost.value) for lost in link.lost] == [ConnectionLost]


def test_a_heartbeat_that_does_not_come_ends_the_connection():
    """A broker that was silent for longer than its heartbeat and some seconds is left, with that reason."""
    link = Link(heartbeat=4)
    link.protocol._impl._transport.pauseProducing()  # nothing arrives any more
    for _ in range(40):
        link.clock.advance(0.5)
    assert [type(lost.value).__name__ for lost in link.lost] == ["AMQPHeartbeatTimeout"]


def test_closing_says_goodbye(link):
    """`close` ends channels and connection; it fires when that is done, and at once on a closed connection."""
    channel = link.channel()
    link.result(link.protocol.close())
    assert channel.is_closed
    assert len(link.lost) == 1
    assert link.result(link.protocol.close()) is None
    assert link.clock.getDelayedCalls() == []


def test_a_peer_that_speaks_no_amqp_is_left():
    """An answer that is no frame ends the connection with what was said."""
    protocol, peer = AMQProtocol(Parameters().for_pika("x"), Clock()), Peer()
    failures = []
    protocol.ready.addErrback(failures.append)
    peer.connect(Once(protocol))
    protocol.dataReceived(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert isinstance(failures[0].value, InvalidFrameError)
    assert "HTTP/1.1 400" in str(failures[0].value)
    assert not peer.transports[0].connected


@given(st.binary(min_size=1, max_size=200))
@settings(max_examples=80, deadline=None)
def test_whatever_a_peer_says_the_connection_survives_or_ends_in_order(garbage):
    """Any bytes instead of a greeting are waited for, or end the connection; nothing is raised."""
    protocol, peer = AMQProtocol(Parameters().for_pika("x"), Clock()), Peer()
    protocol.ready.addErrback(lambda _: None)
    peer.connect(Once(protocol))
    protocol.dataReceived(garbage)


def test_a_message_of_the_wrong_size_ends_the_connection(link):
    """A body that is longer than its header says is not delivered."""
    link.queue("work")
    channel, got = link.channel(), []
    tag = link.result(channel.consume("work", lambda *it: got.append(it), on_cancelled=print))
    data = delivery(1, b"too long", tag, channel.channel_number)
    header = frame.Header(channel.channel_number, 8, spec.BasicProperties()).marshal()
    shorter = frame.Header(channel.channel_number, 3, spec.BasicProperties()).marshal()
    link.protocol.dataReceived(data.replace(header, shorter))
    link.turn()
    assert got == []
    assert len(link.lost) == 1


# What is read

bodies = st.lists(st.binary(max_size=60), min_size=1, max_size=8)
PROPERTIES = [
    spec.BasicProperties(),
    spec.BasicProperties(content_type="text/plain", headers={"a": 1, "b": ["c"]}, delivery_mode=2, reply_to="æ"),
]


@given(bodies, st.lists(st.integers(1, 90), max_size=20), st.integers(0, 20))
@settings(max_examples=50, deadline=None)
def test_messages_arrive_however_they_are_cut(written, cuts, part):
    """Bodies of any number of frames, read in pieces of any size, are delivered once, whole and in order."""
    link = Link()
    link.queue("work")
    channel, got = link.channel(), []
    consuming = channel.consume("work", lambda *delivered: got.append(delivered), on_cancelled=print)
    consumer, number = link.result(consuming), channel.channel_number
    stream = b"".join(
        delivery(tag, body, consumer, number, PROPERTIES[tag % 2], part) for tag, body in enumerate(written, 1)
    )
    at = 0
    for cut in [*cuts, len(stream)]:
        link.protocol.dataReceived(stream[at : at + cut])
        at += cut
    assert [body for _, _, body in got] == written
    assert [(method.delivery_tag, method.consumer_tag) for method, _, _ in got] == [
        (tag, consumer) for tag in range(1, len(written) + 1)
    ]
    assert {(method.exchange, method.routing_key, method.redelivered) for method, _, _ in got} == {
        ("exchange", "key", False)
    }
    assert [vars(properties) for _, properties, _ in got] == [
        vars(PROPERTIES[method.delivery_tag % 2]) for method, _, _ in got
    ]


def test_what_arrives_while_a_message_is_handed_over_comes_after_it(link):
    """A consumer during which more is read gets that afterwards, and once."""
    link.queue("work")
    channel, got = link.channel(), []

    def delivered(method, properties, body):
        got.append(body)
        if body == b"one":
            link.protocol.dataReceived(delivery(3, b"three", tag, channel.channel_number))
            got.append("one has ended")

    tag = link.result(channel.consume("work", delivered, on_cancelled=print))
    number = channel.channel_number
    link.protocol.dataReceived(delivery(1, b"one", tag, number) + delivery(2, b"two", tag, number))
    assert got == [b"one", "one has ended", b"two", b"three"]


def test_heartbeats_and_messages_count_as_traffic(link):
    """`traffic` grows with whatever is sent or received."""
    before = link.protocol.traffic
    link.protocol.dataReceived(frame.Heartbeat().marshal())
    assert link.protocol.traffic == before + 8
    link.protocol.open_channel()
    assert link.protocol.traffic > before + 8


# A broker that takes nothing


def test_a_blocked_connection_is_told(link, caplog):
    """While the broker takes no messages that is known, and logged with its reason."""
    told = []
    link.protocol.on_blocked += told.append
    link.protocol.on_unblocked += lambda: told.append("free")
    with caplog.at_level(logging.INFO, "piped.amqp"):
        link.tell(0, spec.Connection.Blocked("low on memory"))
        assert link.protocol.is_blocked
        link.tell(0, spec.Connection.Unblocked())
    assert (link.protocol.is_blocked, told) == (False, ["low on memory", "free"])
    assert "amqp.connection is blocked by the broker (low on memory)" in caplog.text
    assert "takes messages again" in caplog.text


LINK = """_create_channel _on_data_available _process_frame _output_marshaled_frames _adapter_emit_data connection_made
    _adapter_disconnect_stream _terminate_stream _on_stream_terminated connection_lost _frame_buffer _channels _error
    _transport _reactor bytes_received bytes_sent frames_received frames_sent params is_closing CONNECTION_INIT
    CONNECTION_PROTOCOL CONNECTION_START CONNECTION_TUNE"""
CHANNEL = (
    """_on_deliver _on_getok _set_state _send_method _consumers _consumers_with_noack _cancelled _state OPEN CLOSED"""
)
WRAPPER = """_calls _closed _channel _on_consumer_cancelled _on_channel_closed"""
PROTOCOL = """_impl _calls _on_connection_ready _on_connection_failed _on_connection_closed ready closed"""


def test_pika_is_as_it_is_relied_upon():
    """The inner names of pika that are used exist; whoever brings another pika sees here what has changed."""
    link = adapter._TwistedConnectionAdapter(None, None, None, None, Clock())
    channel = Channel(link, 1, None)
    used = {
        link: LINK,
        channel: CHANNEL,
        adapter.TwistedChannel(channel): WRAPPER,
        adapter.TwistedProtocolConnection(): PROTOCOL,
    }
    missing = [name for made, names in used.items() for name in names.split() if not hasattr(made, name)]
    assert missing == []


def test_acks_are_encoded_as_pika_would(link):
    """The frames that are written by hand are those of pika's codec."""
    from piped_amqp.settling import _ACK

    for tag, multiple in ((1, False), (2**40, True)):
        ours = _ACK(spec.FRAME_METHOD, 7, 13, spec.Basic.Ack.INDEX, tag, multiple, spec.FRAME_END)
        assert ours == frame.Method(7, spec.Basic.Ack(tag, multiple)).marshal()
