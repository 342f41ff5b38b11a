"""Tests of the steps that make texts."""

from __future__ import annotations

from typing import Any

import pytest

from piped.ground.errors import ConfigurationError
from piped.processors.text import DecodeString, EncodeString, FormatString, PrefixString


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


@pytest.mark.parametrize("form", ["{0.__class__}", "{:{0.__doc__}}", "{0[a]._secret}"])
def test_a_format_of_the_baton_sees_nothing_private(form: str) -> None:
    """Somebody outside may have written it; a configuration may ask for all it likes."""
    with pytest.raises(ValueError, match="the format at 'form' asks for something private"):
        FormatString(format_path="form", input_path="n").process({"form": form, "n": 5})
    assert FormatString(format="{0.__class__}").process(5) == "<class 'int'>"


@pytest.mark.parametrize("form", ["{", "{a", "}", "{:{a}"])
def test_a_format_that_is_none_is_told_at_the_start(form: str) -> None:
    """A brace that is not closed is a mistake of the configuration; a text of one is written twice."""
    with pytest.raises(ConfigurationError, match="is no format") as raised:
        FormatString(format=form)
    assert "{{" in str(raised.value)


@pytest.mark.parametrize("options", [{}, {"format": "a", "format_path": "b"}])
def test_exactly_one_format(options: dict[str, Any]) -> None:
    """Neither format, or both, is a mistake when the step is made."""
    with pytest.raises(ConfigurationError, match="either format or format_path"):
        FormatString(**options)


def test_bytes_become_text_and_text_bytes() -> None:
    """decode-string and encode-string are each other's reverse, for every kind of bytes."""
    for content in ("Grün".encode("latin-1"), bytearray(b"Gr\xfcn"), memoryview(b"Gr\xfcn")):
        assert DecodeString(encoding="latin-1").process(content) == "Grün"
    assert EncodeString(encoding="utf-16-le").process("ü") == b"\xfc\x00"


@pytest.mark.parametrize("kind", [DecodeString, EncodeString])
@pytest.mark.parametrize("encoding", ["uft8", "base64", "rot13", "undefined"])
def test_an_unknown_encoding_is_told_at_the_start(kind: Any, encoding: str) -> None:
    """What is no encoding of texts is a mistake of the configuration."""
    with pytest.raises(ConfigurationError, match=f"no encoding '{encoding}'"):
        kind(encoding=encoding)


@pytest.mark.parametrize(
    ("step", "value", "message"),
    [
        (DecodeString(encoding="utf8", input_path="a"), "text", "what lies at 'a' are no bytes but str"),
        (EncodeString(encoding="utf8", input_path="a"), b"bytes", "what lies at 'a' is no text but bytes"),
    ],
)
def test_what_cannot_be_converted_is_told(step: Any, value: Any, message: str) -> None:
    """An input of another kind fails with its path and its kind."""
    with pytest.raises(TypeError, match=message):
        step.process({"a": value})


def test_what_the_encoding_does_not_have_is_an_error() -> None:
    """Nothing is replaced by a question mark in silence."""
    with pytest.raises(UnicodeDecodeError):
        DecodeString(encoding="ascii").process(b"\xfc")
    with pytest.raises(UnicodeEncodeError):
        EncodeString(encoding="ascii").process("ü")


@pytest.mark.parametrize(
    ("prefix", "value", "text"),
    [
        ("a", "b", "ab"),
        ("1", 2, "12"),
        (1, "2", "12"),
        (1, 2, "12"),
        ("{x}%s", "{y}%d", "{x}%s{y}%d"),
        ("a", [1, "b"], "a[1, 'b']"),
        ("a", (1, 2), "a(1, 2)"),
        ("a", {"b": 1}, "a{'b': 1}"),
        ("a", None, "aNone"),
        ("ü", b"\xff", b"\xc3\xbc\xff"),
        ("a", bytearray(b"b"), b"ab"),
        ("a", memoryview(b"b"), b"ab"),
    ],
)
def test_a_prefix_stands_in_front_of_anything(prefix: Any, value: Any, text: Any) -> None:
    """Braces, lists and mappings are put behind a prefix as they are; bytes stay bytes."""
    assert PrefixString(prefix=prefix).process(value) == text
