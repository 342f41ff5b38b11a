"""Tests of bodies and properties of messages."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties

from piped import BatonPath, ConfigurationError, PipedError
from piped_amqp.messages import (
    Body,
    MessageProperties,
    Properties,
    body_of,
    either,
    json_of,
    text_of,
    text_option,
    value_of,
)


def made(baton: Any = None, **written: Any) -> BasicProperties:
    return Properties(MessageProperties(**written)).of(baton)


def test_what_is_the_same_for_every_baton_is_checked_when_the_step_is_made() -> None:
    """It could never be sent."""
    for make, told in (
        (lambda: made(headers={"x": 1.5}), "the properties have no place in AMQP: 1.5 is of the class float, which"),
        (lambda: made(message_id="é" * 200), "the message_id is longer than 255 bytes"),
        (lambda: made(timestamp=-1), "the timestamp must be seconds since 1970"),
        (lambda: text_option("routing_key", "k" * 256, None), "the routing_key is longer than 255 bytes: 'kkk"),
        (lambda: Body({"a": 1}, None, "body", as_json=False), "the body is neither bytes nor text, but dict"),
        (lambda: Body({"a": {1}}, None, "body", as_json=True), "the body has an object of the class set at 'a'"),
    ):
        with pytest.raises(ConfigurationError) as raised:
            make()
        assert raised.value.msg.startswith(told)
    assert Body({"a": BatonPath("x")}, None, "body", as_json=True).of({"x": 5}) == b'{"a":5}'


def test_a_message_is_persistent_unless_told_otherwise() -> None:
    """Who publishes to a durable queue means it."""
    assert (made().delivery_mode, made(delivery_mode="transient").delivery_mode) == (2, 1)
    assert made(delivery_mode=1).delivery_mode == 1


def test_properties_are_written_or_lie_in_the_baton() -> None:
    """A `!path` may stand anywhere, also for one header."""
    found = made(
        {"id": 17, "who": "Ada", "level": 3},
        message_id=BatonPath("id"),
        headers={"user": BatonPath("who"), "origin": "web", "none": None},
        priority=BatonPath("level"),
        content_type="text/plain",
    )
    assert (found.message_id, found.headers, found.priority, found.content_type) == (
        "17",
        {"user": "Ada", "origin": "web"},
        3,
        "text/plain",
    )


def test_times_are_seconds() -> None:
    """What AMQP wants in milliseconds, and as a text, is written as all other times are."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert (made(expiration=1.5).expiration, made(timestamp=moment).timestamp) == ("1500", int(moment.timestamp()))


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"priority": 256}, "the priority must be a whole number from 0 to 255, not 256"),
        ({"priority": "high"}, "not 'high'"),
        ({"delivery_mode": 3}, "the delivery_mode must be persistent or transient, not 3"),
        ({"delivery_mode": True}, "not True"),
        ({"expiration": "soon"}, "the expiration must be a number of seconds, not 'soon'"),
        ({"expiration": math.inf}, "not inf"),
        ({"timestamp": "now"}, "the timestamp must be seconds since 1970 or a datetime, not 'now'"),
        ({"headers": ["x"]}, "the headers must be a mapping, not list"),
        ({"message_id": b"x"}, "the message_id must be text, not bytes"),
        ({"correlation_id": "ä" * 128}, "the correlation_id is longer than 255 bytes"),
        ({"type": "\ud800"}, "the type '\\ud800' is no text"),
    ],
)
def test_a_value_of_the_baton_that_is_no_such_property_is_told(written: dict[str, Any], told: str) -> None:
    """The message has the name of the property, and the value."""
    [(name, value)] = written.items()
    with pytest.raises(PipedError) as raised:
        made({"x": value}, **{name: BatonPath("x")})
    assert told in raised.value.msg


def test_properties_of_another_message_are_taken_over() -> None:
    """What is written wins; the other message stays as it was."""
    other = BasicProperties(message_id="17", delivery_mode=1, headers={"a": 1})
    found = Properties(MessageProperties(type="copy"), "properties").of({"properties": other})
    assert (found.message_id, found.delivery_mode, found.headers, found.type) == ("17", 1, {"a": 1}, "copy")
    assert other.type is None
    with pytest.raises(PipedError, match="what lies at 'properties' is not the properties of a message, but dict"):
        Properties(None, "properties").of({"properties": {}})


def test_what_is_missing_in_the_baton_is_told() -> None:
    """A path that leads nowhere is no null."""
    with pytest.raises(PipedError) as raised:
        value_of({"a": 1}, [{"x": BatonPath("a.b")}])
    assert raised.value.msg == "the baton has nothing at 'a.b'"


def test_an_option_and_its_path_exclude_each_other() -> None:
    """One of the two would be of no use."""
    assert either("body", None, "a.b") == BatonPath("a.b")
    assert (either("exchange", None, None, ""), either("exchange", "shop", None, "")) == ("", "shop")
    with pytest.raises(ConfigurationError) as raised:
        either("body", "x", "a")
    assert raised.value.msg == "body and body_path mean the same"


def test_a_routing_key_is_text() -> None:
    """A number becomes one; what is too long for AMQP is told."""
    assert (text_of({"n": 5}, BatonPath("n"), "routing_key"), text_of({}, "a.b", "routing_key")) == ("5", "a.b")
    with pytest.raises(PipedError, match="the routing_key is longer than 255 bytes"):
        text_of({"n": "x" * 256}, BatonPath("n"), "routing_key")


def test_a_body_is_bytes_or_text() -> None:
    """Text is sent as UTF-8, anything else only as JSON; the message names the path."""
    assert [body_of(value, "x", as_json=False) for value in (b"a", "ä", bytearray(b"b"))] == [b"a", b"\xc3\xa4", b"b"]
    assert body_of({"a": "ä"}, "x", as_json=True) == '{"a":"ä"}'.encode()
    with pytest.raises(PipedError) as raised:
        body_of({}, "what lies at 'order'", as_json=False)
    assert (raised.value.msg, raised.value.hint) == (
        "what lies at 'order' is neither bytes nor text, but dict",
        "json: true sends it as JSON",
    )


CIRCLE: dict[str, Any] = {}
CIRCLE["round"] = [CIRCLE]
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": [{"b": {1}}]}, "the baton has an object of the class set at 'a.0.b', which is not JSON"),
        ({"a": math.nan}, "the baton has nan at 'a', which is not JSON"),
        ({"a": {(1, 2): 3}}, "the baton has a key of the class tuple at 'a', which is not JSON"),
        ({"a": "\ud800"}, "the baton has '\\ud800' at 'a', which is not JSON"),
        (object, "the baton is an object of the class type, which is not JSON"),
        (CIRCLE, "the baton has a circle at 'round.0', which is not JSON"),
    ],
    ids=["set", "nan", "key", "surrogate", "whole", "circle"],
)
def test_what_is_not_json_is_told_with_its_path(value: Any, told: str) -> None:
    """The first one there is."""
    with pytest.raises(PipedError) as raised:
        json_of(value, "the baton")
    assert raised.value.msg == told


def test_what_is_too_deep_for_json_is_told() -> None:
    """Neither the stack nor the process breaks."""
    with pytest.raises(PipedError, match="which is not JSON"):
        json_of(DEEP, "the baton")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_what_is_json_comes_back_as_it_was(value: Any) -> None:
    """Nothing is refused that can be sent."""
    assert json.loads(json_of(value, "the baton")) == value
