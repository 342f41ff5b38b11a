"""`-O path:value` on the command line."""

from __future__ import annotations

import pytest

from piped.config.nodes import Alias, node_of
from piped.config.overrides import override
from piped.ground.batons import BatonPath
from piped.ground.errors import Mark


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("web.site.port:8081", "web.site.port", 8081),
        ("web.site.port: 8081", "web.site.port", 8081),
        ("foo.bar:{key: value}", "foo.bar", {"key": "value"}),
        ("p:[{eval-lambda: {lambda: 'x: x'}}]", "p", [{"eval-lambda": {"lambda": "x: x"}}]),
        ('{"repl.enabled": true}', "repl.enabled", True),
        ('{"repl.enabled":true}', "repl.enabled", True),
        ("{repl.enabled:true}", "repl.enabled", True),
        ("url:http://x:80/", "url", "http://x:80/"),
        ("title:'a: b'", "title", "a: b"),
        ("a:", "a", None),
        ("a:'12'", "a", "12"),
        (r"sites.my\.site.port:1", r"sites.my\.site.port", 1),
        ('"odd:name":1', "odd:name", 1),
        ("'odd:name': 1", "odd:name", 1),
        ("a.b\t:1", "a.b", 1),
        ("list.1:7", "list.1", 7),
    ],
)
def test_a_value_is_put_at_its_path(text: str, path: str, value: object) -> None:
    """Everything behind the first colon is YAML, with or without a blank."""
    overridden = override(node_of({"list": [1, 2], "web": {"site": {"port": 80}}}), text, {})
    node = overridden.root.at(path)
    assert node is not None
    assert (node.plain(), overridden.problems) == (value, [])


def test_several_paths_in_one_mapping() -> None:
    """A mapping in braces sets each of its paths."""
    assert override(node_of({"a": {"x": 1}}), "{a.b: 1, c: 2}", {}).root.plain() == {"a": {"x": 1, "b": 1}, "c": 2}


def test_a_value_replaces_all_that_was_there() -> None:
    """Nothing is merged; what stands beside the path stays."""
    root = node_of({"a": {"b": {"x": 1}, "c": 1}})
    assert override(root, "a.b:{y: 2}", {}).root.plain() == {"a": {"b": {"y": 2}, "c": 1}}


def test_tags_work() -> None:
    """A value may be a path in the baton or an alias."""
    assert isinstance(override(node_of({}), "a:!path x", {}).root.value["a"].value, BatonPath)
    assert override(node_of({}), "a:!alias:b.c", {}).root.value["a"].value == Alias("b.c", {})


def test_places_are_those_of_the_command_line() -> None:
    """The value and its path are found in the text that was typed."""
    node = override(node_of({}), "a.b:{c: 1}", {}).root.at("a.b.c")
    assert node is not None
    assert node.where == Mark("-O 'a.b:{c: 1}'", 1, 9)
    parent = override(node_of({}), "a.b:{c: 1}", {}).root.at("a.b")
    assert parent is not None
    assert parent.key_where == Mark("-O 'a.b:{c: 1}'", 1, 1)


@pytest.mark.parametrize(
    ("text", "column", "what"),
    [
        ("novalue", 1, "'novalue' has no ':' between a path and its value"),
        (":1", 1, "there is no path before the ':'"),
        ("a:[1", 3, "the '[' that opens here is not closed, or a comma is missing"),
        ("a:!foo x", 3, "unknown tag !foo"),
        ("{a: [}", 6, "'}' stands where a value is expected"),
        ("list.9:1", 1, "'list' is a list of 2, and has no element '9'"),
        (f"{'a.' * 200}b:1", 1, "the path has more than 100 names"),
    ],
)
def test_a_mistake_is_told_at_its_place(text: str, column: int, what: str) -> None:
    """What cannot be read or put is told with the text that was typed, and changes nothing."""
    root = node_of({"list": [1, 2]})
    overridden = override(root, text, {})
    (problem,) = overridden.problems
    assert (problem.where, problem.what) == (Mark(f"-O {text!r}", 1, column), what)
    assert problem.fix
    assert overridden.root is root


def test_a_warning_does_not_stop_a_value() -> None:
    """`yes` is warned of and taken."""
    overridden = override(node_of({}), "a:yes", {})
    assert (overridden.root.plain(), [p.is_warning for p in overridden.problems]) == ({"a": True}, [True])
