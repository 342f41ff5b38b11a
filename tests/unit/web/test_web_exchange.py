"""One request and its answer, without a network."""

from __future__ import annotations

import gzip
import tracemalloc
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web._newclient import Request as ClientRequest
from twisted.web.client import ResponseDone, ResponseNeverReceived
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

from piped.ground.errors import PipedError
from piped.web.exchange import MOST_HEADERS, Answer, Connections, exchange, headers_of, uri_of


class Response:
    """What an agent gives; the body arrives when the test says so."""

    def __init__(self, **headers: str) -> None:
        self.code, self.phrase = 200, b"OK"
        self.headers = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})

    def deliverBody(self, protocol: Any) -> None:
        self.body, self.transport = protocol, StringTransport()
        protocol.makeConnection(self.transport)

    def deliver(self, *parts: bytes, reason: Exception | None = None) -> None:
        for part in parts:
            self.body.dataReceived(part)
        self.body.connectionLost(Failure(reason or ResponseDone()))


class Agent:
    """An IAgent whose answer is known."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def request(self, method: bytes, uri: bytes, headers: Headers, producer: Any) -> Any:
        self.headers = headers
        return self.answer if isinstance(self.answer, Deferred) else succeed(self.answer)


def asking(answer: Any, headers: Headers | None = None, max_body: int = 1000) -> Deferred[Answer]:
    return Deferred.fromCoroutine(exchange(Agent(answer), "GET", "http://x/", headers or Headers(), None, max_body))


def result_of(deferred: Deferred[Any]) -> Any:
    ended: list[Any] = []
    deferred.addBoth(ended.append)
    [result] = ended
    if isinstance(result, Failure):
        result.raiseException()
    return result


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://example.org", "http://example.org/"),
        (" https://example.org:8443/a?b=c#d ", "https://example.org:8443/a?b=c"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
        ("HTTP://EXAMPLE.org/A", "http://EXAMPLE.org/A"),
        ("http://bücher.example/ø?ø=%C3%B8", "http://xn--bcher-kva.example/%C3%B8?%C3%B8=%C3%B8"),
        ("http://x/a b\\c|d?e f<g>", "http://x/a%20b%5Cc%7Cd?e%20f%3Cg%3E"),
        ("http://x/a?b=%2F%zz&c=d+e", "http://x/a?b=%2F%zz&c=d+e"),
    ],
)
def test_a_url_is_sent_as_it_is_meant(url: str, sent: str) -> None:
    """What is no ASCII is encoded, what is encoded already stays so, the fragment is left out."""
    assert uri_of(url) == sent


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "/a",
        "ftp://x/",
        "file:///etc/passwd",
        "http://",
        "http://:80/",
        "http://x:99999/",
        "http://x:port/",
        "http://[::1/",
        "http://a b/",
        "http://x\x00y/",
        f"http://{'x' * 70}ø.example/",
    ],
)
def test_what_is_no_url_of_a_page(url: str) -> None:
    """A URL that cannot be asked is named, and nothing is sent anywhere."""
    with pytest.raises(PipedError) as caught:
        uri_of(url)
    assert f"{url!r} is no URL of a page: " in caught.value.msg


def test_a_password_in_a_url_is_not_told() -> None:
    """It is refused, as it would be sent nowhere, and does not get into the log."""
    with pytest.raises(PipedError, match="belong in the header authorization") as caught:
        uri_of("http://name:p@ssword@x/a")
    assert "'http://…@x/a' is no URL of a page: " in caught.value.msg


@given(st.text())
def test_no_url_can_smuggle_anything(text: str) -> None:
    """Whatever stands in a path or a query, one line of printable signs is sent."""
    for url in (f"http://x/{text}", f"http://x/?{text}"):
        assert all("!" <= sign <= "~" for sign in uri_of(url))


def test_headers_are_written_as_lists_or_values() -> None:
    """A list is a header for each of its members; what counts the body is left to the body."""
    headers = headers_of({"x-a": [1, "b", b"c"], "X-B": 2, "Content-Length": 5, "transfer-encoding": "chunked"})
    assert dict(headers.getAllRawHeaders()) == {b"X-A": [b"1", b"b", b"c"], b"X-B": [b"2"]}
    assert b"\n" not in headers_of({"x": "a\r\nb: c"}).getRawHeaders(b"x", [])[0]


@given(st.binary(max_size=1000), st.data())
def test_a_packed_body_arrives_in_any_parts(body: bytes, data: Any) -> None:
    """However the network cuts a packed body, it is unpacked to what it was."""
    packed = gzip.compress(body[:300]) + gzip.compress(body[300:])
    cut = data.draw(st.integers(0, len(packed)))
    response = Response(content_encoding="gzip")
    running = asking(response)
    response.deliver(packed[:cut], packed[cut:])
    assert result_of(running).body == body


@pytest.mark.parametrize("parts", [[b"x" * 1001], [b"x" * 500, b"x" * 501]])
@pytest.mark.parametrize("packing", ["", "gzip"])
def test_a_body_has_a_bound(parts: list[bytes], packing: str) -> None:
    """A body of exactly the bound is whole, one byte more is an error that hangs up at once."""
    pack = gzip.compress if packing else bytes
    response = Response(content_encoding=packing)
    running = asking(response, max_body=1001)
    response.deliver(*map(pack, parts))
    assert result_of(running).body == b"x" * 1001
    response = Response(content_encoding=packing)
    running = asking(response)
    for part in parts:
        response.body.dataReceived(pack(part))
    assert response.transport.disconnecting
    response.deliver(pack(b"more"))
    with pytest.raises(PipedError, match="the body has more than 1000 bytes"):
        result_of(running)


def test_a_bomb_does_not_go_off() -> None:
    """A body that would be large once it is unpacked takes no more memory than it may have."""
    packed = gzip.compress(b"\0" * 20_000_000)
    response = Response(content_encoding="gzip")
    running = asking(response)
    tracemalloc.start()
    try:
        response.body.dataReceived(packed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    with pytest.raises(PipedError, match="more than 1000 bytes"):
        result_of(running)


def test_cancelled_it_hangs_up() -> None:
    """Nobody goes on sending to somebody who does not listen any more."""
    response = Response()
    running = asking(response)
    response.body.dataReceived(b"half")
    running.cancel()
    assert response.transport.disconnecting
    with pytest.raises(CancelledError):
        result_of(running)


def test_an_end_without_a_length_is_an_end() -> None:
    """Where the server says no length, its hanging up is the end of the body; of a packed one only if it is whole."""
    for body, reason in ((b"all", PotentialDataLoss()), (b"all", ResponseDone())):
        response = Response()
        running = asking(response)
        response.deliver(body, reason=reason)
        assert result_of(running).body == body
    response = Response(content_encoding="gzip")
    running = asking(response)
    response.deliver(gzip.compress(b"all")[:-1], reason=PotentialDataLoss())
    with pytest.raises(PipedError, match="cut"):
        result_of(running)


def test_failures_are_named() -> None:
    """A failure that only holds others is told with them; a cancelled request stays cancelled."""
    lost = fail(ResponseNeverReceived([Failure(ConnectionLost("gone"))]))
    with pytest.raises(PipedError) as caught:
        result_of(asking(lost))
    assert caught.value.msg == "GET http://x/ got no whole answer"
    assert "ConnectionLost" in caught.value.detail
    with pytest.raises(CancelledError):
        result_of(asking(fail(ResponseNeverReceived([Failure(CancelledError())]))))
    with pytest.raises(ZeroDivisionError) as any_other:
        result_of(asking(fail(ZeroDivisionError())))
    assert any_other.value.__notes__ == ["while asking GET http://x/"]


class Transport(StringTransport):
    """A transport that knows how it was closed."""

    is_aborted = False

    def abortConnection(self) -> None:
        self.is_aborted = True


def connected() -> tuple[Transport, Any, Deferred[Any]]:
    """A connection on which something was asked, and what comes of it."""
    transport, connection = Transport(), cast(Any, Connections(lambda _: None, "x").buildProtocol(None))
    connection.makeConnection(transport)
    return transport, connection, connection.request(ClientRequest(b"GET", b"/", Headers({"host": ["x"]}), None))


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-A: %s\r\n" % (b"a" * 1000)),
        (b"HTTP/1.1 200 OK\r\nX-A: a\r\n", b" a" * 500 + b"\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
    ],
)
def test_headers_have_a_bound(start: bytes, more: bytes) -> None:
    """A server that never comes to the end of its headers is hung up on, and does not fill the memory."""
    transport, connection, answer = connected()
    connection.dataReceived(start)
    for _ in range(MOST_HEADERS // len(more)):
        connection.dataReceived(more)
    assert not transport.is_aborted
    connection.dataReceived(more)
    assert transport.is_aborted
    failure: list[Any] = []
    answer.addErrback(failure.append)
    [reason] = failure[0].value.reasons
    assert reason.value.msg == f"the headers have more than {MOST_HEADERS} bytes"


def test_a_body_does_not_count_as_headers() -> None:
    """However much of it there is."""
    transport, connection, _ = connected()
    connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
    for _ in range(100):
        connection.dataReceived(b"x" * 10_000)
    assert not transport.is_aborted


def test_hanging_up_waits_for_no_farewell() -> None:
    """Over TLS a server could keep a connection that nobody wants any more, and go on sending."""
    transport, connection, answer = connected()
    connection.dataReceived(b"HTTP/1.1 200 OK\r\n\r\n")
    collecting = asking(result_of(answer), max_body=10)
    connection.dataReceived(b"x" * 11)
    assert transport.is_aborted
    with pytest.raises(PipedError, match="more than 10 bytes"):
        result_of(collecting)


def test_empty_packed_parts_are_not_kept() -> None:
    """A server that sends nothing in many parts does not fill the memory."""
    response = Response(content_encoding="gzip")
    asked = asking(response)
    empty = gzip.compress(b"") * 1000
    tracemalloc.start()
    for _ in range(50):
        response.body.dataReceived(empty)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300_000
    response.deliver()
    assert result_of(asked).body == b""
