"""A mail on its way out: whom it is for, and its bytes as a server can take them."""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.policy import SMTP
from email.utils import format_datetime, getaddresses, make_msgid
from typing import Any, Final

from piped import PipedError

_NOT_IN_ADDRESS: Final = re.compile(r"[\x00-\x20<>\x7f]")
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A mail that is to be sent.

    Args:
        origin: the address of the sender, '' for a mail that wants no answer.
        recipients: the addresses it is for.
        message: an email message, or its text or bytes.
        now: seconds since 1970, for mails without a date.
        host: of whom the id is, for mails without one.
    """

    origin: str
    recipients: tuple[str, ...]
    message: Any
    now: float
    host: str

    @property
    def needs_utf8(self) -> bool:
        return not all(map(str.isascii, (self.origin, *self.recipients)))

    def content(self, is_8bit: bool, is_utf8: bool) -> bytes:
        """The bytes behind DATA, with the line that ends them.

        Args:
            is_8bit: the server takes bytes above 127 in the body.
            is_utf8: it takes them in headers, too.
        """
        data = _LINE_END.sub(b"\r\n", self._bytes(is_8bit, is_utf8))
        if not data.endswith(b"\r\n"):
            data += b"\r\n"
        data = data.replace(b"\r\n.", b"\r\n..")
        return (b"." if data.startswith(b".") else b"") + data + b".\r\n"

    def _bytes(self, is_8bit: bool, is_utf8: bool) -> bytes:
        message = self.message
        if isinstance(message, Message):
            return self._complete(message).as_bytes(
                policy=SMTP.clone(cte_type="8bit" if is_8bit else "7bit", utf8=is_utf8 and self.needs_utf8)
            )
        if hasattr(message, "read"):
            message = message.read()
        return bytes(message) if isinstance(message, bytes | bytearray | memoryview) else str(message).encode()

    def _complete(self, message: Message) -> Message:
        """The same mail with all the headers that it should have, and without those that nobody else should see."""
        message = copy(message)
        # Deleting makes a list of its own, so that the mail of the baton stays as it is.
        for name in ("Bcc", "Resent-Bcc"):
            del message[name]
        if "Date" not in message:
            message["Date"] = format_datetime(datetime.fromtimestamp(self.now, UTC))
        if "Message-ID" not in message:
            message["Message-ID"] = make_msgid(domain=self.host)
        return message


def addresses_of(written: Any) -> tuple[str, ...]:
    """The addresses in a text, or in a list of texts; names beside them are left out.

    Raises:
        PipedError: there are none, or there is something else.

    Example:
        >>> addresses_of("Ada <ada@example.org>, bob@example.org")
        ('ada@example.org', 'bob@example.org')
        >>> addresses_of(["ada@example.org", "øyvind@blåbær.example"])
        ('ada@example.org', 'øyvind@blåbær.example')
    """
    texts = written if isinstance(written, list | tuple | set) else [written]
    found = [address for _, address in getaddresses(list(map(str, texts)))]
    if not found or not all(found):
        raise PipedError(f"{written!r} is no address, nor several")
    for address in found:
        if _NOT_IN_ADDRESS.search(address) or "@" not in address.strip("@"):
            raise PipedError(f"{address!r} is no address")
    return tuple(dict.fromkeys(map(_in_ascii, found)))


def _in_ascii(address: str) -> str:
    """An address whose domain is written as DNS knows it, where that is enough to make it ASCII."""
    local, _, domain = address.rpartition("@")
    if domain.isascii() or not local.isascii():
        return address
    try:
        return f"{local}@{domain.encode('idna').decode()}"
    except UnicodeError:
        return address
