"""What is asked for: as it is written, and from the baton."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from client_stage import result_of
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, execute, succeed

from piped.ground.batons import BatonPath
from piped.ground.errors import PipedError
from piped.web_client.asking import request_of, seconds_of


def asked(baton: Any = None, **written: Any) -> dict[str, Any]:
    found: dict[str, Any] = result_of(
        Deferred.fromCoroutine(request_of({"url": "http://x/", **written}, baton, execute))
    )
    return found


@given(st.lists(st.text(min_size=1).filter(lambda text: text not in (".", "..")), min_size=1, max_size=4))
def test_a_segment_stays_one(segments: list[str]) -> None:
    """Whatever a baton holds, it cannot lead elsewhere on the server, or to another."""
    url = asked({"s": segments}, url=["https://x/api/", *(BatonPath(f"s.{n}") for n in range(len(segments)))])["url"]
    parts = urlsplit(url)
    assert (parts.netloc, parts.query, parts.fragment) == ("x", "", "")
    assert [unquote(each) for each in parts.path.split("/")] == ["", "api", *segments]


@pytest.mark.parametrize("segment", [".", "..", "", None])
def test_a_segment_that_leads_elsewhere_is_refused(segment: str) -> None:
    """Servers and proxies take it for a way up, also where it is encoded; or for all things instead of one."""
    for url in (["https://x/api", BatonPath("s")], BatonPath("whole")):
        with pytest.raises(PipedError, match="it leads elsewhere"):
            asked({"s": segment, "whole": ["https://x/api", segment]}, url=url)


def test_a_slash_at_the_end_can_be_written() -> None:
    """Some servers want one, behind what is in the baton, too."""
    assert asked({"id": 7}, url=["https://x/api", BatonPath("id"), ""])["url"] == "https://x/api/7/"


@pytest.mark.parametrize("name", ["params", "form", "headers"])
def test_what_has_names_is_a_mapping(name: str) -> None:
    """What the baton has instead is told without showing it: it may be secret."""
    with pytest.raises(PipedError, match=f"{name} must be a mapping, not str$"):
        asked({"v": "secret"}, **{name: BatonPath("v")})


def test_values_need_not_be_text() -> None:
    """Numbers, bytes, truth and several values are sent as they would be written."""
    found = asked(params={"n": 1, "b": b"a b", "t": True, "l": (1, None, 2)}, user=17, headers={5: 6})
    assert found["url"] == "http://x/?n=1&b=a%20b&t=true&l=1&l=2"
    assert found["headers"]["authorization"] == "Basic MTc6"
    assert found["headers"]["5"] == 6


def test_what_json_cannot_hold_is_told() -> None:
    """With what it is."""
    with pytest.raises(PipedError, match="cannot be sent as JSON: Object of type bytes is not JSON serializable"):
        asked(json={"a": b"x"})


def test_how_long_something_may_take() -> None:
    """A number, also as text; nothing is any time."""
    found = [result_of(Deferred.fromCoroutine(seconds_of({"t": t}, BatonPath("t")))) for t in (2, "1.5", None, "", -3)]
    assert found == [2, 1.5, 0, 0, 0]
    with pytest.raises(PipedError, match="'soon' is no number of seconds"):
        result_of(Deferred.fromCoroutine(seconds_of({}, "soon")))


@given(st.dictionaries(st.text(), st.lists(st.text())))
def test_params_arrive_as_they_are(params: dict[str, list[str]]) -> None:
    """Behind those that are in the URL already, and before what stands behind #."""
    parts = urlsplit(asked(url="http://x/a?b=%2F#top", params=params)["url"])
    assert parts.fragment == "top"
    wanted = [("b", "/"), *((name, value) for name, values in params.items() for value in values)]
    assert parse_qsl(parts.query, keep_blank_values=True) == wanted


def test_the_method_follows_from_the_body() -> None:
    """GET without one, POST with one, or what is written; null in the baton is a value for JSON, and no other body."""
    assert [asked(**each)["method"] for each in ({}, {"json": 0}, {"form": {}}, {"body": b""})] == ["GET"] + [
        "POST"
    ] * 3
    assert asked(method="put", body="x")["method"] == "PUT"
    assert asked({"n": None}, json=BatonPath("n"))["method"] == "POST"
    assert asked({"n": None}, body=BatonPath("n"))["method"] == "GET"
    with pytest.raises(PipedError, match="not JSON compliant"):
        asked(json=float("nan"))


def test_headers_that_are_written_win() -> None:
    """In any capitals; what follows from other options stands where nothing is written."""
    headers = asked(
        json=1, bearer="t", headers={"Content-Type": "x", "USER-AGENT": None, "X-A": BatonPath("")}, baton=7
    )
    assert headers["headers"] == {"authorization": "Bearer t", "Content-Type": "x", "USER-AGENT": None, "X-A": 7}


def test_values_may_come_later() -> None:
    """A value may be a Deferred, or what a function gives."""
    found = asked({"u": lambda: succeed("http://y/")}, url=BatonPath("u"), params={"a": succeed(1)})
    assert found["url"] == "http://y/?a=1"
    with pytest.raises(PipedError, match="nothing at 'none'"):
        asked({}, url=BatonPath("none"))


def test_credentials() -> None:
    """A name with a colon could not be told from its password."""
    assert asked(user="Aladdin", password="open sesame")["headers"]["authorization"] == (
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    )
    assert asked({"token": None}, bearer=BatonPath("token"))["headers"]["authorization"] is None
    with pytest.raises(PipedError, match="no colon"):
        asked(user="a:b")


def test_a_body_is_something_to_be_read() -> None:
    """Anything else is told."""
    for value in ("x", b"x", bytearray(b"x"), io.BytesIO(b"x"), io.StringIO("x")):
        assert asked(body=value)["body"].producer().length == 1
    with pytest.raises(TypeError, match="a body must be text, bytes or something to read them from, not 17"):
        asked(body=17)
