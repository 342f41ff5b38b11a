"""Tests of what was expected beside what came."""

import random
from collections import Counter
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piped.cases.differing import LONG, MOST_LINES, differences
from piped.config.nodes import node_of
from piped.config.reading import read

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def told(expected: Any, found: Any, *, is_partial: bool = False) -> list[str]:
    """The differences without their places."""
    nodes = differences(node_of(expected), found, lambda node: node.value, "result", is_partial=is_partial)
    return [problem.what for problem in nodes]


@settings(max_examples=60, deadline=None)
@given(PLAIN)
def test_what_is_as_expected_has_no_differences(value: Any) -> None:
    """Whatever it is, in full and in part."""
    assert told(value, value) == told(value, value, is_partial=True) == []


@settings(max_examples=60, deadline=None)
@given(PLAIN, PLAIN)
def test_what_is_not_as_expected_has_differences(expected: Any, found: Any) -> None:
    """Two values that are written differently never pass for each other."""
    assert bool(told(expected, found)) is (repr_of(expected) != repr_of(found))


def repr_of(value: Any) -> str:
    """A value as text, whatever the order of names."""
    if isinstance(value, dict):
        return f"{{{sorted((key, repr_of(member)) for key, member in value.items())}}}"
    return f"[{', '.join(map(repr_of, value))}]" if isinstance(value, list) else repr(value)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=3), PLAIN, max_size=4), st.dictionaries(st.text(max_size=3), PLAIN, max_size=4))
def test_a_part_may_leave_names_out(part: dict[str, Any], more: dict[str, Any]) -> None:
    """At any depth: here one below the other."""
    assert told({"inner": part}, {"inner": more | part, "other": more}, is_partial=True) == []


@pytest.mark.parametrize(
    ("expected", "found", "difference"),
    [
        ({"user": {"name": "Ada"}}, {"user": {"name": "Bo"}}, "result.user.name is 'Bo', expected 'Ada'"),
        ({"user": {"name": "Ada"}}, {"user": {}}, "result.user.name is missing, expected 'Ada'"),
        ({}, {"n": 1}, "result.n is 1, expected nothing"),
        ([1, 2], [1], "result.1 is missing, expected 2"),
        ([1], [1, {"a": 2}], "result.1 is {'a': 2}, expected nothing"),
        ({"a.b": 1}, {"a.b": 2}, r"result.a\.b is 2, expected 1"),
        (1, "1", "result is '1', expected 1"),
        (1, True, "result is True, expected 1"),
        (True, 1, "result is 1, expected True"),
        ("a", b"a", "result is b'a', expected 'a'"),
        ({"a": 1}, [1], "result is [1], expected {'a': 1}"),
        ([1], {"a": 1}, "result is {'a': 1}, expected [1]"),
        (None, 0, "result is 0, expected None"),
    ],
)
def test_a_difference_is_told_with_its_path(expected: Any, found: Any, difference: str) -> None:
    """The path is that of the baton, a dot in a name is marked, and kinds are never confused."""
    assert told(expected, found) == [difference]


@pytest.mark.parametrize(
    ("expected", "found"), [([1, 2], (1, 2)), ({"a": 2}, Counter(a=2)), ({"1": "one"}, {1: "one"}), (1, 1.0)]
)
def test_what_yaml_cannot_write_is_compared_as_what_it_can(expected: Any, found: Any) -> None:
    """Tuples as lists, mappings of any kind, names that are no text, whole numbers."""
    assert told(expected, found) == []


def test_a_list_in_a_part_has_all_items() -> None:
    """Only mappings may have more than was written."""
    assert told([{"a": 1}], [{"a": 1, "b": 2}], is_partial=True) == []
    assert told([{"a": 1}], [{"a": 1}, {}], is_partial=True) == ["result.1 is {}, expected nothing"]


def test_each_difference_has_the_place_of_what_was_expected() -> None:
    """The value, the name of what is missing, the name above what should not be there."""
    expected = read("result:\n  a: 1\n  b:\n    c: 2\n", "site.yaml", {}).root.value["result"]
    told = differences(expected, {"a": 2, "b": {"d": 3}}, lambda node: node.value, "result")
    assert {problem.what.split()[0]: str(problem.where) for problem in told} == {
        "result.a": "site.yaml:2:6",
        "result.b.c": "site.yaml:4:5",
        "result.b.d": "site.yaml:3:3",
    }


def test_long_texts_are_shown_from_where_they_differ() -> None:
    """Not from their beginnings, which are the same."""
    [line] = told("x" * 100 + "expected", "x" * 100 + "found")
    assert line == f"result differs from sign 101 on: it is …'{'x' * 10}found', expected …'{'x' * 10}expected'"
    [line] = told("x" * LONG, "x" * (LONG + 1))
    assert line.startswith(f"result differs from sign {LONG + 1} on")


def test_names_that_nobody_expected_are_told_in_their_order() -> None:
    """That of the baton, and the same each time."""
    found = dict.fromkeys("zyxwvuts", 1)
    assert [line.split()[0][-1] for line in told({}, found)] == list(found)


def test_a_missing_name_is_told_with_what_is_there_instead() -> None:
    """Only what was not expected anyway: most likely it is that, written differently."""
    [problem] = differences(
        node_of({"total": 1, "n": 2}), {"totl": 1, "n": 2}, lambda node: node.value, "result", is_partial=True
    )
    assert str(problem).endswith("result.total is missing, expected 1 – did you mean 'totl'?")


def test_texts_of_several_lines_are_compared_by_line() -> None:
    """Lines that differ, with those around them and where they are."""
    [lines] = told("1\nsame\none\nend\n5", "1\nsame\ntwo\nend\n5")
    assert lines.splitlines() == [
        "result differs (- expected, + found):",
        "    @@ -2,3 +2,3 @@",
        "      same",
        "    - one",
        "    + two",
        "      end",
    ]


def test_what_cannot_be_seen_in_a_line_is_shown() -> None:
    """Blanks at the end, and signs that a terminal would obey."""
    [lines] = told("a\nb", "a \nb\x1b[2J\r")
    assert [line.strip() for line in lines.splitlines()[2:]] == ["- a", "- b", "+ 'a '", r"+ 'b\x1b[2J\r'"]


def test_texts_with_many_lines_are_compared_at_once() -> None:
    """A test that fails must not hang, even where no line is like another."""
    signs = random.Random(1)
    one, other = ("\n".join("".join(signs.choices("abc ", k=60)) for _ in range(2000)) for _ in range(2))
    began = perf_counter()
    [lines] = told(one, other)
    assert lines.endswith("lines more")
    assert perf_counter() - began < 5


def test_not_everything_is_shown_of_what_is_long() -> None:
    """A screen is enough: of texts with many lines, and of deep or long values."""
    [lines] = told("\n" * 3, "\n".join(map(str, range(1000))))
    assert len(lines.splitlines()) == 1 + MOST_LINES + 1
    assert lines.splitlines()[-1].endswith("lines more")
    [line] = told(1, [["x" * 1000] * 1000] * 1000)
    assert len(line) < 30_000
