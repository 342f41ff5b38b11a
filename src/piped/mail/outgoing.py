"""A mail on its way out: whom it is for, and its bytes as a server can take them."""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.message import Message
from email.utils import format_datetime, getaddresses, make_msgid
from typing import Any, Final

from piped import PipedError
from piped.mail.content import BoundedPolicy

_NOT_IN_ADDRESS: Final = re.compile(r"[\x00-\x20<>\x7f]")
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
#: The end of a line that is neither that of its header nor followed by white space.
_LOOSE_END: Final = re.compile(rb"(?:\r\n?+|\n)(?![ \t]|\Z)")
_BCC: Final = re.compile(rb"^(?:Resent-)?Bcc[ \t]*:.*\n(?:[ \t].*\n)*", re.IGNORECASE | re.MULTILINE)


class _WirePolicy(BoundedPolicy):
    """Writes each header as one header, whatever is in it; those that came with a mail as they came."""

    def fold_binary(self, name: str, value: Any) -> bytes:
        # Line breaks that were hidden in an encoded word would make further headers, or the body.
        return _LOOSE_END.sub(b"\r\n ", super().fold_binary(name, value))


_WIRE: Final = _WirePolicy(linesep="\r\n", refold_source="none")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A mail that is to be sent.

    Args:
        origin: the address of the sender, '' for a mail that wants no answer.
        recipients: the addresses it is for.
        message: an email message, or its text, bytes or an open file. It is made whole, or read, at once: it is to be
            the same mail at every try.
        now: seconds since 1970, for messages without a date.
        host: of whom the id is, for messages without one.
    """

    origin: str
    recipients: tuple[str, ...]
    message: Any
    now: float
    host: str

    def __post_init__(self) -> None:
        message = self.message
        if isinstance(message, Message):
            object.__setattr__(self, "message", self._complete(message))
        elif hasattr(message, "read"):
            object.__setattr__(self, "message", message.read())

    @property
    def needs_utf8(self) -> bool:
        return not all(map(str.isascii, (self.origin, *self.recipients)))

    def content(self, is_8bit: bool, is_utf8: bool) -> bytes:
        """The bytes behind DATA, with the line that ends them.

        Args:
            is_8bit: the server takes bytes above 127 in the body.
            is_utf8: it takes them in headers, too.

        Raises:
            PipedError: the message cannot be written.
        """
        data = _LINE_END.sub(b"\r\n", self._bytes(is_8bit, is_utf8))
        if not data.endswith(b"\r\n"):
            data += b"\r\n"
        data = _without_bcc(data)
        data = data.replace(b"\r\n.", b"\r\n..")
        return (b"." if data.startswith(b".") else b"") + data + b".\r\n"

    def _bytes(self, is_8bit: bool, is_utf8: bool) -> bytes:
        message = self.message
        if isinstance(message, Message):
            policy = _WIRE.clone(utf8=is_utf8 and self.needs_utf8)
            try:
                return message.as_bytes(policy=policy.clone(cte_type="8bit" if is_8bit else "7bit"))
            except (ValueError, LookupError, AttributeError, MessageError) as error:  # `email` raises all of these
                if not is_8bit:  # what is in no encoding that anybody knows has to go as it came
                    return self._bytes(True, is_utf8)
                raise PipedError(f"the message cannot be written: {error}") from error
        return bytes(message) if isinstance(message, bytes | bytearray | memoryview) else str(message).encode()

    def _complete(self, message: Message) -> Message:
        """The same mail with all the headers that it should have."""
        message = copy(message)
        del message["Bcc"]  # makes a list of its own, so that the mail of the baton stays as it is
        if "Date" not in message:
            message["Date"] = format_datetime(datetime.fromtimestamp(self.now, UTC))
        if "Message-ID" not in message:
            message["Message-ID"] = make_msgid(domain=self.host)
        return message


def _without_bcc(data: bytes) -> bytes:
    """A mail without the headers that nobody but its sender should see.

    Example:
        >>> _without_bcc(b"bcc: a@x.org,\\r\\n b@x.org\\r\\nSubject: x\\r\\n\\r\\nBcc: text\\r\\n")
        b'Subject: x\\r\\n\\r\\nBcc: text\\r\\n'
    """
    end = 0 if data.startswith(b"\r\n") else (data + b"\r\n").find(b"\r\n\r\n") + 2
    return _BCC.sub(b"", data[:end]) + data[end:]


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
