"""Forms, uploads and JSON as clients send them, rightly and wrongly."""

from __future__ import annotations

import gc
import tempfile
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piped.ground.errors import Rejected
from piped.web.bodies import MOST_FIELDS, Form, form_of, json_of

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=edge"


def part(name: str, content: bytes, *more: str) -> bytes:
    """One part of a form; more is what follows the name, then further headers."""
    option, *headers = more or ("",)
    lines = [f'--edge\r\nContent-Disposition: form-data; name="{name}"{option}', *headers, "", ""]
    return "\r\n".join(lines).encode() + content + b"\r\n"


def multipart(*parts: bytes) -> Form:
    return form_of(BytesIO(b"".join(parts) + b"--edge--\r\n"), MULTIPART)


def test_a_form_of_a_browser() -> None:
    """Names and values are what was typed, each name has all of its values, an empty one too."""
    form = form_of(BytesIO(b"a=1&a=2&b=&c&%C3%B8=%20+%26;%ff"), f"{URLENCODED}; charset=utf-8")
    assert form.fields == {b"a": [b"1", b"2"], b"b": [b""], b"c": [b""], b"\xc3\xb8": [b"  &;\xff"]}
    assert form.uploads == {}


@given(st.lists(st.tuples(st.binary(), st.binary()), max_size=20))
def test_any_bytes_come_through_a_form(pairs: list[tuple[bytes, bytes]]) -> None:
    """Whatever a client encodes rightly arrives as it was."""
    encoded = b"&".join(b"=".join(b"".join(b"%%%02x" % byte for byte in text) for text in pair) for pair in pairs)
    expected: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        expected.setdefault(name, []).append(value)
    assert form_of(BytesIO(encoded), URLENCODED).fields == (expected if pairs else {})


@given(st.lists(st.tuples(st.sampled_from("abc"), st.binary()), min_size=1, max_size=20))
def test_any_bytes_come_through_a_form_with_parts(pairs: list[tuple[str, bytes]]) -> None:
    """Line breaks and anything else in a value stay as they were sent."""
    expected: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        expected.setdefault(name.encode(), []).append(value)
    assert multipart(*[part(name, value) for name, value in pairs]).fields == expected


@given(st.binary(), st.sampled_from([URLENCODED, MULTIPART, "multipart/form-data", "text/plain"]))
def test_whatever_a_client_sends_is_a_form_or_rejected(body: bytes, content_type: str) -> None:
    """Nothing that a client can send fails in any other way."""
    for sent in (body, b"--edge\r\n" + body, part("a", b"x") + body):
        try:
            form_of(BytesIO(sent), content_type)
        except Rejected:
            continue


def test_a_file_that_is_uploaded() -> None:
    """A file has its name, its type, its size and its content to be read; text beside it is a field."""
    form = multipart(
        part("text", b"hello"),
        part("photo", b"\x89PNG", '; filename="ø.png"', "Content-Type: image/png"),
        part("photo", b"", '; filename="empty.txt"'),
    )
    first, second = form.uploads["photo"]
    assert (first.filename, first.content_type, first.size) == ("ø.png", "image/png", 4)
    assert (first.content.read(), first.content.seek(1), first.content.read()) == (b"\x89PNG", 1, b"PNG")
    assert (second.filename, second.content_type, second.content.read()) == (
        "empty.txt",
        "application/octet-stream",
        b"",
    )
    assert form.fields == {b"text": [b"hello"]}
    assert repr(first) == "<Upload 'ø.png' of 4 bytes>"


def test_a_large_file_is_not_kept_in_memory() -> None:
    """What is larger than a little lies in a temporary file."""
    [[upload]] = multipart(part("f", b"x" * 100_000, '; filename="f"')).uploads.values()
    with upload.content as content:
        assert content.fileno() > 0
        assert (upload.size, content.read()) == (100_000, b"x" * 100_000)


def test_a_file_goes_away_with_its_upload() -> None:
    """A temporary file is closed with the last reference, and does not wait until somebody looks for garbage."""
    gc.disable()
    try:
        with pytest.warns(ResourceWarning, match="unclosed file"):  # that is how Python says so
            multipart(part("f", b"x" * 100_000, '; filename="f"'))
    finally:
        gc.enable()


def test_no_file_was_chosen() -> None:
    """What a browser sends for a field without a file is no upload."""
    assert multipart(part("photo", b"", '; filename=""')) == Form()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\\\folder\\\\file.txt", "file.txt"),
        ("/", ""),
        ("..", ""),
        ("a/..", ""),
        ("a\x00b\x1bc", "abc"),
        (".profile", ".profile"),
    ],
)
def test_the_name_of_a_file_leads_nowhere(sent: str, kept: str) -> None:
    """A name that is joined with a folder stays in that folder."""
    [[upload]] = multipart(part("f", b"x", f'; filename="{sent}"')).uploads.values()
    assert upload.filename == kept


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/json", "multipart/mixed; boundary=edge"])
def test_what_is_no_form_is_an_empty_one(content_type: str | None) -> None:
    """A body of another type is left to whoever knows it."""
    assert form_of(BytesIO(b"a=1"), content_type) == Form()
    assert form_of(BytesIO(b""), MULTIPART) == Form()


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (part("a", b"x"), MULTIPART, "malformed: Unexpected end"),
        (part("a", b"x") + b"--edge", MULTIPART, "malformed: Unexpected end"),
        (b"a=1", MULTIPART, "malformed"),
        (part("a", b"x"), "multipart/form-data", "names no boundary"),
        (part("a", b"x"), 'multipart/form-data; boundary="\udcff"', "boundary is no text"),
        (b"--edge\r\nContent-Disposition: attachment\r\n\r\nx\r\n--edge--", MULTIPART, "malformed"),
        (b"--edge\r\n\r\nx\r\n--edge--", MULTIPART, "Missing Content-Disposition"),
        (b'--edge\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--edge--', MULTIPART, "failed to decode"),
        (part("a", b"x", "", *["x: y"] * 10) + b"--edge--", MULTIPART, "too many headers"),
        (part("a" * 10_000, b"x") + b"--edge--", MULTIPART, "too many headers"),
        (part("a", b"x") * (MOST_FIELDS + 1) + b"--edge--", MULTIPART, "more than 1000 parts"),
        (b"a=1&" * MOST_FIELDS + b"a=1", URLENCODED, "at most 1000 fields"),
        (b"a=" + b"x" * 1024 * 1024, URLENCODED, "at most 1048576 bytes"),
    ],
)
def test_a_form_that_nobody_would_send(body: bytes, content_type: str, message: str) -> None:
    """A malformed form, and one that would take too much to read, is rejected with the reason."""
    with pytest.raises(Rejected) as caught:
        form_of(BytesIO(body), content_type)
    assert message in caught.value.msg


def test_forms_may_be_as_large_as_that() -> None:
    """The limits themselves are allowed."""
    assert len(form_of(BytesIO(b"a=1&" * (MOST_FIELDS - 1) + b"a=1"), URLENCODED).fields[b"a"]) == MOST_FIELDS
    assert len(multipart(*[part("a", b"x")] * MOST_FIELDS).fields[b"a"]) == MOST_FIELDS


def test_the_place_where_a_body_is_read_next_stays() -> None:
    """A body can be read by hand, too, before and after, in memory and in a file."""
    with BytesIO() as memory, tempfile.TemporaryFile() as file:
        for content in (memory, file):
            content.write(b"a=1")
            content.seek(1)
            assert form_of(content, URLENCODED).fields == {b"a": [b"1"]}
            assert content.read() == b"=1"


@pytest.mark.parametrize(
    ("body", "value"), [(b'{"a": [1, null]}', {"a": [1, None]}), ('"ø"'.encode("utf-16"), "ø"), (b" 1 ", 1)]
)
def test_json(body: bytes, value: Any) -> None:
    """A body with JSON is its value."""
    assert json_of(body) == value


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\xff", b"[" * 200_000, b"9" * 10_000, b"a=1"])
def test_what_is_no_json(body: bytes) -> None:
    """Anything else is rejected, however it is wrong."""
    with pytest.raises(Rejected, match="the body is no JSON"):
        json_of(body)
