"""One connection of a client, within the limits of its site."""

from __future__ import annotations

from typing import Any

import pytest
from web_stage import Client, Stage, parsed

from piped.web.request import Request

pytestmark = pytest.mark.usefixtures("each_channel")


def nothing(request: Request) -> None:
    """Answers later, or never."""


def ok(request: Request) -> None:
    request.answer(b"ok")


def after(client: Client, seconds: float) -> bytes:
    """What a client gets while time passes, told from second to second."""
    for _ in range(int(seconds)):
        client.reactor.advance(1)
    return client.transport.value()


# Time


def test_a_connection_is_kept_for_the_next_request_only_so_long() -> None:
    """After `keep_alive_timeout` without a request a client is hung up on, and before its first one too."""
    client = Client(ok, keep_alive_timeout=5)
    client.get()
    after(client, 4)
    assert not client.is_hung_up_on
    client.get()
    after(client, 4)
    assert not client.is_hung_up_on
    assert after(client, 2) == client.transport.value(), "it is told nothing: there was no request"
    assert client.is_hung_up_on
    silent = Client(ok, keep_alive_timeout=5)
    assert (after(silent, 6), silent.is_hung_up_on) == (b"", True)


def test_headers_that_come_slowly_are_cut() -> None:
    """A client that sends its headers byte by byte is told 408 after `header_timeout`, however busy it is."""
    client = Client(ok, header_timeout=5, keep_alive_timeout=1000)
    after(client, 10)
    assert not client.is_hung_up_on, "it has not begun to send"
    for _ in range(7):
        client.send(b"G")
        client.reactor.advance(1)
        if client.is_hung_up_on:
            break
    assert parsed(client.transport.value())[0] == 408
    assert client.is_hung_up_on


def test_a_body_whose_sender_is_silent_is_cut() -> None:
    """A client that stops within a body is told 408 after `body_timeout`."""
    client = Client(ok, body_timeout=5, header_timeout=1, min_rate=1)
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + 50 * b"x")
    after(client, 4)
    client.send(b"x")
    after(client, 4)
    assert not client.is_hung_up_on
    assert parsed(after(client, 3))[0] == 408


def test_a_body_that_drips_is_cut() -> None:
    """A body has to come with `min_rate` bytes a second on average; one that does may take its time."""
    for size, code in ((1, 408), (10, 200)):
        client = Client(ok, body_timeout=5, min_rate=10)
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\n")
        for _ in range(30):
            if not client.is_hung_up_on:
                client.send(size * b"x")
                client.reactor.advance(1)
        assert parsed(client.transport.value())[0] == code


def test_who_waits_for_an_answer_is_not_hurried() -> None:
    """No limit for senders counts while a pipeline works for them."""
    client = Client(nothing, header_timeout=1, body_timeout=1, keep_alive_timeout=1, send_timeout=1)
    client.get()
    after(client, 100)
    assert not client.is_hung_up_on


def test_who_takes_nothing_of_a_response_is_cut() -> None:
    """A client that does not read is cut after `send_timeout` and the time that `min_rate` gives to what waits."""
    kept: list[Request] = []
    client = Client(kept.append, send_timeout=5, min_rate=100)
    client.get()
    kept[0].write(1000 * b"x")
    client.stop_taking()
    after(client, 14)
    assert not client.transport.disconnected
    after(client, 3)
    assert client.transport.disconnected


def test_who_takes_nothing_is_cut_however_much_is_written() -> None:
    """A response that goes on and on gives no more time to a client that does not read."""
    kept: list[Request] = []
    client = Client(kept.append, send_timeout=5)
    client.get()
    for _ in range(10):
        kept[0].write(b"x")
        client.stop_taking()  # Twisted's transports say so with each write
        after(client, 1)
    assert client.transport.disconnected


def test_what_was_taken_long_ago_gives_no_time() -> None:
    """A client of an endless response that stops reading is cut as soon as any other."""
    kept: list[Request] = []
    client = Client(kept.append, send_timeout=5, min_rate=65536)
    client.get()
    for _ in range(100):
        kept[0].write(65536 * b"x")
    client.stop_taking()
    after(client, 9)
    assert client.transport.disconnected


def test_who_takes_a_response_may_go_on() -> None:
    """A client that was slow and has taken everything is not cut for it, neither in a response nor after it."""
    kept: list[Request] = []
    client = Client(kept.append, send_timeout=5, keep_alive_timeout=8)
    client.get()
    client.stop_taking()
    client.take()
    after(client, 20)
    assert not client.transport.disconnecting
    client.stop_taking()
    kept[0].answer(b"")
    after(client, 4)
    client.take()
    after(client, 7)
    assert not client.is_hung_up_on
    after(client, 2)
    assert client.is_hung_up_on


def test_who_is_hung_up_on_and_does_not_take_it_is_cut() -> None:
    """A connection ends soon after it was refused, also when the client does not read what it was told."""
    client = Client(ok)
    client.send(b"nonsense\r\n\r\n")
    assert client.is_hung_up_on
    assert not client.transport.disconnected
    after(client, 4)
    assert client.transport.disconnected


# Size and number


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("GET /" + 90 * "x" + " HTTP/1.1", 414),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: " + 200 * "x", 431),
        ("GET / HTTP/1.1\r\nHost: x\r\n" + "\r\n".join(f"X{n}: {20 * 'y'}" for n in range(4)), 431),
        ("GET / HTTP/1.1\r\nHost: x\r\n" + "\r\n".join(f"X{n}: y" for n in range(5)), 431),
        ("GET / HTTP/1.1\r\nHost: x\r\n" + "\r\n".join(f"X{n}: y" for n in range(4)), 200),
    ],
)
def test_headers_are_limited(lines: str, code: int) -> None:
    """A first line or headers above `max_header_size`, or more headers than `max_headers`, are refused."""
    client = Client(ok, max_header_size=100, max_headers=5)
    assert parsed(client.send(f"{lines}\r\n\r\n".encode()))[0] == code
    assert client.is_hung_up_on == (code != 200)


def test_connections_are_limited() -> None:
    """A client that comes when `max_connections` are there is told 503 and to come again; then it may."""
    stage = Stage({}, routing={}, max_connections=1)
    first, channel = stage.transport, stage.channel
    stage.connect(stage.site)
    code, headers, _ = parsed(stage.transport.value())
    assert (code, headers["retry-after"], stage.is_hung_up_on, first.disconnecting) == (503, "2", True, False)
    assert stage.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    stage.leave()
    stage.channel = channel
    stage.leave()
    stage.connect(stage.site)
    assert parsed(stage.get())[0] == 404


# What is no request


@pytest.mark.parametrize(
    "request_",
    [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\0\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        "GET /\r\n\r\n",
        "GET xa HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET *a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ?http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://b@a/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\nGET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nGET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "\0\r\n\r\n",
    ],
)
def test_what_two_readers_could_take_for_different_requests_is_refused(request_: str) -> None:
    """Nothing that a proxy before us could understand in another way reaches a pipeline, nor what comes behind it."""
    seen: list[Request] = []
    client = Client(seen.append)
    answer = client.send((request_ + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").encode())
    assert (parsed(answer)[0], answer.count(b"HTTP/1.1 "), client.is_hung_up_on, seen) == (400, 1, True, [])


def test_an_old_client_need_not_say_which_host_it_means() -> None:
    """HTTP/1.0 has no Host header; such a client is answered, and hung up on as it expects."""
    client = Client(ok)
    assert client.send(b"GET / HTTP/1.0\r\n\r\n").endswith(b"ok")
    assert client.is_hung_up_on


@pytest.mark.parametrize(
    ("version", "connection"),
    [("1.1", "close"), ("1.1", "upgrade,Close"), ("1.1", "a\r\nConnection: close"), ("1.0", "a")],
)
def test_who_wants_no_more_is_hung_up_on(version: str, connection: str) -> None:
    """However a client says that it sends nothing more, it is told so and hung up on."""
    client = Client(ok)
    answer = client.send(f"GET / HTTP/{version}\r\nHost: x\r\nConnection: {connection}\r\n\r\n".encode())
    assert (parsed(answer)[1]["connection"], client.is_hung_up_on) == ("close", True)


def test_the_host_of_a_whole_address_counts() -> None:
    """Where a client asks with the whole address its host is what it says there, and not in the header."""
    kept: list[Request] = []
    Client(kept.append).get("http://real:80/a?b=http://c/")
    assert (kept[0].getHeader("Host"), kept[0].path, kept[0].getRequestHostname()) == ("real:80", b"/a", b"real")


def test_requests_that_come_at_once_are_answered_in_their_order() -> None:
    """A client may send the next request before it has the answer to the first."""
    kept: list[Request] = []
    client = Client(kept.append)
    client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(3)))
    assert len(kept) == 1
    for n in range(3):
        assert kept[n].path == b"/%d" % n
        kept[n].answer(b"")
    assert client.transport.value().count(b"HTTP/1.1 200") == 3


def test_who_asks_before_a_body_is_told_to_send_it() -> None:
    """`Expect: 100-continue` is answered at once, to a client that knows it."""
    request = "PUT / HTTP/1.{}\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n"
    client = Client(ok)
    assert client.send(request.format(1).encode()) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert parsed(client.send(b"x"))[0] == 200
    assert Client(ok).send(request.format(0).encode()) == b""


def test_a_question_about_the_server_is_no_pipelines() -> None:
    """`OPTIONS *` asks for no path: it is answered without one."""
    seen: list[Any] = []
    stage = Stage({"pipeline.it": seen.append}, routing={"__config__": {"processor": "pipeline.it"}})
    assert parsed(stage.get("*", method="OPTIONS"))[0] == 200
    assert seen == []


# The access log


def entry(client: Client) -> dict[str, Any]:
    [entry] = client.entries
    client.entries.clear()
    return {name: getattr(entry, name) for name in entry.__slots__}


def test_a_request_has_its_line() -> None:
    """Who asked for what, what became of it, how much was sent and how long it took."""
    kept: list[Request] = []
    client = Client(kept.append)
    client.get("/a?b", "User-Agent: me", "Referer: /c")
    client.reactor.advance(1.5)
    assert client.entries == []
    kept[0].answer(b"four")
    assert entry(client) == {
        "time": 1e9,
        "remote": "192.0.2.1",
        "method": b"GET",
        "target": b"/a?b",
        "version": b"HTTP/1.1",
        "status": 200,
        "size": 4,
        "seconds": 1.5,
        "referrer": b"/c",
        "agent": b"me",
    }
    client.leave()
    assert client.entries == []


def test_what_was_refused_has_its_line_too() -> None:
    """Refused requests are logged once, with what was understood of them."""
    client = Client(ok)
    client.send(b"\xff\r\n\r\n")
    client.leave()
    told = entry(client)
    assert (told["method"], told["status"], told["seconds"]) == (b"", 400, 0)
    client = Client(ok)
    client.get("/x")
    client.entries.clear()
    client.get("/x", "Host: y")
    client.leave()
    told = entry(client)
    assert (told["target"], told["status"]) == (b"/x", 400)
    client = Client(ok, max_body=3)
    client.get("/y", method="PUT", body=b"1234")
    client.leave()
    told = entry(client)
    assert (told["method"], told["target"], told["status"]) == (b"PUT", b"/y", 413)


def test_a_client_that_leaves_has_its_line() -> None:
    """A request whose client left is 499 when nothing was sent, and has the code that was sent otherwise."""
    for begin, status in ((nothing, 499), (lambda request: request.write("x"), 200)):
        client = Client(begin)
        client.get("/z")
        client.leave()
        told = entry(client)
        assert (told["target"], told["status"]) == (b"/z", status)


def test_a_request_that_was_not_complete_has_no_time_of_another_one() -> None:
    """Whoever leaves, or is too slow, within the headers of a second request is logged as within those of a first."""
    left, slow = Client(ok), Client(ok, header_timeout=5)
    for client in (left, slow):
        client.get()
        client.send(b"GET /second HTTP/1.1\r\nHost: x\r\n")
    left.leave()
    assert [entry.status for entry in left.entries] == [200]
    after(slow, 7)
    assert [(entry.status, entry.seconds) for entry in slow.entries] == [(200, 0), (408, 0)]
