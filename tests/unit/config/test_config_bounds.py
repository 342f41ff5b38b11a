"""How deep and large a configuration may be."""

from __future__ import annotations

import pytest

from piped.config.bounds import DEEPEST, OutOfBounds, check_bounds, measure
from piped.config.nodes import Alias, Node, node_of
from piped.ground.errors import Mark


def nested(levels: int) -> Node:
    node = node_of(1)
    for _ in range(levels):
        node = node_of([node])
    return node


def test_values_and_levels_are_counted() -> None:
    """Mappings, lists and scalars count, an alias by its own names; a scalar is no level."""
    assert measure(node_of({"a": [1, 2], "b": {"c": {}}}), {}) == (6, 3)
    assert measure(Node(Alias("x", {"a": node_of([1])}), Mark("f", 1, 1)), {}) == (3, 2)
    assert measure(node_of([[[1]], [1]]), {})[1] == 3
    assert measure(node_of(1), {}) == (1, 0)


def test_what_is_repeated_counts_each_time() -> None:
    """A part that stands in several places counts in each of them, and is walked over once."""
    part = node_of([1, 2])
    for _ in range(40):
        part = node_of([part, part])
    assert measure(part, {})[0] > 2**40
    with pytest.raises(OutOfBounds):
        check_bounds(part)


def test_too_many_levels_are_told_where_they_are() -> None:
    """As many levels as allowed are fine, one more is not."""
    check_bounds(nested(DEEPEST))
    with pytest.raises(OutOfBounds) as caught:
        check_bounds(nested(DEEPEST + 1))
    assert caught.value.problem.what == f"lists and mappings are nested more than {DEEPEST} levels deep"
    with pytest.raises(OutOfBounds):
        measure(nested(1), {}, DEEPEST)


def test_levels_count_for_parts_that_are_known() -> None:
    """A part that was measured before is still too deep further down."""
    part = nested(DEEPEST)
    with pytest.raises(OutOfBounds):
        check_bounds(node_of({"a": [part], "b": part}))


def test_no_depth_is_too_deep_to_be_told() -> None:
    """However deep something is, it is told, not recursed into."""
    with pytest.raises(OutOfBounds):
        check_bounds(nested(10_000))
