"""Exchanges of the broker in memory: which queues a message goes to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from piped_amqp.memory.exchanges import Exchange, carries, matches

words = st.sampled_from(["a", "b", ""])


def slowly(pattern: list[str], key: list[str]) -> bool:
    """What the rules say, word by word."""
    if not pattern:
        return not key
    if pattern[0] == "#":
        return any(slowly(pattern[1:], key[at:]) for at in range(len(key) + 1))
    return bool(key) and pattern[0] in ("*", key[0]) and slowly(pattern[1:], key[1:])


@given(st.lists(st.sampled_from(["a", "b", "*", "#"]), max_size=6), st.lists(st.sampled_from(["a", "b"]), max_size=6))
def test_patterns_mean_what_the_rules_say(pattern, key):
    """`*` stands for one word, `#` for any number of them."""
    assert matches(".".join(pattern), ".".join(key)) == slowly(pattern, key)


def test_a_pattern_of_many_hashes_is_no_trap():
    """The longest pattern takes no longer than it should."""
    assert not matches("#." * 127 + "b", "a." * 126 + "a")


def test_headers_are_compared():
    """All or any of the headers, those without a value by their name alone."""
    wanted = {"x-match": "all", "a": 1, "b": None, "x-other": 7}
    assert carries({"a": 1, "b": "anything", "c": 3}, wanted)
    assert not carries({"a": 1}, wanted)
    assert carries({"b": 2}, wanted | {"x-match": "any"})
    assert carries({}, {})
    assert not carries({"a": 1}, {"x-match": "any"})


def test_a_binding_is_what_its_key_and_arguments_say():
    """The same binding twice is one; an unbind removes just the one that it names."""
    exchange = Exchange("e", "headers")
    exchange.bind("q", "", {"a": 1})
    exchange.bind("q", "", {"a": 1})
    exchange.bind("q", "", {"a": 2})
    exchange.unbind("q", "", {"a": 1})
    exchange.unbind("q", "other", {})
    assert exchange.route("", {"a": 1}) == set()
    assert exchange.route("", {"a": 2}) == {"q"}
    exchange.unbind("q", "", {"a": 2})
    assert not exchange.is_bound


def test_a_queue_that_is_gone_is_forgotten():
    """No binding of it is left, others stay."""
    exchange = Exchange("e", "fanout")
    for queue, key in (("q", "1"), ("q", "2"), ("other", "2")):
        exchange.bind(queue, key, {})
    assert exchange.forget("q")
    assert not exchange.forget("q")
    assert exchange.route("any", {}) == {"other"}
