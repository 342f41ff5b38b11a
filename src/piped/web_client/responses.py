"""What another server has answered, as steps and people read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.web.http_headers import Headers

from piped import PipedError
from piped.web_client.errors import told_url
from piped.web_client.receiving import Body


class ResponseHeaders(Mapping[str, str]):
    """The headers of an answer by their names, whatever their capitals; several of one name are joined by commas.

    Example:
        >>> headers = ResponseHeaders(Headers({"Set-Cookie": ["a=1", "b=2"], "X-Count": ["3"]}))
        >>> headers["x-count"], headers.get_all("set-cookie"), sorted(headers)
        ('3', ['a=1', 'b=2'], ['set-cookie', 'x-count'])
    """

    def __init__(self, headers: Headers) -> None:
        self._values = {
            name.decode("latin-1").lower(): [value.decode("utf-8", "replace") for value in values]
            for name, values in headers.getAllRawHeaders()
        }

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._values[name.lower()])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get_all(self, name: str) -> list[str]:
        """Every value of a header, which some – set-cookie – cannot be joined of; [] where there is none."""
        return list(self._values.get(name.lower(), ()))

    def __repr__(self) -> str:
        return f"<ResponseHeaders {', '.join(self._values)}>"


@dataclass(frozen=True, eq=False)
class Response:
    """An answer: its code, its headers and its body.

    `url` is where it was found, after redirects. `body` is bytes; where it is streamed the parts to iterate over, where
    it was saved the name of the `file` stands instead, and `size` says how many bytes there are.
    """

    url: str = field(repr=False)
    status: int
    reason: str
    headers: ResponseHeaders = field(repr=False)
    body: bytes | Body = field(repr=False)
    file: str | None = None
    size: int | None = None

    @property
    def charset(self) -> str:
        """The encoding of the text, as the server says; else UTF-8."""
        from email.message import Message

        message = Message()
        message["content-type"] = self.headers.get("content-type", "")
        charset = message.get_content_charset("utf-8")
        try:
            "".encode(charset)
        except LookupError:
            return "utf-8"
        return charset

    @property
    def text(self) -> str:
        """The body as text; what is not in its encoding is replaced."""
        return self._whole().decode(self.charset, "replace")

    def json(self) -> Any:
        """The value that the body holds as JSON.

        Raises:
            PipedError: it holds none.
        """
        try:
            return json.loads(self._whole())
        except (ValueError, RecursionError) as error:
            what = f"the answer from {told_url(self.url)} is no JSON: {error}"
            raise PipedError(what, detail=self.begins_with()) from error

    def begins_with(self, most: int = 200) -> str:
        """The beginning of the body for a message; what would disturb a terminal is escaped."""
        begun = self._whole()[:most].decode(self.charset, "replace").strip()
        shown = "".join(sign if sign.isprintable() else " " for sign in begun)
        return f"{shown} …" if len(self._whole()) > most else shown

    def _whole(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        raise PipedError(f"the body of {self!r} is not in memory")
