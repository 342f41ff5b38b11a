"""Queues of the broker in memory: nothing is lost, nothing is doubled, and there are bounds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from memory_stage import World
from pika import BasicProperties

from clocks import Reactor
from piped_amqp.memory import queues
from piped_amqp.memory.messages import Message
from piped_amqp.memory.queues import Queue
from piped_amqp.memory.settings import settings_of


class Client:
    """One channel on a connection of its own, and what it was sent and has not settled."""

    def __init__(self, world: World, prefetch: int) -> None:
        self.channel = world.channel()
        self.held: dict[int, bytes] = {}
        self.seen: list[tuple[bytes, bool]] = []
        world.run(self.channel.basic_qos(prefetch_count=prefetch))
        world.run(self.channel.consume("work", self._delivered, on_cancelled=lambda reason: None))
        self.prefetch = prefetch

    def _delivered(self, method: Any, properties: Any, body: bytes) -> None:
        self.held[method.delivery_tag] = body
        self.seen.append((body, method.redelivered))


class Settlement(RuleBasedStateMachine):
    """Clients that publish, consume, settle and vanish in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.publisher = self.world.channel()
        for queue, arguments in (
            ("work", {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}),
            ("dead", {}),
        ):
            self.world.run(self.publisher.queue_declare(queue, durable=True, arguments=arguments))
        self.published = 0
        self.acked: list[bytes] = []
        self.dead: list[bytes] = []
        self.delivered: set[bytes] = set()
        self.clients: list[Client] = []

    @rule(count=st.integers(1, 5))
    def publish(self, count: int) -> None:
        for _ in range(count):
            self.publisher.basic_publish("", "work", b"%d" % self.published)
            self.published += 1

    @precondition(lambda self: len(self.clients) < 3)
    @rule(prefetch=st.integers(0, 4))
    def come(self, prefetch: int) -> None:
        self.clients.append(Client(self.world, prefetch))

    @precondition(lambda self: any(client.held for client in self.clients))
    @rule(data=st.data(), how=st.sampled_from(["ack", "nack", "reject"]), multiple=st.booleans(), requeue=st.booleans())
    def settle(self, data: Any, how: str, multiple: bool, requeue: bool) -> None:
        client = data.draw(st.sampled_from([client for client in self.clients if client.held]))
        tag = data.draw(st.sampled_from(sorted(client.held)))
        channel, multiple = client.channel, multiple and how != "reject"
        bodies = [client.held.pop(each) for each in sorted(client.held) if each == tag or (multiple and each < tag)]
        if how == "ack":
            channel.basic_ack(tag, multiple=multiple)
            self.acked += bodies
        elif how == "nack":
            channel.basic_nack(tag, multiple=multiple, requeue=requeue)
        else:
            channel.basic_reject(tag, requeue=requeue)
        if how != "ack" and not requeue:
            self.dead += bodies

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), how=st.sampled_from(["close the channel", "close", "abort"]))
    def go(self, data: Any, how: str) -> None:
        client = data.draw(st.sampled_from(self.clients))
        self.clients.remove(client)
        if how == "close the channel":
            client.channel.close()
        elif how == "close":
            client.channel.protocol.close()
        else:
            client.channel.protocol.transport.abortConnection()
        client.held.clear()
        client.seen.clear()

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        self.world.turn()
        held = [body for client in self.clients for body in client.held.values()]
        waiting = len(self.world.broker.queues["work"])
        assert waiting + len(held) + len(self.acked) + len(self.dead) == self.published
        known = held + self.acked + self.dead
        assert len(set(known)) == len(known)
        assert len(self.world.broker.queues["dead"]) == len(self.dead)
        for client in self.clients:
            assert not client.prefetch or len(client.held) <= client.prefetch
            for body, redelivered in client.seen:
                assert redelivered == (body in self.delivered)
                self.delivered.add(body)
            client.seen.clear()
        # Whoever has room has got what waited.
        assert not waiting or all(client.prefetch and len(client.held) == client.prefetch for client in self.clients)

    def teardown(self) -> None:
        """All that was not settled comes once more, in its order."""
        for client in self.clients:
            client.channel.protocol.transport.abortConnection()
        self.world.turn()
        last = Client(self.world, 0)
        self.world.turn()
        wanted = {b"%d" % number for number in range(self.published)} - {*self.acked, *self.dead}
        assert list(last.held.values()) == sorted(wanted, key=int)


TestSettlement = Settlement.TestCase
TestSettlement.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)


def queue(clock: Reactor, dead: list[Any] | None = None, **arguments: Any) -> Queue:
    declared = SimpleNamespace(durable=True, exclusive=False, auto_delete=False)
    declared.arguments = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    buried = [] if dead is None else dead
    return Queue(
        "q",
        settings_of("q", declared),
        None,
        clock,
        lambda queue, message, reason: buried.append((message.body, reason)),
    )


def message(body: bytes = b"", **properties: Any) -> Message:
    return Message("", "q", BasicProperties(**properties), b"", body)


def test_a_queue_has_a_bound(monkeypatch, caplog):
    """More messages than the bound, or more bytes, are refused, which is told once; what is settled makes room."""
    monkeypatch.setattr(queues, "MOST_MESSAGES", 2)
    monkeypatch.setattr(queues, "MOST_BYTES", 10)
    work = queue(Reactor())
    assert work.put(message(b"12345"))
    entry = work.take()
    assert work.put(message())
    assert not work.put(message())
    assert not work.put(message())
    assert caplog.messages == ["queue 'q' in memory holds 2 messages and takes no more"]
    work.settle(entry)
    assert work.put(message(b"1234567890"))
    work.purge()
    assert not work.put(message(b"12345678901"))


def test_the_bound_counts_only_what_is_there(monkeypatch):
    """However messages leave a queue, they leave room behind."""
    monkeypatch.setattr(queues, "MOST_MESSAGES", 1)
    monkeypatch.setattr(queues, "MOST_BYTES", 5)
    clock = Reactor()
    work = queue(clock)
    for leave in (
        lambda: work.settle(work.take()),
        lambda: work.reject(work.take()),
        work.purge,
        lambda: (work.give_back([work.take()]), work.purge()),
        lambda: clock.advance(2),
    ):
        assert work.put(message(b"12345", expiration="1000"))
        assert not work.put(message())
        leave()
    assert len(work) == 0


def test_messages_expire_in_time():
    """The one that waits next dies when its time is over, be it the queue's or its own; who was taken does not."""
    clock, dead = Reactor(), []
    work = queue(clock, dead, message_ttl=5000)
    work.put(message(b"long"))
    work.put(message(b"short", expiration="1000"))
    clock.advance(2)
    assert dead == []
    taken = work.take()
    work.deliver()
    assert dead == [(b"short", "expired")]
    clock.advance(10)
    work.give_back([taken])
    assert dead == [(b"short", "expired"), (b"long", "expired")]
    assert clock.getDelayedCalls() == []


def test_what_comes_back_expires_before_what_stands_behind_it():
    """A message that is given back in front of one that lives longer still dies at its own time."""
    clock, dead, taken = Reactor(), [], []
    work = queue(clock, dead)
    consumer = SimpleNamespace(has_room=True, priority=0, deliver=lambda queue, entry: taken.append(entry))
    work.add(consumer)
    work.put(message(b"short", expiration="10000"))
    consumer.has_room = False
    work.put(message(b"long", expiration="100000"))
    work.give_back(taken)
    clock.advance(11)
    assert dead == [(b"short", "expired")]
    clock.advance(90)
    assert dead == [(b"short", "expired"), (b"long", "expired")]


def test_a_deleted_queue_leaves_nothing_to_be_called():
    """No timer of it is left over, and what is given back to it, or rejected, is gone."""
    clock, dead = Reactor(), []
    work = queue(clock, dead, message_ttl=5000, expires=9000)
    for body in (b"1", b"2", b"3"):
        work.put(message(body))
    taken, rejected = work.take(), work.take()
    assert work.delete() == 1
    work.give_back([taken])
    work.reject(rejected)
    assert (clock.getDelayedCalls(), dead) == ([], [])


def test_many_messages_take_no_longer_each():
    """Tens of thousands of messages that come back one by one stay a matter of a second."""
    work = queue(Reactor())
    for _ in range(30_000):
        work.put(message())
    taken = [work.take() for _ in range(30_000)]
    for entry in reversed(taken):
        work.give_back([entry])
    assert [work.take().position for _ in range(3)] == [0, 1, 2]
