"""Tests of the messages of Mongrel2."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piped_zmq.mongrel import MongrelError, addressed, http_response, messages_of, parse_request

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)


def written(headers: Any, body: bytes = b"", head: bytes = b"54c6755b-9628-40a4 3 /users") -> bytes:
    told = json.dumps(headers).encode()
    return head + b" %d:%s,%d:%s," % (len(told), told, len(body), body)


@given(st.dictionaries(TEXT, TEXT), st.binary(max_size=100))
def test_headers_and_body_come_as_they_were_sent(headers: dict[str, str], body: bytes):
    """Whatever is in them, commas and colons too."""
    headers.pop("METHOD", None)
    request = parse_request(written(headers, body))
    assert (request.sender, request.conn_id, request.path) == ("54c6755b-9628-40a4", "3", "/users")
    assert (request.headers, request.body, request.data) == (headers, body, {})


@given(st.binary(max_size=80))
def test_what_is_no_request_is_told(message: bytes):
    """Any bytes are either a request or a MongrelError."""
    try:
        parse_request(message)
    except MongrelError:
        return


@given(st.data())
def test_a_request_that_is_cut_or_changed_never_breaks_the_parser(data: st.DataObject):
    """Nor does it hang; a length that was changed is noticed."""
    message = bytearray(written({"METHOD": "GET", "QUERY": "a=1"}, b"body"))
    at = data.draw(st.integers(0, len(message) - 1))
    message[at] = data.draw(st.integers(0, 255))
    try:
        parse_request(bytes(message[: data.draw(st.integers(0, len(message)))]))
    except MongrelError:
        return


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"server 7 /",
        b"server seven / 2:{},0:,",
        b"server 7 / 3:{},0:,",
        b"server 7 / 2:{},1:,",
        b"server 7 / 2:{},0:,x",
        b"server 7 / 2:[],0:,",
        b"server 7 / 2:{{,0:,",
        b"server 7 / 99999999999999999999:{},0:,",
        b"server 7 / 17:" + b'{"METHOD":"JSON"},' + b"1:{,",
        b"server 7 / 100000:" + b"[" * 100000 + b",0:,",
    ],
)
def test_broken_requests_are_told(message: bytes):
    """Each kind of damage is a MongrelError."""
    with pytest.raises(MongrelError):
        parse_request(message)


def test_json_requests_are_read():
    """Those with the method JSON, where `type: disconnect` only tells that a client has left."""
    assert parse_request(written({"METHOD": "JSON"}, b'{"a": 1}')).data == {"a": 1}
    assert parse_request(written({"METHOD": "JSON"}, b'{"type": "disconnect"}')).is_disconnect
    assert not parse_request(written({"METHOD": "GET"}, b'{"type": "disconnect"}')).is_disconnect


def test_arguments_of_a_query_are_texts_and_several_a_list():
    """In the order in which they stand, empty ones too."""
    request = parse_request(written({"QUERY": "a=1&b=2&b=3&c=&d=n%C3%A9"}))
    assert request.query == {"a": "1", "b": ["2", "3"], "c": "", "d": "né"}
    with pytest.raises(MongrelError, match="more than 1000 arguments"):
        _ = parse_request(written({"QUERY": "a&" * 2000})).query


def test_a_response_has_the_length_of_its_body():
    """Once, whatever the headers say, and in bytes."""
    [sent] = messages_of(
        {
            "uuid": "s",
            "idents": ["1", "2"],
            "body": "né",
            "code": 404,
            "status": "Not Found",
            "headers": {"content-LENGTH": 9},
        },
        closes=False,
    )
    assert sent == "s 3:1 2, HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nné".encode()


def test_an_empty_message_closes():
    """Behind the response, for the same connections."""
    assert (
        [*messages_of({"uuid": "s", "idents": [7], "body": b""}, closes=True)][1]
        == b"s 1:7, "
        == addressed("s", ["7"], b"")
    )


@pytest.mark.parametrize("headers", [{"A\r\nB": "c"}, {"A": "b\r\nC: d"}, {"A b": "c"}, {"": "c"}, {"A": "\0"}])
def test_a_header_cannot_bring_another_one(headers: dict[str, str]):
    """Line breaks in names and values are refused."""
    with pytest.raises(MongrelError, match="is no header"):
        http_response(200, "OK", headers, b"")


def test_neither_can_a_status_or_a_connection():
    """Nor does anything that is no number of a connection address somebody else."""
    with pytest.raises(MongrelError):
        http_response(200, "OK\r\nA: b", {}, b"")
    for uuid, idents in (("s", ["1 2"]), ("s t", ["1"]), ("", ["1"]), ("s", ["\n"])):
        with pytest.raises(MongrelError):
            addressed(uuid, idents, b"")
    with pytest.raises(MongrelError, match="needs a uuid"):
        messages_of({"body": "x"}, closes=True)
