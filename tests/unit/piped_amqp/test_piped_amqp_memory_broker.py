"""The broker in memory: the way of a message, and what lives how long."""

from __future__ import annotations

from functools import partial

import pytest
from memory_stage import World
from pika import BasicProperties, spec
from pika.exceptions import ChannelClosedByBroker


def heard(into: list[object], *told: object) -> None:
    into.append(told)


def declared(world: World, name: str, **arguments):
    channel = world.channel()
    named = {f"x-{argument.replace('_', '-')}": value for argument, value in arguments.items()}
    world.run(channel.queue_declare(name, durable=True, arguments=named))
    return channel


def test_a_ladder_of_retries_takes_the_time_that_it_says():
    """A rejected message comes back after the time of the queue for later, by the clock that was handed in."""
    world = World()
    channel = declared(world, "work", dead_letter_exchange="", dead_letter_routing_key="later")
    declared(world, "later", message_ttl=60_000, dead_letter_exchange="", dead_letter_routing_key="work")
    channel.basic_publish("", "work", b"poison")
    got = world.run(channel.basic_get("work"))
    channel.basic_reject(got.method.delivery_tag, requeue=False)
    world.turn()
    world.clock.advance(59)
    assert (len(world.broker.queues["later"]), len(world.broker.queues["work"])) == (1, 0)
    world.clock.advance(2)
    got = world.run(channel.basic_get("work"))
    assert [death["time"].timestamp() for death in got.properties.headers["x-death"]] == [1000, 1000]


def test_dead_letters_without_their_exchange_are_told(caplog):
    """Where there is no exchange for them they are lost, which stands in the log."""
    world = World()
    channel = declared(world, "work", dead_letter_exchange="nowhere")
    channel.basic_publish("", "work", b"1", BasicProperties(expiration="0"))
    world.turn()
    assert caplog.messages == [
        "queue 'work' in memory: a message is lost, as there is no exchange 'nowhere' for dead letters"
    ]


def test_a_long_row_of_dead_letters_is_no_trap():
    """Two hundred queues, each of which sends its messages to the next one at once."""
    world = World()
    for number in range(200):
        world.broker.declare_queue(
            f"q{number}",
            spec.Queue.Declare(
                queue=f"q{number}",
                arguments={
                    "x-message-ttl": 0,
                    "x-dead-letter-exchange": "",
                    "x-dead-letter-routing-key": f"q{number + 1}",
                },
            ),
            None,
        )
    channel = declared(world, "q200")
    channel.basic_publish("", "q0", b"far")
    assert world.run(channel.basic_get("q200")).body == b"far"


def test_an_auto_delete_exchange_goes_with_its_last_binding():
    """It stays while a queue is bound to it, be the binding removed or the queue deleted."""
    world = World()
    for end in ("unbind", "delete"):
        channel = declared(world, "work")
        world.run(channel.exchange_declare("brief", auto_delete=True))
        world.run(channel.queue_bind("work", "brief", "a"))
        assert "brief" in world.broker.exchanges
        if end == "unbind":
            world.run(channel.queue_unbind("work", "brief", "a"))
        else:
            world.run(channel.queue_delete("work"))
        assert "brief" not in world.broker.exchanges


def test_an_exchange_in_use_may_be_spared():
    """With `if_unused` an exchange with bindings is error 406."""
    world = World()
    channel = declared(world, "work")
    world.run(channel.exchange_declare("e"))
    world.run(channel.queue_bind("work", "e"))
    with pytest.raises(ChannelClosedByBroker) as raised:
        world.run(channel.exchange_delete("e", if_unused=True))
    assert raised.value.reply_code == 406
    world.run(world.channel().exchange_delete("e"))
    assert "e" not in world.broker.exchanges


def test_names_come_from_what_was_handed_in():
    """Queues and consumers without a name get one, and an empty name means the queue declared last."""
    world = World()
    channel = world.channel()
    name = world.run(channel.queue_declare("", exclusive=True)).method.queue
    assert name == "amq.gen-name-1"
    world.run(channel.queue_bind("", "amq.direct", ""))
    channel.basic_publish("amq.direct", name, b"1")
    got = []
    world.run(channel.consume("", lambda method, *_: got.append(method), on_cancelled=got.append))
    assert got[0].routing_key == name
    assert world.run(channel.queue_declare("", passive=True)).method.consumer_count == 1


def test_direct_replies_end_with_their_channel():
    """An address for replies is no more when its consumer is cancelled, or its channel closed."""
    world = World()
    requests = declared(world, "work")
    for end in ("cancel", "close"):
        asking = world.channel()
        got: list[object] = []
        hear = partial(heard, got)
        tag = world.run(asking.consume("amq.rabbitmq.reply-to", hear, on_cancelled=hear, no_ack=True))
        asking.basic_publish("", "work", b"?", BasicProperties(reply_to="amq.rabbitmq.reply-to"))
        address = world.run(requests.basic_get("work")).properties.reply_to
        world.run(requests.queue_declare(address, passive=True))
        if end == "cancel":
            world.run(asking.basic_cancel(tag))
        else:
            world.run(asking.close())
        with pytest.raises(ChannelClosedByBroker):
            world.run(world.channel().queue_declare(address, passive=True))
        requests.basic_publish("", address, b"!")
        world.turn()
        assert got == []
    assert world.broker.replies == {}


def test_who_uses_a_queue_keeps_it():
    """A queue with `x-expires` lives on when it is declared again, or asked for a message."""
    world = World()
    channel = declared(world, "brief", expires=1000)
    for use in (
        lambda: channel.queue_declare("brief", passive=True),
        lambda: channel.basic_get("brief"),
        lambda: channel.queue_declare("brief", durable=True, arguments={"x-expires": 1000}),
    ):
        world.clock.advance(0.9)
        world.run(use())
    world.clock.advance(0.9)
    assert "brief" in world.broker.queues
    world.clock.advance(0.2)
    assert "brief" not in world.broker.queues
