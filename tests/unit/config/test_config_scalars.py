"""What unquoted texts mean."""

from __future__ import annotations

import datetime

import pytest

from piped.config.scalars import read_scalar, read_tagged
from piped.ground.errors import Mark


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("8080", 8080),
        ("-1", -1),
        ("0x1f", 31),
        ("0", 0),
        ("1.5", 1.5),
        (".inf", float("inf")),
        ("a text", "a text"),
        ("y", "y"),
        ("=", "="),
        ("<<", "<<"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_plain_texts_mean_what_they_look_like(text: str, value: object) -> None:
    """Numbers, truth values, null and texts are what they look like, without a warning."""
    scalar = read_scalar(text)
    assert (scalar.value, type(scalar.value), scalar.what) == (value, type(value), "")


@pytest.mark.parametrize(
    ("text", "value", "what", "fix"),
    [
        (
            "yes",
            True,
            "'yes' is read as true",
            "write true if that is meant, or 'yes'",
        ),
        (
            "Off",
            False,
            "'Off' is read as false",
            "write false if that is meant, or 'Off'",
        ),
        (
            "012",
            10,
            "'012' is read as the octal number 10",
            "write 10 if that is meant, or '012'",
        ),
        (
            "12:30",
            750,
            "'12:30' is read as the number 750 (base 60)",
            "write 750 if that is meant, or '12:30'",
        ),
        (
            "2026-01-02",
            datetime.date(2026, 1, 2),
            "'2026-01-02' is read as a date",
            "write '2026-01-02'",
        ),
    ],
)
def test_surprising_meanings_are_warned_of(text: str, value: object, what: str, fix: str) -> None:
    """A text that YAML 1.1 reads as something else is warned of, with what to write for either meaning."""
    scalar = read_scalar(text)
    assert (scalar.value, scalar.what) == (value, what)
    assert scalar.fix == f"{fix}, with the quotes, if it is a text"
    assert scalar.problem(Mark("f", 1, 1)).is_warning


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("2026-13-45", "date"),
        ("0x_", "whole number"),
        ("2026-01-01T00:00:00+99:00", "date"),
        (f"1{':1' * 200}.0", "number"),
        ("9" * 5000, "whole number"),
    ],
)
def test_texts_that_only_look_like_something_are_told(text: str, kind: str) -> None:
    """A date or number that cannot be is a mistake, not a crash; the text is kept."""
    scalar = read_scalar(text)
    assert (scalar.value, scalar.what) == (text, f"{text!r} is no valid {kind}")
    assert not scalar.problem(Mark("f", 1, 1)).is_warning


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("str", "12", "12"), ("int", "12", 12), ("float", "1", 1.0), ("bool", "no", False), ("binary", "aGk=", b"hi")],
)
def test_tags_of_yaml_say_what_a_text_is(name: str, text: str, value: object) -> None:
    """`!!str` and its kin make the value they name."""
    assert read_tagged(f"tag:yaml.org,2002:{name}", text).value == value


@pytest.mark.parametrize(("name", "text"), [("int", ""), ("int", "x"), ("bool", "maybe"), ("binary", "é")])
def test_tags_of_yaml_that_do_not_fit_are_told(name: str, text: str) -> None:
    """A text that is not what its tag says is a mistake."""
    assert read_tagged(f"tag:yaml.org,2002:{name}", text).is_wrong
