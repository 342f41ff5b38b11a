"""Tests of `piped_amqp.tags`: what is acknowledged, and what is never meant with it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from piped_amqp.tags import Tags


class Broker:
    """What a broker holds of a channel: it closes one that settles what it has not."""

    def __init__(self) -> None:
        self.held: dict[int, None] = {}
        self.acked: set[int] = set()

    def ack(self, tag: int, multiple: bool) -> None:
        assert tag in self.held, f"unknown delivery tag {tag}"
        for each in [held for held in self.held if held == tag or (multiple and held < tag)]:
            del self.held[each]
            self.acked.add(each)


# What happens: a delivery, an acknowledgement or a return of some delivery, or the end of a turn.
steps = st.lists(st.tuples(st.sampled_from("dddaarts"), st.integers(0, 30)), max_size=120)


@given(steps)
def test_the_broker_hears_of_exactly_what_was_acknowledged(steps):
    """Whatever the order, each acknowledgement reaches the broker once, and no other delivery with it."""
    tags, broker, acked = Tags(), Broker(), set()
    tag = 0
    for step, which in steps:
        if step == "d":
            tag += 1
            tags.delivered(tag)
            broker.held[tag] = None
        elif step == "s":  # one that needs no acknowledgement has a number, too
            tag += 1
        elif step == "a":
            if tags.ack(max(1, tag - which)):
                acked.add(max(1, tag - which))
        elif step == "r":
            if tags.settle(max(1, tag - which)):
                del broker.held[max(1, tag - which)]
        else:
            for each in tags.take():
                broker.ack(*each)
            assert broker.acked == acked
    for each in tags.take():
        broker.ack(*each)
    assert broker.acked == acked
    assert list(broker.held) == tags.up_to(0)


def test_acknowledgements_in_a_row_are_one():
    """Whatever was delivered and is acknowledged from the lowest on needs one frame."""
    tags = Tags()
    for tag in range(1, 101):
        tags.delivered(tag)
    for tag in range(90, 0, -1):
        tags.ack(tag)
    assert tags.take() == [(90, True)]


def test_one_that_takes_long_keeps_no_other_from_being_acknowledged():
    """The deliveries behind one that is still worked on are acknowledged one by one."""
    tags = Tags()
    for tag in (1, 2, 3):
        tags.delivered(tag)
    tags.ack(2)
    tags.ack(3)
    assert tags.take() == [(2, False), (3, False)]
    tags.ack(1)
    assert tags.take() == [(1, False)]


def test_a_delivery_is_settled_once():
    """What is settled, or was never delivered, cannot be settled."""
    tags = Tags()
    tags.delivered(1)
    tags.delivered(2)
    assert tags.ack(1)
    assert tags.settle(2)
    assert not any([tags.ack(1), tags.settle(1), tags.ack(2), tags.settle(2), tags.ack(7), tags.settle(7)])


def test_what_is_cleared_is_gone():
    """After the end of a channel nothing waits, and nothing is sent."""
    tags = Tags()
    tags.delivered(1)
    tags.delivered(2)
    tags.ack(1)
    tags.clear()
    assert (tags.take(), len(tags), 2 in tags) == ([], 0, False)
