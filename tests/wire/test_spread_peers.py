"""Perspective Broker on real sockets, with programs that know nothing but twisted.spread."""

from __future__ import annotations

import ast
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from commands import EXAMPLES, Running, piped, wait_until
from web_servers import certificates

PEER = Path(__file__).with_name("spread_peer.py")
CHECKER = "{name: twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse, arguments: {ada: enchantress}}"

SERVER = """
pb:
  servers:
    main: {listen: "LISTEN", processor: answer, CHECKER default_callback: nobody}
pipelines:
  answer:
    - eval-lambda:
        lambda: "baton: {'echo': baton['args'], 'fail': 1 / 0 if baton['message'] == 'fail' else 0, **baton['kwargs']}"
        output_path: result
    - callback-deferred
"""

#: The tutorial: a site that asks a server.
CLIENT = """
web:
  site:
    port: 0
    routing: {__config__: {processor: ask}}
pb:
  clients:
    other: {endpoint: "ENDPOINT", LOGIN}
pipelines:
  ask:
    - set-value: {path: kwargs, value: {name: Ada}}
    - pb-call-remote: {client: other, name: METHOD, kwargs_path: kwargs, output_path: content}
    - write-web-response
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def call(endpoint, *calls, login="-"):
    """What calls of a bare client come to."""
    command = [sys.executable, PEER, "call", endpoint, login, repr(list(calls))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [ast.literal_eval(line) for line in done.stdout.splitlines()]


@contextmanager
def serving(*arguments):
    """A bare server, in a process of its own."""
    command = [sys.executable, PEER, "serve", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout.readline() == "serving\n"
            yield process
        finally:
            process.kill()


def server(folder, listen="tcp:0:interface=127.0.0.1", checker=""):
    """A server of ours that runs."""
    text = SERVER.replace("LISTEN", str(listen)).replace("CHECKER", f"checker: {checker}," if checker else "")
    (folder / "site.yaml").write_text(text)
    return Running("site.yaml", cwd=folder)


def client(folder, endpoint, method="greet", login="username: null"):
    """A site of ours that runs, and asks a server for what it answers."""
    text = CLIENT.replace("ENDPOINT", endpoint).replace("METHOD", method).replace("LOGIN", login)
    (folder / "site.yaml").write_text(text)
    return Running("site.yaml", cwd=folder, ready="listens on http")


def port_of(running):
    return int(running.wait_for("listens on pb://").rsplit(":", 1)[1])


VALUES = ["Grüße ☃", b"\xff\x00", 2**70, -1, 1.5, None, True, [1, ("two", {3})], {"four": {b"5": 6}}]


def test_a_bare_client_calls_a_server(tmp_path):
    """Texts, bytes and the rest come back unharmed; a failure comes with type and text, and the server goes on."""
    with server(tmp_path) as running:
        endpoint = f"tcp:127.0.0.1:{port_of(running)}"
        outcomes = call(endpoint, ("x", VALUES, {"when": b"now"}), ("fail", [], {}), ("x", [], {}))
        assert outcomes == [
            ("answer", {"echo": VALUES, "fail": 0, "when": b"now"}),
            ("failure", "builtins.ZeroDivisionError", "division by zero"),
            ("answer", {"echo": [], "fail": 0}),
        ]
        assert running.stop() == 0


def test_a_bare_client_logs_in(tmp_path):
    """Who is written in the configuration may call, others may not; the log has both, and no password."""
    with server(tmp_path, checker=CHECKER) as running:
        endpoint = f"tcp:127.0.0.1:{port_of(running)}"
        assert call(endpoint, ("x", [1], {}), login="ada:enchantress") == [("answer", {"echo": [1], "fail": 0})]
        refused = ("login failed", "twisted.cred.error.UnauthorizedLogin", "the login was refused")
        assert call(endpoint, ("x", [1], {}), login="ada:wr0ng") == [refused]
        [failed] = call(endpoint, ("x", [1], {}))
        assert failed[:2] == ("failure", "twisted.spread.flavors.NoSuchMethod")
        running.wait_for("'ada' has logged in from 127.0.0.1")
        running.wait_for("refuses the login of 'ada' from 127.0.0.1")
        assert "wr0ng" not in running.log


def test_a_pipeline_calls_a_bare_server(tmp_path):
    """The site of the tutorial answers with what the server says."""
    port = free_port()
    with serving(f"tcp:{port}:interface=127.0.0.1"), client(tmp_path, f"tcp:127.0.0.1:{port}") as running:
        running.wait_for("ready")
        assert running.get().body == "Hello Ada from the PB server."
        assert running.stop() == 0


def test_a_pipeline_logs_in_at_a_bare_server(tmp_path):
    """With username and password, the perspective is what is called."""
    port, login = free_port(), "username: ada, password: enchantress"
    with (
        serving(f"tcp:{port}:interface=127.0.0.1", "ada", "enchantress"),
        client(tmp_path, f"tcp:127.0.0.1:{port}", login=login) as running,
    ):
        running.wait_for("ready")
        assert running.get().body == "Hello Ada from the PB server."


def test_it_recovers_by_itself_when_the_server_is_back(tmp_path):
    """Without the server the site says Processing Failed; when it comes, goes and comes again, it is used again."""
    port = free_port()
    with client(tmp_path, f"tcp:127.0.0.1:{port}") as running:
        running.wait_for("pb.client.other cannot connect")
        answer = running.get()
        assert (answer.code, "Processing Failed" in answer.body) == (503, True)
        for _ in range(2):
            with serving(f"tcp:{port}:interface=127.0.0.1"):
                wait_until(lambda: running.get().code == 200, timeout=60)
            wait_until(lambda: running.get().code == 503)
        assert running.log.count("has lost its connection") == 2


def test_a_call_fails_at_once_when_the_server_dies(tmp_path):
    """Who waits for an answer hears of the end of the server, and does not wait for ever."""
    port = free_port()
    with (
        serving(f"tcp:{port}:interface=127.0.0.1") as process,
        client(tmp_path, f"tcp:127.0.0.1:{port}", method="never") as running,
    ):
        running.wait_for("ready")
        with socket.create_connection(("127.0.0.1", int(running.url().split(":")[2].strip("/")))) as asking:
            asking.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert process.stdout.readline() == "called\n"
            process.kill()
            asking.settimeout(30)
            assert b" 500 " in asking.recv(100)
        assert "LinkLost: pb.client.other has lost its connection" in running.wait_for("failed for")


def test_both_sides_speak_tls(tmp_path):
    """A server with a certificate is called by clients that trust it, and by no other."""
    (tmp_path / "trusted").mkdir()
    (tmp_path / "others").mkdir()
    authority, _ = certificates(tmp_path, "127.0.0.1")
    other, _ = certificates(tmp_path, "localhost")
    authority.rename(tmp_path / "trusted" / "ca.pem")
    other.rename(tmp_path / "others" / "ca.pem")
    pem = tmp_path / "127.0.0.1.pem"
    with server(tmp_path, f"ssl:0:privateKey={pem}:certKey={pem}:interface=127.0.0.1", CHECKER) as running:
        port = port_of(running)
        bare = f"tls:127.0.0.1:{port}:trustRoots={tmp_path / 'trusted'}"
        assert call(bare, ("x", [b"\xff" * 20_000], {}), login="ada:enchantress") == [
            ("answer", {"echo": [b"\xff" * 20_000], "fail": 0})
        ]
        login = "username: ada, password: enchantress"
        (tmp_path / "site").mkdir()
        with client(tmp_path / "site", bare, login=login) as asking:
            asking.wait_for("ready")
            assert asking.get().code == 200
            assert asking.stop() == 0
        with client(tmp_path / "site", bare.replace("trusted", "others"), login=login) as asking:
            asking.wait_for("certificate verify failed")
            assert asking.get().code == 503
        assert running.stop() == 0


def test_a_port_in_use_is_told_with_its_place(tmp_path):
    """The start fails with file, line and column of the place to listen."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = SERVER.replace("LISTEN", f"tcp:{port}:interface=127.0.0.1").replace("CHECKER", "")
        (tmp_path / "site.yaml").write_text(text)
        done = piped("run", "site.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert f"site.yaml:4:20: pb.server.main cannot listen on port {port}: address already in use" in done.stderr


def test_the_example_does_what_it_says(tmp_path):
    """The site of examples/perspective_broker.yaml asks a server in the same process, with a login."""
    ports = ("-O", "web.site.port:0", "-O", "pb.servers.greeter.listen:PORT")
    port = str(free_port())
    options = [each.replace("PORT", port) for each in ports]
    options += ["-O", f"pb.clients.greeter.endpoint:tcp:127.0.0.1:{port}"]
    with Running(EXAMPLES / "perspective_broker.yaml", *options, cwd=tmp_path, ready="listens on http") as running:
        wait_until(lambda: running.get().code == 200, timeout=60)
        assert running.get("/?name=Ada").body == "Hello, Ada! You are front.\n"
        assert call(f"tcp:127.0.0.1:{port}", ("greet", [], {}), login="front:open sesame") == [
            ("failure", "builtins.LookupError", "greet needs a name")
        ]
        assert running.stop() == 0
