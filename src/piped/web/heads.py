"""The head of a request, its first line and its headers: read by llhttp in one piece, judged by RFC 9112."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

# Not a public name; through `Headers` each header would be looked at twice.
from twisted.web.http_headers import _nameEncoder

try:
    import httptools  # exists on CPython outside Windows only
except ImportError:
    httptools = None  # type: ignore[assignment]

#: Whether heads can be read at all.
IS_INSTALLED: Final = httptools is not None
HeaderLists = dict[bytes, list[bytes]]
_FIRST_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) (HTTP/\d\.\d)\r\n")
_BARE_LINE_FEED: Final = re.compile(rb"(?<!\r)\n")
_HOST: Final = re.compile(rb"[!$%&'()*+,\-.0-9:;=A-Z\[\]_a-z~]*")
_ADDRESS: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*://" + _HOST.pattern[:-1] + rb"+([/?].*)?")
_FIELD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")
_VERSIONS: Final = (b"HTTP/1.1", b"HTTP/1.0")
_MOST_DIGITS: Final = 18
#: The end of a head.
END: Final = b"\r\n\r\n"

BAD_REQUEST: Final = 400
VERSION_NOT_SUPPORTED: Final = 505


class BadHead(ValueError):
    """No head of a request that can be answered but with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Headers:
    """Collects what the parser finds."""

    __slots__ = ("count", "headers")

    def __init__(self) -> None:
        self.headers: HeaderLists = {}
        self.count = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self.count += 1
        name = _nameEncoder.encode(name)
        values = self.headers.get(name)
        if values is None:
            self.headers[name] = [value.rstrip(b" \t")]
        else:
            values.append(value.rstrip(b" \t"))


def read_head(data: bytes) -> tuple[bytes, bytes, bytes, HeaderLists, int]:
    """The method, the target, the version, the headers by their canonical names, and how many there are.

    Args:
        data: from the first byte of the first line to the empty line, which it ends with.

    Raises:
        BadHead: it is none, or one of another version than can be answered.

    Example:
        >>> read_head(b"GET /a HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n")
        (b'GET', b'/a', b'HTTP/1.1', {b'Host': [b'x']}, 1)
    """
    first = _FIRST_LINE.match(data)
    if first is None:
        raise BadHead(BAD_REQUEST)
    method, target, version = first.groups()
    if version not in _VERSIONS:
        raise BadHead(VERSION_NOT_SUPPORTED)
    try:
        found = _parsed(data)
    except httptools.HttpParserInvalidMethodError:  # one that it does not know, which need not be wrong
        found = _parsed(b"GET" + data[len(method) :])
    return method, target, version, found.headers, found.count


def _parsed(data: bytes) -> _Headers:
    found = _Headers()
    # A parser for each head: it keeps nothing of the one before, and costs less than a look at its state.
    try:
        httptools.HttpRequestParser(found).feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # whether there is one is for whoever answers
    except httptools.HttpParserInvalidMethodError:
        raise
    except httptools.HttpParserError:
        raise BadHead(BAD_REQUEST) from None
    return found


def cannot_be_head(begin: bytes) -> bool:
    """Whether nothing that may follow makes a head of these first bytes, so that there is nothing to wait for.

    Example:
        >>> cannot_be_head(b"GET / HT"), cannot_be_head(b"GET / HTTP/1.1\\nHost: x\\n\\n")
        (False, True)
    """
    return _BARE_LINE_FEED.search(begin) is not None or (b"\r\n" in begin and _FIRST_LINE.match(begin) is None)


def length_of_body(version: bytes, headers: Mapping[bytes, list[bytes]]) -> int | None:
    """How long the body behind a head is; None for one in chunks.

    Raises:
        BadHead: nobody can tell, or others who forward the request might tell otherwise.

    Source: RFC 9112, 6.1 and 6.3.

    Example:
        >>> length_of_body(b"HTTP/1.1", {b"Content-Length": [b"5"]})
        5
    """
    lengths, codings = headers.get(b"Content-Length"), headers.get(b"Transfer-Encoding")
    if codings is not None:
        if lengths is not None or version != b"HTTP/1.1" or [coding.lower() for coding in codings] != [b"chunked"]:
            raise BadHead(BAD_REQUEST)
        return None
    if lengths is None:
        return 0
    if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > _MOST_DIGITS:
        raise BadHead(BAD_REQUEST)
    return int(lengths[0])


def is_target(method: bytes, target: bytes) -> bool:
    """Whether the second word of a request is a path, a whole address or `*`; nothing is for CONNECT here.

    Source: RFC 9112, 3.2.
    """
    is_one = target[:1] == b"/" or target == b"*" or _ADDRESS.fullmatch(target) is not None
    return is_one and method != b"CONNECT"


def are_fields(lines: Iterable[bytes]) -> bool:
    """Whether lines are headers, as those behind a body in chunks have to be.

    Source: RFC 9112, 7.1.2.
    """
    return all(_FIELD.fullmatch(line) for line in lines)


def has_one_host(version: bytes, headers: Mapping[bytes, list[bytes]]) -> bool:
    """Whether a request says which site it is for, and says it once; before HTTP/1.1 it need not.

    Source: RFC 9112, 3.2.
    """
    hosts = headers.get(b"Host")
    if hosts is None:
        return version != b"HTTP/1.1"
    return len(hosts) == 1 and _is_host(hosts[0])


@lru_cache(maxsize=256)
def _is_host(host: bytes) -> bool:
    return _HOST.fullmatch(host) is not None


def is_persistent(version: bytes, headers: Mapping[bytes, list[bytes]]) -> bool:
    """Whether the client wants to send more over the same connection.

    Before HTTP/1.1 none does: only the end of the connection tells it where a response without a length has ended.

    Source: RFC 9112, 9.3.
    """
    if version != b"HTTP/1.1":
        return False
    connection = headers.get(b"Connection")
    if connection is None:
        return True
    return not any(option.strip().lower() == b"close" for value in connection for option in value.split(b","))
