"""Steps that read and write JSON, and the encoder that knows what batons hold."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any, NoReturn
from xmlrpc.client import DateTime

from twisted.python.filepath import FilePath

from piped import ConfigurationError, DottedName, InputOutputProcessor, Processor, load_name
from piped.config.paths import WrittenPath
from piped.pipelines.processor import Baton

STRICT_DECODER = DottedName("piped.processors.markup.StrictDecoder")
BATON_ENCODER = DottedName("piped.processors.markup.BatonEncoder")


class StrictDecoder(json.JSONDecoder):
    """Refuses NaN and Infinity, which Python reads but which are no JSON (RFC 8259, section 6)."""

    def __init__(self) -> None:
        super().__init__(parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


class BatonEncoder(json.JSONEncoder):
    """Encodes what JSON has no word for: dates, file paths, and whatever has a `__json__` method.

    Example:
        >>> json.dumps([date(2015, 1, 31), datetime(2015, 1, 31, 12)], cls=BatonEncoder)
        '["2015-01-31", "2015-01-31 12:00:00"]'
    """

    def default(self, o: Any) -> Any:
        if hasattr(type(o), "__json__"):
            return o.__json__()
        if isinstance(o, datetime):
            return o.strftime("%Y-%m-%d %H:%M:%S")
        if isinstance(o, date):
            return o.isoformat()
        if isinstance(o, DateTime):
            return str(o)
        if isinstance(o, WrittenPath) and o.tag == "!filepath":
            return o.text
        if isinstance(o, FilePath):
            return o.asTextMode().path
        return super().default(o)


def load_class(step: Processor, name: str, base: type) -> Any:
    """The class of that name.

    Raises:
        ConfigurationError: there is none, or it is not one of the kind that the step needs.
    """
    try:
        found = load_name(name)
    except ImportError as error:
        raise ConfigurationError(f"{step.label} {error}") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ConfigurationError(f"{name!r} is no {base.__name__}", hint=f"name a subclass of {base.__qualname__}")
    return found


class DecodeJSON(InputOutputProcessor):
    """Read JSON: a text, bytes, or something with a `read` method.

    Text that is no JSON is a ValueError.

    Args:
        decoder: the full name of a subclass of `json.JSONDecoder`; Python's own also reads NaN and Infinity.

    Example:
        - set-value: {path: content, value: '{"n": [1, 2]}'}
        - decode-json: {input_path: content}
    """

    name = "decode-json"

    def __init__(self, decoder: DottedName = STRICT_DECODER, **io: Any) -> None:
        super().__init__(**io)
        self._decode = load_class(self, decoder, json.JSONDecoder)().decode

    def process_input(self, input: Any, baton: Baton) -> Any:
        if hasattr(input, "read"):
            input = input.read()
        if isinstance(input, bytes | bytearray | memoryview):
            content = bytes(input)
            input = content.decode(json.detect_encoding(content))
        if not isinstance(input, str):
            raise ValueError(f"only text and bytes can be JSON, not {type(input).__name__}")
        try:
            return self._decode(input)
        except RecursionError:
            raise ValueError("the JSON is nested too deeply to be read") from None


class EncodeJSON(InputOutputProcessor):
    """Write JSON. NaN and infinite numbers, for which JSON has no word, are a ValueError.

    Args:
        encoder: the full name of a subclass of `json.JSONEncoder`. The one of Piped writes dates as
            `2015-01-31 12:00:00`, file paths as they were written, and what has a `__json__` method as that says.
        indent: put each member on a line of its own, indented by so many spaces.

    Example:
        - set-value: {path: answer, value: {success: true}}
        - encode-json: {input_path: answer, output_path: content}
    """

    name = "encode-json"

    def __init__(
        self,
        encoder: DottedName = BATON_ENCODER,
        indent: int | None = None,
        **io: Any,
    ) -> None:
        super().__init__(**io)
        self._encode = load_class(self, encoder, json.JSONEncoder)(indent=indent, allow_nan=False).encode

    def process_input(self, input: Any, baton: Baton) -> str:
        encoded: str = self._encode(input)
        return encoded
