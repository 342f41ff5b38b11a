"""Tests of the steps that read and write dates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Any

import pytest

from piped.ground.errors import ConfigurationError
from piped.processors.dates import FormatDate, ParseDate, ParseDatetime


@pytest.mark.parametrize(
    ("form", "text", "moment"),
    [
        ("%Y-%m-%d %H:%M:%S", "2011-08-20 23:59:58", datetime(2011, 8, 20, 23, 59, 58)),
        ("%d/%m/%y", "20/08/11", datetime(2011, 8, 20)),
        ("%Y-%m-%dT%H:%M:%S.%f%z", "2011-08-20T01:02:03.5+0000", datetime(2011, 8, 20, 1, 2, 3, 500000, UTC)),
        ("%d %B %Y at %I %p, 100%%", "20 August 2011 at 11 PM, 100%", datetime(2011, 8, 20, 23)),
        ("%G week %V, day %u", "2011 week 33, day 6", datetime(2011, 8, 20)),
        ("%j of %Y %Z", "232 of 2011 UTC", datetime(2011, 8, 20)),
    ],
)
def test_reads_dates_in_many_forms(form: str, text: str, moment: datetime) -> None:
    """A text is read as the format says; as_date leaves the time out."""
    assert ParseDatetime(format_string=form).process(text) == moment
    parsed = ParseDatetime(format_string=form, as_date=True).process(text)
    assert (type(parsed), parsed) == (date, moment.date())


def test_the_documented_name_is_understood(main: Callable[[str], Any]) -> None:
    """parse-date is parse-datetime, options and all."""
    running = main("- parse-date: {input_path: born, format_string: '%Y-%m-%d', as_date: true}")
    assert running.run({"born": "1815-12-10"}) == [{"born": date(1815, 12, 10)}]


@pytest.mark.parametrize("text", ["2011-08-20", "", "20/08/2011 "])
def test_a_text_of_another_form_is_a_value_error(text: str) -> None:
    """What does not fit the format is not guessed."""
    with pytest.raises(ValueError, match=r"does not match format|unconverted"):
        ParseDate(format_string="%d/%m/%Y").process(text)


@pytest.mark.parametrize("form", ["%Q", "%Y-%", "%Y %Y", "%G", "%"])
def test_a_format_that_reads_nothing_is_told_at_the_start(form: str) -> None:
    """A wrong format is a mistake of the configuration, not of the baton."""
    with pytest.raises(ConfigurationError, match="no date can be read with the format"):
        ParseDatetime(format_string=form)


def test_writes_dates() -> None:
    """Dates, with and without a time, and times become text."""
    assert FormatDate(format_string="%H:%M").process(time(23, 59)) == "23:59"
    assert FormatDate(format_string="%d.%m.%Y").process(date(1815, 12, 10)) == "10.12.1815"
    assert FormatDate(format_string="%Y, %H:%M").process(datetime(2011, 8, 20, 23, 59)) == "2011, 23:59"


@pytest.mark.parametrize(
    ("step", "value", "message"),
    [
        (ParseDatetime(format_string="%Y", input_path="a"), 1815, "what lies at 'a' is no text but int"),
        (FormatDate(format_string="%Y", input_path="a"), "1815", "what lies at 'a' is no date but str"),
    ],
)
def test_what_is_no_date_is_told(step: Any, value: Any, message: str) -> None:
    """An input of another kind fails with its path and its kind."""
    with pytest.raises(TypeError, match=message):
        step.process({"a": value})
