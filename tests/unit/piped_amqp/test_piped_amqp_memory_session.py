"""Sessions of the broker in memory: from the handshake to the end, whatever a client sends."""

from __future__ import annotations

import random
import struct

import pytest
from memory_stage import CHANNEL, HANDSHAKE, HEADER, OPEN, START_OK, World, answers
from pika import spec
from pika.frame import Body, Header, Heartbeat

from piped_amqp.memory.frames import content_frames, method_frame

#: Of a body of one byte.
HEADER_OF_ONE = Header(1, 1, spec.BasicProperties()).marshal()


def sent(world: World, data: bytes) -> list[object]:
    client = world.raw()
    client.transport.write(data)
    world.turn()
    return answers(client.received)


def test_another_protocol_is_told_which_one_is_spoken():
    """A client that is no AMQP 0-9-1 gets the header of it, and the end."""
    world = World()
    for wrong in (b"GET / HTTP/1.1\r\n\r\n", b"AMQP\x00\x01\x00\x00"):
        client = world.raw()
        client.transport.write(wrong)
        world.turn()
        assert client.received == HEADER
        assert client.lost is not None
    assert world.clock.getDelayedCalls() == []


def test_who_says_nothing_is_cut():
    """A client that does not finish its handshake is cut after ten seconds."""
    world = World()
    client = world.raw()
    client.transport.write(HEADER)
    world.clock.advance(9)
    assert client.lost is None
    world.clock.advance(2)
    assert client.lost is not None


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (HEADER + b"\x09", None),
        (HEADER + bytes(8), 501),
        (HEADER + START_OK + method_frame(0, spec.Connection.TuneOk(0, 131073, 0)), 530),
        (HEADER + START_OK + method_frame(1, spec.Channel.Open()), 503),
        (HANDSHAKE + method_frame(0, spec.Channel.Open()), 503),
        (HANDSHAKE + Body(0, b"").marshal(), 503),
        (HANDSHAKE + method_frame(7, spec.Queue.Declare(queue="q")), 504),
        (HANDSHAKE + method_frame(2048, spec.Channel.Open()), 504),
        (CHANNEL + method_frame(1, spec.Channel.Open()), 504),
        (CHANNEL + Body(1, b"").marshal(), 505),
        (CHANNEL + method_frame(1, spec.Basic.Publish()) + Body(1, b"").marshal(), 505),
        (CHANNEL + method_frame(1, spec.Basic.Publish()) + method_frame(1, spec.Channel.Flow(True)), 505),
        (CHANNEL + content_frames(1, spec.Basic.Publish(), bytes(2), b"ab", 4096) + Body(1, b"x").marshal(), 505),
        (CHANNEL + method_frame(1, spec.Basic.Publish()) + HEADER_OF_ONE + Body(1, b"xy").marshal(), 505),
        (CHANNEL + method_frame(1, spec.Basic.Publish()) + HEADER_OF_ONE + HEADER_OF_ONE, 505),
        (CHANNEL + method_frame(1, spec.Tx.Select()), 540),
        (CHANNEL + method_frame(1, spec.Channel.Flow(False)), 540),
        (CHANNEL + method_frame(1, spec.Basic.Recover(False)), 540),
        (CHANNEL + content_frames(1, spec.Basic.Publish(immediate=True), bytes(2), b"", 4096), 540),
    ],
)
def test_what_must_not_come_ends_the_connection(data, code):
    """Frames at the wrong time and methods that are not there are answered with the code that AMQP has for them."""
    world = World()
    *_, last = sent(world, data)
    assert getattr(last, "reply_code", None) == code


def test_a_body_that_is_too_large_closes_its_channel_only():
    """A message is refused by what its header says, before it is held; what still comes of it does no harm."""
    publish = method_frame(1, spec.Basic.Publish(exchange="", routing_key="q"))
    header = struct.pack(">HxxQH", 60, 2**27 + 1, 0)
    frame = struct.pack(">BHI", 2, 1, len(header)) + header + b"\xce"
    got = sent(World(), CHANNEL + publish + frame + Body(1, b"x").marshal() + method_frame(2, spec.Channel.Open()))
    close, opened = got[-2:]
    assert (close.reply_code, isinstance(opened, spec.Channel.OpenOk)) == (406, True)


def test_a_channel_can_be_opened_again_after_its_error():
    """What comes for a channel that was closed is ignored until the client knows it, and then it is free again."""
    missing = method_frame(1, spec.Queue.Declare(queue="q", passive=True))
    again = method_frame(1, spec.Channel.CloseOk()) + method_frame(1, spec.Channel.Open())
    got = sent(World(), CHANNEL + missing + missing + again + method_frame(1, spec.Queue.Declare(queue="q")))
    assert [type(each) for each in got[-3:]] == [spec.Channel.Close, spec.Channel.OpenOk, spec.Queue.DeclareOk]
    both = sent(World(), CHANNEL + missing + method_frame(1, spec.Channel.Close(200, "", 0, 0)))
    assert [type(each) for each in both[-2:]] == [spec.Channel.Close, spec.Channel.CloseOk]


def test_a_client_that_does_not_answer_a_close_is_cut():
    """After an error the connection ends, at the client's answer or after ten seconds; what it held is free at once."""
    for answer, patience in ((method_frame(0, spec.Connection.CloseOk()), 0), (b"", 10), (bytes(8), 0)):
        world = World()
        client = world.raw()
        client.transport.write(CHANNEL + method_frame(1, spec.Queue.Declare(queue="q", exclusive=True)) + bytes(8))
        world.turn()
        assert client.lost is None
        assert world.broker.queues == {}
        client.transport.write(answer)
        world.clock.advance(patience)
        assert client.lost is not None
        assert world.clock.getDelayedCalls() == []


def test_heartbeats_go_both_ways():
    """A client hears a heartbeat in every half of the interval; one that says nothing for two of them is cut."""
    world = World()
    client = world.raw()
    client.transport.write(HEADER + START_OK + method_frame(0, spec.Connection.TuneOk(0, 0, 10)) + OPEN)
    for _ in range(10):
        client.transport.write(Heartbeat().marshal())
        world.clock.advance(5)
    assert sum(isinstance(each, Heartbeat) for each in answers(client.received)) >= 10
    for _ in range(3):
        world.clock.advance(5)
    assert client.lost is None
    for _ in range(2):
        world.clock.advance(5)
    assert client.lost is not None
    assert world.clock.getDelayedCalls() == []


def test_a_quiet_connection_lives_on():
    """The heartbeats of both keep a connection on which nothing else happens."""
    world = World()
    protocol = world.connect(heartbeat=4)
    for _ in range(600):
        world.clock.advance(0.5)
    assert protocol.is_open


def test_a_client_that_reads_slowly_is_not_flooded():
    """Without a prefetch count, deliveries wait in the queue while the client does not read."""
    world = World()
    channel = world.channel()
    world.run(channel.queue_declare("q"))
    for _ in range(100):
        channel.basic_publish("", "q", b"x" * 10_000)
    world.turn()
    got: list[bytes] = []
    slow = world.channel()
    world.run(slow.consume("q", lambda method, properties, body: got.append(body), on_cancelled=lambda reason: None))
    queue = world.broker.queues["q"]
    assert len(got) == 100
    slow.protocol.transport.pauseProducing()
    for _ in range(100):
        channel.basic_publish("", "q", b"x" * 10_000)
    world.turn()
    assert (len(got), len(queue) > 80) == (100, True)
    slow.protocol.transport.resumeProducing()
    world.turn()
    assert (len(got), len(queue)) == (200, 0)


def test_what_a_dead_connection_held_goes_to_nobody_on_it():
    """A message comes back once from a connection that ends, and is not passed on to its other channels."""
    world = World()
    publisher = world.channel()
    world.run(publisher.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"}))
    protocol = world.connect()
    for _ in range(2):
        channel = world.run(protocol.open_channel())
        world.run(channel.consume("q", lambda *_: None, on_cancelled=lambda reason: None))
    publisher.basic_publish("", "q", b"1")
    world.turn()
    protocol.transport.abortConnection()
    world.turn()
    assert world.run(publisher.basic_get("q")).properties.headers == {"x-delivery-count": 1}


def test_a_failure_of_the_broker_ends_the_connection_only(caplog):
    """Whatever goes wrong inside is logged and told as error 541; other connections live on."""
    world = World()
    other = world.channel()
    world.broker.declare_exchange = None
    *_, last = sent(world, CHANNEL + method_frame(1, spec.Exchange.Declare(exchange="e")))
    assert last.reply_code == 541
    assert "the broker in memory failed" in caplog.text
    world.run(other.queue_declare("q"))


def test_no_bytes_break_the_broker(caplog):
    """Two thousand streams of damaged frames: each is answered or cut, the broker never fails, and nothing is left."""
    chance = random.Random(7)
    world = World()
    good = [
        method_frame(0, spec.Connection.Close(200, "", 0, 0)),
        *(
            method_frame(1, method)
            for method in (
                spec.Queue.Declare(queue="q", arguments={"x-message-ttl": 1000, "a": [1, {"b": None}]}),
                spec.Queue.Declare(queue="", exclusive=True),
                spec.Queue.Bind(queue="q", exchange="amq.match", routing_key="k", arguments={"x-match": "any", "h": 1}),
                spec.Queue.Unbind(queue="q", exchange="amq.topic", routing_key="#"),
                spec.Queue.Purge(queue="q"),
                spec.Queue.Delete(queue="q"),
                spec.Exchange.Declare(exchange="e", type="topic"),
                spec.Exchange.Delete(exchange="e"),
                spec.Confirm.Select(),
                spec.Basic.Qos(prefetch_count=2),
                spec.Basic.Consume(queue="q", consumer_tag="t"),
                spec.Basic.Consume(queue="amq.rabbitmq.reply-to", no_ack=True),
                spec.Basic.Cancel("t"),
                spec.Basic.Get(queue="q"),
                spec.Basic.Ack(1, True),
                spec.Basic.Nack(1),
                spec.Basic.Reject(2, False),
                spec.Basic.Recover(True),
                spec.Channel.Close(200, "", 0, 0),
                spec.Channel.Open(),
                spec.Channel.CloseOk(),
            )
        ),
    ]
    headers = spec.BasicProperties(
        headers={"h": 1, "x-death": [{"queue": "q", "count": 1}]}, expiration="9", reply_to="r"
    )
    for key in ("q", "nobody"):
        publish = spec.Basic.Publish(exchange="", routing_key=key, mandatory=True)
        good.append(content_frames(1, publish, b"".join(headers.encode()), b"body", 4096))
    for _ in range(2000):
        stream = bytearray(b"".join(chance.choices(good, k=chance.randint(1, 8))))
        for _ in range(chance.choice((0, 1, 1, 3))):
            stream[chance.randrange(len(stream))] = chance.randrange(256)
        client = world.raw()
        client.transport.write(CHANNEL + bytes(stream))
        world.turn()
        answers(client.received)
        client.transport.abortConnection()
        world.turn()
    assert "failed" not in caplog.text
    assert world.run(world.channel().queue_declare("after")).method.queue == "after"
    assert not any(queue.consumers or queue.owner for queue in world.broker.queues.values())
    assert world.broker.replies == {}
