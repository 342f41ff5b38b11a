"""The limits of a site, and its end, over the wire."""

import json
import socket
import time

import pytest
from commands import Running
from sockets import Reply, ask, connect, rest_of

SITE = """\
web:
  site:
    port: 0
    access_log: json
    keep_alive_timeout: 1
    send_timeout: 1
    min_rate: 100000000
    max_connections: 5
    max_body_size: 1000
    max_running: 1
    routing:
      __config__: {processor: hello}
      waiting: {__config__: {processor: waiting}}
      large: {__config__: {processor: large}}
pipelines:
  hello:
    - write-web-response: {fallback_content: hello}
  waiting:
    - log: {message: a request waits}
    - wait: {delay: 2}
    - write-web-response: {fallback_content: late}
  large:
    - eval-lambda: {lambda: "baton: bytes(50_000_000)", output_path: content}
    - write-web-response
"""
GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def site(tmp_path, channel):
    (tmp_path / "site.yaml").write_text(SITE)
    with Running("site.yaml", "-O", f"web.site.channel:{channel}", cwd=tmp_path) as running:
        yield running


def test_a_client_too_many_is_told_to_come_again(site):
    """Above `max_connections` clients are 503, until one of the others has left."""
    url = site.url("")
    others = [connect(url) for _ in range(5)]
    for other in others:
        other.sendall(GET % b"/")
        assert other.recv(1000).endswith(b"hello")
    refused = Reply(rest_of(connect(url)))
    assert (refused.code, refused.headers["retry-after"], refused.headers["connection"]) == (503, "2", "close")
    others.pop().close()
    deadline = time.monotonic() + 30
    while Reply(rest_of(asked(url, b"/"))).code != 200:
        assert time.monotonic() < deadline


def asked(url, path):
    connection = connect(url)
    connection.sendall((GET % path).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    return connection


def test_a_request_too_many_is_told_to_come_again(site):
    """Above `max_running` requests are 503, whatever they ask for."""
    url = site.url("")
    waiting = asked(url, b"/waiting")
    site.wait_for("a request waits")
    reply = ask(url, "/")
    assert (reply.code, reply.headers["retry-after"]) == (503, "2")
    assert Reply(rest_of(waiting)).code == 200
    assert ask(url, "/").code == 200


def test_a_connection_that_is_not_used_is_closed(site):
    """After `keep_alive_timeout` the site hangs up, without a word."""
    connection = connect(site.url(""))
    connection.sendall(GET % b"/")
    assert rest_of(connection).count(b"HTTP/1.1") == 1


def test_who_does_not_take_his_answer_is_cut(site):
    """A client that asks for much and reads nothing does not keep it in memory for long."""
    connection = connect(site.url(""))
    connection.sendall(GET % b"/large")
    site.wait_for('"path": "/large"')
    deadline = time.monotonic() + 30
    while ask(site.url(""), "/").code == 200 and not was_cut(connection):
        assert time.monotonic() < deadline, "it is still connected"


def was_cut(connection):
    """Whether the other side has reset the connection."""
    error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return error != 0


def test_a_body_that_is_too_large_is_refused(site):
    """Above `max_body_size` a body is 413, announced or in chunks, and the log has a line for it."""
    url = site.url("")
    announced = connect(url)
    announced.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n")
    assert Reply(rest_of(announced)).code == 413
    chunked = connect(url)
    chunked.sendall(b"PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"3e9\r\n" + 1001 * b"x")
    assert Reply(rest_of(chunked)).code == 413
    line = site.wait_for('"path": "/x"')
    entry = json.loads(line[line.index("{") :])
    assert (entry["method"], entry["status"], entry["remote"]) == ("PUT", 413, "127.0.0.1")


def test_a_stop_lets_requests_end_and_tells_clients(site):
    """On SIGTERM no one is let in, what is running is answered with `Connection: close`, then the process ends."""
    url = site.url("")
    idle, waiting = connect(url), connect(url)
    waiting.sendall(GET % b"/waiting")
    site.wait_for("a request waits")
    site.process.terminate()
    assert rest_of(idle) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(url)
    reply = Reply(rest_of(waiting))
    assert (reply.code, reply.headers["connection"], reply.body) == (200, "close", b"late")
    assert site.ended() == 0
