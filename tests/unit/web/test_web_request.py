"""The request that a pipeline is given."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_stage import Client, parsed

from piped.ground.batons import get_path
from piped.ground.errors import Rejected
from piped.web.arguments import Arguments
from piped.web.request import Request

pytestmark = pytest.mark.usefixtures("each_channel")


def answered(*calls: Any, **options: Any) -> tuple[int, dict[str, str], bytes]:
    def answer(request: Request) -> None:
        for call in calls:
            call(request)
        request.finish()

    return parsed(Client(answer).get(**options))


def test_a_response_is_written_in_text_or_bytes() -> None:
    """`write` takes text, as UTF-8, and bytes, in parts."""
    _, headers, body = answered(lambda request: request.write("grün "), lambda request: request.write(b"blau"))
    assert headers["transfer-encoding"] == "chunked"
    assert body == b"6\r\ngr\xc3\xbcn \r\n4\r\nblau\r\n0\r\n\r\n"


def test_anything_else_is_refused_before_something_is_sent() -> None:
    """Writing a number is an error of the pipeline, for which the client can still be told 500."""
    request: list[Request] = []
    client = Client(request.append)
    client.get()
    with pytest.raises(TypeError, match="text or bytes, not of int"):
        request[0].write(5)  # type: ignore[arg-type]
    assert client.transport.value() == b""


@pytest.mark.parametrize(("value", "sent"), [("text", "text"), (b"bytes", "bytes"), (17, "17"), (True, "True")])
def test_a_header_of_the_response_may_be_any_value(value: Any, sent: str) -> None:
    """`setHeader` makes text of numbers and the like."""
    assert answered(lambda request: request.setHeader("x-value", value))[1]["x-value"] == sent


@pytest.mark.parametrize(
    ("name", "value"), [("x", "a\r\nset-cookie: b"), ("x", b"a\nb"), ("x", "a\0"), ("x\r\ny", "a"), ("x: y", "a")]
)
def test_a_header_cannot_smuggle_another(name: str, value: Any) -> None:
    """A value with a line break, which a client may have sent, never becomes a header of its own."""

    def answer(request: Request) -> None:
        with pytest.raises(ValueError, match="header"):
            request.setHeader(name, value)

    code, headers, _ = answered(answer)
    assert (code, "set-cookie" in headers) == (200, False)


def test_headers_of_the_request_are_read_with_text_and_with_bytes() -> None:
    """`getHeader` answers in the type that it was asked in, and never fails for what a client has sent."""
    seen: list[Any] = []
    client = Client(lambda request: seen.append([request.getHeader(name) for name in ("X-A", b"x-a", "x-none")]))
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nx-a: gr\xc3\xbcn \xff\r\n\r\n")
    assert seen == [["grün \N{REPLACEMENT CHARACTER}", b"gr\xc3\xbcn \xff", None]]


def test_arguments_are_read_with_text_and_with_bytes() -> None:
    """`request.args` gives text for names of text, bytes for names of bytes; query and form come together."""
    seen: list[Any] = []
    form = {"method": "POST", "body": b"name=%C3%B8&n=2"}
    Client(lambda request: seen.append(request.args)).get(
        "/?n=1&empty=", "Content-Type: application/x-www-form-urlencoded", **form
    )
    [arguments] = seen
    assert (arguments["name"], arguments[b"name"]) == (["ø"], [b"\xc3\xb8"])
    assert (arguments.get("none"), arguments.get(b"none", 3), "n" in arguments, b"n" in arguments) == (
        None,
        3,
        True,
        True,
    )
    assert sorted(arguments) == ["empty", "n", "name"]
    with pytest.raises(KeyError):
        arguments["none"]


def requests_of(*sent: bytes) -> list[Request]:
    """The requests, as a pipeline gets them."""
    seen: list[Request] = []
    client = Client(seen.append)
    for data in sent:
        client.send(data)
    return seen


def posted(body: bytes, content_type: str = "application/x-www-form-urlencoded", method: str = "POST") -> bytes:
    lines = [f"{method} /?a=query HTTP/1.1", "Host: x", f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def test_cookies_are_read_with_text_and_with_bytes() -> None:
    """`getCookie` and `received_cookies` answer in the type that they were asked in, and never fail."""
    [request] = requests_of(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=gr\xc3\xbcn; b=\xff\r\nCookie: c=1; odd\r\n\r\n")
    names: list[Any] = ["a", b"a", "b", "none", b"none"]
    unknown = "\N{REPLACEMENT CHARACTER}"
    assert [request.getCookie(name) for name in names] == ["grün", b"gr\xc3\xbcn", unknown, None, None]
    assert dict(request.received_cookies) == {"a": "grün", "b": unknown, "c": "1"}
    assert get_path({"request": request}, "request.received_cookies.c") == "1"
    [without] = requests_of(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (without.getCookie("a"), dict(without.received_cookies)) == (None, {})


MULTIPART = (
    b'--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\ntext\r\n'
    b'--edge\r\nContent-Disposition: form-data; name="file"; filename="x.txt"\r\n\r\ncontent\r\n--edge--\r\n'
)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_form_with_a_file(method: str) -> None:
    """Fields are in `args`, files in `uploads`, whatever the method; the body can still be read."""
    [request] = requests_of(posted(MULTIPART, "multipart/form-data; boundary=edge", method))
    assert (request.args["a"], request.args[b"a"], "file" in request.args) == (["text"], [b"text"], False)
    [file] = request.uploads["file"]
    assert (file.filename, file.content.read()) == ("x.txt", b"content")
    assert request.uploads["file"] == [file], "it is the same file the next time"
    assert get_path({"request": request}, "request.uploads.file.0.size") == 7
    assert request.content.read() == MULTIPART


def test_arguments_can_be_set() -> None:
    """A part of a program that sets the arguments of a request, as Twisted allows, finds them again."""
    [request] = requests_of(b"GET /?a=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    request.args = {b"b": [b"2"]}  # type: ignore[misc]  # a cached_property can be set
    assert request.args == {b"b": [b"2"]}


def test_a_body_can_be_read_after_the_answer() -> None:
    """A pipeline may answer first and work later, also when the client has left in between."""
    seen: list[Request] = []
    client = Client(seen.append)
    client.send(posted(b"a=form"))
    seen[0].answer(b"thank you")
    assert (seen[0].args["a"], seen[0].content.read()) == (["form"], b"a=form")
    client.send(posted(b"a=form"))
    client.leave()
    assert (seen[1].args["a"], seen[1].content.read()) == (["form"], b"a=form")


def test_a_large_body_is_gone_with_its_request() -> None:
    """The temporary file of a body does not stay open any longer than somebody has the request."""
    seen: list[Request] = []
    client = Client(seen.append, max_body=200_000)
    client.send(posted(b"x" * 150_000, "text/plain"))
    content = seen[0].content
    seen[0].answer(b"")
    assert (content.fileno() > 0, content.closed) == (True, False)
    seen.clear()
    gc.collect()
    assert content.closed


def test_json_of_a_body() -> None:
    """`json` gives the value that a client has sent, as often as it is asked."""
    [request] = requests_of(posted(b'{"a": 1}', "application/json"))
    assert (request.json(), request.json(), request.content.read()) == ({"a": 1}, {"a": 1}, b'{"a": 1}')


@pytest.mark.parametrize(
    ("content_type", "read", "told"),
    [
        ("multipart/form-data; boundary=edge", lambda request: request.args, "the form is malformed"),
        ("multipart/form-data; boundary=edge", lambda request: request.uploads, "the form is malformed"),
        ("application/json", lambda request: request.json(), "the body is no JSON"),
    ],
)
def test_who_reads_a_malformed_body_is_told(content_type: str, read: Any, told: str) -> None:
    """As often as it is read; whoever reads it may answer the client in words of its own."""
    seen: list[Request] = []
    client = Client(seen.append)
    client.send(posted(b"{nothing", content_type))
    for _ in range(2):
        with pytest.raises(Rejected, match=told):
            read(seen[0])
    assert (client.transport.value(), seen[0].is_open) == (b"", True)


@given(st.dictionaries(st.binary(), st.lists(st.binary(), min_size=1)))
def test_whatever_is_sent_as_an_argument_can_be_written_again(received: dict[bytes, list[bytes]]) -> None:
    """Arguments are text that can always be encoded, and the bytes stay exactly those that came."""
    arguments = Arguments(received)
    for name, values in arguments.items():
        for text in (name, *values):
            text.encode()
    assert all(arguments[name] == values for name, values in received.items())


def test_a_whole_answer_has_its_length() -> None:
    """`answer` sends Content-Length, so that the connection stays usable for old and new clients."""
    assert answered(lambda request: request.answer(b"hello"))[1:] == ({**basic(), "content-length": "5"}, b"hello")


def basic() -> dict[str, str]:
    _, headers, _ = answered(lambda request: request.answer(b"x"))
    return headers


def test_head_is_told_the_length_and_given_no_body() -> None:
    """HEAD gets the headers of GET, and never a body, whether it is answered at once or in parts."""
    _, headers, body = answered(lambda request: request.answer(b"hello"), method="HEAD")
    assert (headers["content-length"], body) == ("5", b"")
    assert answered(lambda request: request.write("hello"), method="HEAD")[2] == b""


@pytest.mark.parametrize("code", [204, 304])
def test_codes_without_a_body_get_none(code: int) -> None:
    """204 and 304 are sent without body and length, whatever is written."""
    _, headers, body = answered(lambda request: request.setResponseCode(code), lambda request: request.answer(b"hello"))
    assert ("content-length" in headers, body) == (False, b"")


def test_finishing_twice_or_too_late_does_no_harm(recwarn: pytest.WarningsRecorder) -> None:
    """A pipeline need not know whether the request was finished already, or the client has left."""
    requests: list[Request] = []
    client = Client(requests.append)
    client.get()
    requests[0].answer(b"once")
    requests[0].answer(b"twice")
    requests[0].write("thrice")
    assert client.transport.value().count(b"HTTP/1.1") == 1
    client.get()
    client.leave()
    requests[1].write("into the void")
    requests[1].finish()
    assert [str(warning.message) for warning in recwarn] == []


def test_a_client_that_leaves_is_noticed() -> None:
    """`on_lost` is called when the client leaves early, and not when it was answered."""
    told: list[str] = []

    def answer(request: Request) -> None:
        request.on_lost = lambda: told.append(request.path.decode())
        if request.path == b"/quick":
            request.answer(b"")

    client = Client(answer)
    client.get("/quick")
    client.get("/slow")
    client.leave()
    assert told == ["/slow"]


def test_a_forgotten_request_is_finished_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """When a pipeline is done and nothing refers to the request any more, the client does not wait forever."""
    kept: list[Request] = []
    client = Client(lambda request: kept.append(request))
    client.get("/forgotten")
    kept[0].answered_by = "pipeline.sleepy"
    kept[0].let_go()
    client.reactor.advance(1)
    assert client.transport.value() == b"", "somebody may still finish it"
    with caplog.at_level(logging.WARNING, "piped.web"):
        kept.clear()
        client.reactor.advance(0)
    assert parsed(client.transport.value())[0] == 200
    assert "pipeline.sleepy ended without finishing GET /forgotten" in caplog.text


def test_a_request_that_was_let_go_can_still_be_finished(caplog: pytest.LogCaptureFixture) -> None:
    """A part of the program may keep a request and answer it long after its pipeline has ended."""
    kept: list[Request] = []
    client = Client(kept.append)
    client.get()
    kept[0].let_go()
    gc.collect()
    kept[0].answer(b"late")
    assert client.transport.value().endswith(b"late")
    assert client.get() == b"", "the connection goes on"
    kept[1].answer(b"next")
    kept.clear()
    client.reactor.advance(0)
    assert not caplog.records


def test_a_request_that_was_let_go_hears_of_its_client_leaving() -> None:
    """Whoever kept a request learns from `notifyFinish` that nobody waits any more."""
    kept: list[Request] = []
    client = Client(kept.append)
    client.get()
    kept[0].let_go()
    lost: list[Any] = []
    kept[0].notifyFinish().addErrback(lost.append)
    client.leave()
    assert (len(lost), kept[0].is_open) == (1, False)


def test_a_request_may_be_limited_in_time() -> None:
    """The limit is called for a request that is late, and costs nothing more once it is answered or gone."""
    late: list[Request] = []
    client = Client(lambda request: request.limit(5, late.append))
    client.get()
    client.reactor.advance(4.9)
    assert late == []
    client.reactor.advance(0.2)
    assert len(late) == 1
    late[0].answer(b"")

    def answer(request: Request) -> None:
        request.limit(5, late.append)
        request.answer(b"")

    quick = Client(answer)
    before = len(quick.reactor.getDelayedCalls())
    quick.get()
    assert len(quick.reactor.getDelayedCalls()) == before


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n01234567890GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
    ],
)
def test_a_body_that_is_too_large_is_refused(request_: bytes) -> None:
    """A body above the limit is answered with 413 as soon as that is known, and no pipeline sees it."""
    seen: list[Request] = []
    client = Client(seen.append, max_body=10 if b"Content-Length" in request_ or b"\nb" in request_ else 5)
    code, headers, body = parsed(client.send(request_))
    assert (code, headers["connection"], body) == (413, "close", b"")
    assert client.is_hung_up_on
    assert seen == []


def test_a_body_within_the_limit_is_read() -> None:
    """A body of exactly the limit arrives whole."""
    seen: list[bytes] = []
    Client(lambda request: seen.append(request.content.read()), max_body=5).get(method="PUT", body=b"01234")
    assert seen == [b"01234"]


def test_a_whole_address_is_understood() -> None:
    """A proxy may ask with the whole address in the first line."""
    seen: list[bytes] = []
    client = Client(lambda request: seen.append(request.path) or request.answer(b""))  # type: ignore[func-returns-value]
    client.get("http://site:80/a/b?c=d")
    client.get("http://site")
    assert seen == [b"/a/b", b"/"]
