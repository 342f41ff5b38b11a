"""Steps that make texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from piped import ConfigurationError, InputOutputProcessor, Path, get_path
from piped.pipelines.processor import Baton
from piped.pipelines.runs import PLAIN


class FormatString(InputOutputProcessor):
    """Fill the input into a format, as `str.format` does.

    Args:
        format: the format: `Hello {name}` for a mapping, `Hello {0}` for a list.
        format_path: where the format lies in the baton, instead of `format`.
        unpack: a list gives the positional fields and a mapping the named ones; if off, the input is the field 0.

    Example:
        - set-value: {path: user, value: {name: Ada}}
        - format-string:
            input_path: user
            output_path: greeting
            format: Hello {name}
    """

    name = "format-string"

    def __init__(
        self, format: str | None = None, format_path: Path | None = None, unpack: bool = True, **io: Any
    ) -> None:
        super().__init__(**io)
        if (format is None) == (format_path is None):
            raise ConfigurationError("format-string needs either format or format_path", hint="write one of the two")
        self._format, self._format_path, self._unpack = format, format_path, unpack

    def process_input(self, input: Any, baton: Baton) -> str:
        form = self._format
        if form is None:
            form = get_path(baton, self._format_path or "")
            if not isinstance(form, str):
                raise TypeError(f"the format at {self._format_path!r} is no text but {type(form).__name__}")
        if self._unpack:
            kind = type(input)
            if kind is dict or (kind not in PLAIN and isinstance(input, Mapping)):  # that is dear to ask
                return form.format(**input)
            if isinstance(input, (list, tuple)):
                return form.format(*input)
        return form.format(input)
