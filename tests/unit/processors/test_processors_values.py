"""Tests of the steps that put values into a baton."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.filepath import FilePath

from piped.ground.errors import ConfigurationError
from piped.processors.values import Remap, SetValue, SetValues, copies_of, fresh, increment_counter

Main = Callable[[str], Any]

plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda members: st.lists(members) | st.dictionaries(st.text(), members),
)


def containers_of(value: Any) -> list[int]:
    """The identities of all lists and mappings in a value."""
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [id(value)] if isinstance(value, dict | list) else []
    return own + [identity for member in members for identity in containers_of(member)]


def copied(value: Any) -> Any:
    return copies_of(value)()


@pytest.mark.parametrize("copy_of", [fresh, copied])
@settings(max_examples=30)
@given(value=plain_values)
def test_a_fresh_value_is_equal_and_shares_nothing(copy_of: Callable[[Any], Any], value: Any) -> None:
    """No list or mapping of the configuration is handed out, at any depth."""
    copy = copy_of(value)
    assert copy == value
    assert not {*containers_of(copy)} & {*containers_of(value)}


@pytest.mark.parametrize("copy_of", [fresh, copied])
def test_a_fresh_value_of_another_kind_is_copied_deeply(copy_of: Callable[[Any], Any]) -> None:
    """Also what YAML's tags make is nobody's but the baton's."""
    value = {"where": FilePath("/tmp"), "names": {"a"}}
    copy = copy_of(value)
    assert copy == value
    assert copy["names"] is not value["names"]


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("a", {}, {"a": 1}),
        ("a", {"a": 2}, {"a": 1}),
        ("a.b", {}, {"a": {"b": 1}}),
        ("", {}, 1),
    ],
)
def test_set_value_sets(path: str, before: Any, after: Any) -> None:
    """The value stands at the path; '' makes it the baton."""
    assert SetValue(path, 1).process(before) == after


def test_set_value_can_set_null() -> None:
    """null is a value like any other, also as the whole baton."""
    assert SetValue("a", None).process({}) == {"a": None}
    assert SetValue("", None).process({}) is None


def test_set_value_shares_nothing_between_batons() -> None:
    """What one baton does to its value never reaches another."""
    step = SetValue("list", [1])
    first = step.process({})
    first["list"].append(2)
    assert step.process({}) == {"list": [1]}


@pytest.mark.parametrize("step", ["set-value: {path: a, value: [{b: !path c}]}", "set-values: {mapping: {a: !path c}}"])
def test_a_path_is_no_value(main: Main, step: str) -> None:
    """Its text would be taken for what lies there; the error names the step that copies."""
    with pytest.raises(ConfigurationError, match="!path c is not looked up here") as raised:
        main(f"- {step}")
    assert "remap" in str(raised.value)


def test_set_values_sets_them_all() -> None:
    """Each value stands at its path, behind the prefix."""
    assert SetValues({"a": 1, "b.c": 2}).process({}) == {"a": 1, "b": {"c": 2}}
    assert SetValues({"a": 1, "b": [2]}, path_prefix="x.").process({}) == {"x": {"a": 1, "b": [2]}}


def test_set_values_shares_nothing_between_batons() -> None:
    """What one baton does to its values never reaches another."""
    step = SetValues({"list": []})
    step.process({})["list"].append(1)
    assert step.process({}) == {"list": []}


def test_remap_puts_the_value_itself_elsewhere() -> None:
    """Without a copy both paths hold one object."""
    baton = Remap({"a": "b"}).process({"a": []})
    assert baton["b"] is baton["a"]


def test_remap_leaves_out_what_is_missing() -> None:
    """A missing path changes nothing."""
    assert Remap({"gone": "b"}).process({"a": 1}) == {"a": 1}


def test_remap_copies_as_deep_as_it_is_told() -> None:
    """`copy` makes a new list of the same members, `deep_copy` shares nothing and wins."""
    baton = {"a": [[]]}
    shallow = Remap({"a": "b"}, copy=True).process(dict(baton))["b"]
    deep = Remap({"a": "b"}, copy=True, deep_copy=True).process(dict(baton))["b"]
    assert shallow is not baton["a"]
    assert shallow[0] is baton["a"][0]
    assert deep == [[]]
    assert deep[0] is not baton["a"][0]


def test_remap_extends_a_list() -> None:
    """`extend` appends, and makes the list that is missing."""
    step = Remap(["a", {"b": "list"}, {"c": "list"}], extend=True, output_path_prefix="all.")
    assert step.process({"a": 1, "b": 2, "c": 3})["all"] == {"a": [1], "list": [2, 3]}


@pytest.mark.parametrize("there", ["text", (1,), 5])
def test_only_a_list_can_be_extended(there: Any) -> None:
    """What stands where the list should be is not lost, and the error says what it is."""
    with pytest.raises(TypeError, match=f"what lies at 'b' cannot be extended, it is {type(there).__name__}"):
        Remap({"a": "b"}, extend=True).process({"a": 1, "b": there})


@pytest.mark.parametrize(("increment", "after"), [(1, 3), (-5, -3), (0.5, 2.5)])
def test_a_counter_counts(increment: float, after: float) -> None:
    """The number grows by the increment."""
    baton = {"n": {"m": 2}}
    increment_counter(baton, counter_path="n.m", increment=increment)
    assert baton == {"n": {"m": after}}


@pytest.mark.parametrize(("baton", "kind"), [({}, "NoneType"), ({"n": "5"}, "str"), ({"n": [5]}, "list")])
def test_a_counter_has_to_be_there(baton: Any, kind: str) -> None:
    """There is no number that a missing counter begins with; the error names its path."""
    with pytest.raises(TypeError, match=f"what lies at 'n' is no number but {kind}"):
        increment_counter(baton, counter_path="n")
