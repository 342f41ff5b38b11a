"""Laying trees over each other, and putting values into them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piped.config.merging import NoSuchElement, merge, put
from piped.config.nodes import Alias, Node, node_of
from piped.ground.errors import Mark

UNDER, OVER = Mark("under.yml", 1, 1), Mark("over.yml", 1, 1)

names = st.sampled_from("abc")
values = st.recursive(
    st.integers(0, 3) | st.none() | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(names, values, max_size=3)


def with_aliases(value: object, where: Mark) -> Node:
    """A tree in which each mapping with an 'a' is an alias of what 'a' says."""
    if isinstance(value, dict):
        members = {name: with_aliases(member, where) for name, member in value.items()}
        return Node(Alias(str(value["a"]), members) if "a" in value else members, where, where)
    return node_of(value, where)


def outlined(node: Node) -> object:
    """A tree as plain values in which aliases show."""
    if isinstance(node.value, Alias):
        return (node.value.target, {name: outlined(member) for name, member in node.value.defaults.items()})
    return {name: outlined(member) for name, member in node.value.items()} if node.is_mapping else node.plain()


@pytest.mark.parametrize(
    ("under", "over", "merged"),
    [
        ({"a": {"x": 1, "y": 1}}, {"a": {"y": 2, "z": 2}}, {"a": {"x": 1, "y": 2, "z": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"x": 1}}, {"a": 1}, {"a": 1}),
        ({"a": {"x": 1}}, {"a": None}, {"a": None}),
        ({"a": {"x": 1}}, {"a": [1]}, {"a": [1]}),
        ({"a": 1}, {"a": {"x": 1}}, {"a": {"x": 1}}),
    ],
)
def test_mappings_merge_and_all_else_is_replaced(under: object, over: object, merged: object) -> None:
    """Only mappings are merged name by name; a list, a scalar or null takes the whole place."""
    assert merge(node_of(under), node_of(over)).plain() == merged


@settings(max_examples=60, deadline=None)
@given(mappings, mappings)
def test_every_value_comes_from_the_file_that_wins(under: dict[str, object], over: dict[str, object]) -> None:
    """Merged values keep the places of the file they are written in, and nothing of the winner is lost."""
    merged = merge(node_of(under, UNDER), node_of(over, OVER))
    upper = node_of(over)
    for path, node in merged.each():
        written = upper.at(path)
        assert node.where == (UNDER if written is None else OVER)
    for path, node in upper.each():
        kept = merged.at(path)
        assert kept is not None
        assert node.is_mapping or kept.plain() == node.plain()


@settings(max_examples=60, deadline=None)
@given(mappings, mappings)
def test_merging_changes_nothing_it_is_given(under: dict[str, object], over: dict[str, object]) -> None:
    """What was read from a file stays as it is, however often it is merged."""
    lower, upper = node_of(under), node_of(over)
    merge(lower, upper)
    assert (lower.plain(), upper.plain()) == (under, over)


@settings(max_examples=60, deadline=None)
@given(mappings, mappings, mappings)
def test_order_of_merging_does_not_matter_between_mappings(a: object, b: object, c: object) -> None:
    """Where only mappings meet mappings, three files give the same however they are grouped; the edges always win."""
    left = merge(merge(with_aliases(a, UNDER), with_aliases(b, UNDER)), with_aliases(c, OVER))
    right = merge(with_aliases(a, UNDER), merge(with_aliases(b, UNDER), with_aliases(c, OVER)))
    if _only_mappings_meet(a, b, c):
        assert outlined(left) == outlined(right)


def _only_mappings_meet(*layers: object) -> bool:
    """Whether no value that is no mapping lies between two others at any path."""
    if not all(isinstance(layer, dict) for layer in layers):
        return len(layers) < 3
    met: dict[str, list[object]] = {}
    for layer in layers:
        assert isinstance(layer, dict)
        for name, value in layer.items():
            met.setdefault(name, []).append(value)
    return all(_only_mappings_meet(*values) for values in met.values())


def test_an_alias_that_is_merged_stays_one() -> None:
    """A file may add names to an alias of the file that it includes, or make an alias of its mapping."""
    alias = Node(Alias("defaults.db", {"pool": node_of(1), "port": node_of(1)}), UNDER)
    added = merge(alias, node_of({"pool": 2}))
    assert outlined(added) == ("defaults.db", {"pool": 2, "port": 1})
    assert outlined(merge(node_of({"x": 1}), alias)) == ("defaults.db", {"x": 1, "pool": 1, "port": 1})
    other = Node(Alias("other", {}), OVER)
    assert outlined(merge(alias, other)) == ("other", {"pool": 1, "port": 1})
    assert merge(alias, node_of(3)).plain() == 3


def test_put_makes_what_is_missing_on_the_way() -> None:
    """A value can be put anywhere: mappings are made, what is no mapping is replaced, the rest stays."""
    root = node_of({"a": {"b": 1, "c": 2}, "d": None})
    assert put(root, ["a", "b", "x"], node_of(3)).plain() == {"a": {"b": {"x": 3}, "c": 2}, "d": None}
    assert put(root, ["d", "e"], node_of(3)).plain() == {"a": {"b": 1, "c": 2}, "d": {"e": 3}}
    assert put(root, [], node_of(3)).plain() == 3
    assert root.plain() == {"a": {"b": 1, "c": 2}, "d": None}


def test_put_finds_elements_of_lists() -> None:
    """A number in a path names an element that is there."""
    root = node_of({"a": [{"b": 1}, 2]})
    assert put(root, ["a", "0", "b"], node_of(3)).plain() == {"a": [{"b": 3}, 2]}
    assert root.plain() == {"a": [{"b": 1}, 2]}
    with pytest.raises(NoSuchElement) as caught:
        put(root, ["a", "2"], node_of(3))
    assert (caught.value.list_path, caught.value.element, caught.value.count) == ("a", "2", 2)
    with pytest.raises(NoSuchElement):
        put(root, ["a", "²"], node_of(3))
