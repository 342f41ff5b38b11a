"""Tests of the step that writes JSON as a call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from piped.ground.batons import BatonPath
from piped.ground.code import DottedName
from piped.ground.errors import ConfigurationError
from piped.processors.jsonp import EncodeJSONP


class PlainEncoder(json.JSONEncoder):
    """Writes every character as it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "ensure_ascii": False})


def encoded(baton: dict[str, Any], **options: Any) -> str:
    step = EncodeJSONP(input_path="answer", output_path="content", **options)
    content: str = step.process({"answer": {"a": 1}, **baton})["content"]
    return content


@pytest.mark.parametrize("name", ["callback", "$", "_1", "jQuery1124_99", "shop.show", "a" * 128])
def test_json_is_written_as_a_call(name: str) -> None:
    """The callback in the baton is called with the JSON; of several, the first."""
    assert encoded({"callback": name}) == f'{name}({{"a": 1}})'
    assert encoded({"callback": [name, "other"]}) == f'{name}({{"a": 1}})'


def test_the_callback_may_stand_anywhere() -> None:
    """It may be a text of the configuration, or lie at any path."""
    assert encoded({"callback": "not_me"}, callback="me") == 'me({"a": 1})'
    assert encoded({"request": {"jsonp": "me"}}, callback=BatonPath("request.jsonp")) == 'me({"a": 1})'


@pytest.mark.parametrize("baton", [{}, {"callback": None}, {"callback": ""}, {"callback": []}])
def test_without_a_callback_it_is_json(baton: dict[str, Any]) -> None:
    """Plain JSON is the fallback, or with fallback_to_json off a ValueError."""
    assert encoded(baton) == '{"a": 1}'
    with pytest.raises(ValueError, match="no name of a callback at 'callback'"):
        encoded(baton, fallback_to_json=False)


@pytest.mark.parametrize(
    "name",
    [
        "alert(1);x",
        "a b",
        "1a",
        "a..b",
        ".a",
        "a.",
        "a[0]",
        "<script>",
        "é",
        "aé",
        "\u212a",
        "a\n",
        "a;",
        b"a",
        5,
        "a" * 129,
    ],
)
def test_what_is_no_name_is_never_written(name: Any) -> None:
    """A client cannot have a program of its own run in a page."""
    with pytest.raises(ValueError, match="is no name of a JavaScript function"):
        encoded({"callback": name})


def test_a_long_callback_is_told_shortly() -> None:
    """What somebody sends cannot fill the log."""
    with pytest.raises(ValueError, match="is no name") as raised:
        encoded({"callback": "<" * 1_000_000})
    assert len(str(raised.value)) < 120


def test_a_wrong_name_in_the_configuration_is_told_at_the_start() -> None:
    """It is told before a baton comes."""
    with pytest.raises(ConfigurationError, match="'my callback' is no name"):
        EncodeJSONP(callback="my callback")


def test_what_ends_lines_in_javascript_is_escaped() -> None:
    """U+2028 and U+2029 are escaped whatever the encoder does; other characters are up to it."""
    baton = {"callback": "me", "answer": "ü\u2028\u2029"}
    assert encoded(baton) == 'me("\\u00fc\\u2028\\u2029")'
    assert encoded(baton, encoder=DottedName(f"{__name__}.PlainEncoder")) == 'me("ü\\u2028\\u2029")'


def test_the_options_of_encode_json_are_there() -> None:
    """`indent` and the encoder's dates work as in encode-json."""
    assert encoded({"callback": "me"}, indent=1) == 'me({\n "a": 1\n})'
