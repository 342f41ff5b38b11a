"""Tests of what may come from a peer."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from spread_stage import ladder
from twisted.spread import jelly, pb

from piped.spread.banana import Unreadable
from piped.spread.unjellying import unjellied


class Broker:
    """As much of a broker as registered classes ask for."""

    unserializingPerspective = None


class Money(pb.RemoteCopy):
    amount: int


class Bad(pb.RemoteCopy):
    def setCopyableState(self, state: Any) -> None:
        raise ZeroDivisionError("no")


pb.setUnjellyableForClass("shop.Money", Money)
pb.setUnjellyableForClass("shop.Bad", Bad)
pb.setUnjellyableFactoryForClass("shop.Pair", lambda state: ("pair", state))


def test_registered_classes_are_understood() -> None:
    """What somebody has registered with Twisted comes as an object of that class, or as what its factory makes."""
    money = unjellied([b"shop.Money", [b"dictionary", [[b"unicode", b"amount"], 5]]], Broker())
    assert (type(money), money.amount) == (Money, 5)
    assert unjellied([b"shop.Pair", [b"list", 1]], Broker()) == ("pair", [1])


@pytest.mark.parametrize(
    "expression",
    [
        [b"shop.Unknown", [b"dictionary"]],
        [b"module", b"antigravity"],
        [b"class", b"os.system"],
        [b"function", b"os.system"],
        [b"instance", [b"class", b"antigravity.Thing"], [b"dictionary"]],
        [b"antigravity.Thing", [b"dictionary"]],
        [b"persistent", b"1"],
        [b"method", b"x", [b"None"], [b"class", b"os.x"]],
    ],
    ids=lambda expression: expression[0].decode(),
)
def test_nothing_is_imported_and_no_class_is_looked_up(expression: Any) -> None:
    """Whatever a peer names, no module is loaded for it, even where the program has allowed that elsewhere."""
    jelly.globalSecurity.allowModules("antigravity")
    try:
        with pytest.raises(Unreadable, match="which nobody has registered"):
            unjellied(expression, Broker())
    finally:
        del jelly.globalSecurity.allowedModules[b"antigravity"]
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "expression",
    [
        [],
        [1],
        [[b"list"]],
        [b"unicode"],
        [b"unicode", b"\xff"],
        [b"unicode", 5],
        [b"boolean", b"maybe"],
        [b"dictionary", [1]],
        [b"dictionary", 5],
        [b"dictionary", [[b"list"], 1]],
        [b"set", [b"list"]],
        [b"datetime", b"1 2"],
        [b"date", b"9" * 5000],
        [b"decimal", b"1", 2],
        [b"reference", 1],
        [b"dereference", 1],
        [b"dereference", [b"list"]],
        [b"tuple", [b"reference", 1, 5], [b"reference", 1, 6]],
        [b"reference", 1, [b"tuple", [b"dereference", 1]]],
        [b"shop.Bad", [b"dictionary"]],
    ],
    ids=repr,
)
def test_what_is_broken_is_unreadable(expression: Any) -> None:
    """Expressions that stand for nothing are refused, with the one exception that their reader expects."""
    with pytest.raises(Unreadable):
        unjellied(expression, Broker())


def test_what_the_other_side_could_not_send_is_told() -> None:
    """Where Twisted sends a note instead of a value, that is an error, and not a value."""
    with pytest.raises(Unreadable, match=r"could not send a value: instance of class uuid\.UUID"):
        unjellied([b"unpersistable", b"instance of class uuid.UUID deemed insecure"])


@pytest.mark.parametrize("kind", [b"tuple", b"frozenset"])
@pytest.mark.parametrize(
    "hashed",
    [lambda key: [b"set", key], lambda key: [b"frozenset", key], lambda key: [b"dictionary", [key, 1]]],
    ids=["set", "frozenset", "dictionary"],
)
def test_a_key_that_would_take_for_ever_to_hash_is_refused(hashed: Any, kind: bytes) -> None:
    """A short message cannot stop the process: what a key stands for is counted, and not what it is written with."""
    assert unjellied(hashed(ladder(10, kind)))
    with pytest.raises(Unreadable, match="keys that are too large"):
        unjellied(hashed(ladder(40, kind)))


def test_shared_keys_count_wherever_they_are_used() -> None:
    """Many keys that each are just small enough are not."""
    shared = [b"reference", 99, ladder(12)]
    keys = [[b"tuple", [b"dereference", 99], number] for number in range(1000)]
    with pytest.raises(Unreadable, match="keys that are too large"):
        unjellied([b"list", shared, [b"set", *keys]])


@pytest.mark.parametrize("atom", [b"set", b"frozenset", b"dictionary"])
def test_many_keys_of_one_hash_are_refused(atom: bytes) -> None:
    """Numbers that were chosen to have one hash would be compared with each other, a thousand million times."""
    numbers = [((1 << 61) - 1) * number for number in range(1000)]
    with pytest.raises(Unreadable, match="more than 100 keys of one hash"):
        unjellied([atom, *([number, 1] if atom == b"dictionary" else number for number in numbers)])
    assert len(unjellied([b"set", *range(1000)])) == 1000


def test_a_key_may_be_shared_with_a_value_before_it() -> None:
    """A mapping is read in the order in which it was written."""
    expression = [b"dictionary", [1, [b"reference", 1, [b"tuple", 5]]], [[b"dereference", 1], 2]]
    assert unjellied(expression) == {1: (5,), (5,): 2}


class Node(pb.RemoteCopy):
    name: str
    child: Node


pb.setUnjellyableForClass("shop.Node", Node)


def test_objects_that_refer_to_each_other_arrive_so() -> None:
    """A child that knows its parent is copied with it."""
    child = [b"shop.Node", [b"dictionary", [[b"unicode", b"parent"], [b"dereference", 1]]]]
    parent = [b"reference", 1, [b"shop.Node", [b"dictionary", [[b"unicode", b"child"], child]]]]
    node = unjellied(parent, Broker())
    assert node.child.parent is node
