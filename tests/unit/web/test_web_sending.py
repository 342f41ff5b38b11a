"""A whole response in one piece is what Twisted would have sent in several."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.web import server
from web_stage import Client, Stage, parsed

from piped.web.request import Request
from piped.web.sending import write_whole

pytestmark = pytest.mark.usefixtures("each_channel")

NAMES = st.sampled_from([b"X-A", b"Content-Type", b"content-length", b"Set-Cookie", b"ETag", b"Connection"])
VALUES = st.binary(max_size=20).map(lambda value: bytes(byte for byte in value if 32 < byte < 127) or b"1")


def prepare(request: Request, code: int, headers: list[tuple[bytes, bytes]]) -> None:
    request.setResponseCode(code)
    for name, value in headers:
        request.responseHeaders.addRawHeader(name, value)


def in_pieces(request: Request, body: bytes) -> None:
    request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
    server.Request.write(request, body)
    request.finish()


@example(200, [], b"", "GET")
@given(
    code=st.sampled_from([200, 201, 404, 500, 799]),
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=5),
    body=st.binary(max_size=50),
    method=st.sampled_from(["GET", "POST"]),
)
def test_both_ways_send_the_same(code: int, headers: list[tuple[bytes, bytes]], body: bytes, method: str) -> None:
    """Whatever the code, the headers and the body: what a client gets does not depend on how it was written."""

    def whole(request: Request) -> None:
        prepare(request, code, headers)
        assert write_whole(request, body)
        request.finish()

    def pieces(request: Request) -> None:
        prepare(request, code, headers)
        in_pieces(request, body)

    sent = []
    for answer in (whole, pieces):
        client = Client(answer)
        head, _, came = client.get(method=method).partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        lines = [line for line in lines if not line.startswith(b"Date: ")]  # a second may pass between the two
        [entry] = client.entries
        sent.append((first, sorted(lines), came, entry.size, entry.status))
    assert sent[0] == sent[1]


def test_what_is_not_usual_is_left_to_twisted() -> None:
    """HEAD, codes without a body, tags, times, cookies and what has begun are not written at once."""
    unusual: list[Any] = [
        lambda request: request.write("begun"),
        lambda request: request.setResponseCode(304),
        lambda request: request.setETag(b'"a"'),
        lambda request: request.setLastModified(1e9),
        lambda request: request.addCookie("a", "b"),
    ]
    for make in unusual:
        kept: list[Request] = []
        Client(kept.append).get()
        make(kept[0])
        assert not write_whole(kept[0], b"x")
    assert parsed(Client(lambda request: request.answer(b"four")).get(method="HEAD"))[1]["content-length"] == "4"


def test_a_response_has_its_date() -> None:
    """The date is that of the wall clock, and changes with it."""
    stage = Stage({}, routing={})
    now = [1767225599.0]
    stage.site.wall_clock = lambda: now[0]
    dates = []
    for now[0] in (1767225599.0, 1767225599.9, 1767225600.0):
        dates.append(parsed(stage.get("/a%20b"))[1]["date"])
    assert dates == 2 * ["Wed, 31 Dec 2025 23:59:59 GMT"] + ["Thu, 01 Jan 2026 00:00:00 GMT"]
