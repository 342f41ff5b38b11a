"""Channels of the broker in memory, beyond what the suite for both brokers says."""

from __future__ import annotations

import pytest
from memory_stage import CHANNEL, HANDSHAKE, HEADER, OPEN, START_OK, TUNE_OK, World, answers
from pika import BasicProperties, spec
from pika.exceptions import ChannelClosedByBroker

from piped_amqp.memory.frames import content_frames, method_frame


def test_a_priority_is_a_number():
    """Anything else is error 406."""
    world = World()
    channel = world.channel()
    world.run(channel.queue_declare("q"))
    with pytest.raises(ChannelClosedByBroker) as raised:
        world.run(channel.consume("q", print, on_cancelled=print, arguments={"x-priority": "high"}))
    assert raised.value.reply_code == 406


def test_a_tag_names_one_consumer():
    """A second consumer of the same tag on a channel is error 530, which ends the connection."""
    client = (world := World()).raw()
    declare = method_frame(1, spec.Queue.Declare(queue="q"))
    consume = method_frame(1, spec.Basic.Consume(queue="q", consumer_tag="t"))
    client.transport.write(CHANNEL + declare + consume + consume)
    world.turn()
    assert answers(client.received)[-1].reply_code == 530


def test_one_consumer_of_replies_is_enough():
    """A second one on the same channel is error 406; after a cancel there may be another one."""
    world = World()
    channel = world.channel()

    def consume():
        return world.run(channel.consume("amq.rabbitmq.reply-to", print, on_cancelled=print, no_ack=True))

    tag = consume()
    world.run(channel.basic_cancel(tag))
    consume()
    with pytest.raises(ChannelClosedByBroker) as raised:
        consume()
    assert raised.value.reply_code == 406
    assert world.broker.replies == {}


def test_who_has_not_asked_for_it_is_not_told_of_a_deleted_queue():
    """Only a client that says that it understands is sent a cancel."""
    declare = method_frame(1, spec.Queue.Declare(queue="q"))
    consume = method_frame(1, spec.Basic.Consume(queue="q", consumer_tag="t"))
    delete = method_frame(1, spec.Queue.Delete(queue="q"))
    asks = spec.Connection.StartOk({"capabilities": {"consumer_cancel_notify": True}}, "PLAIN", b"", "en_US")
    for start_ok, expected in ((START_OK, False), (method_frame(0, asks), True)):
        world = World()
        client = world.raw()
        opened = HEADER + start_ok + TUNE_OK + OPEN + method_frame(1, spec.Channel.Open())
        client.transport.write(opened + declare + consume + delete)
        world.turn()
        assert any(isinstance(each, spec.Basic.Cancel) for each in answers(client.received)) is expected


def test_who_wants_no_answer_gets_none():
    """Methods with `nowait` are done without a word."""
    world = World()
    client = world.raw()
    quiet = [
        spec.Queue.Declare(queue="q", nowait=True),
        spec.Exchange.Declare(exchange="e", nowait=True),
        spec.Queue.Bind(queue="q", exchange="e", routing_key="k", nowait=True),
        spec.Basic.Consume(queue="q", consumer_tag="t", nowait=True),
        spec.Basic.Cancel("t", nowait=True),
        spec.Confirm.Select(nowait=True),
    ]
    client.transport.write(CHANNEL + b"".join(method_frame(1, method) for method in quiet))
    world.turn()
    assert isinstance(answers(client.received)[-1], spec.Channel.OpenOk)
    assert world.broker.exchanges["e"].route("k", {}) == {"q"}


def test_frames_are_as_small_as_the_client_wants_them():
    """A body is cut into frames of the size that was agreed upon."""
    world = World()
    client = world.raw()
    small = method_frame(0, spec.Connection.TuneOk(0, 4096, 0))
    opened = HANDSHAKE.replace(TUNE_OK, small) + method_frame(1, spec.Channel.Open())
    properties = b"".join(BasicProperties().encode())
    publish = content_frames(1, spec.Basic.Publish(exchange="", routing_key="q"), properties, b"x" * 10_000, 4096)
    get = method_frame(1, spec.Basic.Get(queue="q", no_ack=True))
    client.transport.write(opened + method_frame(1, spec.Queue.Declare(queue="q")) + publish + get)
    world.turn()
    assert [len(each.fragment) for each in answers(client.received)[-3:]] == [4088, 4088, 1824]
