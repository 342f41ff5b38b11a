"""An annotation is told in words that fit behind "must be"."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Interval, Lt
from twisted.python.filepath import FilePath

from piped.ground.batons import BatonPath
from piped.ground.code import Code
from piped.ground.units import Bytes, ContextName, Count, OrPath, PipelineName, Port, ResourcePath, Seconds, Unit
from piped.spec.shapes import Arguments, words_of, written


class Colour(Enum):
    RED = "red"


@dataclass
class Site:
    port: int = 1


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (str, "text"),
        (int | None, "a whole number"),
        (float | str, "a number or text"),
        (bool, "true or false"),
        (None | type(None), "null"),
        (Any, "anything"),
        (Seconds, "a number of at least 0 (s)"),
        (Bytes, "a whole number of at least 0 (bytes)"),
        (Port, "a TCP port"),
        (Count, "a number of at least 1"),
        (Annotated[int, Ge(1), Lt(5)], "a whole number of at least 1 and below 5"),
        (Annotated[int, Interval(ge=1, le=5), Unit("%")], "a whole number of at least 1 and of at most 5 (%)"),
        (Literal["a"], "'a'"),
        (Literal["a", 1, None], "'a', 1 or null"),
        (Colour, "'red'"),
        (list[str], "a list of texts"),
        (list[Site], "a list of mappings"),
        (list[ContextName], "a list"),
        (list, "a list"),
        (Mapping[str, int], "a mapping"),
        (Site, "a mapping"),
        (Arguments[Site], "a mapping"),
        (OrPath[str], "text or a !path"),
        (FilePath, "the name of a file"),
        (ContextName, "the name of a context"),
        (PipelineName, "the name of a pipeline"),
        (Code, "a block of Python, the body of a function"),
        (ResourcePath, "the path of a resource, such as `pipeline.hello` or `context.users`"),
        (complex, "a complex"),
    ],
)
def test_shapes_in_words(shape, words):
    """A person reads what to write, with its unit and bounds."""
    assert words_of(shape) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1, "1"),
        ("a", "'a'"),
        (BatonPath("a.b"), "!path a.b"),
        (FilePath("/x"), "!filepath /x"),
        ((("a", [None, 1]), BatonPath("b")), "[['a', [null, 1]], !path b]"),
        ("x" * 100, "'" + "x" * 49 + "…xxxx'"),
    ],
)
def test_values_as_they_are_written(value, text):
    """A message shows a value as it stands in a configuration, and never a page of it."""
    assert written(value) == text
