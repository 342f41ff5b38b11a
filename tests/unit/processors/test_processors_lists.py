"""Tests of the steps that rearrange lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piped.ground.errors import ConfigurationError
from piped.processors.lists import FlattenListOfDictionaries, FlattenNestedLists, GroupByValue

Main = Callable[[str], Any]

USERS = [{"name": "Cy", "at": {"city": "Bonn"}}, {"name": "Ada"}, {"name": ""}, {}, {"name": "Bo"}, {"name": "Ada"}]


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({"key_path": "name"}, ["Ada", "Ada", "Bo", "Cy"]),
        ({"key_path": "name", "sort": False}, ["Cy", "Ada", "Bo", "Ada"]),
        ({"key_path": "name", "uniquify": True}, ["Ada", "Bo", "Cy"]),
        ({"key_path": "name", "uniquify": True, "sort": False}, ["Cy", "Ada", "Bo"]),
        ({"key_path": "at.city"}, ["Bonn"]),
        ({"key_path": "gone"}, []),
    ],
)
def test_flattens_mappings_to_their_values(options: dict[str, Any], values: list[str]) -> None:
    """The values at one path, in order, each once if asked for, without empty ones."""
    step = FlattenListOfDictionaries(input_path="users", output_path="names", **options)
    assert step.process({"users": USERS}) == {"users": USERS, "names": values}


def test_values_that_cannot_be_hashed_are_kept_once_too() -> None:
    """Lists and mappings among the values are compared as well as texts."""
    step = FlattenListOfDictionaries("tags", uniquify=True, sort=False)
    assert step.process([{"tags": ["a"]}, {"tags": {"b": 1}}, {"tags": ["a"]}, {"tags": "a"}]) == [["a"], {"b": 1}, "a"]


def test_values_without_an_order_are_told() -> None:
    """The error names the path of the values, and the option that does without an order."""
    step = FlattenListOfDictionaries("n")
    with pytest.raises(TypeError, match=r"what lies at 'n' has no order \('<' not .*\): say `sort: false`"):
        step.process([{"n": 1}, {"n": "x"}])


@pytest.mark.parametrize("value", [None, 5, "abc", b"abc", {"a": 1}])
@pytest.mark.parametrize("kind", [FlattenListOfDictionaries, GroupByValue])
def test_what_is_no_list_is_told(kind: Any, value: Any) -> None:
    """The error names the path and what is there; a mapping or a text is not taken for a list."""
    with pytest.raises(TypeError, match=rf"what lies at 'a\.b' is no list but {type(value).__name__}"):
        kind(key_path="n", input_path="a.b").process({"a": {"b": value}})


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        ({"paths": ["a"]}, {"a": [1, [2, [3, [4]], []]], "b": [[1]]}, {"a": [1, 2, 3, 4], "b": [[1]]}),
        ({"paths": ["a"]}, {"a": [1, 2]}, {"a": [1, 2]}),
        ({"paths": ["a"]}, {"a": [(1, [2])]}, {"a": [(1, [2])]}),
        ({"paths": ["a", "gone", "b"]}, {"a": "text", "b": [["x"]]}, {"a": "text", "b": ["x"]}),
        ({"paths": ["b", "c"], "path_prefix": "a."}, {"a": {"b": [[1]], "c": [[2]]}}, {"a": {"b": [1], "c": [2]}}),
        ({"paths": [""]}, [1, [2]], [1, 2]),
    ],
)
def test_flattens_lists_in_lists(options: dict[str, Any], before: Any, after: Any) -> None:
    """At any depth, at each path; what is no list, or not there, is left alone."""
    assert FlattenNestedLists(**options).process(before) == after


@settings(max_examples=20)
@given(st.lists(st.recursive(st.integers(), st.lists)))
def test_flattening_keeps_every_item_in_its_order(nested: list[Any]) -> None:
    """As many items, in the same order as a text shows them, and no list among them."""
    flat = FlattenNestedLists(["a"]).process({"a": nested})["a"]
    assert str(flat) == f"[{', '.join(str(nested).replace('[', ' ').replace(']', ' ').replace(',', ' ').split())}]"


def test_whoever_else_has_the_list_keeps_it() -> None:
    """A flat list is a new one: the nested one may belong to others."""
    nested = [1, [2]]
    FlattenNestedLists(["a"]).process({"a": nested})
    assert nested == [1, [2]]


RED, GREEN, GREY = {"n": 1, "at": {"team": "red"}}, {"n": 2, "at": {"team": "green"}}, {"n": 3}


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        ({}, [RED, GREEN, RED], {"red": [RED, RED], "green": [GREEN]}),
        ({}, [GREEN, RED], {"green": [GREEN], "red": [RED]}),
        ({}, [GREY], {None: [GREY]}),
        ({"fallback": "red"}, [GREY, RED], {"red": [GREY, RED]}),
        ({}, [], {}),
    ],
)
def test_groups_items(options: dict[str, Any], before: Any, after: Any) -> None:
    """Each value gets its items in their order; those without one go to the fallback."""
    step = GroupByValue("at.team", "items", "groups", **options)
    assert step.process({"items": before}) == {"items": before, "groups": after}
    assert GroupByValue("at.team", "items", **options).process({"items": before}) == {"items": after}


def test_grouping_nothing_gives_nothing() -> None:
    """Where there is no list there are no groups, but a mapping all the same."""
    assert GroupByValue("team", "items", "groups").process({}) == {"groups": {}}


def test_what_nothing_can_be_grouped_by_is_told() -> None:
    """A list cannot name a group; the error says where it was."""
    with pytest.raises(TypeError, match="nothing can be grouped by what lies at 'tags': a list"):
        GroupByValue("tags", "items").process({"items": [{"tags": []}]})


@pytest.mark.parametrize(
    "step",
    ["flatten-list-of-dictionaries: {input_path: a}", "flatten-nested-lists", "group-by-value: {key_path: a}"],
)
def test_what_is_needed_has_to_be_written(main: Main, step: str) -> None:
    """A step without what it works on is a mistake."""
    with pytest.raises(ConfigurationError, match="needs the option"):
        main(f"- {step}")
