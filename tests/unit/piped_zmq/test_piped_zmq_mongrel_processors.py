"""Tests of the steps for Mongrel2."""

from __future__ import annotations

from typing import Any

import pytest
import zmq
from zmq_stage import received, staged

from piped.testing import Stage
from piped_zmq.mongrel import MongrelError

REQUEST = b'server 7 /users 30:{"METHOD":"GET","QUERY":"n=1"},2:hi,'


@pytest.mark.parametrize("name", ["parse-msg-as-mongrel-request", "parse-as-mongrel-request"])
def test_a_message_becomes_a_request_and_a_response(name: str):
    """Under both names that documents use; bytes or text."""
    stage = Stage(f"pipelines: {{p: [{name}]}}")
    for message in (REQUEST, REQUEST.decode()):
        [baton] = stage.run("p", message)
        assert baton == {
            "http_request": {
                "sender": "server",
                "conn_id": "7",
                "path": "/users",
                "headers": {"METHOD": "GET", "QUERY": "n=1"},
                "body": b"hi",
                "data": {},
                "query_string": {"n": "1"},
            },
            "http_response": {"uuid": "server", "idents": ["7"], "headers": {}, "body": ""},
        }


def test_a_client_that_has_left_is_no_request():
    """Nothing behind the step hears of it."""
    seen: list[Any] = []
    stage = Stage(
        "pipelines: {p: [parse-msg-as-mongrel-request, {eval-lambda: {lambda: 'baton: seen(baton)', "
        "namespace: {seen: builtins.print}}}]}"
    )
    assert stage.run("p", b'server 7 @* 17:{"METHOD":"JSON"},21:{"type":"disconnect"},') == [None]
    assert seen == []


def test_what_is_no_message_of_mongrel_is_told():
    """Whatever the baton is."""
    stage = Stage("pipelines: {p: [parse-msg-as-mongrel-request]}")
    for baton in (b"hello", {"a": 1}):
        with pytest.raises(MongrelError):
            stage.run("p", baton)


def test_a_reply_is_sent_and_the_connection_closed():
    """The response that the parsing has begun, filled in."""
    text = """
    zmq: {queues: {replies: {type: PUB, binds: [inproc://replies]}}}
    pipelines:
      p:
        - parse-msg-as-mongrel-request
        - set-value: {path: http_response.body, value: hello}
        - send-mongrel-reply: {queue_name: replies}
      q: [{send-mongrel-reply: {queue_name: replies, close: false, response_path: answer}}]
    """
    with staged(text) as stage:
        peer = stage.peer(zmq.SUB, "inproc://replies")
        ended: list[Any] = []
        stage.run(REQUEST, "p").addCallback(ended.extend)
        assert ended[0]["http_request"]["path"] == "/users"
        assert received(peer) == [b"server 1:7, HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"server 1:7, "]
        stage.run({"answer": {"uuid": "s", "idents": [1, 2], "code": 204, "status": "No Content"}}, "q")
        assert received(peer) == [b"s 3:1 2, HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"]
        failures: list[Any] = []
        stage.run({}, "q").addErrback(lambda failure: failures.append(failure.type))
        assert failures == [MongrelError]
