"""Which channel serves a site, over the wire."""

import pytest
from commands import Running, piped
from sockets import Reply, ask, connect, rest_of

SITE = """\
web:
  site:
    {listening}
    routing: {{__config__: {{processor: hello}}}}
pipelines:
  hello:
    - write-web-response: {{fallback_content: hello}}
"""


def write(folder, listening="port: 0"):
    (folder / "site.yaml").write_text(SITE.format(listening=listening))


def is_fast(running):
    """Only Twisted's channel calls other versions of HTTP a bad request."""
    connection = connect(running.url(""))
    connection.sendall(b"GET / HTTP/1.2\r\nHost: x\r\n\r\n")
    code = Reply(rest_of(connection)).code
    assert code in (400, 505)
    return code == 505


@pytest.mark.parametrize(
    ("reactor", "option", "is_expected"),
    [("uvloop", "", True), ("asyncio", "", True), ("epoll", "", False), ("uvloop", "\n    channel: twisted", False)],
)
def test_the_fast_channel_serves_wherever_it_can(tmp_path, reactor, option, is_expected):
    """On uvloop and asyncio a site is fast without being told; on other reactors, and on demand, it is Twisted's."""
    write(tmp_path, "port: 0" + option)
    with Running("site.yaml", "-r", reactor, cwd=tmp_path) as running:
        assert ask(running.url(""), "/").body == b"hello"
        assert is_fast(running) is is_expected
        assert running.stop() == 0


def test_who_asks_for_the_fast_channel_hears_when_it_cannot_be(tmp_path):
    """`channel: fast` where it cannot serve is a problem with its place, not another channel."""
    write(tmp_path, "port: 0\n    channel: fast")
    result = piped("run", "site.yaml", "-r", "epoll", cwd=tmp_path)
    assert result.returncode == 1
    assert "the fast channel cannot serve this site: its reactor is not asyncio's" in result.stderr
    assert "site.yaml:3:11" in result.stderr
    write(tmp_path, "listen: ssl:0:privateKey=key.pem:certKey=key.pem\n    channel: fast")
    (tmp_path / "key.pem").write_text("")
    result = piped("check", "site.yaml", cwd=tmp_path)
    assert "Traceback" not in result.stderr + result.stdout
    assert result.returncode != 0


def test_an_unheard_client_sees_why(tmp_path):
    """Whoever is refused while sending a large body can read the answer: the connection is not reset under it."""
    write(tmp_path, "port: 0\n    max_body_size: 1000")
    with Running("site.yaml", cwd=tmp_path) as running:
        for _ in range(20):
            connection = connect(running.url(""))
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000))
            reply = Reply(rest_of(connection))
            assert (reply.code, reply.headers["connection"]) == (413, "close")
