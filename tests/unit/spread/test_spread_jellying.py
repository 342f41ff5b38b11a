"""Tests of what can be sent, and how it arrives."""

from __future__ import annotations

import datetime
import enum
import math
import uuid
from collections import OrderedDict, namedtuple
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.spread import banana, jelly, pb

from piped.ground.units import Located
from piped.spread.banana import Decoder, encoded
from piped.spread.errors import CannotCross
from piped.spread.jellying import DEEPEST, jellied
from piped.spread.unjellying import unjellied

KEYS = st.one_of(st.text(), st.binary(), st.integers(-(2**447), 2**447), st.booleans(), st.dates(), st.none())
LEAVES = st.one_of(
    KEYS,
    st.floats(allow_nan=False),
    st.datetimes(),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.frozensets(KEYS, max_size=3),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.tuples(inner, inner),
        st.sets(KEYS, max_size=4),
    ),
    max_leaves=20,
)


def carried(value: Any) -> Any:
    """What a value is on the other side, which is Piped's own."""
    decoder = Decoder(banana.Banana.incomingVocabulary)
    [expression] = decoder.feed(encoded(jellied(value), banana.Banana.outgoingVocabulary))
    return unjellied(expression)


def carried_to_twisted(value: Any) -> Any:
    return jelly.unjelly(banana.decode(encoded(jellied(value), {})), jelly.globalSecurity)


@given(VALUES)
def test_whatever_is_accepted_arrives_equal(value: Any) -> None:
    """A value that passes is the same one on the other side, of the same types."""
    arrived = carried(value)
    assert arrived == value
    assert type(arrived) is type(value)


@given(VALUES)
def test_twisted_understands_all_of_it(value: Any) -> None:
    """A program that knows nothing but twisted.spread gets the same."""
    assert carried_to_twisted(value) == value


@given(VALUES)
def test_what_twisted_sends_is_understood(value: Any) -> None:
    """The same holds for what such a program sends."""
    assert unjellied(banana.decode(banana.encode(jelly.jelly(value, jelly.globalSecurity)))) == value


def test_numbers_keep_their_kind_and_floats_need_be_no_numbers() -> None:
    """True, 1 and 1.0 are told apart; NaN and infinity cross, too."""
    assert repr(carried([True, 1, 1.0, Decimal(1)])) == "[True, 1, 1.0, Decimal('1')]"
    assert math.isnan(carried(math.nan))
    assert carried([math.inf, -math.inf]) == [math.inf, -math.inf]


class Colour(enum.Enum):
    RED = 1


class Word(str, enum.Enum):  # noqa: UP042 - a StrEnum has another text
    HELLO = "hello"


class Level(enum.IntEnum):
    HIGH = 3


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Word.HELLO, "hello"),
        (Level.HIGH, 3),
        (Located("written"), "written"),
        (bytearray(b"abc"), b"abc"),
        (memoryview(b"abc"), b"abc"),
        (OrderedDict(a=1), {"a": 1}),
        (Point(1, 2), (1, 2)),
    ],
    ids=str,
)
def test_of_a_subclass_the_plain_value_arrives(value: Any, plain: Any) -> None:
    """What Twisted would send as nothing, without a word, is sent as what it stands for."""
    arrived = carried_to_twisted(value)
    assert (arrived, type(arrived)) == (plain, type(plain))


AWARE = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("x" * 700_000, "700000 bytes in one piece"),
        (b"x" * 700_000, "700000 bytes in one piece"),
        (2**500, "an integer of 501 binary digits"),
        (AWARE, r"the time 2026-01-02T00:00:00\+00:00, which has a time zone"),
        (AWARE.timetz(), "which has a time zone"),
        ("a\udcff", "which has half a character"),
        (Colour.RED, "a Colour"),
        (uuid.UUID(int=1), "a UUID"),
        (object(), "an? object"),
        (Decimal("NaN"), "the number Decimal"),
        (Decimal("1" * 200), "the number Decimal"),
        ([0] * 700_000, "more than 655360 members"),
        (print, "a builtin_function_or_method"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_not_arrive_is_refused_with_its_place(value: Any, told: str) -> None:
    """What Twisted breaks on, or drops without a word, is an error that names where it stands."""
    with pytest.raises(CannotCross, match=told) as refused:
        jellied({"jobs": [0, (value,)]}, name="kwargs")
    assert refused.value.msg.startswith("kwargs['jobs'][1][0] cannot be sent over Perspective Broker: ")


def test_keys_and_members_of_sets_are_places_too() -> None:
    """Also what a mapping is looked up by has to cross."""
    with pytest.raises(CannotCross, match=r"the value\[<Colour.RED: 1>\] cannot be sent"):
        jellied({Colour.RED: 1})
    with pytest.raises(CannotCross, match=r"args\[0\]\{<Colour.RED: 1>\}"):
        jellied(({Colour.RED},), name="args")


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = {"in": value}
    return value


def test_values_may_be_nested_as_deep_as_both_sides_can_read() -> None:
    """The deepest value arrives; a deeper one is refused before it is sent."""
    assert carried(nested(DEEPEST)) == nested(DEEPEST)
    assert carried_to_twisted(nested(DEEPEST)) == nested(DEEPEST)
    with pytest.raises(CannotCross, match="nested more than 64 deep"):
        jellied(nested(DEEPEST + 1))


def test_shared_values_are_shared_on_the_other_side() -> None:
    """What was one list is one list, and is sent once: sixty shared levels are no problem."""
    shared = [1]
    for receive in (carried, carried_to_twisted):
        one, two = receive([shared, {"again": shared}])
        assert one is two["again"]
    for _ in range(60):
        shared = [shared, shared]
    assert len(encoded(jellied(shared), {})) < 3000


def test_a_value_that_contains_itself_arrives_so() -> None:
    """Circles cross in both directions."""
    circle: list[Any] = [1]
    circle.append({"up": circle})
    for receive in (carried, carried_to_twisted):
        arrived = receive(circle)
        assert arrived[1]["up"] is arrived
    arrived = unjellied(banana.decode(banana.encode(jelly.jelly(circle, jelly.globalSecurity))))
    assert arrived[1]["up"] is arrived


def test_a_reference_of_another_connection_is_refused() -> None:
    """A remote object can only be sent back to where it came from."""
    with pytest.raises(CannotCross, match=r"args\[0\] .* another connection"):
        jellied((pb.RemoteReference(None, object(), 1, 0),), name="args")
