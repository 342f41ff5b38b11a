"""Addresses as they stand in the commands of SMTP, read strictly."""

from __future__ import annotations

import re
from typing import Any, Final

from twisted.mail.smtp import Address as TwistedAddress
from twisted.mail.smtp import AddressError, User

#: Source: RFC 5321, section 4.1.2, and RFC 6531, section 3.3, for what is no ASCII.
_ATOMS: Final = rb"[-!#$%&'*+/=?^_`{|}~0-9A-Za-z\x80-\xff]+(?:\.[-!#$%&'*+/=?^_`{|}~0-9A-Za-z\x80-\xff]+)*"
_QUOTED: Final = rb'"(?:[ !#-\[\]-~\x80-\xff]|\\[ -~])*"'
_NAME: Final = rb"[0-9A-Za-z\x80-\xff](?:[-_0-9A-Za-z\x80-\xff]*[0-9A-Za-z\x80-\xff])?"
_DOMAIN: Final = rb"(?:%s(?:\.%s)*\.?|\[[!-Z^-~]+\])" % (_NAME, _NAME)
_MAILBOX: Final = re.compile(rb"(?:@[^:\s]+:)?(%s|%s)(?:@(%s))?" % (_ATOMS, _QUOTED, _DOMAIN))
#: `<address>` or a bare one, then the parameters.
_PATH: Final = re.compile(rb'\s*(?:<((?:"(?:\\.|[^"\\])*"|[^<>"])*)>|([^<>\s]+))(?:\s+(\S.*))?\s*')
#: RFC 5321, section 4.5.3.1.3.
_LONGEST: Final = 256


class Address(TwistedAddress):
    """An address of an envelope, which may have letters outside of ASCII; `str` is its text, '' for the null sender.

    Example:
        >>> str(Address(b"ada@example.org")), str(Address(b"postmaster", b"here.example")), str(Address(b""))
        ('ada@example.org', 'postmaster@here.example', '')
    """

    def __init__(self, written: bytes, default_domain: bytes = b"localhost") -> None:
        match = _MAILBOX.fullmatch(written)
        if written and (match is None or len(written) > _LONGEST):
            raise AddressError("this is no address")
        self.addrstr = written
        self.local, self.domain = (match[1], match[2] or default_domain) if match else (b"", b"")
        try:
            str(self)
        except UnicodeDecodeError:
            raise AddressError("this address is not in UTF-8") from None

    @property
    def is_ascii(self) -> bool:
        return self.local.isascii() and self.domain.isascii()

    def __str__(self) -> str:
        return bytes(self).decode()


def recipient(address: Address, helo: tuple[str, str], protocol: Any, origin: Address) -> User:
    """What `validate_to` is given."""
    user = User(b"", helo, protocol, origin)
    user.dest, user.orig = address, origin
    return user


def path_of(written: bytes) -> tuple[bytes, dict[bytes, bytes]] | None:
    """The address and the parameters behind `FROM:` or `TO:`; None for what is neither.

    Example:
        >>> path_of(b"<ada@example.org> SIZE=100 body=8BITMIME")
        (b'ada@example.org', {b'SIZE': b'100', b'BODY': b'8BITMIME'})
        >>> path_of(b"<>"), path_of(b"<a@b"), path_of(b"")
        ((b'', {}), None, None)
    """
    match = _PATH.fullmatch(written)
    if match is None:
        return None
    parameters = {}
    for word in (match[3] or b"").split():
        key, _, value = word.partition(b"=")
        parameters[key.upper()] = value
    return (match[2] or match[1] or b""), parameters
