"""The content of a mail while it arrives: in memory as long as it is small, then in a temporary file."""

from __future__ import annotations

from contextlib import suppress
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import EmailPolicy, Policy
from tempfile import TemporaryFile
from typing import IO, Any, Final

#: Bytes that are kept in memory, and those that are parsed in no time.
LARGE: Final = 256 * 1024
_SMALL: Final = 64 * 1024
#: Parts that are found in no time, and those that may be looked for: parts within parts cost the square.
_FEW_PARTS: Final = 20
_MOST_PARTS: Final = 500
#: Letters of a header that are parsed; what those of parts cost grows with the square.
_LONGEST_HEADER: Final = 64 * 1024
_LONGEST_HEADER_OF_PART: Final = 4 * 1024


class BoundedPolicy(EmailPolicy):
    """Has no header keep the server busy, however long somebody makes it: what is too much of it is not looked at."""

    def header_fetch_parse(self, name: str, value: Any) -> Any:
        limit = _LONGEST_HEADER_OF_PART if name.lower().startswith("content-") else _LONGEST_HEADER
        # One that was set by the pipeline is parsed already.
        return super().header_fetch_parse(name, value if hasattr(value, "name") else value[:limit])


#: How mails of others are parsed.
BOUNDED: Final = BoundedPolicy()


class _Parts:
    """Makes the messages of a mail, of which each part is one, up to a number."""

    def __init__(self) -> None:
        self._made = 0

    def __call__(self, *, policy: Policy) -> EmailMessage:
        self._made += 1
        if self._made > _MOST_PARTS:
            raise RecursionError("the mail has too many parts")
        return EmailMessage(policy)


def parsed(data: bytes) -> EmailMessage:
    """A mail of somebody; a malformed one is no error, see its `defects`.

    Raises:
        RecursionError: it has too many parts, or they are nested too deeply.
    """
    if _boundaries(data) > _MOST_PARTS:
        raise RecursionError("the mail has too many parts")
    parser: Any = BytesParser(_Parts(), policy=BOUNDED)  # type: ignore[arg-type]  # it is called with a policy
    message: EmailMessage = parser.parsebytes(data)
    return message


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
        """Whether to read it takes so long that a thread should: it is large, or has many parts."""
        if self.size > _SMALL:
            return True
        data = self.read()
        return _boundaries(data) > _FEW_PARTS or data.count(b"\n--") > _FEW_PARTS

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
            with suppress(OSError):  # what is to be forgotten need not be written
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
            return parsed((before + self.read()).replace(b"\r\n", b"\n"))
        finally:
            self.clear()


def _boundaries(data: bytes) -> int:
    return data.lower().count(b"boundary=")
