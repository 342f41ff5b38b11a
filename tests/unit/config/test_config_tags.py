"""Tags that make nothing are told with what to write instead."""

from __future__ import annotations

import pytest

from piped.config.reading import read

SINGLE = "write it before a single text, such as"
CORRECT = "correct it, or write it in quotes (and without a tag) if it is a text"
OBJECTS = "a configuration makes no Python objects"
PYTHON = "write plain values; where an option asks for a class or function, write its full name as a text"


@pytest.mark.parametrize(
    ("value", "what", "fix"),
    [
        (
            "!!python/object/apply:os.system [ls]",
            "!!python/object/apply:os.system is not allowed: a configuration makes no Python objects",
            PYTHON,
        ),
        (
            "!!python/name:os.system",
            f"!!python/name:os.system is not allowed: {OBJECTS}",
            PYTHON,
        ),
        (
            "!!set {x}",
            "the tag !!set is not understood",
            "leave it out: text, numbers, lists and mappings need no tag",
        ),
        ("!pth x", "unknown tag !pth", "did you mean '!path'? (a text that begins with '!' needs quotes)"),
        (
            "!foo x",
            "unknown tag !foo",
            "there is: !alias:dotted.path, !filepath, !path, !pipedpath (a text that begins with '!' needs quotes)",
        ),
        (
            "!path {x: 1}",
            "!path takes a text, and this is a mapping",
            "write it before a single text, such as !path some.text",
        ),
        (
            "!filepath [x]",
            "!filepath takes a text, and this is a list",
            "write it before a single text, such as !filepath some.text",
        ),
        (
            "!!int [x]",
            "!!int takes a text, and this is a list",
            "write it before a single text, such as !!int some.text",
        ),
        (
            "!alias:x [1]",
            "!alias:x cannot stand before a list",
            "an alias adds nothing to a list: write the whole list, or !alias:x alone",
        ),
        ("!alias foo", "!alias does not say of what", "write !alias:foo, without a blank behind the colon"),
        ("!alias: foo", "!alias: does not say of what", "write !alias:foo, without a blank behind the colon"),
        (
            "!alias: {a: 1}",
            "!alias: does not say of what",
            "write !alias:dotted.path, without a blank behind the colon",
        ),
        (
            "!alias:x text",
            "the text 'text' has no meaning behind !alias:x",
            "remove it; only names with values can stand there, which hold where the target has none",
        ),
        ("!pipedpath ../../etc", "!pipedpath '../../etc' leads out of Piped's own folder", "use !filepath for it"),
        ("!pipedpath /etc", "!pipedpath '/etc' leads out of Piped's own folder", "use !filepath for it"),
        (
            "!!int x",
            "'x' is no valid whole number",
            "correct it, or write it in quotes (and without a tag) if it is a text",
        ),
    ],
)
def test_a_tag_that_makes_nothing_is_told(value: str, what: str, fix: str) -> None:
    """No tag is ignored, none makes a Python object; the problem stands at the value."""
    (problem,) = read(f"a: {value}\n", "site.yml", {}).problems
    assert (str(problem.where), problem.what, problem.fix) == ("site.yml:1:4", what, fix)


def test_no_python_object_is_made(tmp_path: object) -> None:
    """A file cannot run anything: a tag of Python leaves plain data behind."""
    reading = read(f"a: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n", "site.yml", {})
    assert reading.root.plain() == {"a": [f"{tmp_path}/made"]}


def test_tags_that_say_nothing_new_are_fine() -> None:
    """`!!map`, `!!seq`, `!!str` and `!` may be written."""
    reading = read("a: !!map {b: !!seq [!!str 1, ! 2]}\n", "site.yml", {})
    assert (reading.root.plain(), reading.problems) == ({"a": {"b": ["1", "2"]}}, [])
