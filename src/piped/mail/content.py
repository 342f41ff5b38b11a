"""The content of a mail while it arrives: in memory as long as it is small, then in a temporary file."""

from __future__ import annotations

import email.policy
from email.message import EmailMessage
from email.parser import BytesParser
from tempfile import TemporaryFile
from typing import IO, Final

#: Bytes that are kept in memory.
LARGE: Final = 256 * 1024
#: Boundaries of parts that are found in no time, and those that may be looked for: parts within parts cost the square.
_FEW_PARTS: Final = 20
_MOST_PARTS: Final = 500
_PARSER: Final = BytesParser(EmailMessage, policy=email.policy.default)


class Content:
    """Bytes that are written once and read once.

    Example:
        >>> content = Content()
        >>> content.write(b"Subject: x")
        >>> content.write(b"\\r\\n")
        >>> content.size, content.read()
        (12, b'Subject: x\\r\\n')
    """

    __slots__ = ("_file", "_parts", "size")

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []
        self._file: IO[bytes] | None = None

    @property
    def is_costly(self) -> bool:
        """Whether to read it takes so long that a thread should: it is large, or has many parts within parts."""
        return self._file is not None or _boundaries(self.read()) > _FEW_PARTS

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self._file is not None:
            self._file.write(data)
            return
        self._parts.append(data)
        if self.size > LARGE:
            self._file = TemporaryFile(prefix="piped-mail-")  # noqa: SIM115 - it is closed by `clear`
            self._file.write(b"".join(self._parts))
            self._parts.clear()

    def read(self) -> bytes:
        if self._file is None:
            return b"".join(self._parts)
        self._file.seek(0)
        return self._file.read()

    def clear(self) -> None:
        """Forget what was written."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._parts.clear()

    def parsed(self, before: bytes) -> EmailMessage:
        """The mail, with further headers before its own, and with `\\n` at the ends of lines, as texts have in Python.

        A malformed one is no error; see its `defects`.

        Raises:
            RecursionError: it has too many parts, or they are nested too deeply.
        """
        try:
            data = (before + self.read()).replace(b"\r\n", b"\n")
            if _boundaries(data) > _MOST_PARTS:
                raise RecursionError("the mail has too many parts")
            return _PARSER.parsebytes(data)
        finally:
            self.clear()


def _boundaries(data: bytes) -> int:
    return data.lower().count(b"boundary=")
