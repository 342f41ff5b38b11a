"""Writing nodes as YAML again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.filepath import FilePath

from piped.config.dumping import dump
from piped.config.nodes import node_of
from piped.config.reading import read


@pytest.mark.parametrize(
    "text",
    [
        "a: !filepath '~/some file.txt'\n",
        "a: !pipedpath 'config/x y'\n",
        "a: !path 'js/foo bar'\n",
        "a: !alias:x.y\n  port: 1\n",
        "a: 'yes'\nb: '012'\nc: ${X}\nd: $HOME\n",
        "a:\n- 1\n- b: null\n",
    ],
)
def test_tags_come_back_as_they_were_written(text: str) -> None:
    """What was read with tags is written with the same tags and texts."""
    assert dump(read(text, "site.yml", {"HOME": "/home/ada"}).root) == text


def test_an_alias_of_nothing_more_comes_back() -> None:
    """An alias without names of its own is read again as one."""
    root = read("a: !alias:x.y\n", "site.yml", {}).root
    assert read(dump(root), "site.yml", {}).root.value["a"].value == root.value["a"].value


def test_other_file_paths_are_written_whole() -> None:
    """A path that Python code made is written with its absolute name."""
    assert dump(node_of({"a": FilePath("/etc/x")})) == "a: !filepath '/etc/x'\n"


def test_what_is_repeated_is_written_out() -> None:
    """Anchors are for people who write; each value stands for itself."""
    assert dump(read("a: &x [1]\nb: *x\n", "site.yml", {}).root) == "a:\n- 1\nb:\n- 1\n"


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text() | st.dates(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=3,
    )
)
def test_what_is_written_reads_the_same(value: dict[str, object]) -> None:
    """No value changes by being written and read."""
    assert read(dump(node_of(value)), "site.yml", {}).root.plain() == value
