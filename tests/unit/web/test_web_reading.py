"""Requests are read from bytes however those come, and nobody is kept waiting for it."""

from __future__ import annotations

import errno
import logging
import re
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from web_stage import Client, Served, Stage, parsed

from piped.web.request import Request

WHOLE = [
    b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\r\nHEAD /b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\nGET / HTTP/1",
    b"PUT /d HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n\r\n\r",
    b"PUT /e HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;a=b\r\n\r\n\r\n\r\r\n01\r\n!\r\n0\r\nT: r\r\n\r\n",
    b"PUT /f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
]
#: What a connection ends with.
LAST = [
    b"",
    b"GET /z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /z HTTP/1.0\r\n\r\n",
    b"GET /z HTTP/1.1\r\n\r\n",
    b"GET /z HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n",
    b"PUT /z HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    b"PUT /z HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
    b"PUT /z HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nno header\r\n\r\n",
    b"PUT /z HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n" + 1001 * b"x",
    b"PUT /z HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + 1001 * b"x" + b"\r\n0\r\n\r\n",
]


def told(parts: list[bytes], is_late: bool) -> tuple[Any, ...]:
    """What a pipeline is given and a client gets for bytes that come in these parts."""
    seen, kept = [], []

    def answer(request: Request) -> None:
        headers = list(request.requestHeaders.getAllRawHeaders())
        seen.append((request.method, request.uri, request.clientproto, headers, request.content.read()))
        kept.append(request)
        if not is_late:
            kept.pop().answer(b"ok")

    client, sent = Client(answer), b""
    for part in parts:
        if not client.is_hung_up_on:
            sent += client.send(part)
    client.transport.clear()
    while kept:
        kept.pop().answer(b"ok")
    sent += client.transport.value()
    sent = re.sub(rb"Date: .*\r\n", b"", sent).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    entries = [(entry.target, entry.status, entry.size) for entry in client.entries]
    return seen, sent, client.is_hung_up_on, entries


@pytest.mark.usefixtures("each_channel")
@given(
    data=st.tuples(st.lists(st.sampled_from(WHOLE), max_size=4).map(b"".join), st.sampled_from(LAST)).map(b"".join),
    cuts=st.one_of(
        st.lists(st.integers(0, 1500), max_size=8), st.integers(1, 3).map(lambda n: list(range(0, 2000, n)))
    ),
    is_late=st.booleans(),
)
def test_it_does_not_matter_how_bytes_come(data: bytes, cuts: list[int], is_late: bool) -> None:
    """Cut anywhere, the same bytes are the same requests and get the same responses and lines of the log."""
    cuts = sorted(cut for cut in cuts if cut < len(data))
    parts = [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert told([part for part in parts if part], is_late) == told([data], is_late)


VARIABLE: ContextVar[str] = ContextVar("variable", default="as it was")


@pytest.mark.usefixtures("each_channel")
def test_a_request_knows_nothing_of_the_one_before_it() -> None:
    """What a step sets in its context is not there for the next request of the client, also of one sent early."""
    waiting: list[Deferred[None]] = []

    async def answer(baton: Any) -> None:
        seen = VARIABLE.get()
        VARIABLE.set(str(baton["request"]))
        waiting.append(Deferred())
        await waiting[-1]
        baton["request"].answer(seen.encode())

    stage = Stage({"pipeline.it": answer}, routing={"__config__": {"processor": "pipeline.it"}})
    stage.send(3 * b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    while waiting:
        stage.transport.clear()
        waiting.pop().callback(None)
        assert parsed(stage.transport.value())[2] == b"as it was"


# The fast channel only: Twisted's has its own ways


@pytest.fixture
def fast() -> Any:
    Served.by = "fast"
    yield
    Served.by = "twisted"


@pytest.mark.usefixtures("fast")
def test_many_requests_at_once_keep_nobody_waiting() -> None:
    """After some time the requests that came at once let others have their turn; their order stays."""
    seen: list[bytes] = []

    def answer(request: Request) -> None:
        client.reactor.rightNow += 0.02
        seen.append(request.path)
        request.answer(b"")

    client = Client(answer)
    request = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
    client.send(b"".join(request % number for number in range(10)))
    assert 2 <= len(seen) <= 5
    client.send(request % 10)
    assert 2 <= len(seen) <= 5
    for _ in range(5):
        client.reactor.advance(0)
    assert seen == [b"/%d" % number for number in range(11)]
    client.send(request % 11)
    assert seen[-1] == b"/11"


@pytest.mark.usefixtures("fast")
def test_who_has_to_wait_for_his_turn_is_read_no_further() -> None:
    """What comes meanwhile is kept up to a bound; then it is read on, whether it is a whole request or not."""
    seen: list[int] = []

    def answer(request: Request) -> None:
        client.reactor.rightNow += 0.1
        seen.append(len(request.content.read()))
        request.answer(b"")

    client = Client(answer, max_body=100_000)
    head = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n"
    client.send(3 * b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    client.send(head + 20_000 * b"x")
    assert (seen, client.transport.producerState) == ([0, 0], "paused")
    for _ in range(5):
        client.reactor.advance(0)
    assert client.transport.producerState == "producing"
    client.send(30_000 * b"x")
    assert seen == [0, 0, 0, 50_000]


@pytest.mark.usefixtures("fast")
def test_a_body_of_many_small_chunks_keeps_nobody_waiting() -> None:
    """A body in chunks is read in pieces, between which others have their turn."""
    client = Client(lambda request: request.answer(b"%d" % len(request.content.read())), max_body=100_000)
    ticks = iter(range(1000))
    client.reactor.seconds = lambda: next(ticks) / 10
    chunks = b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + 20_000 * b"1\r\nx\r\n" + b"0\r\n\r\n"
    assert client.send(chunks + chunks) == b""
    for _ in range(50):
        client.reactor.advance(0)
    assert re.findall(rb"\r\n\r\n(\d+)", client.transport.value()) == [b"20000", b"20000"]


@pytest.mark.usefixtures("fast")
def test_who_takes_again_is_read_again() -> None:
    """A client that sent a part of its next request while it took nothing is read on once it takes everything."""
    kept: list[Request] = []
    client = Client(kept.append, max_body=100_000, body_timeout=5)
    client.get()
    client.stop_taking()
    kept[0].answer(b"")
    client.send(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n" + 20_000 * b"x")
    assert client.transport.producerState == "paused"
    client.take()
    assert client.transport.producerState == "producing"
    client.stop_taking()
    client.take()
    for _ in range(7):
        client.reactor.advance(1)
    assert parsed(client.transport.value())[0] == 408, "nor is it forgotten that it has to send on"


@pytest.mark.usefixtures("fast")
def test_a_body_that_cannot_be_kept_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Where no file can be made for a body its client is 500, and the log says why."""

    def no_file(length: int | None) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    client = Client(lambda request: request.answer(b""))
    client.site.getContentFile = no_file
    with caplog.at_level(logging.ERROR, "piped.web"):
        answer = client.send(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    assert (parsed(answer)[0], client.is_hung_up_on) == (500, True)
    assert "a request could not be read: OSError: [Errno 28] No space left on device" in caplog.text
