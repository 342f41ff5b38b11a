"""Tests of how what a client sends is parted."""

from __future__ import annotations

import resource
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piped.mail.content import LARGE, Content, parsed
from piped.mail.reading import LONGEST_COMMAND, Data, Fault, Incoming

#: What makes the ends of lines and of mails, and a little else.
BITS = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"x", b"yz", b"\r\n.\r\n"]), max_size=30).map(
    b"".join
)
LINES = st.lists(st.text("ab. ", max_size=5).map(str.encode), max_size=20)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(at)]


def fed(data: bytes, cuts: list[int], **limits: int) -> tuple[Fault | None, bytes | None, bytes]:
    """The fault, what followed the end, and the content, of bytes that come in pieces."""
    reader = Data(Content(), **{"max_size": 10_000, "max_line": 1000, **limits})
    behind: bytes | None = None
    for piece in pieces(data, cuts):
        behind = reader.feed(piece) if behind is None else behind + piece
    return reader.fault, behind, reader.content.read()


@given(LINES, BITS, st.lists(st.integers(0, 500)))
def test_a_mail_comes_through_as_it_was(lines: list[bytes], behind: bytes, cuts: list[int]) -> None:
    """However a mail is cut into pieces, its lines are those that were sent, and what follows is left alone."""
    stuffed = b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)
    fault, left, content = fed(stuffed + b".\r\n" + behind, cuts)
    assert (fault, left, content) == (None, behind, b"".join(line + b"\r\n" for line in lines))


@given(BITS, st.lists(st.integers(0, 200)))
def test_pieces_make_no_difference(data: bytes, cuts: list[int]) -> None:
    """Whether a mail is good, what it says and where it ends does not hang on how it is cut into pieces."""
    fault, behind, content = fed(data, cuts)
    whole_fault, whole_behind, whole_content = fed(data, [])
    if behind is not None and whole_behind is not None:
        assert (fault, content) == (whole_fault, whole_content)
    if fault is None and behind is not None:
        assert behind == whole_behind
        taken = data[: len(data) - len(behind)].replace(b"\r\n", b"")
        assert b"\r" not in taken
        assert b"\n" not in taken


def test_what_breaks_a_limit_is_not_kept() -> None:
    """Of a mail that is too big, or has too long a line, nothing is kept; its end is found still."""
    mail = b"x" * 50 + b"\r\n" + b"y" * 50 + b"\r\n.\r\nQUIT"
    assert fed(mail, [], max_size=103) == (Fault.TOO_BIG, b"QUIT", b"")
    assert fed(mail, [], max_size=104)[0] is None
    assert fed(mail, [], max_line=51) == (Fault.TOO_LONG, b"QUIT", b"")
    assert fed(mail, [], max_line=52)[0] is None
    assert fed(mail, list(range(200)), max_line=20) == (Fault.TOO_LONG, b"QUIT", b"")


def test_a_spoiled_mail_ends_where_its_sender_thinks() -> None:
    """Who ends lines with LF waits for an answer after the dot, and gets it."""
    for cuts in ([], list(range(10))):
        assert fed(b"hi\n.\n", cuts) == (Fault.BARE, b"", b"")
        assert fed(b"hi\r.\r", cuts) == (Fault.BARE, b"", b"")


def test_a_large_mail_is_kept_in_a_file() -> None:
    """Memory holds no more than the first part of a large mail, and what was written comes back."""
    content = Content()
    for _ in range(10):
        content.write(b"x" * (LARGE // 5))
    assert (content.size, content._file is not None, content._parts) == (10 * (LARGE // 5), True, [])
    assert content.is_costly
    assert content.read() == b"x" * content.size
    content.clear()
    assert content.read() == b""


def test_a_mail_of_many_parts_is_worth_a_thread() -> None:
    """Parts within parts take long to find, however small a mail is."""
    content = Content()
    content.write(b"Content-Type: multipart/mixed; Boundary=x\r\n" * 20)
    assert not content.is_costly
    content.write(b"BOUNDARY=x\r\n")
    assert content.is_costly
    for parts in (b"\r\n--x" * 21, b"x\r\n" * 30_000):
        content = Content()
        content.write(parts)
        assert content.is_costly


def test_there_may_be_no_room_for_a_mail() -> None:
    """A mail whose file cannot be written is not taken, and what follows it is heard."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGE // 2, before[1]))
    try:
        data = Data(Content(), max_size=100 * LARGE, max_line=1000)
        line = b"x" * 98 + b"\r\n"
        assert data.feed(line * (LARGE // 50)) is None
        assert (data.fault, data.feed(b".\r\nQUIT\r\n")) == (Fault.NO_ROOM, b"QUIT\r\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "header",
    [b"(x)\n " * 30_000, b"text/plain;" + b"".join(b"\n a%d=b;" % number for number in range(15_000))],
    ids=["comments", "parameters"],
)
def test_no_header_keeps_the_server_busy(header: bytes) -> None:
    """However long a header of a part is, it is parsed in no time; one as long as they are is read to its end."""
    before = time.process_time()
    message = parsed(b"Content-Type: " + header + b"\nSubject: " + b"word " * 5000 + b"\n\nhello\n")
    assert message.get_content_type() == "text/plain"
    assert (len(str(message["Subject"]).split()), message.get_payload()) == (5000, "hello\n")
    assert time.process_time() - before < 2


def test_parts_have_a_number() -> None:
    """A mail of thousands of parts is refused, beside each other or within each other; one of hundreds is read."""
    head, part = b"Content-Type: multipart/mixed; boundary=b\n\n", b"--b\n\nx\n"
    assert len(parsed(head + part * 400 + b"--b--\n").get_payload()) == 400
    with pytest.raises(RecursionError):
        parsed(head + part * 1000)


@given(BITS, st.lists(st.integers(0, 100)))
def test_lines_are_the_same_however_they_come(data: bytes, cuts: list[int]) -> None:
    """Lines that end with CR LF are lines, whatever else ends with LF is not, and nothing is lost."""
    incoming, found = Incoming(), []
    for piece in pieces(data, cuts):
        incoming.feed(piece)
        while (line := incoming.line()) is not None:
            found.append(line)
    *lines, rest = data.split(b"\n")
    assert incoming.rest() == rest
    good = [line[:-1] if line.find(b"\r") == len(line) - 1 and line else Fault.BARE for line in lines]
    assert found == good


def test_a_line_without_end_takes_no_memory() -> None:
    """A line that is too long is forgotten while it comes, and told once."""
    incoming = Incoming()
    for _ in range(100):
        incoming.feed(b"x" * 1000)
        assert incoming.line() is None
        assert len(incoming) <= LONGEST_COMMAND + 1000
    incoming.feed(b"\r\nNOOP\r\n")
    assert [incoming.line(), incoming.line(), incoming.line()] == [Fault.TOO_LONG, b"NOOP", None]
