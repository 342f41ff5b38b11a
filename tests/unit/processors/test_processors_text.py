"""Tests of the steps that make texts."""

from __future__ import annotations

from typing import Any

import pytest

from piped.ground.errors import ConfigurationError
from piped.processors.text import FormatString


@pytest.mark.parametrize(
    ("options", "value", "text"),
    [
        ({"format": "{0}-{1}"}, ["a", "b"], "a-b"),
        ({"format": "{}-{}"}, ("a", "b"), "a-b"),
        ({"format": "{a} {b.real}"}, {"a": 1, "b": 2}, "1 2"),
        ({"format": "{}!"}, "a", "a!"),
        ({"format": "{}!"}, None, "None!"),
        ({"format": "{0[1]}", "unpack": False}, ["a", "b"], "b"),
        ({"format": "{0[a]}", "unpack": False}, {"a": "b"}, "b"),
        ({"format": "constant"}, "a", "constant"),
        ({"format": ""}, "a", ""),
    ],
)
def test_fills_the_input_in(options: dict[str, Any], value: Any, text: str) -> None:
    """Lists fill the positional fields, mappings the named ones, all else is field 0."""
    assert FormatString(**options).process(value) == text


def test_the_format_may_lie_in_the_baton() -> None:
    """`format_path` takes the format of each baton."""
    step = FormatString(format_path="form", input_path="value")
    assert step.process({"form": "<{}>", "value": 1}) == {"form": "<{}>", "value": "<1>"}


def test_a_missing_format_is_told() -> None:
    """A baton without its format fails with the path that was looked at."""
    with pytest.raises(TypeError, match="the format at 'form' is no text but NoneType"):
        FormatString(format_path="form").process({})


@pytest.mark.parametrize("options", [{}, {"format": "a", "format_path": "b"}])
def test_exactly_one_format(options: dict[str, Any]) -> None:
    """Neither format, or both, is a mistake when the step is made."""
    with pytest.raises(ConfigurationError, match="either format or format_path"):
        FormatString(**options)
