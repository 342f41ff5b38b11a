"""What a channel of the broker in memory waits for: each delivery is settled once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piped_amqp.memory.refusals import Refusal
from piped_amqp.memory.unsettled import Delivery, Unsettled


def filled(count: int) -> Unsettled:
    unsettled = Unsettled()
    consumer = SimpleNamespace(unsettled=0)
    for tag in range(1, count + 1):
        # Every third one was asked for by basic.get.
        unsettled.add(tag, Delivery(tag, None, None if tag % 3 == 0 else consumer))
    return unsettled


@given(st.lists(st.tuples(st.integers(0, 22), st.booleans()), max_size=20))
def test_each_is_taken_once(settlements):
    """However tags are settled, one by one or many at once, each delivery is given out once, the oldest first."""
    unsettled, left, taken = filled(20), list(range(1, 21)), []
    for tag, multiple in settlements:
        wanted = [each for each in left if each == tag or (multiple and (each < tag or not tag))]
        if tag in left or (multiple and not tag):
            assert [delivery.queue for delivery in unsettled.take(tag, multiple)] == wanted
            left = [each for each in left if each not in wanted]
            taken += wanted
        else:
            with pytest.raises(Refusal):
                unsettled.take(tag, multiple)
    assert unsettled.sent == sum(each % 3 != 0 for each in left)
    assert sorted(taken + [delivery.queue for delivery in unsettled.all()]) == list(range(1, 21))


def test_many_take_no_longer_each():
    """To settle the oldest of a hundred thousand, again and again, stays cheap."""
    unsettled = filled(100_000)
    for tag in range(1, 100_001):
        unsettled.take(tag, multiple=True)
    assert unsettled.all() == []
