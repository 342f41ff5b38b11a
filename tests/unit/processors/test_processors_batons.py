"""Tests of the steps that work on whole batons."""

from __future__ import annotations

import threading
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piped.ground.errors import ConfigurationError
from piped.processors.batons import CleanBaton, CollectBatons, MergeArgs, MergeWithDict, merged, snapshot
from piped.testing import Stage

Main = Callable[[str], Any]

names = st.sampled_from("abc")
values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda members: st.lists(members, max_size=3) | st.dictionaries(names, members),
)
mappings = st.dictionaries(names, values)
ways = st.builds(MergeArgs, st.just(False), st.booleans(), st.booleans(), st.booleans())


def containers_of(value: Any) -> set[int]:
    """The identities of all lists and mappings in a value."""
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = {id(value)} if isinstance(value, dict | list) else set()
    return own.union(*map(containers_of, members))


def leaves_of(value: Any) -> list[str]:
    """What is in a value that holds nothing itself."""
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [repr(value)] if members is None else sorted(leaf for member in members for leaf in leaves_of(member))


@settings(max_examples=40)
@given(mappings, mappings, ways)
def test_a_merge_shares_nothing_of_what_is_merged_in(first: Any, second: Any, how: MergeArgs) -> None:
    """Nobody gets hold of the configured values, and they never change."""
    written = deepcopy(second)
    made = merged(first, second, how)
    assert second == written
    assert not containers_of(made) & containers_of(second)


@settings(max_examples=40)
@given(mappings, mappings, ways)
def test_a_merge_has_all_names_and_touches_nothing_else(first: Any, second: Any, how: MergeArgs) -> None:
    """What stands in one mapping only is in the result; and the first one is as it was."""
    before = deepcopy(first)
    made = merged(first, second, how)
    assert first == before
    assert set(made) == {*first, *second}
    for name in set(made) - (set(first) & set(second)):
        assert made[name] == {**first, **second}[name]


@settings(max_examples=40)
@given(mappings, mappings)
def test_a_merge_loses_nothing(first: Any, second: Any) -> None:
    """Unless something is to be replaced, all that was in either is in the result: no text becomes its letters."""
    made = merged(first, second, MergeArgs(inline=False))
    assert leaves_of(made) == sorted(leaves_of(first) + leaves_of(second))


@settings(max_examples=40)
@given(mappings, mappings, ways)
def test_a_merge_in_place_comes_to_the_same(first: Any, second: Any, how: MergeArgs) -> None:
    """`inline` says which object is changed, not what comes out; the mappings inside are changed in place too."""
    expected = merged(deepcopy(first), second, how)
    inside = {name: value for name, value in first.items() if isinstance(value, dict)}
    inline = MergeArgs(True, how.replace, how.replace_primitives, how.merge_nested_dictionaries)
    assert merged(first, second, inline) is first
    assert first == expected
    if how.merge_nested_dictionaries and not how.replace:
        for name, value in inside.items():
            if isinstance(second.get(name, {}), dict):
                assert first[name] is value


@pytest.mark.parametrize(
    ("how", "first", "second", "after"),
    [
        ({}, 1, 2, [1, 2]),
        ({}, "ab", "cd", ["ab", "cd"]),
        ({}, "ab", ["cd"], ["ab", "cd"]),
        ({}, ["ab"], "cd", ["ab", "cd"]),
        ({}, [1], [2, [3]], [1, 2, [3]]),
        ({}, {"x": 1}, 2, [{"x": 1}, 2]),
        ({}, None, 1, [None, 1]),
        ({}, {"x": 1}, {"x": 2, "y": [3]}, {"x": [1, 2], "y": [3]}),
        ({"merge_nested_dictionaries": False}, {"x": 1}, {"y": 2}, [{"x": 1}, {"y": 2}]),
        ({"replace_primitives": True}, 1, 2, 2),
        ({"replace_primitives": True}, [1], [2], [2]),
        ({"replace_primitives": True}, {"x": 1}, 2, 2),
        ({"replace_primitives": True}, {"x": 1, "z": 0}, {"x": 2, "y": 3}, {"x": 2, "z": 0, "y": 3}),
        ({"replace_primitives": True, "merge_nested_dictionaries": False}, {"x": 1}, {"y": 2}, [{"x": 1}, {"y": 2}]),
        ({"replace": True}, {"x": 1}, {"y": 2}, {"y": 2}),
        ({"replace": True}, [1], "ab", "ab"),
    ],
)
def test_two_values_of_one_name(how: dict[str, bool], first: Any, second: Any, after: Any) -> None:
    """They are combined, or the new one wins, as it was asked for."""
    step = MergeWithDict({"a": second}, MergeArgs(**how))
    assert step.process({"a": first, "b": 0}) == {"a": after, "b": 0}


@pytest.mark.parametrize(
    ("options", "after"),
    [
        ("", {"a": 1}),
        (": {}", {"a": 1}),
        (": {dict: null, merge_args: null}", {"a": 1}),
        (": {dict: {b: 2}}", {"a": 1, "b": 2}),
        (": {dict: {a: 2}, merge_args: {}}", {"a": [1, 2]}),
        (": {dict: {a: 2}, merge_args: {replace: true}}", {"a": 2}),
    ],
)
def test_nothing_has_to_be_said_of_a_merge(main: Main, options: str, after: Any) -> None:
    """Both options may be left out; the baton itself is changed."""
    baton = {"a": 1}
    [result] = main(f"- merge-with-dict{options}").run(baton)
    assert result is baton
    assert baton == after


def test_a_merge_may_leave_the_baton_as_it_was(main: Main) -> None:
    """With `inline` off the result is another mapping."""
    baton = {"a": [1], "b": {"c": 1}}
    site = main("- merge-with-dict: {dict: {a: 2, b: {d: 2}}, merge_args: {inline: false}}")
    assert site.run(baton) == [{"a": [1, 2], "b": {"c": 1, "d": 2}}]
    assert baton == {"a": [1], "b": {"c": 1}}


def test_batons_do_not_share_what_is_merged_in(main: Main) -> None:
    """What one baton's steps do to it does not reach the next."""
    change = "- eval-lambda: {lambda: 'tags: tags.append(1)', input_path: tags, output_path: null}"
    site = main("- merge-with-dict: {dict: {tags: [new]}}\n" + change)
    assert site.run({}) + site.run({}) == [{"tags": ["new", 1]}, {"tags": ["new", 1]}]


def test_a_misspelt_way_to_merge_is_told(main: Main) -> None:
    """The options of the merge are checked like any others."""
    with pytest.raises(ConfigurationError, match=r"site\.yml:3:.*'replac' – did you mean 'replace'\?"):
        main("- merge-with-dict: {merge_args: {replac: true}}")


@pytest.mark.parametrize("step", ["merge-with-dict: {dict: {a: 1}}", "clean-baton: {keep: [a]}"])
def test_a_baton_that_is_no_mapping_is_told(main: Main, step: str) -> None:
    """The error says which step cannot use it, and what it is."""
    with pytest.raises(TypeError, match=rf"{step.split(':')[0]} needs a baton that is a mapping, and this is list"):
        main(f"- {step}").run([1])


@pytest.mark.parametrize(
    ("options", "after"),
    [
        ({"remove": ["a"]}, {"b": {"c": 2, "d": 3}}),
        ({"remove": ["b.c", "gone", "b.gone"]}, {"a": 1, "b": {"d": 3}}),
        ({"keep": ["a"]}, {"a": 1}),
        ({"keep": ["b.c", "gone"]}, {"b": {"c": 2}}),
        ({"keep": ["gone"]}, {}),
        ({"keep": ["b.c", "b"]}, {"b": {"c": 2, "d": 3}}),
        ({"keep": ["a", "b"], "remove": ["b"]}, {"a": 1}),
        ({"keep": ["b"], "remove": ["b.c"]}, {"b": {"d": 3}}),
        ({"keep": ["a"], "remove": ["a"]}, {}),
    ],
)
def test_cleans(options: dict[str, Any], after: Any) -> None:
    """What is to be removed goes, and all that is not to be kept, if that is said; the baton stays the same object."""
    baton = {"a": 1, "b": {"c": 2, "d": 3}}
    assert CleanBaton(**options).process(baton) is baton
    assert baton == after


def test_cleaning_leaves_alone_what_others_hold() -> None:
    """What is kept of a mapping inside the baton stands in a new one."""
    inside = {"c": 2, "d": 3}
    CleanBaton(keep=["b.c"]).process({"b": inside})
    assert inside == {"c": 2, "d": 3}


@pytest.mark.parametrize("options", ["", ": {}", ": {keep: [], remove: []}", ": {keep: null}"])
def test_cleaning_has_to_say_what(main: Main, options: str) -> None:
    """A step that would do nothing is a mistake, told at its place before anything runs."""
    with pytest.raises(ConfigurationError, match=r"site\.yml:3:\d+: clean-baton: there is neither keep nor remove"):
        main(f"- clean-baton{options}")


@pytest.mark.parametrize("options", [{"keep": [""]}, {"remove": ["a", ""]}])
def test_the_whole_baton_cannot_be_cleaned_away(options: dict[str, Any]) -> None:
    """The path of the whole baton is a mistake."""
    with pytest.raises(ConfigurationError, match="the whole baton can be neither kept nor removed"):
        CleanBaton(**options)


def test_collects_batons() -> None:
    """Each baton that goes by, itself or as it was then."""
    baton = {"n": [1]}
    plain, deep = CollectBatons(), CollectBatons(deepcopy=True)
    for step in (plain, deep, plain, deep):
        assert step.process(baton) is baton
        baton["n"].append(2)
    assert plain.list[0] is plain.list[1] is baton
    assert deep.list == [{"n": [1, 2]}, {"n": [1, 2, 2, 2]}]


def test_collects_in_a_list_that_is_given() -> None:
    """Several steps may share one, even an empty one."""
    batons: list[Any] = []
    CollectBatons(list=batons).process(1)
    CollectBatons(list=batons).process(2)
    assert batons == [1, 2]


def test_a_test_finds_what_was_collected() -> None:
    """The way that the documentation shows to the list."""
    stage = Stage("pipelines: {greet: [collect-batons, set-value: {path: '', value: hello}]}")
    stage.run("greet", 5)
    assert stage.get("pipeline.greet")[0].list == [5]


def test_volatile_values_are_described() -> None:
    """What must not be copied stands in the copy as a description; the baton keeps it, wherever it lies."""
    lock, secret = threading.Lock(), "secret"
    inside = {"lock": lock, "secret": secret, "none": None}
    volatile = ["in.lock", "in.secret", "in.none", "in.secret.more", "gone", "row.0"]
    baton = {"_volatile": volatile, "in": inside, "also": secret, "same": (lock,), "null": None, "row": [b"x", b"y"]}
    step = CollectBatons(deepcopy=True, describer=lambda value: f"a {type(value).__name__}")
    assert step.process(baton) is baton
    [copy] = step.list
    assert copy["in"] == {"lock": "a lock", "secret": "a str", "none": "a NoneType"}
    assert copy["same"] == ("a lock",)
    assert (copy["also"], copy["null"], copy["row"]) == ("secret", None, ["a bytes", b"y"])
    assert baton["in"] == {"lock": lock, "secret": secret, "none": None}


def test_what_lies_in_a_volatile_value_may_be_volatile_too() -> None:
    """The description of the outer one stands for both."""
    failure = ValueError("no")
    copy = snapshot({"_volatile": ["failure.args", "failure", "failure.args"], "failure": failure})
    assert copy["failure"] == "ValueError('no')"


def test_a_volatile_value_is_described_by_its_repr() -> None:
    """Unless somebody knows better; and one path need not stand in a list."""
    assert snapshot({"_volatile": "a.b", "a": {"b": object}}) == {"_volatile": "a.b", "a": {"b": "<class 'object'>"}}


def test_what_cannot_be_copied_is_told() -> None:
    """The error is that of the copy, with advice; the baton is not collected."""
    step = CollectBatons(deepcopy=True)
    with pytest.raises(TypeError, match="cannot pickle") as raised:
        step.process({"lock": threading.Lock()})
    assert raised.value.__notes__ == ["what cannot be copied has its path in the baton's list `_volatile`"]
    assert step.list == []
