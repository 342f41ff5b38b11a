"""Which channel serves a site, over the wire."""

import resource
import socket
import struct

import pytest
from commands import Running, piped, wait_until
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


STEPS_SITE = """\
plugins: {bundles: {tests: [channel_steps]}}
web:
  site:
    port: 0
    routing:
      variable: {__config__: {processor: variable}}
      endless: {__config__: {processor: endless}}
      asked: {__config__: {processor: asked}}
pipelines:
  variable: [remember]
  endless: [produce]
  asked: [tell-asked]
"""
STEPS = """\
from contextvars import ContextVar

from piped import processor
from twisted.internet import reactor
from twisted.internet.task import deferLater

VARIABLE = ContextVar("variable", default="nothing")


@processor("remember")
async def remember(baton):
    request, seen = baton["request"], VARIABLE.get()
    VARIABLE.set("something")
    if request.getHeader("Late"):
        await deferLater(reactor, 0.01, VARIABLE.set, "something")
    request.answer(seen.encode())


class Endless:
    asked = 0

    def __init__(self, request):
        self.request = request

    def resumeProducing(self):
        Endless.asked += 1
        self.request.write(bytes(65536))

    def stopProducing(self):
        pass


@processor("produce")
async def produce(baton):
    request = baton["request"]
    request.write(bytes(20_000_000))
    request.registerProducer(Endless(request), False)
    await request.notifyFinish()


@processor("tell-asked")
def tell_asked(baton):
    baton["request"].answer(b"%d" % Endless.asked)
"""


def written(folder):
    (folder / "channel_steps.py").write_text(STEPS)
    (folder / "site.yaml").write_text(STEPS_SITE)
    return "site.yaml"


@pytest.fixture(params=["uvloop", "asyncio"])
def site(request, channel, tmp_path):
    options = ("-r", request.param, "-O", f"web.site.channel:{channel}")
    with Running(written(tmp_path), *options, cwd=tmp_path) as running:
        yield running
        assert running.stop() == 0
        for word in ("Traceback", "[ERROR", "[CRITICAL", "Unhandled"):
            assert word not in running.log


def test_a_context_ends_with_its_request(site):
    """What a step sets in its context is seen by no other request, whether they come early, later or from elsewhere."""
    get = b"GET /variable HTTP/1.1\r\nHost: x\r\n"
    early = get + b"\r\n" + get + b"Late: 1\r\n\r\n" + get + b"\r\n" + get + b"Late: 1\r\n\r\n"
    # So much that the rest is not read before the first is answered: reading goes on from there.
    early += get + b"Late: 1\r\nX: " + 15_000 * b"x" + b"\r\n\r\n" + get + b"X: " + 15_000 * b"x" + b"\r\n\r\n"
    one, other = connect(site.url("")), connect(site.url(""))
    one.sendall(early)
    other.sendall(early)
    one.sendall(get + b"Connection: close\r\n\r\n")
    other.sendall(get + b"Connection: close\r\n\r\n")
    for connection in (one, other):
        got = rest_of(connection)
        assert (got.count(b"HTTP/1.1 200"), got.count(b"nothing"), got.count(b"something")) == (7, 7, 0)


def test_a_producer_is_not_asked_for_more_than_the_client_takes(site):
    """What produces a response when it is asked to is not asked while the client has not taken what was sent before."""
    connection = connect(site.url(""))
    connection.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.recv(1000)
    for _ in range(200):
        asked = int(ask(site.url(""), "/asked").body)
    assert asked < 5
    while int(ask(site.url(""), "/asked").body) < 10:
        connection.recv(10_000_000)
    connection.close()


def test_clients_that_leave_at_any_moment_disturb_nobody(site):
    """A reset within the head, before and within an answer, and early requests of a client that is gone do no harm."""
    get = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
    late = b"GET /variable HTTP/1.1\r\nHost: x\r\nLate: 1\r\n\r\n"
    put = b"PUT /variable HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
    for sent in (b"", b"GET", late, 3 * late, get % b"endless", late + get % b"endless", put, late + put, b"x\r\n\r\n"):
        for is_reset in (True, False):
            for _ in range(5):
                connection = connect(site.url(""))
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", is_reset, 0))
                connection.sendall(sent)
                connection.close()
    assert ask(site.url(""), "/variable").body == b"nothing"


@pytest.mark.parametrize("reactor", ["uvloop", "asyncio"])
def test_a_site_outlives_a_lack_of_descriptors(tmp_path, reactor):
    """Without descriptors for more clients a site is quiet about it, and takes clients again when others have left."""
    with Running(written(tmp_path), "-r", reactor, cwd=tmp_path) as running:
        url = running.url("")
        ask(url, "/variable")
        resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (40, 40))
        clients = [connect(url) for _ in range(60)]
        clients[0].sendall(b"GET /variable HTTP/1.1\r\nHost: x\r\n\r\n")
        assert clients[0].recv(1000).startswith(b"HTTP/1.1 200")
        for client in clients:
            client.close()

        def is_back():
            try:
                return ask(url, "/variable").code == 200
            except (ConnectionError, IndexError):
                return False

        wait_until(is_back)
        assert len(running.lines) < 200
        assert running.stop() == 0
