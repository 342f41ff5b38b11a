"""Node: a value and its place."""

from __future__ import annotations

import os

import pytest

from piped.config.nodes import Alias, Node, kind_of, node_of, shown
from piped.ground.errors import Mark


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("", {"a": [{"b.c": 1}]}),
        ("a.0", {"b.c": 1}),
        (r"a.0.b\.c", 1),
        ("a.1", None),
        ("a.²", None),
        ("a.x", None),
        ("b", None),
    ],
)
def test_nodes_are_found_by_path(path: str, value: object) -> None:
    """A path leads through names and numbers of elements; what is not there is None, whatever the path."""
    node = node_of({"a": [{"b.c": 1}]}).at(path)
    assert (node and node.plain()) == value


def test_plain_values_are_fresh() -> None:
    """Each call gives values that nobody else has, made of what `scalar` says."""
    node = node_of({"a": [1, {"b": 2}]})
    assert node.plain() is not node.plain()
    assert node.plain(lambda scalar: scalar.value * 10) == {"a": [10, {"b": 20}]}


def test_each_gives_every_node_with_its_path() -> None:
    """Walking visits a node, then what is below it, in the order of the file."""
    assert [path for path, _ in node_of({"a": [1], "b": 2}).each()] == [(), ("a",), ("a", "0"), ("b",)]


@pytest.mark.parametrize(
    ("value", "kind"),
    [({}, "a mapping"), ([], "a list"), (None, "null"), (12, "12"), ("x", "'x'"), (Alias("a.b", {}), "!alias:a.b")],
)
def test_kinds_are_called_as_people_call_them(value: object, kind: str) -> None:
    """Messages name what stands in a place in the words of YAML."""
    assert kind_of(Node(value, Mark("f", 1, 1))) == kind


def test_files_are_shown_from_where_one_stands() -> None:
    """A file below the run directory is named relative to it, one far away by its whole name."""
    assert shown(os.path.join(os.getcwd(), "conf", "x.yml")) == os.path.join("conf", "x.yml")
    assert shown("/x.yml") == "/x.yml"
