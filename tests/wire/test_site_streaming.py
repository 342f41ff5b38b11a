"""Responses that go on, over the wire: downloads of any length, and events for browsers."""

import json
import re
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from commands import EXAMPLES, Running, wait_until
from sockets import connect, rest_of

SITE = """\
web:
  site:
    port: 0
    channel: CHANNEL
    access_log: json
    routing:
      __config__: {processor: hello}
      file: {__config__: {processor: file}}
      parts: {__config__: {processor: parts}}
      endless: {__config__: {processor: endless}}
      failing: {__config__: {processor: failing}}
      silent: {__config__: {processor: silent}}
      events: {__config__: {processor: events}}
      flood: {__config__: {processor: flood}}
      flooded: {__config__: {processor: flooded}}
pipelines:
  hello:
    - write-web-response: {fallback_content: hello}
  file:
    - eval-lambda: {lambda: "baton: open('large', 'rb')", output_path: content}
    - stream-web-response
  parts:
    - eval-lambda: {lambda: "baton: parts(3200)", namespace: {parts: streams.parts}, output_path: content}
    - stream-web-response
  endless:
    - eval-lambda: {lambda: "baton: parts(10 ** 9)", namespace: {parts: streams.parts}, output_path: content}
    - stream-web-response
  failing:
    - eval-lambda: {lambda: "baton: failing()", namespace: {failing: streams.failing}, output_path: content}
    - stream-web-response
  silent:
    - eval-lambda: {lambda: "baton: silent()", namespace: {silent: streams.silent}, output_path: content}
    - stream-web-response
  events:
    - eval-lambda: {lambda: "baton: str(baton['request'].getHeader('last-event-id'))", output_path: last}
    - format-string: {format: "a client comes, its last is {last}", output_path: told}
    - log: {message_path: told}
    - open-event-stream: {topic: news, retry: 0.1, heartbeat: 0}
    - set-value: {path: message, value: hello}
    - send-event: {topic: news, event: greeting, event_id: "17"}
  flood:
    - open-event-stream: {topic: flood, heartbeat: 0}
  flooded:
    - eval-lambda: {lambda: "baton: 'x' * 30000", output_path: message}
    - send-event: {topic: flood}
    - write-web-response: {fallback_content: sent}
"""
STREAMS = """\
import logging
from twisted.internet.defer import Deferred

def parts(count):
    try:
        for _ in range(count):
            yield bytes(65536)
    finally:
        logging.getLogger("streams").warning("the generator is closed")

async def silent():
    try:
        yield "begun"
        await Deferred()
    finally:
        logging.getLogger("streams").warning("the generator is closed")

async def failing():
    yield "begun"
    raise ValueError("out of order")
"""
GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
SIZE = 3200 * 65536


@pytest.fixture(params=["fast", "twisted"])
def site(tmp_path, request):
    (tmp_path / "site.yaml").write_text(SITE.replace("CHANNEL", request.param))
    (tmp_path / "streams.py").write_text(STREAMS)
    with open(tmp_path / "large", "wb") as file:
        file.truncate(SIZE)
    with Running("site.yaml", cwd=tmp_path) as running:
        yield running


def peak_of(process):
    """The most memory that a process has had so far, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def asked(running, path):
    """A connection over which something was asked for, and that takes little at a time."""
    parts = urlsplit(running.url(""))
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.settimeout(30)
    connection.connect((parts.hostname, parts.port))
    connection.sendall(GET % path)
    return connection


def come(connection, text):
    """What has come when a text has come."""
    data = b""
    while text not in data:
        part = connection.recv(65536)
        assert part, data
        data += part
    return data


@pytest.mark.parametrize("path", [b"/file", b"/parts"])
def test_a_slow_reader_costs_no_memory(site, path):
    """A client that takes 200 MB later than they could be sent is waited for, and gets all of them."""
    site.get("/")
    before = peak_of(site.process)
    connection = asked(site, path)
    come(connection, b"\r\n\r\n")
    for _ in range(300):  # time enough to send everything to nobody
        assert site.get("/").body == "hello"
    received = 0
    ends = b""
    while not ends.endswith(b"\r\n0\r\n\r\n"):
        part = connection.recv(1_000_000)
        assert part
        received += len(part)
        ends = (ends + part)[-10:]
    connection.close()
    assert SIZE * 0.99 < received < SIZE * 1.01
    assert peak_of(site.process) - before < 30


def test_who_leaves_ends_the_generator(site):
    """A generator without an end is closed when its client leaves."""
    connection = asked(site, b"/endless")
    come(connection, b"\r\n\r\n")
    connection.close()
    site.wait_for("the generator is closed")
    assert site.get("/").body == "hello"


@pytest.mark.parametrize(("protocol", "code"), [("--http1.1", 18), ("--http1.0", 56)])
def test_a_failure_is_seen_by_the_client(site, protocol, code):
    """curl tells a response that was cut from one that is complete, and the log tells why it was."""
    command = ["curl", "-sS", protocol, site.url("/failing")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    assert done.stdout == "begun" or code == 56  # a reset may come before it
    site.wait_for("out of order")


def test_who_leaves_ends_a_generator_that_waits(site):
    """A stream that has nothing more to send does not outlive its client, and the stop does not wait for it."""
    connection = connect(site.url(""))
    connection.sendall(b"POST /silent HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    come(connection, b"begun")
    connection.close()
    site.wait_for("the generator is closed")
    assert site.stop() == 0
    assert "cut short" not in site.log


def test_events_end_with_the_process(site):
    """On SIGTERM the streams are ended properly and at once, and the process does not wait for their clients."""
    connection = asked(site, b"/events")
    come(connection, b"event: greeting\nid: 17\ndata: hello\n\n\r\n")
    site.process.send_signal(signal.SIGTERM)
    assert rest_of(connection) == b"0\r\n\r\n"
    assert site.ended() == 0
    assert "cut" not in site.log


def test_who_takes_no_events_is_cut(site):
    """A client that reads nothing is hung up on, and others are not disturbed."""
    slow, quick = asked(site, b"/flood"), asked(site, b"/flood")
    come(slow, b":\n\n")
    come(quick, b":\n\n")
    quick.settimeout(0.01)
    for _ in range(1000):  # 30 MB, more than any system takes for a client
        assert site.get("/flooded").body == "sent"
        take_all(quick)
        if any("does not take its events" in line for line in site.lines):
            break
    assert len([line for line in site.lines if "does not take" in line]) == 1
    assert site.get("/flooded").body == "sent"
    quick.settimeout(30)
    come(quick, b"xxx\n\n")


def take_all(connection):
    """Take what has come."""
    try:
        while connection.recv(1_000_000):
            pass
    except TimeoutError:
        pass


def test_a_browser_gets_events_and_comes_again(driver, tmp_path):
    """Chromium receives events; when the process is started anew, it comes back and says what it has got last."""
    (tmp_path / "streams.py").write_text(STREAMS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = SITE.replace("CHANNEL", "fast").replace("port: 0", f"port: {port}")
    (tmp_path / "site.yaml").write_text(text)
    with Running("site.yaml", cwd=tmp_path) as running:
        driver.get(running.url("/"))
        driver.execute_script("""
            window.got = []; window.opened = 0;
            const events = new EventSource("/events");
            events.onopen = () => { window.opened += 1; };
            events.addEventListener("greeting", event => window.got.push([event.data, event.lastEventId]));
        """)
        wait_until(lambda: driver.execute_script("return window.got.length") == 1)
        running.wait_for("a client comes, its last is None")
        assert running.stop() == 0
    with Running("site.yaml", cwd=tmp_path) as running:
        running.wait_for("a client comes, its last is 17")
        wait_until(lambda: driver.execute_script("return window.opened") == 2)
        wait_until(lambda: driver.execute_script("return window.got") == [["hello", "17"]] * 2)
        driver.get("about:blank")


def test_the_example_tells_the_time_and_sends_a_file(driver, tmp_path, monkeypatch):
    """The page of the example shows the time, and its download has its 100,000 lines."""
    monkeypatch.setenv("PORT", "0")
    with Running(EXAMPLES / "streaming.yaml", cwd=tmp_path) as running:
        driver.get(running.url("/"))
        shown = "return document.getElementById('time').textContent"
        wait_until(lambda: re.fullmatch(r"\d\d:\d\d:\d\d", driver.execute_script(shown)))
        first = driver.execute_script(shown)
        wait_until(lambda: driver.execute_script(shown) != first)
        lines = running.get("/squares").body.splitlines()
        assert len(lines) == 100_000
        assert json.loads(lines[-1]) == {"number": 99999, "square": 9999800001}
        driver.get("about:blank")


def test_events_pass_to_an_old_client(site):
    """Over HTTP/1.0 events come without chunks."""
    connection = connect(site.url(""))
    connection.sendall(b"GET /events HTTP/1.0\r\n\r\n")
    come(connection, b"\r\n\r\nretry: 100\n\nevent: greeting\nid: 17\ndata: hello\n\n")
    connection.close()
