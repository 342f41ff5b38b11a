"""Steps that read and write dates."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import Any, Final

from piped import ConfigurationError, InputOutputProcessor
from piped.pipelines.processor import Baton

#: Has everything that a format can ask for, a time zone as well.
_SAMPLE: Final = datetime(2001, 12, 31, 23, 59, 58, 123456, tzinfo=UTC)


class ParseDatetime(InputOutputProcessor):
    """Read a date and time from a text; a text of another form is a ValueError.

    Args:
        format_string: the form of the text, as `datetime.strptime` takes it: `%Y-%m-%d %H:%M:%S`.
        as_date: give the date only.

    Example:
        - set-value: {path: born, value: 10/12/1815}
        - parse-datetime: {input_path: born, format_string: "%d/%m/%Y", as_date: true}
    """

    name = "parse-datetime"

    def __init__(self, format_string: str, as_date: bool = False, **io: Any) -> None:
        super().__init__(**io)
        try:
            datetime.strptime(_SAMPLE.strftime(format_string), format_string)
        except (ValueError, re.error) as error:
            raise ConfigurationError(
                f"no date can be read with the format {format_string!r}: {error}",
                hint="write it as for Python's datetime.strptime, such as '%Y-%m-%d %H:%M:%S'",
            ) from error
        self._format, self._as_date = format_string, as_date

    def process_input(self, input: Any, baton: Baton) -> date:
        if not isinstance(input, str):
            raise TypeError(f"what lies at {self.input_path!r} is no text but {type(input).__name__}")
        moment = datetime.strptime(input, self._format)
        return moment.date() if self._as_date else moment


class ParseDate(ParseDatetime):
    """The same as parse-datetime, by the name that the documents of Piped 0.7 give it.

    Example:
        - set-value: {path: born, value: 10/12/1815}
        - parse-date: {input_path: born, format_string: "%d/%m/%Y"}
    """

    name = "parse-date"


class FormatDate(InputOutputProcessor):
    """Write a date, a time, or both, as a text.

    Args:
        format_string: the form of the text, as `datetime.strftime` takes it: `%d %B %Y`.

    Example:
        - set-value: {path: born, value: "1815-12-10"}
        - parse-datetime: {input_path: born, format_string: "%Y-%m-%d"}
        - format-date: {input_path: born, format_string: "%d %B %Y"}
    """

    name = "format-date"

    def __init__(self, format_string: str, **io: Any) -> None:
        super().__init__(**io)
        self._format = format_string

    def process_input(self, input: Any, baton: Baton) -> str:
        if not isinstance(input, date | time):
            raise TypeError(f"what lies at {self.input_path!r} is no date but {type(input).__name__}")
        return input.strftime(self._format)
