"""The pages that a site answers with by itself."""

from __future__ import annotations

import pytest
from web_stage import Client, parsed

from piped.web import replies
from piped.web.request import Request

pytestmark = pytest.mark.usefixtures("each_channel")


def test_a_failure_is_told_in_a_short_page() -> None:
    """The page says Processing Failed and nothing about the inside of the program."""
    code, headers, body = parsed(Client(replies.processing_failed).get())
    assert (code, headers["content-type"], headers["content-length"]) == (500, "text/html", str(len(body)))
    assert b"<b>Processing Failed</b>" in body
    assert "retry-after" not in headers


def test_who_comes_too_early_is_told_when_to_come_again() -> None:
    """503 has a Retry-After, and its page still says Processing Failed."""
    code, headers, body = parsed(Client(lambda request: replies.processing_failed(request, 503)).get())
    assert (code, headers["retry-after"]) == (503, "2")
    assert b"Processing Failed" in body


def test_a_failure_does_not_keep_what_was_said_about_another_content() -> None:
    """Lengths, encodings and caching that a pipeline set before it failed do not describe the error page."""

    def answer(request: Request) -> None:
        for name in ("content-encoding", "cache-control", "etag", "x-mine"):
            request.setHeader(name, "gzip")
        request.setHeader("content-length", 5)
        request.setETag(b'"a"')
        replies.processing_failed(request)

    _, headers, body = parsed(Client(answer).get())
    assert headers.keys() & {"content-encoding", "cache-control", "etag"} == set()
    assert (headers["content-length"], headers["x-mine"]) == (str(len(body)), "gzip")


def test_a_failure_in_the_midst_of_an_answer_cuts_it_short() -> None:
    """A client must not take half an answer for a whole one: the connection closes without the last chunk."""

    def answer(request: Request) -> None:
        request.write("half")
        replies.processing_failed(request)

    client = Client(answer)
    response = client.get()
    assert response.endswith(b"4\r\nhalf\r\n")
    assert client.is_hung_up_on


def test_a_failure_after_the_answer_changes_nothing() -> None:
    """A pipeline that fails after it has answered, or after its client has left, changes nothing any more."""

    requests: list[Request] = []
    client = Client(requests.append)
    client.get()
    requests[0].answer(b"whole")
    replies.processing_failed(requests[0])
    assert client.transport.value().endswith(b"\r\n\r\nwhole")
    assert not client.is_hung_up_on
    client.get()
    client.leave()
    replies.processing_failed(requests[1])
    assert client.transport.value() == b""


def test_nothing_at_a_path_is_404_also_for_head() -> None:
    """A path without resource is 404; HEAD gets the length of the page and no page."""
    code, headers, body = parsed(Client(replies.no_such_resource).get(method="HEAD"))
    assert (code, headers["content-length"] != "0", body) == (404, True, b"")


def test_a_method_that_is_not_allowed_is_told_which_are() -> None:
    """405 names the methods."""
    code, headers, _ = parsed(Client(lambda request: replies.method_not_allowed(request, "GET", "HEAD")).get())
    assert (code, headers["allow"]) == (405, "GET, HEAD")


def test_what_is_refused_is_told_in_short() -> None:
    """403 and 400 say nothing but what they are."""
    for reply, code, text in ((replies.forbidden, 403, b"Forbidden"), (replies.bad_request, 400, b"Bad Request")):
        answer = parsed(Client(reply).get())
        assert (answer[0], b"<b>%s</b>" % text in answer[2], len(answer[2]) < 120) == (code, True, True)


def test_an_answer_alone_has_its_own_headers_only() -> None:
    """Nothing that was set before opens it to others; what the server itself says of the connection stays."""

    def answer(request: Request) -> None:
        request.setHeader("access-control-allow-origin", "*")
        request.addCookie("login", "1")
        replies.alone(request, 500, b"mine", {"Content-Type": "text/plain"})

    code, headers, body = parsed(Client(answer).get())
    assert (code, body, sorted(headers)) == (500, b"mine", ["content-length", "content-type", "date", "server"])
