"""Messages of the broker in memory: what is told of those that died."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pika import BasicProperties

from piped_amqp.memory.messages import EXPIRED, REJECTED, Message, buried, goes_round
from piped_amqp.memory.refusals import Refusal


def message(**properties) -> Message:
    return Message("e", "k", BasicProperties(**properties), b"", b"body")


def test_a_dead_message_tells_its_story():
    """The latest death comes first; another one of the same kind is counted; the first one stays known."""
    dead = buried(message(expiration="5", headers={"mine": 1}), "work", EXPIRED, 1000.7)
    dead = buried(dead.sent_to("", "later"), "later", REJECTED, 2000)
    dead = buried(dead.sent_to("e", "k"), "work", EXPIRED, 3000)
    first = {
        "count": 2,
        "exchange": "e",
        "queue": "work",
        "reason": "expired",
        "routing-keys": ["k"],
        "time": datetime.fromtimestamp(1000, UTC),
        "original-expiration": "5",
    }
    second = {"count": 1, "exchange": "", "queue": "later", "reason": "rejected", "routing-keys": ["later"]}
    assert dead.headers == {
        "mine": 1,
        "x-death": [first, second | {"time": datetime.fromtimestamp(2000, UTC)}],
        "x-first-death-exchange": "e",
        "x-first-death-queue": "work",
        "x-first-death-reason": "expired",
    }
    assert dead.properties.expiration is None
    assert BasicProperties().decode(dead.encoded).headers == dead.headers


def test_a_circle_is_seen():
    """Who comes where it died before goes round, unless somebody has rejected it since."""
    dead = buried(message(), "a", EXPIRED, 0)
    assert goes_round(dead, "a")
    assert not goes_round(dead, "b")
    rejected = buried(dead, "b", REJECTED, 0)
    assert not goes_round(rejected, "a")


@pytest.mark.parametrize("written", ["nonsense", [1, "x"], [{}], {"queue": "a"}, None])
def test_a_story_that_somebody_made_up_does_no_harm(written):
    """The header `x-death` may hold anything."""
    dead = buried(message(headers={"x-death": written}), "a", EXPIRED, 0)
    assert dead.headers["x-death"][0]["queue"] == "a"


@pytest.mark.parametrize("written", ["soon", "-1", "1.5", "", "²", "9" * 250, str(2**32)])
def test_an_expiration_is_a_number_of_milliseconds(written):
    """Anything else is error 406."""
    assert message(expiration="1500").time_to_live() == 1.5
    assert message().time_to_live() is None
    with pytest.raises(Refusal) as raised:
        message(expiration=written).time_to_live()
    assert raised.value.code == 406


def test_what_is_changed_is_another_message():
    """All queues share a message, so that nobody changes it."""
    original = message(headers={"a": 1}, priority=3)
    changed = original.with_header("x-delivery-count", 2)
    assert original.headers == {"a": 1}
    assert BasicProperties().decode(changed.encoded).headers == {"a": 1, "x-delivery-count": 2}
    assert changed.properties.priority == 3
