"""Reading YAML: values keep their places, and no text raises."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.filepath import FilePath

from piped.config.bounds import DEEPEST
from piped.config.nodes import Alias, Node
from piped.config.reading import Reading, read, read_value
from piped.ground.batons import BatonPath
from piped.ground.errors import Mark

PARSERS = [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)]


def site(text: str) -> Reading:
    return read(text, "site.yml", {})


def told(text: str) -> list[str]:
    return [str(problem) for problem in site(text).problems]


def at(root: Node, path: str) -> Node:
    node = root.at(path)
    assert node is not None, path
    return node


@pytest.mark.parametrize("parser", PARSERS)
def test_every_value_and_name_knows_its_place(parser: type) -> None:
    """Each value and each name is found in its line and column, counted from 1."""
    root = read("web:\n  site: {port: 8080}\n  hosts:\n    - a\n    -  b\n", "site.yml", {}, parser).root
    assert at(root, "web.site.port").where == Mark("site.yml", 2, 16)
    assert at(root, "web.site.port").key_where == Mark("site.yml", 2, 10)
    assert at(root, "web.hosts.1").where == Mark("site.yml", 5, 8)
    assert at(root, "web").named_at == Mark("site.yml", 1, 1)
    assert at(root, "web").where == Mark("site.yml", 2, 3)


def test_an_empty_value_stands_behind_its_name() -> None:
    """A name without a value is null, at the place where the value would begin."""
    node = at(site("a:\n\nb: 1\n").root, "a")
    assert (node.value, node.where) == (None, Mark("site.yml", 1, 3))


@pytest.mark.parametrize("sign", ["|", ">", "|-", ">+", "| # comment"])
def test_the_text_of_a_block_begins_in_the_line_below(sign: str) -> None:
    """Line numbers of code in a block are those of the file."""
    node = at(site(f"code: {sign}\n   x = 1\n   y\nb: 1\n").root, "code")
    assert node.where == Mark("site.yml", 1, 7)
    assert node.text_where == Mark("site.yml", 2, 4)


def test_other_texts_begin_where_they_stand() -> None:
    """A text in one line begins at its own place."""
    node = at(site("code: 'x'\n").root, "code")
    assert node.text_where == node.where


def test_only_plain_style_counts_as_unquoted() -> None:
    """Quotes, blocks and tags keep a text a text."""
    root = site("a: x\nb: 'x'\nc: \"x\"\nd: |\n  x\ne: !!str x\nf: !path x\ng: 1\n").root
    assert {name for name, node in root.value.items() if node.is_unquoted} == {"a", "g"}


def test_names_are_texts_as_written() -> None:
    """A site may be called yes, a status 404: names are never anything but text."""
    root = site("yes: 1\n404: 2\n012: 3\n~: 4\n2026-01-02: 5\n'a b': 6\n&x k: 7\n!!str z: 8\n").root
    assert list(root.value) == ["yes", "404", "012", "~", "2026-01-02", "a b", "k", "z"]


def test_a_name_may_repeat_a_text() -> None:
    """`*name` may stand for the name of a value."""
    assert site("a: &x text\n*x : 1\n").root.plain() == {"a": "text", "text": 1}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~\n"])
def test_an_empty_file_is_an_empty_mapping(text: str) -> None:
    """A file without anything in it configures nothing, and is no mistake."""
    reading = site(text)
    assert (reading.root.value, reading.problems) == ({}, [])


@pytest.mark.parametrize(
    ("text", "kind"),
    [("- a\n", "a list"), ("hello\n", "'hello'"), ("!alias:x\n", "!alias:x"), ("x" * 99, f"'{'x' * 45}...'")],
)
def test_a_file_holds_a_mapping(text: str, kind: str) -> None:
    """Anything but a mapping at the top is told with what it is, shortened, and with what to write."""
    assert told(text) == [
        f"site.yml:1:1: the file holds {kind}, not a mapping of names to values"
        " – begin with a name at the left margin, such as 'pipelines:'"
    ]


def test_tags_make_values() -> None:
    """`!path`, `!filepath`, `!pipedpath` and `!alias` make what the documents say."""
    reading = read(
        "a: !path js/foo bar\nb: !path\nc: !filepath ~/x\nd: !pipedpath config\ne: !alias:x.y\nf: !alias:x\n  k: 1\n",
        "site.yml",
        {"HOME": "/home/ada"},
    )
    values = {name: node.value for name, node in reading.root.value.items()}
    assert reading.problems == []
    assert (values["a"], type(values["a"]), values["b"]) == ("js/foo bar", BatonPath, "")
    assert values["c"] == FilePath("/home/ada/x")
    assert values["d"].child("reading.py").exists()
    assert values["e"] == Alias("x.y", {})
    assert (values["f"].target, values["f"].defaults["k"].value) == ("x", 1)


def test_a_name_written_twice_is_told_with_its_first_line() -> None:
    """Nothing is silently replaced by a second value of the same name."""
    reading = site("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert [str(problem) for problem in reading.problems] == [
        "site.yml:4:3: 'c' is written twice in one mapping: first in line 3"
        " – remove one of the two, or give it another name",
        "site.yml:5:1: 'a' is written twice in one mapping: first in line 1"
        " – remove one of the two, or give it another name",
    ]


def test_an_anchor_is_repeated_with_its_own_place() -> None:
    """What `*name` repeats keeps the place where it was written; its name has the place of the new one."""
    root = site("a: &x {p: 1}\nb: *x\nc: [*x]\n").root
    b = at(root, "b")
    assert (b.where, b.key_where, at(root, "a").key_where) == (
        Mark("site.yml", 1, 4),
        Mark("site.yml", 2, 1),
        Mark("site.yml", 1, 1),
    )
    assert at(root, "b.p").where == at(root, "c.0.p").where == Mark("site.yml", 1, 11)


def test_merge_keys_bring_names_in() -> None:
    """`<<` adds what a mapping lacks, of several mappings the first wins, and each value keeps its place."""
    reading = site("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  a: 0\n  <<: [*x, *y]\n'<<': text\n")
    assert reading.problems == []
    assert reading.root.plain()["z"] == {"a": 0, "b": 1, "c": 2}
    assert at(reading.root, "z.b").key_where == Mark("site.yml", 1, 14)
    assert reading.root.plain()["<<"] == "text"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "a: *x\n",
            "site.yml:1:4: *x repeats nothing: '&x' marks no value above – a text that begins with '*' needs quotes",
        ),
        (
            "a: &host h\nb: *hst\n",
            "site.yml:2:4: *hst repeats nothing: '&hst' marks no value above"
            " – did you mean '*host'? (a text that begins with '*' needs quotes)",
        ),
        ("a: &x [*x]\n", "site.yml:1:8: *x stands inside what it repeats – repeat something else, or write it out"),
        (
            "a:\n  <<: 3\n",
            "site.yml:2:7: '<<' takes a mapping or a list of mappings, and this is 3"
            " – write '<<: *name', where '&name' marks a mapping",
        ),
        (
            "a: &x {}\nb:\n  <<: *x\n  <<: *x\n",
            "site.yml:4:3: '<<' is written twice in one mapping – write '<<: [*first, *second]'",
        ),
        (
            "a: {{ b }}\n",
            "site.yml:1:5: a name must be a text, and this is a mapping"
            " – put a text that begins with '{' or '[' in quotes",
        ),
        ("!path a: 1\n", "site.yml:1:1: a name takes no tag, and this has !path – remove the tag"),
        (
            "a: 1\n---\nb: 2\n",
            "site.yml:2:1: a second document begins here – write one document in a file, without '---'",
        ),
    ],
)
def test_what_makes_no_sense_is_told(text: str, problem: str) -> None:
    """Mistakes that are valid YAML are told at their place, with what to do."""
    assert told(text) == [problem]


def test_wrong_parts_do_not_hide_the_rest() -> None:
    """Everything beside a mistake is read all the same."""
    assert site("a: *x\nb: {[c]: 1, d: 2}\ne: !foo text\n").root.plain() == {"a": None, "b": {"d": 2}, "e": "text"}


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_told(opening: str) -> None:
    """A file that is nested beyond all sense is a mistake with a place, not a crash."""
    reading = site("a:\n " + opening * 5000)
    (problem,) = reading.problems
    assert problem.what == f"lists and mappings are nested more than {DEEPEST} levels deep"
    assert (problem.where.line if problem.where else 0, reading.root.value) == (2, {})


def test_nesting_may_be_deep() -> None:
    """What people write by hand is never too deep."""
    levels = DEEPEST - 1
    reading = site("a: " + "[" * levels + "]" * levels)
    assert reading.problems == []
    assert sum(1 for _ in reading.root.each()) == levels + 1


def test_repeating_cannot_blow_up() -> None:
    """Anchors that multiply ("billion laughs") end in a problem, whatever the parts are called."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (problem,) = site("\n".join(lines)).problems
    assert str(problem).startswith("site.yml:6:")
    assert problem.what == "aliases multiply what is written to more than 1,000,000 values"


def test_repeating_cannot_go_deep() -> None:
    """Anchors that nest each other count with all their levels."""
    half = DEEPEST * 2 // 3
    (problem,) = site(f"a: &a {'[' * half}{']' * half}\nb: {'[' * half}*a{']' * half}\n").problems
    assert "levels deep" in problem.what


def test_a_value_of_a_command_line_has_its_place_there() -> None:
    """Places in a text of the command line count from where the value begins."""
    reading = read_value("{a: yes}", Mark("-O x", 1, 5), {})
    assert [problem.where for problem in reading.problems] == [Mark("-O x", 1, 9)]
    assert reading.root.where == Mark("-O x", 1, 5)


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(), plain_values, max_size=4), st.booleans(), st.sampled_from(PARSERS))
def test_values_are_those_of_yaml(value: dict[str, object], in_blocks: bool, parser: type) -> None:
    """What another program writes as YAML is read as it was meant, with libyaml and without."""
    text = yaml.safe_dump(value, default_flow_style=not in_blocks)
    reading = read(text, "site.yml", {}, parser)
    assert reading.root.plain() == value
    assert [problem for problem in reading.problems if not problem.is_warning] == []


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab:-[]{},&*!|>'\"\\#%@`?$ \n\t0\x01<~\u2028", max_size=30))
def test_no_text_raises(text: str) -> None:
    """Whatever stands in a file, reading it gives a mapping, or problems that name a place in it."""
    for parser in PARSERS:
        reading = read(text, "site.yml", {}, parser)
        assert reading.root.is_mapping
        assert all(problem.where and problem.where.file == "site.yml" for problem in reading.problems)
        lines = len(text.splitlines()) + 1
        assert all(problem.where and 1 <= problem.where.line <= lines for problem in reading.problems)
