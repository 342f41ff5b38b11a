"""Aliases: copies of what stands elsewhere."""

from __future__ import annotations

import pytest

from piped.config.aliases import Resolved, resolve
from piped.config.bounds import DEEPEST, OutOfBounds, check_bounds
from piped.config.nodes import Node
from piped.config.reading import read
from piped.ground.errors import Mark


def resolved(text: str) -> Resolved:
    reading = read(text, "site.yml", {})
    assert reading.problems == []
    return resolve(reading.root)


def told(text: str) -> list[str]:
    return [str(problem) for problem in resolved(text).problems]


def at(root: Node, path: str) -> Node:
    node = root.at(path)
    assert node is not None
    return node


def test_an_alias_is_what_it_refers_to() -> None:
    """An alias gives a mapping, a list or a single value, wherever it stands."""
    text = "d: {m: {h: 1}, l: [1], s: x}\na: !alias:d.m\nb: [!alias:d.l , !alias:d.s ]\nc: {d: !alias:d.l.0 }\n"
    root = resolved(text).root
    assert root.plain() == {"d": {"m": {"h": 1}, "l": [1], "s": "x"}, "a": {"h": 1}, "b": [[1], "x"], "c": {"d": 1}}


def test_names_of_the_target_win_over_the_alias_own() -> None:
    """What is written below an alias holds where the target has nothing."""
    root = resolved("d: {host: h1, port: 5432}\nr: !alias:d\n  pool: 4\n  port: 1\n").root
    assert at(root, "r").plain() == {"host": "h1", "port": 5432, "pool": 4}
    assert at(root, "r.pool").where == Mark("site.yml", 3, 9)
    assert at(root, "r.port").where == Mark("site.yml", 1, 21)
    assert at(root, "r").key_where == Mark("site.yml", 2, 1)


def test_chains_work_in_any_order() -> None:
    """An alias may refer to an alias, or to something inside one, before or after it."""
    text = "a: !alias:b\n  one: 1\nb: !alias:c\n  two: 2\nc: {three: {x: 3}}\nd: !alias:a.three.x\ne: !alias:a.two\n"
    assert resolved(text).root.plain() == {
        "a": {"one": 1, "two": 2, "three": {"x": 3}},
        "b": {"two": 2, "three": {"x": 3}},
        "c": {"three": {"x": 3}},
        "d": 3,
        "e": 2,
    }


def test_an_alias_may_refer_beside_itself() -> None:
    """A mapping may hold an alias of another of its members."""
    assert resolved("a: {x: 1, y: !alias:a.x }\n").root.plain() == {"a": {"x": 1, "y": 1}}


def test_names_with_dots_can_be_referred_to() -> None:
    """`\\.`, written %5C. in a tag, is a dot of a name."""
    assert resolved("my.host: {x: 1}\na: !alias:my%5C.host\n").root.plain()["a"] == {"x": 1}


def test_what_is_referred_to_counts_as_read() -> None:
    """A section that only serves aliases is no unknown section."""
    assert resolved("d: {m: 1}\ne: 2\na: !alias:d.m\nb: !alias:e\n").used == {"d", "e"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "defaults: {db: 1}\na: !alias:defaults.dbx\n",
            "site.yml:2:4: !alias:defaults.dbx refers to nothing: there is no 'dbx' in 'defaults' – did you mean 'db'?",
        ),
        (
            "a: !alias:x\n",
            "site.yml:1:4: !alias:x refers to nothing: there is no 'x' in the configuration – there is: a",
        ),
        ("d: 12\na: !alias:d.x\n", "site.yml:2:4: !alias:d.x refers to nothing: there is no 'x' in 'd'"),
        (
            "d: 12\na: !alias:d\n  x: 1\n",
            "site.yml:2:4: !alias:d has names of its own, and what it refers to is 12"
            " – remove the names below the alias",
        ),
        (
            "a: !alias:b\nb: !alias:a\n",
            "site.yml:1:4: aliases refer to each other in a circle: b -> a -> b – write values in one of these places",
        ),
        (
            "a: !alias:a.b\n",
            "site.yml:1:4: aliases refer to each other in a circle: a.b -> a.b – write values in one of these places",
        ),
        (
            "b: !alias:a.x\na: !alias:none\nc: !alias:a\n  d: 1\n",
            "site.yml:2:4: !alias:none refers to nothing: there is no 'none' in the configuration – there is: a, b, c",
        ),
        (
            "a: {b: !alias:a }\n",
            "site.yml:1:8: !alias:a contains itself: it stands inside what it refers to"
            " – refer to something that does not hold this alias",
        ),
        (
            "a: {b: !alias:c }\nc: {d: !alias:a }\n",
            "site.yml:1:8: !alias:c contains itself: it stands inside what it refers to"
            " – refer to something that does not hold this alias",
        ),
    ],
)
def test_an_alias_that_cannot_be_is_told_once(text: str, problem: str) -> None:
    """A target that is missing, or that holds the alias itself, is told where the alias is written."""
    assert told(text) == [problem]


def test_an_alias_without_a_target_keeps_its_own_names() -> None:
    """What can be used of a wrong alias is used, so that only the real mistake is told."""
    assert resolved("a: !alias:x\n  k: 1\nb: !alias:y\n").root.plain() == {"a": {"k": 1}, "b": None}


def test_what_has_no_aliases_is_left_as_it_is() -> None:
    """Parts without aliases are the very nodes that were read."""
    root = read("a: {b: [1]}\nc: !alias:a\n", "site.yml", {}).root
    assert resolve(root).root.value["a"] is root.value["a"]


def test_aliases_cannot_blow_up() -> None:
    """Aliases that multiply are resolved without being written out, so that their size can be told."""
    lines = ["a0: [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: [{', '.join([f'!alias:a{n - 1} '] * 10)}]" for n in range(1, 12)]
    root = resolved("\n".join(lines)).root
    with pytest.raises(OutOfBounds) as caught:
        check_bounds(root)
    assert "1,000,000 values" in caught.value.problem.what


def test_aliases_cannot_go_too_deep() -> None:
    """Aliases that nest each other end where everything does."""
    third = DEEPEST // 3
    lines = [f"a{n}: {'[' * third}!alias:a{n + 1} {']' * third}" for n in range(9)]
    with pytest.raises(OutOfBounds):
        resolved("\n".join([*lines, "a9: 1"]))
