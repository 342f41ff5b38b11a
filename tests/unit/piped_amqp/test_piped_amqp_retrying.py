"""How often messages are tried, and how long they wait."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties
from pika.spec import Basic

from piped_amqp.retrying import DELIVERY_COUNT, Tries, delay, identity


def delivery(body=b"job", *, redelivered=True, routing_key="jobs", **properties):
    method = Basic.Deliver("consumer", 1, redelivered, "", routing_key)
    return method, BasicProperties(**properties), body


@given(st.integers(0, 10_000), st.floats(0.001, 100), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_never_none_and_never_too_long(redeliveries, first, chance):
    """No failed message comes again at once, and none waits longer than the longest delay."""
    longest = 60 + first
    assert 0.75 * first <= delay(redeliveries, first, longest, lambda: chance) <= longest


def test_delays_grow():
    """Each further try of a message waits about twice as long as the one before."""
    delays = [delay(n, 1, 3600, lambda: 0.5) for n in range(8)]
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128]


def test_a_delay_is_kept_where_it_is_the_longest():
    """A redelivery_delay that equals the longest one is what every try waits, more or less."""
    assert {delay(n, 5, 5, lambda: 0.5) for n in range(5)} == {5}


def test_a_message_id_is_what_a_message_is_known_by():
    """A message with an id is known by that and its way, whatever else has changed."""
    one = identity(*delivery(b"a", message_id="7"))
    assert one == identity(*delivery(b"b", message_id="7", correlation_id="other"))
    assert one != identity(*delivery(b"a", message_id="8"))
    assert one != identity(*delivery(b"a", message_id="7", routing_key="others"))


def test_without_an_id_messages_are_known_by_what_they_are():
    """Messages without an id are told apart by their bodies and properties."""
    assert identity(*delivery(b"a")) == identity(*delivery(b"a"))
    assert identity(*delivery(b"a")) != identity(*delivery(b"b"))
    assert identity(*delivery(b"a")) != identity(*delivery(b"a", correlation_id="1"))


def test_the_broker_counts_for_quorum_queues():
    """A delivery count that the broker tells is taken, and not what this process knows."""
    tries = Tries()
    tries.keep(identity(*delivery()), 1)
    assert tries.redeliveries(*delivery(headers={DELIVERY_COUNT: 5})) == 5
    assert len(tries) == 0


def test_a_message_that_is_new_was_not_tried():
    """A message that was never delivered before counts from 0, even if it looks like one that has failed."""
    tries = Tries()
    tries.keep(identity(*delivery()), 3)
    assert tries.redeliveries(*delivery(redelivered=False)) == 0
    assert tries.redeliveries(*delivery()) == 3
    assert tries.redeliveries(*delivery()) == 0


@given(st.integers(1, 5), st.integers(0, 6))
def test_messages_that_look_alike_are_each_tried_as_often(copies, most):
    """Of several messages that nobody can tell apart each is tried exactly as often as one alone would be."""
    tries, body, total = Tries(), delivery(), 0
    queue = deque([False] * copies)
    while queue:
        total += 1
        count = tries.redeliveries(*delivery(redelivered=queue.popleft()))
        if count < most:
            tries.keep(identity(*body), count + 1)
            queue.append(True)
    assert total == copies * (most + 1)
    assert len(tries) == 0


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(1, 9)), max_size=40))
def test_only_so_many_are_remembered(kept):
    """What is remembered of failed messages has a bound; the oldest are forgotten, and count from 0."""
    tries = Tries(most=5)
    for message, count in kept:
        tries.keep(message, count)
    assert len(tries) == min(5, len(kept))
    taken = sum(tries.take(message) > 0 for message in (b"a", b"b", b"c") for _ in range(6))
    assert taken == min(5, len(kept))
    assert len(tries) == 0
