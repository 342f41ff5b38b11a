"""Steps that make mails, change their headers, and take them apart."""

from __future__ import annotations

import re
from email.message import EmailMessage, Message
from typing import Any, Final

from piped import ConfigurationError, InputOutputProcessor, OrPath, Path, PipedError, Processor, get_path
from piped.mail.parts import parts_of
from piped.pipelines.processor import Baton

_NAME: Final = re.compile(r"[!-9;-~]+")
_MISSING: Final = object()


class CreateEmailMessage(Processor):
    """Make an email message.

    Args:
        output_path: where to put it; '' makes it the baton.
        payload_path: where its text is in the baton, or an open file with it; left out, it has none.
        html_path: where the same in HTML is, for programs that show it.
        attachments_path: where a list of files is that go with it: each a mapping with `content` (text or bytes) and,
            if they matter, `filename` and `content_type`.
        headers: its headers; a `!path` stands for a value of the baton, and of a list there is one for each value.

    Example:
        - set-values: {mapping: {report: All is well., name: Ada}}
        - create-email-message:
            headers: {From: piped@example.org, To: ada@example.org, Subject: !path name}
            payload_path: report
    """

    name = "create-email-message"

    def __init__(
        self,
        output_path: Path = "message",
        payload_path: Path | None = None,
        html_path: Path | None = None,
        attachments_path: Path | None = None,
        headers: dict[str, OrPath[Any]] | None = None,
    ) -> None:
        super().__init__()
        self.output_path, self._payload_path, self._html_path = output_path, payload_path, html_path
        self._attachments_path, self._headers = attachments_path, _checked(headers or {})

    def process(self, baton: Baton) -> Baton:
        message = EmailMessage()
        if self._payload_path is not None:
            message.set_content(_text_at(baton, self._payload_path))
        if self._html_path is not None:
            html = _text_at(baton, self._html_path)
            if self._payload_path is None:
                message.set_content(html, subtype="html")
            else:
                message.add_alternative(html, subtype="html")
        if self._attachments_path is not None:
            for attachment in _at(baton, self._attachments_path):
                _attach(message, attachment)
        for name, written in self._headers.items():
            del message[name]  # one that came with the content
            _add(message, name, self.get_input(baton, written))
        return self.get_resulting_baton(baton, self.output_path, message)


class ReplaceEmailHeaders(Processor):
    """Set headers of an email message, in place of all that have the same name.

    Args:
        headers: the headers; a `!path` stands for a value of the baton, null takes a header away, and of a list there
            is one for each value.
        message_path: where the message is in the baton.

    Example:
        - create-email-message: {headers: {Subject: draft, X-Old: '1'}}
        - replace-email-headers: {headers: {Subject: done, X-Old: null}}
    """

    name = "replace-email-headers"

    def __init__(self, headers: dict[str, OrPath[Any]], message_path: Path = "message") -> None:
        super().__init__()
        self._headers, self.message_path = _checked(headers), message_path

    def process(self, baton: Baton) -> Baton:
        message = _at(baton, self.message_path)
        for name, written in self._headers.items():
            value = self.get_input(baton, written)
            del message[name]
            _add(message, name, value)
        return baton


class ParseEmailMessage(InputOutputProcessor):
    """Take an email message apart, or the bytes or the text of one.

    The result is a mapping of `subject`, `from`, `to`, `cc` and `reply_to` (lists of `{name, address}`), `date` (ISO
    8601, or null), `message_id`, `headers` (each a list of texts, by its name in small letters), `text` and `html`
    (what is to be read, or null), `attachments` and `parts`. These are mappings of `content_type`, `filename`,
    `content_id`, `is_attachment`, `size` and `content`: text for what is text, else bytes. `defects` says what is wrong
    with it, as far as anybody noticed; a malformed mail is read as well as can be.

    Example:
        - create-email-message: {headers: {Subject: Hello, From: Ada <ada@example.org>}}
        - parse-email-message: {output_path: mail}
    """

    name = "parse-email-message"

    def __init__(self, input_path: Path = "message", output_path: Path | None = "mail", **io: Any) -> None:
        super().__init__(input_path, output_path, **io)

    def process_input(self, input: Any, baton: Baton) -> dict[str, Any]:
        return parts_of(input)


def _checked(headers: dict[str, Any]) -> dict[str, Any]:
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"{name!r} is no name of a header", hint="use letters, digits and dashes")
        if isinstance(value, str):
            _add(EmailMessage(), name, value)
    return headers


def _add(message: Message, name: str, value: Any) -> None:
    for one in value if isinstance(value, list | tuple) else () if value is None else (value,):
        text = str(one)
        if "\n" in text or "\r" in text:  # who writes the text of one header could write others
            raise PipedError(f"the header {name} has a line break: {text!r}")
        try:
            message[name] = text
        except ValueError as error:
            raise PipedError(f"the header {name} cannot be {text!r}: {error}") from error


def _at(baton: Baton, path: Path) -> Any:
    value = get_path(baton, path, _MISSING)
    if value is _MISSING:
        raise PipedError(f"the baton has nothing at {path!r}")
    return value


def _text_at(baton: Baton, path: Path) -> str:
    value = _at(baton, path)
    if hasattr(value, "read"):
        value = value.read()
    return value.decode() if isinstance(value, bytes) else str(value)


def _attach(message: EmailMessage, attachment: Any) -> None:
    content = attachment["content"]
    if hasattr(content, "read"):
        content = content.read()
    named = {"filename": attachment["filename"]} if attachment.get("filename") else {}
    kind = attachment.get("content_type") or ("text/plain" if isinstance(content, str) else "application/octet-stream")
    main, _, sub = kind.partition("/")
    if main == "text":
        text = content if isinstance(content, str) else content.decode()
        message.add_attachment(text, subtype=sub, **named)
    else:
        data = content.encode() if isinstance(content, str) else bytes(content)
        message.add_attachment(data, maintype=main, subtype=sub, **named)
