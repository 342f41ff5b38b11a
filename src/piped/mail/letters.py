"""What a mail says when it comes in, beside its content: from whom, for whom, through whom."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

from piped import PipedError
from piped.mail.content import Content

_ODD: Final = re.compile(r"[^!-~]|[()<>\\]")
_HEADER: Final = re.compile(rb"[!-9;-~]+:")


@dataclass(slots=True, eq=False)
class Letter:
    """A mail that is being received.

    Args:
        origin: the address of the sender, that of nobody for a mail that tells of another one.
    """

    origin: Any
    #: What Twisted calls a user: each has the address of a recipient as `dest`.
    recipients: list[Any] = field(default_factory=list)
    content: Content = field(default_factory=Content)
    #: A header to put before the others, with the end of its line; none if empty.
    received: bytes = b""
    has_avatar: bool = False
    avatar_id: Any = None

    @property
    def addresses(self) -> list[str]:
        return [str(user.dest) for user in self.recipients]


def received_header(
    helo: tuple[str, str], host: str, protocol: str, recipients: Sequence[str], number: str, now: float
) -> str:
    """The header that says which way a mail has come.

    Whoever has written to several people may not want all of them to know: only a single recipient is named.

    Args:
        helo: how the client calls itself, and its address.
        now: seconds since 1970.

    Source: RFC 5321, section 4.4.

    Example:
        >>> print(received_header(("me", "127.0.0.1"), "here", "ESMTP", ["ada@here"], "smtp.in-1", 0))
        Received: from me ([127.0.0.1])
         by here with ESMTP id smtp.in-1
         for <ada@here>; Thu, 01 Jan 1970 00:00:00 +0000
    """
    name, address = _ODD.sub("?", helo[0]) or "unknown", _ODD.sub("?", helo[1])
    whom = f"\n for <{recipients[0]}>" if len(recipients) == 1 else ""
    date = format_datetime(datetime.fromtimestamp(now, UTC))
    return f"Received: from {name} ([{address}])\n by {host} with {protocol} id {number}{whom}; {date}"


def header_bytes(header: Any) -> bytes:
    """What a lambda gave as a header, as it stands in a mail; nothing for null.

    Example:
        >>> header_bytes("Received: BY piped.localhost\\n WITH SMTP"), header_bytes(None)
        (b'Received: BY piped.localhost\\r\\n WITH SMTP\\r\\n', b'')
    """
    if header is None:
        return b""
    text = header if isinstance(header, bytes) else str(header).encode()
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and not _HEADER.match(lines[0]):  # what is behind it would not be read as headers any more
        raise PipedError(f"received_header gives {header!r}, which is no header: it begins with its name, 'Received: '")
    return b"".join(line + b"\r\n" for line in lines)
