"""What a client of SMTP has sent, parted into lines and the contents of mails; plain bytes, no socket."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from piped.mail.content import Content

#: The longest line of a command: RFC 4954 asks for that many bytes where a client logs in.
LONGEST_COMMAND: Final = 12_288
#: A line with nothing but a dot, whatever somebody takes for the end of a line.
_SOME_END: Final = re.compile(rb"(?:\r\n|\n|\r)\.(?:\r\n|\n|\r)")
_END: Final = b"\r\n.\r\n"


class Fault(Enum):
    """Why a line, or the content of a mail, cannot be taken."""

    TOO_LONG = "a line is too long"
    BARE = "a line must end with CR LF, which must not stand alone"
    TOO_BIG = "the mail is too big"
    NO_ROOM = "its temporary file cannot be written, as if the disk were full"


class Incoming:
    """Bytes that nobody has looked at yet.

    Example:
        >>> incoming = Incoming()
        >>> incoming.feed(b"NOOP\\r\\nEHLO me\\nQU")
        >>> incoming.line(), incoming.line(), incoming.line(), incoming.rest()
        (b'NOOP', <Fault.BARE: 'a line must end with CR LF, which must not stand alone'>, None, b'QU')
    """

    __slots__ = ("_at", "_data", "_is_overlong")

    def __init__(self) -> None:
        self._data, self._at, self._is_overlong = b"", 0, False

    def __len__(self) -> int:
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        self._data = self._data[self._at :] + data if len(self) else data
        self._at = 0

    def line(self) -> bytes | Fault | None:
        """The next line without its end, or what is wrong with it; None where there is none yet."""
        end = self._data.find(b"\n", self._at)
        if end < 0:
            if len(self) > LONGEST_COMMAND:
                self.rest()
                self._is_overlong = True
            return None
        line = self._data[self._at : end + 1]
        self._at = end + 1
        if self._is_overlong or len(line) > LONGEST_COMMAND:
            self._is_overlong = False
            return Fault.TOO_LONG
        return line[:-2] if line.endswith(b"\r\n") and line.count(b"\r") == 1 else Fault.BARE

    def rest(self) -> bytes:
        """All that is left, which is not here any more."""
        rest = self._data[self._at :]
        self._data, self._at = b"", 0
        return rest


class Data:
    """What comes behind DATA: the content of a mail, up to a line with nothing but a dot.

    A CR or LF that stands alone spoils the mail: where servers differ about what ends a line, one mail can be made to
    look like two. Of a spoiled one no more is kept, and whatever may be meant as its end is that.

    Args:
        content: takes what is sent, as it was before dots were doubled.
        max_size: bytes of the mail; what is above is read and forgotten.
        max_line: bytes of a line, with its end.

    Source: RFC 5321, sections 2.3.8 and 4.5.2.

    Example:
        >>> data = Data(Content(), max_size=1000, max_line=100)
        >>> data.feed(b"Subject: dots\\r\\n\\r\\n..\\r\\n.\\r"), data.feed(b"\\nQUIT\\r\\n")
        (None, b'QUIT\\r\\n')
        >>> data.content.read()
        b'Subject: dots\\r\\n\\r\\n.\\r\\n'
    """

    __slots__ = ("_held", "_is_begun", "_max_line", "_max_size", "content", "fault", "received")

    def __init__(self, content: Content, max_size: int, max_line: int) -> None:
        self.content, self._max_size, self._max_line = content, max_size, max_line
        #: Why the mail cannot be taken.
        self.fault: Fault | None = None
        #: How many bytes have come.
        self.received = 0
        #: What may belong to the end of the mail: it begins with the end of a line.
        self._held, self._is_begun = b"\r\n", False

    def feed(self, data: bytes) -> bytes | None:
        """Take what has come; once the mail has ended what follows it, until then None."""
        self.received += len(data)
        buffer = self._held + data
        if self.fault is not None:
            return self._behind_end(buffer)
        end = buffer.find(_END)
        cut = end if end >= 0 else buffer.rfind(b"\r\n")
        self._held = buffer[cut:]
        self.fault = self._take(buffer[:cut]) or (self._fault_of_held() if end < 0 else None)
        if self.fault is not None:
            self.content.clear()
            return self._behind_end(buffer)
        if end < 0:
            return None
        if self._is_begun:
            self.content.write(b"\r\n")
        return buffer[end + len(_END) :]

    def _take(self, lines: bytes) -> Fault | None:
        """Keep lines, each with the end of the one before it."""
        if not lines:
            return None
        ends = lines.count(b"\n")
        if ends != lines.count(b"\r\n") or ends != lines.count(b"\r"):
            return Fault.BARE
        if not _has_short_lines(lines, self._max_line):
            return Fault.TOO_LONG
        if b"\r\n." in lines:
            lines = lines.replace(b"\r\n.", b"\r\n")
        if not self._is_begun:
            lines, self._is_begun = lines[2:], True
        if self.content.size + len(lines) + 2 > self._max_size:  # at least one end of a line follows
            return Fault.TOO_BIG
        try:
            self.content.write(lines)
        except OSError:
            return Fault.NO_ROOM
        return None

    def _fault_of_held(self) -> Fault | None:
        # What is held begins with the end of a line, and the last byte may be half of one.
        if b"\n" in self._held[2:] or b"\r" in self._held[2:-1]:
            return Fault.BARE
        return Fault.TOO_LONG if len(self._held) > self._max_line + 2 else None

    def _behind_end(self, buffer: bytes) -> bytes | None:
        self._held = buffer[-4:]  # the end may have begun
        if self.fault is Fault.BARE:
            some_end = _SOME_END.search(buffer)
            return None if some_end is None else buffer[some_end.end() :]
        end = buffer.find(_END)
        return None if end < 0 else buffer[end + len(_END) :]


def _has_short_lines(lines: bytes, limit: int) -> bool:
    """Whether no line is longer; looks at one byte of many only."""
    at, last = 0, len(lines)
    while last - at > limit:
        end = lines.rfind(b"\n", at, at + limit)
        if end < 0:
            return False
        at = end + 1
    return True
