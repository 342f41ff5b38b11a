"""Tests of the step that reads what iostat prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from piped.ground.errors import ConfigurationError
from piped.processors.iostat import ParseIostatOutput


def test_one_line_gives_a_number_for_each_measure() -> None:
    """Without a format the line is about one disk."""
    parsed = ParseIostatOutput().process({"line": "\n   24.10   5  0.12 \n\n"})
    assert parsed == {"line": {"disk0": {"KB/t": 24.1, "tps": 5.0, "MB/s": 0.12}}}


def test_several_lines_give_lists() -> None:
    """The numbers of a column stand in the order of the lines."""
    step = ParseIostatOutput(format=(("sda", ["tps"]), ("cpu", ["us", "sy"])), output_path="load")
    parsed = step.process({"line": "1 2 3\n4 5 6\n"})
    assert parsed["load"] == {"sda": {"tps": [1, 4]}, "cpu": {"us": [2, 5], "sy": [3, 6]}}


@pytest.mark.parametrize("text", ["1 2", "1 2 3 4", "", "KB/t tps MB/s", "1 2 x", "1 2 3\n1 2"])
def test_a_line_that_does_not_fit_is_a_value_error(text: str) -> None:
    """The error says what was expected, and what was there."""
    expected = "expected 3 numbers .KB/t of disk0, tps of disk0, MB/s of disk0., not "
    with pytest.raises(ValueError, match=expected + repr(text.split("\n")[-1])):
        ParseIostatOutput().process({"line": text})


def test_what_is_no_text_is_told() -> None:
    """An input of another kind fails with its path."""
    with pytest.raises(TypeError, match="what lies at 'line' is no text but bytes"):
        ParseIostatOutput().process({"line": b"1 2 3"})


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("[]", "the format names no measure"),
        ("[[sda, [tps, tps]]]", "two measures 'tps' of 'sda'"),
        ("[[sda]]", "must be a list of 2"),
        ("[[sda, tps]]", "must be a list of texts"),
    ],
)
def test_a_wrong_format_is_told_at_the_start(main: Callable[[str], Any], form: str, message: str) -> None:
    """A format that cannot be used is a mistake of the configuration."""
    with pytest.raises(ConfigurationError, match=message):
        main(f"- parse-iostat-output: {{format: {form}}}")
