"""Answers as steps and people read them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.web.http_headers import Headers

from piped.ground.batons import get_path
from piped.ground.errors import PipedError
from piped.web_client.responses import Response, ResponseHeaders


def answer(body: Any, content_type: str = "text/plain", url: str = "http://x/?key=secret") -> Response:
    headers = Headers({"Content-Type": [content_type], "X-List": ["a", "b"]})
    return Response(url, 200, "OK", ResponseHeaders(headers), body)


def test_all_of_a_response_has_a_path() -> None:
    """Steps find the code, headers in any capitals, and the text by their paths."""
    baton = {"response": answer(b"x")}
    found = [get_path(baton, f"response.{path}") for path in ("status", "reason", "headers.X-LIST", "text", "body")]
    assert found == [200, "OK", "a, b", "x", b"x"]
    assert get_path(baton, "response.headers.none") is None
    assert "secret" not in repr(baton)


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain", "ø".encode(), "ø"),
        ("text/plain; charset=latin-1", b"\xf8", "ø"),
        ('text/plain; charset="UTF-16"', "ø".encode("utf-16"), "ø"),
        ("text/plain; charset=none", "ø".encode(), "ø"),
        ("text/plain; charset=base64", b"x", "x"),
        ("", b"\xff", "\ufffd"),
    ],
)
def test_text_is_in_the_encoding_that_the_server_says(content_type: str, body: bytes, text: str) -> None:
    """UTF-8 where it says none or one that nobody knows; what does not fit is replaced."""
    assert answer(body, content_type).text == text


@given(st.text(), st.binary(max_size=50))
def test_no_content_type_does_harm(content_type: str, body: bytes) -> None:
    """Whatever a server writes there, there is a text."""
    assert isinstance(answer(body, content_type.replace("\r", "").replace("\n", "")).text, str)


def test_what_is_no_json_is_told_without_secrets() -> None:
    """With where it came from and how it begins."""
    assert answer(b"[1]").json() == [1]
    with pytest.raises(PipedError, match=r"the answer from http://x/\?… is no JSON") as caught:
        answer(b"<html>\n\x1b[2J" + b"x" * 300).json()
    assert caught.value.detail.startswith("<html>  [2Jxxx")
    assert caught.value.detail.endswith("x …")


def test_a_body_that_is_elsewhere_has_no_text() -> None:
    """Who asks for the text of a stream is told so."""
    with pytest.raises(PipedError, match="is not in memory"):
        answer(object()).text  # noqa: B018 - a property that raises
