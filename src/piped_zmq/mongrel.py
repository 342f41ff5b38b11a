"""What the web server Mongrel2 sends to handlers, and what it takes from them: text in, values out, and back.

Source: the Mongrel2 manual, section "Writing A Mongrel2 Handler".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from piped import PipedError

_HEAD: Final = re.compile(rb"(\S{1,256}) (\d{1,20}) (\S{1,65536}) ")
#: No length has more digits: a number of them all would be slow to read.
_LENGTH: Final = re.compile(rb"(\d{1,10}):")
#: Source: RFC 9110, section 5.1.
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
#: How many arguments of a query are read.
_MOST_ARGUMENTS: Final = 1000


class MongrelError(PipedError):
    """A message is no request of Mongrel2, or a response cannot be sent with it."""


@dataclass(frozen=True)
class MongrelRequest:
    """One request, as Mongrel2 tells of it.

    Args:
        sender: the identity of the server.
        conn_id: the number of the connection.
        headers: with those of Mongrel2 itself, such as METHOD and PATH.
        data: of a request with the method JSON, what its body says; else an empty mapping.
    """

    sender: str
    conn_id: str
    path: str
    headers: dict[str, Any]
    body: bytes
    data: Any

    @property
    def is_disconnect(self) -> bool:
        """Whether it only tells that a client has left."""
        is_told = isinstance(self.data, dict) and self.data.get("type") == "disconnect"
        return self.headers.get("METHOD") == "JSON" and is_told

    @property
    def query(self) -> dict[str, str | list[str]]:
        """The arguments of the query by name: a text, or a list where there are several."""
        written = self.headers.get("QUERY", "")
        arguments: dict[str, list[str]] = {}
        try:
            pairs = parse_qsl(str(written), keep_blank_values=True, max_num_fields=_MOST_ARGUMENTS)
        except ValueError:
            raise MongrelError(f"a query has more than {_MOST_ARGUMENTS} arguments") from None
        for name, value in pairs:
            arguments.setdefault(name, []).append(value)
        return {name: values[0] if len(values) == 1 else values for name, values in arguments.items()}


def parse_request(message: bytes) -> MongrelRequest:
    """The request of a message.

    Raises:
        MongrelError: it is none.

    Example:
        >>> parse_request(b'server 7 /users 16:{"METHOD":"GET"},0:,').path
        '/users'
    """
    head = _HEAD.match(message)
    if head is None:
        raise MongrelError(f"a message is no request of Mongrel2: it begins with {message[:40]!r}")
    written, rest = _netstring(message[head.end() :])
    body, rest = _netstring(rest)
    if rest:
        raise MongrelError(f"behind a request of Mongrel2 stand {len(rest)} more bytes")
    headers = _json(written, "headers")
    if not isinstance(headers, dict):
        raise MongrelError("the headers of a request of Mongrel2 are no mapping")
    data = _json(body, "body") if headers.get("METHOD") == "JSON" else {}
    sender, conn_id, path = (part.decode("utf-8", "replace") for part in head.groups())
    return MongrelRequest(sender, conn_id, path, headers, body, data)


def _netstring(text: bytes) -> tuple[bytes, bytes]:
    """What a text begins with behind its length, and the rest."""
    length = _LENGTH.match(text)
    if length is not None:
        end = length.end() + int(length[1])
        if text[end : end + 1] == b",":
            return text[length.end() : end], text[end + 1 :]
    raise MongrelError("a request of Mongrel2 is cut off, or its lengths are wrong")


def _json(text: bytes, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MongrelError(f"the {what} of a request of Mongrel2 cannot be read as JSON: {error}") from None


def http_response(code: int, status: str, headers: Mapping[str, Any], body: bytes) -> bytes:
    r"""A response, with the length of its body.

    Raises:
        MongrelError: the code, the status or a header cannot be sent.

    Example:
        >>> http_response(200, "OK", {"Content-Type": "text/plain"}, b"hello")
        b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello'
    """
    if not 100 <= code <= 999 or _CONTROLS.search(status):
        raise MongrelError(f"{code} {status!r} is no status of a response")
    lines = [f"HTTP/1.1 {code} {status}"]
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or _CONTROLS.search(str(value)):
            raise MongrelError(f"{name!r}: {value!r} is no header")
        if name.lower() != "content-length":
            lines.append(f"{name}: {value}")
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def addressed(uuid: str, idents: Sequence[Any], payload: bytes) -> bytes:
    """A message for connections of a server; one without a payload closes them.

    Raises:
        MongrelError: the server or a connection cannot be called that.

    Example:
        >>> addressed("server", ["7", "12"], b"")
        b'server 4:7 12, '
    """
    names = " ".join(_known(str(ident)) for ident in idents)
    return f"{_known(uuid)} {len(names.encode())}:{names}, ".encode() + payload


def _known(name: str) -> str:
    if not name or re.search(r"\s", name):
        raise MongrelError(f"{name!r} is no name of a server, and no number of a connection")
    return name


def messages_of(response: Mapping[str, Any], *, closes: bool) -> Iterable[bytes]:
    """What is sent to Mongrel2 for a response: `uuid`, `idents`, `headers`, `body`, `code` and `status` of it.

    Raises:
        MongrelError: it cannot be sent, or something is missing.
    """
    if not isinstance(response, Mapping) or not {"uuid", "idents"} <= response.keys():
        raise MongrelError("a response needs a uuid and idents", hint="parse-msg-as-mongrel-request makes one")
    body = response.get("body", b"")
    if not isinstance(body, bytes):
        body = str(body).encode()
    headers, code, status = response.get("headers") or {}, response.get("code", 200), response.get("status", "OK")
    made = http_response(int(code), str(status), {str(name): each for name, each in headers.items()}, body)
    messages = [addressed(str(response["uuid"]), response["idents"], made)]
    return [*messages, addressed(str(response["uuid"]), response["idents"], b"")] if closes else messages
