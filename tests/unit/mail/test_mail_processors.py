"""Tests of the steps that make mails, change their headers and take them apart."""

from __future__ import annotations

import textwrap
from email import message_from_string
from email.message import EmailMessage
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from mail_stage import Station
from twisted.internet.defer import succeed

from piped import ConfigurationError, PipedError
from piped.catalog.discovery import discover
from piped.ground.batons import BatonPath
from piped.mail.content import parsed
from piped.mail.outgoing import Outgoing
from piped.mail.parts import parts_of
from piped.mail.processors import CreateEmailMessage, ParseEmailMessage, ReplaceEmailHeaders
from piped.mail.send_email import SendEmail
from piped.mail.sending import Sent
from piped.mail.turns import begin
from piped.spec.spec import Spec
from piped.testing import Stage

CATALOG, _ = discover(None, None, (), built_in=["piped.mail.processors", "piped.mail.send_email"])
EXAMPLES = [(name, example) for name, entry in CATALOG.processors.items() for example in entry.spec.examples]


def test_the_steps_are_found() -> None:
    """The steps have their documented names, a summary, and a text for each option."""
    assert sorted(CATALOG.processors) == [
        "create-email-message",
        "parse-email-message",
        "replace-email-headers",
        "send-email",
    ]
    for entry in CATALOG.processors.values():
        spec: Spec = entry.spec
        assert spec.summary
        assert [parameter.name for parameter in spec.parameters if not parameter.text] == []


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_the_examples_run(name: str, example: str) -> None:
    """What the documentation shows can be copied into a pipeline; only send-email needs a server for that."""
    stage = Stage("pipelines:\n  main:\n" + textwrap.indent(example, "    "))
    if name != "send-email":
        stage.run("main", {"text": "hello"})


def test_a_message_is_made() -> None:
    """A message has the headers and the text that are wanted, from the baton or not."""
    step = CreateEmailMessage(payload_path="text", headers={"Subject": BatonPath("about"), "X-All": ["1", "2"]})
    message = step.process({"text": "Hällo", "about": "Blåbær"})["message"]
    assert isinstance(message, EmailMessage)
    assert (message["Subject"], message.get_all("X-All"), message.get_content()) == ("Blåbær", ["1", "2"], "Hällo\n")
    plain = CreateEmailMessage(output_path="").process({})
    assert (plain.keys(), plain.get_payload()) == ([], None)


@pytest.mark.parametrize("payload", ["text", b"text", StringIO("text"), BytesIO(b"text")])
def test_the_text_may_be_a_file(payload: Any) -> None:
    """The text of a message may be text, bytes in UTF-8, or an open file."""
    message = CreateEmailMessage(payload_path="p").process({"p": payload})["message"]
    assert message.get_content() == "text\n"


def test_a_message_has_html_and_files() -> None:
    """A message with text, HTML and files comes apart as it was put together."""
    step = CreateEmailMessage(payload_path="text", html_path="html", attachments_path="files", headers={"To": "a@b.c"})
    files = [
        {"content": b"\x00\xff", "filename": "blåbær.bin"},
        {"content": "a,b\n", "filename": "a.csv", "content_type": "text/csv"},
        {"content": b"GIF89a", "filename": "x.gif", "content_type": "image/gif"},
    ]
    message = step.process({"text": "hi", "html": "<p>hi</p>", "files": files})["message"]
    mail = ParseEmailMessage().process({"message": message})["mail"]
    assert (mail["text"], mail["html"]) == ("hi\n", "<p>hi</p>\n")
    told = [(one["filename"], one["content_type"], one["content"], one["size"]) for one in mail["attachments"]]
    assert told == [
        ("blåbær.bin", "application/octet-stream", b"\x00\xff", 2),
        ("a.csv", "text/csv", "a,b\n", 4),
        ("x.gif", "image/gif", b"GIF89a", 6),
    ]
    assert len(mail["parts"]) == 5


@pytest.mark.parametrize("value", ["x\r\nBcc: eve@x.org", "x\nBcc: eve@x.org", "x\r", "x\n"])
def test_no_header_brings_another_one(value: str) -> None:
    """A value with a line break is refused, in the configuration and in the baton."""
    with pytest.raises(PipedError, match="line break"):
        CreateEmailMessage(headers={"Subject": value})
    with pytest.raises(PipedError, match="line break"):
        CreateEmailMessage(headers={"Subject": BatonPath("s")}).process({"s": value})
    with pytest.raises(PipedError, match="line break"):
        ReplaceEmailHeaders({"Subject": BatonPath("s")}).process({"s": value, "message": EmailMessage()})
    with pytest.raises(ConfigurationError, match="is no name of a header"):
        CreateEmailMessage(headers={f"X{value}": "x"})


def test_headers_are_replaced() -> None:
    """A header takes the place of all of its name, is added where there was none, and goes with null."""
    message = EmailMessage()
    message["Subject"], message["X-Old"] = "old", "1"
    message["X-Old"] = "2"
    headers = {"subject": "new", "X-New": BatonPath("n"), "X-Old": None}
    ReplaceEmailHeaders(headers).process({"message": message, "n": 7})
    assert dict(message.items()) == {"subject": "new", "X-New": "7"}
    with pytest.raises(PipedError, match="nothing at 'message'"):
        ReplaceEmailHeaders({"A": "b"}).process({})


MALFORMED = [
    b"",
    b"\0\xff",
    b"no header\r\nat all",
    b"Subject: =?x-none?q?=FF?=\r\nFrom: <<<>>>@@\r\nDate: yesterday\r\n\r\n\xff",
    b"Content-Type: text/plain; charset=x-none\r\n\r\nbl\xe5b",
    b"Content-Type: multipart/mixed\r\n\r\n--x",
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!=\r\n",
    b"Content-Type: text/plain; name*0*=utf-8''%ff; name*2=x\r\n"
    b"Content-Disposition: attachment; filename*=x'%\r\n\r\nx",
    b'To: =?utf-8?b?////?= <a@b.c>, "open\r\nReply-To: :;,\r\nMessage-ID: <\r\n\r\n',
    b"Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\nSubject: deep\r\n\r\ndeep",
]


@pytest.mark.parametrize("data", MALFORMED)
def test_malformed_mails_are_taken_apart(data: bytes) -> None:
    """Whatever a mail is, it is taken apart as well as can be."""
    mail = parts_of(data)
    assert isinstance(mail["headers"], dict)
    assert isinstance(mail["parts"], list)
    assert mail == parts_of(BytesIO(data))


def test_a_mail_is_told_in_plain_values() -> None:
    """Headers are decoded; addresses have name and address; the date is in ISO 8601."""
    text = textwrap.dedent("""\
        Subject: =?utf-8?q?Bl=C3=A5b=C3=A6r?=
         and more
        From: =?iso-8859-1?q?=D8yvind?= <o@x.org>
        To: a@x.org, "B, C" <b@x.org>
        Date: Thu, 01 Jan 1970 01:00:00 +0100
        Message-ID: <1@x.org>

        text
        """)
    expected = {
        "subject": "Blåbær and more",
        "from": [{"name": "Øyvind", "address": "o@x.org"}],
        "to": [{"name": "", "address": "a@x.org"}, {"name": "B, C", "address": "b@x.org"}],
        "date": "1970-01-01T01:00:00+01:00",
        "message_id": "<1@x.org>",
        "text": "text\n",
        "html": None,
        "attachments": [],
        "defects": [],
    }
    for mail in (parts_of(text), parts_of(message_from_string(text))):
        assert {key: mail[key] for key in expected} == expected


def outgoing(message: Any) -> Outgoing:
    return Outgoing("a@x.org", ("b@x.org",), message, 0, "me")


def test_a_mail_goes_out_whole() -> None:
    """What is missing is added, what only the sender should see is left out, and the baton's mail stays as it is."""
    message = EmailMessage()
    message["Bcc"] = "eve@x.org"
    message.set_content("bl\xe5b\xe6r\n.\n..\n")
    content = outgoing(message).content(is_8bit=False, is_utf8=False)
    assert content.isascii()
    assert b"Bcc" not in content
    assert b"Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n" in content
    assert b"Message-ID: <" in content
    assert message.keys() == ["Bcc", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"]
    assert "bl\xe5b\xe6r\r\n..\r\n...\r\n.\r\n".encode() in outgoing(message).content(is_8bit=True, is_utf8=False)


@pytest.mark.parametrize(
    "message", ["Bcc: eve@x.org\nTo: b@x.org\n\nBcc: text\n", b"Resent-BCC :\r\n eve@x.org\r\n\r\nBcc: text"]
)
def test_nobody_hears_of_hidden_recipients(message: Any) -> None:
    """The text of a mail loses its `Bcc` as well, and keeps what only looks like one."""
    content = outgoing(message).content(is_8bit=True, is_utf8=False)
    assert b"eve" not in content
    assert content.endswith(b"\r\n\r\nBcc: text\r\n.\r\n") or content == b"\r\nBcc: text\r\n.\r\n"


@pytest.mark.parametrize(
    "header",
    [
        "Subject: =?utf-8?q?" + "long_" * 20 + "=0D=0ABcc:_eve@x.org=0A=0Abody?=",
        "To: =?utf-8?q?" + "long_" * 20 + "=0ABcc:_eve@x.org?= <b@x.org>",
    ],
)
def test_no_mail_hides_further_headers(header: str) -> None:
    """A mail that is passed on has the headers that came with it, and no others that were hidden in an encoded word."""
    passed_on = parsed(header.encode() + b"\n\nhello\n")
    made = EmailMessage()
    name, _, value = header.partition(": ")
    made[name] = value
    split = parsed(header.encode().replace(b"=0A", b"\x0c") + b"\n\nhello\n")  # where Python ends lines, too
    for message in (passed_on, made, split):
        content = outgoing(message).content(is_8bit=False, is_utf8=False)
        head, _, _ = content.partition(b"\r\n\r\n")
        assert [line.split(b":")[0] for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")] == [
            name.encode(),
            b"Date",
            b"Message-ID",
        ]


@pytest.mark.parametrize(
    "data",
    [
        b"Subject: x\n\n\xff\n",
        b"To: a:b\xff>c@x,d@e\n\n\xff\n",
        b"Content-Type: text/plain; charset=none\nSubject: \xff\n\n\xff\n",
    ],
)
def test_a_malformed_mail_is_passed_on(data: bytes) -> None:
    """What is in no encoding is sent as it came, also to a server that knows 7 bits only."""
    assert outgoing(parsed(data)).content(is_8bit=False, is_utf8=False).endswith(b"\r\n\r\n\xff\r\n.\r\n")


def test_what_cannot_be_written_is_told() -> None:
    """A mail that nobody could write down fails with a reason."""
    mail = parsed(b'Content-Type: multipart/mixed; boundary="\xff"\n\n--\xff\n\nx\n--\xff--\n')
    with pytest.raises(PipedError, match="cannot be written"):
        outgoing(mail).content(is_8bit=True, is_utf8=False)


@pytest.mark.parametrize("message", ["a\n.b\rc", b"a\r\n.b\nc\r\n", BytesIO(b"a\n.b\nc")])
def test_anything_with_lines_can_be_sent(message: Any) -> None:
    """Text, bytes and files are sent as they are, with the ends of lines that SMTP wants."""
    assert outgoing(message).content(is_8bit=True, is_utf8=False) == b"a\r\n..b\r\nc\r\n.\r\n"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"from_": "a@x.org"},
        {"to": "a@x.org"},
        {"from_": "a@x.org", "from_path": "from", "to": "b@x.org"},
        {"from_": "a@x.org", "to": "b@x.org", "to_path": "to"},
    ],
)
def test_a_mail_has_one_sender_and_recipients(options: dict[str, Any]) -> None:
    """One of `from` and `from_path`, and one of `to` and `to_path`, has to be there."""
    with pytest.raises(ConfigurationError, match="is needed"):
        SendEmail(**options)


@pytest.mark.parametrize("address", ["", "nobody", "a@b.c\r\nDATA", "a b@c.d", "a@b.c>", ["a@b.c", ""], []])
def test_what_is_no_address_is_refused(address: Any) -> None:
    """An address that is none, or that could be more than that, is never sent."""
    with pytest.raises(ConfigurationError, match="is no address"):
        SendEmail(from_="a@x.org", to=address)


def test_a_mail_is_sent_to_whom_the_baton_says() -> None:
    """Sender, recipients and the mail come from the baton, and the result goes into it."""
    sent: list[Outgoing] = []

    class Sender:
        def send(self, mail: Outgoing) -> Any:
            sent.append(mail)
            return succeed(Sent(list(mail.recipients)))

    step = SendEmail(from_path="me", to_path="you", output_path="sent")
    step.environment, step.sender = Station().environment, Sender()  # type: ignore[assignment]  # as much as is used
    baton = {"me": "Ada <ada@x.org>", "you": ["b@x.org", "C <c@x.org>, b@x.org"], "message": "text"}
    result = begin(step.process(baton)).result()
    assert (sent[0].origin, sent[0].recipients, sent[0].message) == ("ada@x.org", ("b@x.org", "c@x.org"), "text")
    assert result["sent"].accepted == ["b@x.org", "c@x.org"]
    with pytest.raises(PipedError, match="nothing at 'you'"):
        begin(step.process({"me": "a@x.org", "message": "x"})).result()


def test_a_file_of_certificates_is_read_at_the_start(tmp_path: Path) -> None:
    """A `ca_file` that holds no certificates is a problem of the configuration."""
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    steps = f"[send-email: {{from: a@b.c, to: a@b.c, configuration: {{ca_file: {file}}}}}]"
    with pytest.raises(ConfigurationError, match="holds no certificates"):
        Station(f"pipelines: {{main: {steps}}}")
