"""Steps that make texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Any

from piped import ConfigurationError, InputOutputProcessor, Path, get_path
from piped.pipelines.processor import Baton
from piped.pipelines.runs import PLAIN


class FormatString(InputOutputProcessor):
    """Fill the input into a format, as `str.format` does.

    Args:
        format: the format: `Hello {name}` for a mapping, `Hello {0}` for a list.
        format_path: where the format lies in the baton, instead of `format`. As it may come from outside, it must not
            ask for attributes that begin with an underscore.
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
        try:
            list(_fields_of(format or ""))
        except ValueError as error:
            raise ConfigurationError(f"{format!r} is no format: {error}", hint="a brace is written {{ or }}") from error
        self._format, self._format_path, self._unpack = format, format_path, unpack

    def process_input(self, input: Any, baton: Baton) -> str:
        form = self._format
        if form is None:
            form = get_path(baton, self._format_path or "")
            if not isinstance(form, str):
                raise TypeError(f"the format at {self._format_path!r} is no text but {type(form).__name__}")
            if any("._" in field for field in _fields_of(form)):
                raise ValueError(f"the format at {self._format_path!r} asks for something private: {form!r}")
        if self._unpack:
            kind = type(input)
            if kind is dict or (kind not in PLAIN and isinstance(input, Mapping)):  # that is dear to ask
                return form.format(**input)
            if isinstance(input, (list, tuple)):
                return form.format(*input)
        return form.format(input)


def _fields_of(form: str) -> Iterator[str]:
    """The fields that a format fills, also those inside the specification of another.

    Raises:
        ValueError: it is no format.
    """
    for _, field, specification, _ in Formatter().parse(form):
        if field is not None:
            yield field
            yield from _fields_of(specification or "")


def check_encoding(encoding: str) -> str:
    """The name of an encoding of texts, given back.

    Raises:
        ConfigurationError: there is no such encoding.
    """
    try:
        "".encode(encoding)
    except (LookupError, UnicodeError) as error:
        what = f"there is no encoding {encoding!r} of texts"
        raise ConfigurationError(what, hint="utf8 can encode every text") from error
    return encoding


class DecodeString(InputOutputProcessor):
    """Make a text of bytes; bytes that mean nothing in the encoding are a UnicodeDecodeError.

    Args:
        encoding: what the bytes are written in, such as utf8 or latin-1.

    Example:
        - set-value: {path: content, value: !!binary R3LDvG4=}
        - decode-string: {input_path: content, encoding: utf8}
    """

    name = "decode-string"

    def __init__(self, encoding: str, **io: Any) -> None:
        super().__init__(**io)
        self._encoding = check_encoding(encoding)

    def process_input(self, input: Any, baton: Baton) -> str:
        if not isinstance(input, bytes | bytearray | memoryview):
            raise TypeError(f"what lies at {self.input_path!r} are no bytes but {type(input).__name__}")
        return str(input, self._encoding)


class EncodeString(InputOutputProcessor):
    """Make bytes of a text; a character that the encoding does not have is a UnicodeEncodeError.

    Args:
        encoding: what to write the bytes in, such as utf8 or latin-1.

    Example:
        - set-value: {path: content, value: Grün}
        - encode-string: {input_path: content, encoding: utf8}
    """

    name = "encode-string"

    def __init__(self, encoding: str, **io: Any) -> None:
        super().__init__(**io)
        self._encoding = check_encoding(encoding)

    def process_input(self, input: Any, baton: Baton) -> bytes:
        if not isinstance(input, str):
            raise TypeError(f"what lies at {self.input_path!r} is no text but {type(input).__name__}")
        return input.encode(self._encoding)


class PrefixString(InputOutputProcessor):
    """Put something in front of a text. What is no text is made one; bytes stay bytes, with the prefix in UTF-8.

    Args:
        prefix: what to put there, as it is.

    Example:
        - set-value: {path: name, value: Ada}
        - prefix-string: {input_path: name, prefix: "Dear "}
    """

    name = "prefix-string"

    def __init__(self, prefix: str | int | float, **io: Any) -> None:
        super().__init__(**io)
        self._prefix = str(prefix)

    def process_input(self, input: Any, baton: Baton) -> str | bytes:
        if isinstance(input, bytes | bytearray | memoryview):
            return self._prefix.encode() + bytes(input)
        return self._prefix + str(input)
