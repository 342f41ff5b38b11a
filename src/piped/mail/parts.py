"""What is in a mail: headers, texts and files, however badly it is written."""

from __future__ import annotations

from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any, Final

from piped.mail.content import parsed

_LISTS: Final = {"from": "from", "to": "to", "cc": "cc", "reply_to": "reply-to"}


def parts_of(mail: Any) -> dict[str, Any]:
    """A mail in plain values.

    Args:
        mail: an email message, or the bytes, the text or an open file of one.
    """
    message = _message(mail)
    headers: dict[str, list[str]] = {}
    for name, value in message.raw_items():
        headers.setdefault(name.lower(), []).append(_decoded(str(value)))
    parts = [_part(one) for one in _walk(message) if not one.is_multipart()]
    told: dict[str, Any] = {key: _addresses(headers.get(name, [])) for key, name in _LISTS.items()}
    return told | {
        "subject": _first(headers, "subject"),
        "date": _date(_first(headers, "date")),
        "message_id": _first(headers, "message-id"),
        "headers": headers,
        "text": _readable(parts, "text/plain"),
        "html": _readable(parts, "text/html"),
        "parts": parts,
        "attachments": [part for part in parts if part["is_attachment"]],
        "defects": [type(defect).__name__ for one in _walk(message) for defect in one.defects],
    }


def _message(mail: Any) -> EmailMessage:
    if isinstance(mail, EmailMessage):
        return mail
    if hasattr(mail, "read"):
        mail = mail.read()
    if isinstance(mail, Message):
        mail = mail.as_bytes()
    data = mail.encode() if isinstance(mail, str) else bytes(mail)
    return parsed(data)


def _walk(message: EmailMessage) -> Iterator[EmailMessage]:
    """A mail and all that is in it, in order; as deep as it may be."""
    left = [message]
    while left:
        one = left.pop()
        yield one
        inner = one.get_payload() if one.is_multipart() else []
        left.extend(reversed(inner))  # type: ignore[arg-type]  # the payload of a multipart is a list of messages


def _part(part: EmailMessage) -> dict[str, Any]:
    data = part.get_payload(decode=True)
    content: Any = data if isinstance(data, bytes) else b""
    filename = part.get_filename()
    told = {
        "content_type": part.get_content_type(),
        "filename": None if filename is None else _decoded(filename),
        "content_id": part.get("content-id"),
        "is_attachment": filename is not None or part.get_content_disposition() == "attachment",
        "size": len(content),
    }
    if part.get_content_maintype() == "text":
        content = _text(content, part.get_content_charset())
    return told | {"content": content}


def _text(data: bytes, charset: str | None) -> str:
    try:
        return data.decode(charset or "utf-8", errors="replace").replace("\r\n", "\n")
    except LookupError:  # there is no such encoding
        return data.decode(errors="replace").replace("\r\n", "\n")


def _decoded(value: str) -> str:
    """A header as a person reads it.

    Example:
        >>> _decoded("=?utf-8?q?Bl=C3=A5b=C3=A6r?= for\\r\\n Ada")
        'Blåbær for Ada'
    """
    text = value.encode(errors="surrogateescape").decode(errors="replace")
    try:
        return " ".join(str(make_header(decode_header(text))).split())
    except (HeaderParseError, LookupError, ValueError):  # as it was written, then
        return " ".join(text.split())


def _addresses(values: list[str]) -> list[dict[str, str]]:
    return [{"name": name, "address": address} for name, address in getaddresses(values) if address]


def _date(value: str | None) -> str | None:
    try:
        return parsedate_to_datetime(value or "").isoformat()
    except (ValueError, OverflowError):
        return None


def _first(headers: dict[str, list[str]], name: str) -> str | None:
    return headers[name][0] if name in headers else None


def _readable(parts: list[dict[str, Any]], kind: str) -> str | None:
    texts = [part["content"] for part in parts if part["content_type"] == kind and not part["is_attachment"]]
    return "\n".join(texts) if texts else None
