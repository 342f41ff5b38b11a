"""WebSockets over the wire: a client library that nobody here wrote, a browser, and clients that misbehave."""

import contextlib
import os
import socket
import ssl
import threading

import pytest
from commands import EXAMPLES, Running, wait_until
from selenium.webdriver.common.by import By
from sockets import Reply, connect, rest_of
from web_servers import certificates
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as open_websocket

SITE = """\
plugins: {bundles: {tests: [websocket_steps]}}
web:
  site:
    port: 0
    access_log: json
    max_connections: 40
    routing:
      echo: {__config__: {websocket: echo}}
      small: {__config__: {websocket: {processor: echo, max_message_size: 1000}}}
      pings: {__config__: {websocket: {processor: echo, ping_interval: 0.2, ping_timeout: 0.2}}}
      slow: {__config__: {websocket: {processor: slow, disconnected: ended}}}
      flood: {__config__: {websocket: {processor: flood, disconnected: ended}}}
      calm: {__config__: {websocket: {processor: calm, disconnected: ended}}}
      fails: {__config__: {websocket: fails}}
pipelines:
  echo: [send-websocket-message]
  slow:
    - log: {message: a message waits}
    - wait: {delay: 2}
    - send-websocket-message
  flood:
    - eval-lambda: {lambda: "baton: [baton['websocket'].send(bytes(100_000)) for _ in range(100)]", output_path: x}
  calm: [send-slowly]
  ended:
    - eval-lambda: {lambda: "baton: f'ended with {baton[\\"code\\"]}'", output_path: told}
    - log: {message_path: told}
  fails:
    - raise-exception: {type: KeyError}
"""
STEPS = """\
from piped import processor

@processor("send-slowly")
async def send_slowly(baton):
    for _ in range(2000):
        await baton["websocket"].send(bytes(100_000))
"""
HANDSHAKE = (
    b"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"
)
CHANNELS = [[], ["-O", "web.site.channel:twisted"]]


@pytest.fixture(scope="module", params=CHANNELS, ids=["fast", "twisted"])
def site(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    with Running(written(folder), *request.param, cwd=folder) as running:
        yield running


def written(folder):
    (folder / "websocket_steps.py").write_text(STEPS)
    (folder / "site.yaml").write_text(SITE)
    return "site.yaml"


def opened(site, path, **options):
    return open_websocket(site.url(path).replace("http:", "ws:"), proxy=None, **options)


def test_messages_of_all_kinds_and_sizes_come_back(site):
    """Text, bytes, what is empty, what is sent in parts, and 900 KiB, in order, from several clients at once."""
    with opened(site, "/echo") as first, opened(site, "/echo", max_size=None) as second:
        for message in ("grün", b"\xff\x00", "", b"", "x" * 900_000, b"x" * 900_000):
            for client in (first, second):
                client.send(message)
                assert client.recv(timeout=30) == message
        first.send(["in", " three", " parts"])
        assert first.recv(timeout=30) == "in three parts"
        for number in range(200):
            second.send(str(number))
        assert [second.recv(timeout=30) for _ in range(200)] == [str(number) for number in range(200)]
        assert first.ping().wait(30)


def test_who_may_not_connect_is_told_why(site):
    """A page of another host is 403, a path without a WebSocket is none."""
    with pytest.raises(InvalidStatus) as refused:
        opened(site, "/echo", origin="https://evil.example")
    assert refused.value.response.status_code == 403
    with opened(site, "/echo", origin=site.url("")) as client:
        client.send("x")
        assert client.recv(timeout=30) == "x"
    assert site.get("/echo").code == 426


def test_a_message_that_is_too_long_is_closed_with_1009(site):
    """As soon as the limit is passed, also when the message never ends."""
    with opened(site, "/small") as client:
        client.send("x" * 1000)
        assert client.recv(timeout=30) == "x" * 1000
        client.send("x" * 1001)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=30)
        assert closed.value.rcvd.code == 1009


def test_a_failure_is_closed_with_1011_and_logged_once(site):
    """The client learns nothing about it, the log has its traceback."""
    with opened(site, "/fails") as client:
        client.send("x")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=30)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "")
    site.wait_for("pipeline.fails failed for GET /fails")


def raw(site, path, extra=b""):
    """A connection on which the handshake is done, for frames that no library would send."""
    connection = connect(site.url(""))
    connection.sendall(HANDSHAKE % (path, extra))
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1)
    assert Reply(head).code == 101
    return connection


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\x81\x05hello", 1002),
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\x81\x81\0\0\0\0\xff", 1007),
        (b"\x88\x81\0\0\0\0x", 1002),
    ],
    ids=["unmasked", "unknown", "no text", "short close"],
)
def test_a_client_that_breaks_the_protocol_is_told_and_hung_up_on(site, frames, code):
    """The code reaches it, though more is on its way, and the connection ends."""
    connection = raw(site, b"/echo")
    connection.sendall(frames + b"more" * 100)
    ended = rest_of(connection)
    assert (ended[0], int.from_bytes(ended[2:4])) == (0x88, code)


def test_a_client_that_answers_no_ping_is_closed(site):
    """A dead connection does not stay."""
    connection = raw(site, b"/pings")
    ended = rest_of(connection)
    assert ended.startswith(b"\x89\x00")
    assert b"\x03\xf3" in ended
    connection = raw(site, b"/pings")
    for _ in range(3):
        assert connection.recv(2, socket.MSG_WAITALL) == b"\x89\x00"
        connection.sendall(b"\x8a\x80\0\0\0\0")
    connection.sendall(b"\x81\x81\0\0\0\0x")
    assert b"\x81\x01x" in connection.recv(5)
    connection.close()


def resident(site):
    """The memory of the server, in bytes."""
    with open(f"/proc/{site.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_who_does_not_read_is_cut_off_when_nobody_waits_for_it(site):
    """Ten megabytes for a client that reads nothing are not kept: it is cut off at `max_unsent`."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = site.url("").removeprefix("http://").split(":")
    connection.connect((host, int(port)))
    connection.sendall(HANDSHAKE % (b"/flood", b"") + b"\x81\x80\0\0\0\0")
    site.wait_for("ended with 1008")
    connection.close()


def test_a_slow_reader_keeps_memory_flat_where_send_is_waited_for(site):
    """Two hundred megabytes for a client that reads them slowly pass through a few."""
    with opened(site, "/calm", max_size=None, max_queue=1) as client:
        before = resident(site)
        client.send("go")
        most = 0
        for number in range(2000):
            assert len(client.recv(timeout=60)) == 100_000
            if number % 50 == 0:
                most = max(most, resident(site) - before)
        assert most < 20_000_000


def test_connections_are_counted_as_long_as_they_are_there(site):
    """`max_connections` is for WebSockets, too, and none of those that have ended counts."""
    for _ in range(60):
        with opened(site, "/echo") as client:
            client.send("x")
            assert client.recv(timeout=30) == "x"
    site.wait_for('"path": "/echo", "status": 101')


def test_a_websocket_over_tls_is_the_same(tmp_path):
    """Messages, back-pressure and the close reach a client of `wss://`."""
    authority, _ = certificates(tmp_path, "localhost")
    listen = f"web.site.listen:ssl:0:interface=127.0.0.1:privateKey={tmp_path / 'localhost.pem'}"
    with Running(written(tmp_path), "-O", listen, cwd=tmp_path) as running:
        url = running.url("/echo").replace("https://127.0.0.1", "wss://localhost")
        context = ssl.create_default_context(cafile=authority)
        with open_websocket(url, ssl=context, proxy=None, max_size=None) as client:
            for message in ("grün", b"x" * 900_000):
                client.send(message)
                assert client.recv(timeout=30) == message
            running.process.terminate()
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=30)
            assert closed.value.rcvd.code == 1001
        assert running.ended() == 0


def test_a_stop_lets_a_message_end_and_tells_clients_to_go(tmp_path):
    """On SIGTERM an idle client is closed with 1001 at once, a busy one when its message was answered."""
    with Running(written(tmp_path), cwd=tmp_path) as running, contextlib.ExitStack() as clients:
        busy, idle = (clients.enter_context(opened(running, path)) for path in ("/slow", "/echo"))
        busy.send("last")
        running.wait_for("a message waits")
        stopping = threading.Thread(target=running.stop)
        stopping.start()
        with pytest.raises(ConnectionClosed) as closed:
            idle.recv(timeout=30)
        assert closed.value.rcvd.code == 1001
        assert busy.recv(timeout=30) == "last"
        with pytest.raises(ConnectionClosed) as closed:
            busy.recv(timeout=30)
        assert closed.value.rcvd.code == 1001
        stopping.join(30)
        assert running.process.returncode == 0
        running.wait_for("ended with 1001")


def test_two_windows_of_a_browser_talk_to_each_other(driver, tmp_path):
    """The page of the example sends what is written in it, and shows what others write."""
    with Running(EXAMPLES / "websocket.yaml", "-O", "web.room.port:0", cwd=tmp_path) as running:
        driver.get(running.url("/"))
        first = driver.current_window_handle
        said(driver, "somebody has come")
        driver.switch_to.new_window("window")
        driver.get(running.url("/"))
        said(driver, "somebody has come")
        driver.find_element(By.ID, "message").send_keys("hello, <b>you</b>\n")
        said(driver, "hello, <b>you</b>")
        driver.close()
        driver.switch_to.window(first)
        said(driver, "hello, <b>you</b>")
        said(driver, "somebody has left")
        driver.get("data:,another site")
        script = "const s = new WebSocket(arguments[0]), end = arguments[1]; s.onopen = s.onerror = e => end(e.type)"
        assert driver.execute_async_script(script, running.url("/").replace("http", "ws")) == "error"


def said(driver, text):
    wait_until(lambda: text in [line.text for line in driver.find_elements(By.TAG_NAME, "li")])
