"""Mistakes of YAML, told in plain words."""

from __future__ import annotations

import pytest
import yaml

from piped.config.reading import read

PARSERS = [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)]

MISTAKES = {
    "a:\n\tb: 1\n": (2, 1, "this line is indented with a tab"),
    "a:\n  - x\n\t- y\n": (3, 1, "this line is indented with a tab"),
    "a: b: c\n": (1, 5, "a second ':' stands in this line"),
    "a: 1\n  b: 2\n": (2, 4, "a name cannot stand here: the line above has its value already, or lacks its ':'"),
    "a: @x\n": (1, 4, "a text cannot begin with '@'"),
    "a: `x`\n": (1, 4, "a text cannot begin with '`'"),
    "a: %x\n": (1, 4, "a text cannot begin with '%'"),
    "a: *.txt\n": (1, 4, "'*' has a meaning of its own at the start of a value"),
    "a: &\n": (1, 4, "'&' has a meaning of its own at the start of a value"),
    "a: |x\n": (1, 4, "'|' has a meaning of its own at the start of a value"),
    "a: [!alias:x}\n": (1, 5, "the tag that begins here does not end with a blank"),
    "a: [1, 2\nb: 3\n": (1, 4, "the '[' that opens here is not closed, or a comma is missing"),
    "a: {x: 1\nb: 3\n": (1, 4, "the '{' that opens here is not closed, or a comma is missing"),
    "a: [1,\n": (2, 1, "the text ends inside of '[' or '{', which is not closed"),
    "a: [1,,2]\n": (1, 7, "',' stands where a value is expected"),
    "a: {port: ${PORT}}\n": (1, 12, "'${' has a meaning of its own inside {"),
    "a: [${PORT:-80}]\n": (1, 6, "'${' has a meaning of its own inside ["),
    "a: 'abc\nb: 3\n": (1, 4, "the quote ' that opens here is never closed"),
    'a: "abc\nb: 3\n': (1, 4, 'the quote " that opens here is never closed'),
    "a: 'don't'\n": (1, 9, "something stands behind the end of the value"),
    "a:\n   b: 1\n  c: 2\n": (3, 3, "this line is indented like none of the lines above that it could belong to"),
    "a: 1\n- b\n": (2, 1, "a list item stands among names"),
    "a: - b\n": (1, 4, "a list cannot begin behind a name"),
    "a: 1\nb\nc: 2\n": (2, 1, "this line has no ':' behind its name"),
    "a: x\x01\n": (1, 5, "the control character U+0001 cannot stand in YAML"),
    "a: 1\nb: \0\n": (2, 4, "the control character U+0000 cannot stand in YAML"),
    "a: \udc80\n": (1, 4, "the control character U+DC80 cannot stand in YAML"),
}


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_told_in_plain_words(text: str, parser: type) -> None:
    """What is no YAML is told once, at its place, in words about the text itself, and with advice."""
    (problem,) = read(text, "site.yml", {}, parser).problems
    assert problem.where
    assert (problem.where.line, problem.where.column, problem.what) == MISTAKES[text]
    assert problem.fix


@pytest.mark.parametrize("parser", PARSERS)
def test_a_backslash_in_double_quotes(parser: type) -> None:
    """A path of Windows in double quotes is told with the sign that is wrong."""
    (problem,) = read('a: "C:\\path"\n', "site.yml", {}, parser).problems
    assert problem.what == "\\p means nothing inside double quotes"
    assert problem.fix == "write \\\\ for a backslash, or use single quotes"


def test_advice_names_the_other_end() -> None:
    """Who misses a bracket is told where it was missed, who indents wrongly what the line could belong to."""
    (bracket,) = read("a: [1, 2\nb: 3\n", "site.yml", {}).problems
    assert bracket.fix == "a ',' or ']' is needed before line 2, column 2"
    (indentation,) = read("a:\n   b: 1\n  c: 2\n", "site.yml", {}).problems
    assert indentation.fix == "indent it like the line above it, or with 0 blanks like line 1"


def test_anything_else_is_told_with_the_parsers_words() -> None:
    """A mistake that has no words of ours still has its place."""
    (problem,) = read("a: 1\n%YAML 9.9\n---\nb: 1\n", "site.yml", {}, yaml.SafeLoader).problems
    assert str(problem).startswith("site.yml:2:1: ")
