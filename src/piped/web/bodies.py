"""What clients send in the bodies of requests, read within bounds: forms, uploads and JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, BinaryIO, Final
from urllib.parse import parse_qsl

from multipart import MultipartError, MultipartParser, MultipartPart, ParserLimitReached, parse_options_header

from piped import Rejected

#: Fields and files of one form, as most of the web allows.
MOST_FIELDS: Final = 1000
#: Bytes of a form without files: a byte of one costs a hundred times as much as a byte of a file.
_LONGEST_TEXT: Final = 1024 * 1024
#: Bytes of an upload that are kept in memory; a larger one is kept in a temporary file.
_LARGEST_IN_MEMORY: Final = 64 * 1024
#: Bytes of a body that are worth a thread.
LARGE: Final = 256 * 1024
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, eq=False)
class Upload:
    """A file that a client has sent with a form.

    `content` is a file that is open for reading: in memory, or where it is large a temporary one, which goes away with
    the last reference. `filename` and `content_type` are what the client says; the name has no folders.
    """

    filename: str
    content_type: str
    size: int
    content: BinaryIO

    def __repr__(self) -> str:
        return f"<Upload {self.filename!r} of {self.size} bytes>"


@dataclass(frozen=True)
class Form:
    """The fields of a form, as they came, and its files by the names of their fields."""

    fields: dict[bytes, list[bytes]] = field(default_factory=dict)
    uploads: dict[str, list[Upload]] = field(default_factory=dict)


def form_of(content: Any, content_type: str | None) -> Form:
    """The form that a body holds; an empty one where it holds something else.

    Where the body is read next does not change: it may be called in a thread.

    Args:
        content: the body, in memory or in a file of the system.

    Raises:
        Rejected: the body is not what its content type says, or has more parts than anybody would send.

    Example:
        >>> form_of(BytesIO(b"a=1&a=2&b="), "application/x-www-form-urlencoded").fields
        {b'a': [b'1', b'2'], b'b': [b'']}
    """
    kind, options = parse_options_header(content_type or "")
    if kind == "application/x-www-form-urlencoded":
        return _urlencoded(_reader(content)(_LONGEST_TEXT + 1))
    if kind == "multipart/form-data" and _reader(content)(1):
        return _multipart(_reader(content), options.get("boundary", ""))
    return Form()


def json_of(body: bytes) -> Any:
    """The value that a body holds as JSON.

    Raises:
        Rejected: it holds none.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:  # also a text that is no UTF-8
        raise Rejected(f"the body is no JSON: {error}") from error


def _reader(content: Any) -> Callable[[int], bytes]:
    """Reads from the beginning, whoever else reads the content too."""
    if isinstance(content, BytesIO):
        return BytesIO(content.getvalue()).read
    position = 0

    def read(size: int) -> bytes:
        nonlocal position
        data = os.pread(content.fileno(), size, position)
        position += len(data)
        return data

    return read


def _urlencoded(body: bytes) -> Form:
    if len(body) > _LONGEST_TEXT:
        raise Rejected(f"a form without files has at most {_LONGEST_TEXT} bytes", hint="send it as multipart/form-data")
    try:
        # Latin 1 has a sign for each byte: nothing is lost on the way through text.
        pairs = parse_qsl(body.decode("latin-1"), True, encoding="latin-1", max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise Rejected(f"a form has at most {MOST_FIELDS} fields") from error
    form = Form()
    for name, value in pairs:
        form.fields.setdefault(name.encode("latin-1"), []).append(value.encode("latin-1"))
    return form


@dataclass(frozen=True)
class _Stream:
    read: Callable[[int], bytes]


def _multipart(read: Callable[[int], bytes], boundary: str) -> Form:
    if not boundary:
        raise Rejected("the form is malformed: its content type names no boundary")
    form = Form()
    parts = MultipartParser(
        _Stream(read),
        boundary,
        part_limit=MOST_FIELDS,
        spool_limit=_LARGEST_IN_MEMORY,
        memory_limit=MOST_FIELDS * _LARGEST_IN_MEMORY,
    )
    try:
        for part in parts:
            _add(form, part)
    except ParserLimitReached as error:
        raise Rejected(f"the form has more than {MOST_FIELDS} parts, or a part with too many headers") from error
    except MultipartError as error:
        raise Rejected(f"the form is malformed: {error.args[0]}") from error
    except UnicodeError as error:
        raise Rejected("the form is malformed: its boundary is no text") from error
    return form


def _add(form: Form, part: MultipartPart) -> None:
    if part.filename is None:
        form.fields.setdefault(part.name.encode(), []).append(part.raw)
        part.close()
    elif part.filename or part.size:
        # A browser sends a file without name and content where its user has chosen none.
        # Taken out of the part, which refers to itself: the file shall not stay until somebody looks for garbage.
        content, part.file = part.file, None
        upload = Upload(_last_segment(part.filename), part.content_type, part.size, content)
        form.uploads.setdefault(part.name, []).append(upload)


def _last_segment(filename: str) -> str:
    """The name without folders, which could lead anywhere."""
    name = _CONTROL.sub("", re.split(r"[/\\]", filename)[-1])
    return "" if name in (".", "..") else name
