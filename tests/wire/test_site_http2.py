"""A site that listens with TLS, as clients over HTTP/2 see it: curl, h2load, and one that breaks the rules."""

import os
import re
import socket
import ssl
import subprocess
import time
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from commands import Running, piped, wait_until
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from hyperframe.frame import GoAwayFrame, PingFrame
from web_servers import certificates

SITE = """\
web:
  site:
    listen: "ssl:0:privateKey=127.0.0.1.pem:interface=127.0.0.1"
    send_timeout: 2
    min_rate: 100000
    access_log: json
    routing:
      __config__: {processor: hello, methods: [GET]}
      echo: {__config__: {processor: echo}}
      waiting: {__config__: {processor: waiting}}
      files: {__config__: {static: files}}
pipelines:
  hello: [write-web-response: {fallback_content: hello, content_type: text/plain}]
  echo:
    - eval-lambda: {lambda: "baton: baton['request'].content.read()", output_path: content}
    - write-web-response
  waiting:
    - log: {message: a request waits}
    - wait: {delay: 2}
    - write-web-response: {fallback_content: late}
"""
LARGE = 40_000_000
CALM = 11


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a site needs: a certificate, files and a configuration."""
    folder = tmp_path_factory.mktemp("site")
    certificates(folder, "127.0.0.1")
    (folder / "files").mkdir()
    (folder / "files" / "large.bin").write_bytes(os.urandom(LARGE))
    (folder / "site.yaml").write_text(SITE)
    return folder


@pytest.fixture
def site(folder):
    with Running("site.yaml", cwd=folder) as running:
        yield running


def curl(folder, *arguments):
    """What curl prints, which fails where it cannot make sense of an answer."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", "--cacert", "127.0.0.1-ca.pem", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Client:
    """A client over HTTP/2 that does what a test tells it to, and remembers what it was told."""

    def __init__(self, url):
        parts = urlsplit(url)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        connection = socket.create_connection((parts.hostname, parts.port), 60)
        self.connection = context.wrap_socket(connection, server_hostname=parts.hostname)
        assert self.connection.selected_alpn_protocol() == "h2"
        self.rules = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.rules.initiate_connection()
        self.codes, self.goodbye = {}, None
        self.resets, self.received = set(), 0
        self.is_over = False

    def ask(self, target):
        number = self.rules.get_next_available_stream_id()
        head = [(":method", "GET"), (":scheme", "https"), (":authority", "127.0.0.1"), (":path", target)]
        self.rules.send_headers(number, head, end_stream=True)
        return number

    def send(self, data=b""):
        """Send what is to be sent; whoever was hung up on cannot."""
        try:
            self.connection.sendall(self.rules.data_to_send() + data)
        except OSError:
            self.is_over = True

    def take(self):
        """Take what comes next, if anything does."""
        try:
            data = self.connection.recv(65536)
        except OSError:
            data = b""
        self.is_over = self.is_over or not data
        for event in self.rules.receive_data(data):
            if isinstance(event, events.ResponseReceived):
                self.codes[event.stream_id] = dict(event.headers)[":status"]
            elif isinstance(event, events.DataReceived):
                self.received += len(event.data)
            elif isinstance(event, events.StreamReset):
                self.resets.add(event.stream_id)
            elif isinstance(event, events.ConnectionTerminated):
                self.goodbye = int(event.error_code)

    def take_until(self, happened):
        while not happened():
            assert not self.is_over, "it was hung up on before"
            self.take()
            self.send()

    def take_all(self):
        """Take what comes until the site hangs up."""
        while not self.is_over:
            with suppress(ProtocolError):  # frames that were on their way when the site said goodbye
                self.take()


def test_curl_speaks_what_it_can(site, folder):
    """curl is served over HTTP/2 when it wants it and over HTTP/1.1 when not, by the same site and with the same."""
    url, version = site.url(""), ("--write-out", " %{http_version}")
    assert curl(folder, *version, "--http2", f"{url}/") == b"hello 2"
    assert curl(folder, *version, "--http1.1", f"{url}/") == b"hello 1.1"
    refused = curl(folder, "--include", "--request", "DELETE", f"{url}/").lower()
    assert (refused.startswith(b"http/2 405"), b"allow: get, head, options" in refused) == (True, True)
    head = curl(folder, "--head", f"{url}/").lower()
    assert (b"content-length: 5" in head, b"connection:" in head) == (True, False)


def test_bodies_pass_as_they_are(site, folder):
    """Megabytes go in and out unchanged; more than is allowed is 413."""
    url, large = site.url(""), folder / "files" / "large.bin"
    (folder / "body").write_bytes(large.read_bytes()[:3_000_000])
    assert curl(folder, "--data-binary", "@body", f"{url}/echo") == (folder / "body").read_bytes()
    assert curl(folder, f"{url}/files/large.bin") == large.read_bytes()
    assert curl(folder, "--range", "1-4", f"{url}/files/large.bin") == large.read_bytes()[1:5]
    code = ("--output", "answer", "--write-out", "%{http_code}")
    assert curl(folder, *code, "--data-binary", "@files/large.bin", f"{url}/echo") == b"413"
    line = site.wait_for('"status": 413')
    assert '"path": "/echo"' in line


def test_thousands_of_requests_on_a_few_connections(site):
    """h2load gets every answer, with a hundred requests at a time on each connection; nothing of it is left."""
    before = sockets_of(site)
    for arguments in (("-n", "3000", "-c", "5", "-m", "100"), ("-n", "20", "-c", "2", "-m", "10")):
        path = "/" if "3000" in arguments else "/files/large.bin"
        command = ["h2load", *arguments, site.url(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        told = re.search(r"requests: (\d+) total.* (\d+) succeeded, 0 failed, 0 errored, 0 timeout", done.stdout)
        assert told is not None, done.stdout
        assert told[1] == told[2] == arguments[1]
    wait_until(lambda: sockets_of(site) == before)


def sockets_of(site):
    """How many sockets a process has."""
    folder = f"/proc/{site.process.pid}/fd"
    return sum(is_socket(f"{folder}/{number}") for number in os.listdir(folder))


def is_socket(path):
    try:
        return os.readlink(path).startswith("socket:")
    except FileNotFoundError:
        return False  # closed meanwhile


def test_who_opens_no_window_costs_neither_memory_nor_time(site):
    """Clients that ask for much, and take nothing of it, are given up after a while, and cost little until then."""
    url, before = site.url(""), sockets_of(site)
    memory, spent = memory_of(site), time_of(site)
    clients = [Client(url) for _ in range(5)]
    for client in clients:
        client.rules.update_settings({4: 1})
        for _ in range(20):
            client.ask("/files/large.bin")
        client.send()
    for client in clients:
        client.take_until(lambda client=client: len(client.resets) == 20)
        client.connection.close()
    wait_until(lambda: sockets_of(site) == before)
    assert memory_of(site) - memory < 30_000_000, "100 responses of 40 MB"
    assert time_of(site) - spent < 3


def test_who_opens_a_wide_window_and_reads_nothing_costs_no_memory(site):
    """A client that promises to take everything, and then does not read, is cut; the file is not read ahead for it."""
    memory, before = memory_of(site), sockets_of(site)
    client = Client(site.url(""))
    client.rules.update_settings({4: 2**31 - 1})
    client.rules.increment_flow_control_window(2**31 - 1 - 65535)
    for _ in range(20):
        client.ask("/files/large.bin")
    client.send()
    wait_until(lambda: sockets_of(site) == before + 1)
    wait_until(lambda: sockets_of(site) == before, timeout=60)
    assert memory_of(site) - memory < 30_000_000, "20 responses of 40 MB"
    client.connection.close()


def test_who_reads_slowly_is_heard_all_the_same(site):
    """While a client takes a large response as slowly as it likes, what else it asks for is not left for later."""
    client = Client(site.url(""))
    client.rules.update_settings({4: 2**31 - 1})
    client.rules.increment_flow_control_window(2**31 - 1 - 65535)
    client.ask("/files/large.bin")
    client.send()
    client.take_until(lambda: client.received > 100_000)
    other = client.ask("/")
    client.send()
    client.take_until(lambda: other in client.codes)
    assert client.received < LARGE / 2
    client.connection.close()


def memory_of(site):
    """The most bytes that a process has had."""
    with open(f"/proc/{site.process.pid}/status") as status:
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status.read())[1])


def time_of(site):
    """Seconds that a process has spent."""
    with open(f"/proc/{site.process.pid}/stat") as stat:
        user, system = stat.read().rsplit(") ")[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def test_floods_end_the_connection_and_harm_nobody(site, folder):
    """Who takes back requests without end, or sends pings without end, is told to calm down; others are served."""
    taking_back = Client(site.url(""))
    for _ in range(2000):
        taking_back.rules.reset_stream(taking_back.ask("/waiting"))
    taking_back.send()
    pinging = Client(site.url(""))
    pinging.send(PingFrame(0, b"12345678").serialize() * 5000)
    for client in (taking_back, pinging):
        client.take_all()
        assert client.goodbye == CALM
    assert "a request waits" not in site.log
    assert curl(folder, f"{site.url('')}/") == b"hello"


def test_a_client_that_leaves_cancels_its_request(site):
    """When a request is taken back its pipeline ends, and the log has a line for it; the connection goes on."""
    client = Client(site.url(""))
    number = client.ask("/waiting")
    client.send()
    site.wait_for("a request waits")
    client.rules.reset_stream(number)
    other = client.ask("/")
    client.send()
    client.take_until(lambda: other in client.codes)
    assert '"status": 499' in site.wait_for('"path": "/waiting"')
    client.connection.close()


def test_who_is_hung_up_on_need_not_wait_for_it(site):
    """A connection that has ended is closed at once and in peace: nobody has to cut it off."""
    url = site.url("")
    clients = [Client(url) for _ in range(3)]
    began = time.monotonic()
    for client in clients:
        client.rules.close_connection()
        client.send()
        client.take_all()
    assert time.monotonic() - began < 2, "seconds, after which it would be cut off"


def test_who_says_goodbye_is_answered(site):
    """A client may say with its last request that it has no other one."""
    client = Client(site.url(""))
    number = client.ask("/waiting")
    client.send(GoAwayFrame(0).serialize())
    client.take_until(lambda: number in client.codes)
    client.take_all()
    assert (client.codes[number], client.received) == ("200", 4)


def test_a_stop_lets_requests_end_and_tells_clients(site):
    """On SIGTERM clients are told to begin nothing more, what is running is answered, then the process ends."""
    idle, waiting = Client(site.url("")), Client(site.url(""))
    for client in (idle, waiting):
        first = client.ask("/")
        client.send()
        client.take_until(lambda client=client, first=first: first in client.codes)
    waiting.ask("/waiting")
    waiting.send()
    site.wait_for("a request waits")
    site.process.terminate()
    idle.take_all()
    # Not with h2, for which a client that was told goodbye has nothing more to hear.
    data = b"".join(iter(lambda: waiting.connection.recv(65536), b""))
    assert (idle.goodbye, data.endswith(b"late")) == (0, True)
    assert site.ended() == 0


@pytest.mark.parametrize(("option", "version"), [("http2: true", b"2"), ("http2: false", b"1.1")])
def test_a_site_may_insist(folder, option, version):
    """`http2` says whether it is spoken."""
    (folder / "other.yaml").write_text(SITE.replace("send_timeout: 2", option))
    with Running("other.yaml", cwd=folder) as running:
        answer = curl(folder, "--output", "answer", "--write-out", "%{http_version}", running.url("/"))
    assert answer == version


def test_without_the_package_it_is_http_1(folder, tmp_path, monkeypatch):
    """Where h2 is not installed sites speak HTTP/1.1, and one that insists is told what to install."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['h2'] = None  # as if it were not there\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Running("site.yaml", cwd=folder) as running:
        answer = curl(folder, "--output", "answer", "--write-out", "%{http_version}", running.url("/"))
    assert answer == b"1.1"
    (folder / "insists.yaml").write_text(SITE.replace("send_timeout: 2", "http2: true"))
    checked = piped("check", "insists.yaml", cwd=folder)
    assert checked.returncode == 78
    assert "HTTP/2 needs the package h2" in checked.stdout + checked.stderr
    assert "pip install 'piped[http2]'" in checked.stdout + checked.stderr
