"""One request and the beginning of its answer, without a network."""

from __future__ import annotations

from functools import partial

import pytest
from client_stage import Agent, Whole, asking, result_of
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived
from twisted.web.http_headers import Headers

from clocks import Reactor
from piped.ground.errors import PipedError
from piped.web_client.exchange import exchange, headers_of, uri_of


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


@pytest.mark.parametrize("url", ["http://name:pass/word@x/a", "http://name:p#word@x/a", "ftp://name:p?word@x/@a"])
def test_a_password_that_is_not_encoded_is_not_told_either(url: str) -> None:
    """Where a host seems to have a port that is none, it was the beginning of a password."""
    with pytest.raises(PipedError) as caught:
        uri_of(url)
    assert "pass" not in str(caught.value)
    assert "word" not in str(caught.value)
    assert caught.value.__cause__ is None or "pass" not in str(caught.value.__cause__)


@given(st.text())
def test_no_url_can_smuggle_anything(text: str) -> None:
    """Whatever stands in a path or a query, one line of printable signs is sent."""
    for url in (f"http://x/{text}", f"http://x/?{text}"):
        assert all("!" <= sign <= "~" for sign in uri_of(url))


def test_headers_are_written_as_lists_or_values() -> None:
    """A list is a header for each of its members; what counts the body is left to the body."""
    written = {"x-a": [1, "b", b"c"], "X-B": 2, "x-c": (3, 4), "Content-Length": 5, "transfer-encoding": "chunked"}
    sent = dict(headers_of(written).getAllRawHeaders())
    assert sent == {b"X-A": [b"1", b"b", b"c"], b"X-B": [b"2"], b"X-C": [b"3", b"4"]}
    with pytest.raises(PipedError, match=r"'a\\nb' is no name of a header"):
        headers_of({"a\nb": 1})
    assert b"\n" not in headers_of({"x": "a\r\nb: c"}).getRawHeaders(b"x", [])[0]


@pytest.mark.parametrize("headers", [{"accept-encoding": ["gzip"]}, {"range": ["bytes=0-9"]}])
def test_a_packing_that_somebody_asked_for_is_left_alone(headers: dict[str, list[str]]) -> None:
    """Who asks for a packed body, or for a range of one, gets what the server sends."""
    assert result_of(asking(Whole(200, b"packed", content_encoding="gzip"), Headers(headers))) == b"packed"


def test_the_end_is_told_once() -> None:
    """Whoever waits for a turn gets it when the body has ended, or when there is no answer."""
    for answer in (Whole(), fail(ZeroDivisionError())):
        ends: list[int] = []
        asked = exchange(Agent(answer), Reactor(), "GET", "http://x/", Headers(), None, 9, partial(ends.append, 1))
        Deferred.fromCoroutine(asked).addErrback(lambda _: None)
        assert ends == [1]


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
