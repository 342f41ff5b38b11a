"""`${NAME}` in values."""

from __future__ import annotations

import pytest
from twisted.python.filepath import FilePath

from piped.config.environment import Unset, fill
from piped.config.nodes import Node
from piped.config.reading import read
from piped.ground.batons import BatonPath

ENVIRON = {"HOST": "example.com", "PORT": "8080", "EMPTY": "", "ON": "yes", "CODE": "0123", "DAY": "2026-01-02"}


def value_of(text: str) -> Node:
    node = read(f"a: {text}\n", "site.yml", ENVIRON).root.at("a")
    assert node is not None
    return node


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${HOST}", "example.com"),
        ("http://${HOST}:${PORT}/", "http://example.com:8080/"),
        ("${PORT}", 8080),
        ('"${PORT}"', "8080"),
        ("'${PORT}'", "8080"),
        ("${NONE:-8080}", 8080),
        ("'${NONE:-8080}'", "8080"),
        ("${NONE:-}", None),
        ("'${NONE:-}'", ""),
        ("${EMPTY}", None),
        ("${EMPTY:-x}", None),
        ("${NONE:-a:b-c d}", "a:b-c d"),
        ("${ON}", True),
        ("${CODE}", "0123"),
        ("${DAY}", "2026-01-02"),
        ("$${HOST}", "${HOST}"),
        ("$${PORT} ${PORT}", "${PORT} 8080"),
        ("$HOST {x}", "$HOST {x}"),
        ("12", 12),
        ("|\n  ${PORT}", "8080\n"),
    ],
)
def test_names_are_filled_in(text: str, value: object) -> None:
    """A name takes its value or its default; what has no quotes is read as YAML again."""
    assert fill(value_of(text), ENVIRON) == value


def test_tagged_values_keep_their_kind() -> None:
    """A path in the baton and the name of a file are filled in too."""
    assert isinstance(fill(value_of("!path a.${HOST}"), ENVIRON), BatonPath)
    assert fill(value_of("!path a.${HOST}"), ENVIRON) == "a.example.com"
    assert fill(value_of("!filepath /srv/${HOST}/x"), ENVIRON) == FilePath("/srv/example.com/x")
    assert fill(value_of("!filepath ${NONE:-/etc}/x"), ENVIRON) == FilePath("/etc/x")


def test_a_name_that_is_not_set_is_told() -> None:
    """A missing variable is told with its place and how to give a default."""
    with pytest.raises(Unset) as caught:
        fill(value_of("x${NONE}"), ENVIRON)
    assert str(caught.value.problem) == (
        "site.yml:1:4: the environment variable NONE is not set – set it, or give a default: ${NONE:-default}"
    )
    assert caught.value.problems == [caught.value.problem]


@pytest.mark.parametrize("text", ["${}", "${HOST", "${HOST-x}", "${a.b}", "${A:-${B}}", "${1}"])
def test_what_is_no_name_is_told(text: str) -> None:
    """A slip in `${}` is never passed on as text."""
    with pytest.raises(Unset) as caught:
        fill(value_of(f"'{text}'"), ENVIRON)
    assert caught.value.problem.what == f"{text!r} names no environment variable"
    assert caught.value.problem.fix == "write ${NAME} or ${NAME:-default}, or $${ for the text '${'"
