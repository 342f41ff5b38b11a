"""Metrics reach a server: a UDP socket on loopback."""

import socket
import time

import pytest
from commands import EXAMPLES, Running


@pytest.fixture
def server():
    """A server of statsd, that only listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(30)
        yield server


def received(server, *texts):
    """All that came until each of some texts was in it."""
    came = ""
    deadline = time.monotonic() + 30
    while not all(text in came for text in texts):
        assert time.monotonic() < deadline, came
        came += server.recv(65535).decode() + "\n"
    return came


def test_a_service_counts_and_reports(server, tmp_path):
    """Counters of its pipelines and gauges of its process, by a name that has to be looked up."""
    port = server.getsockname()[1]
    overrides = [f"statsd.default.port:{port}", "metrics.interval:0.2", "ticks.interval.orders.interval:0.1"]
    options = [option for override in overrides for option in ("-O", override)]
    with Running(EXAMPLES / "metrics.yaml", *options, cwd=tmp_path) as service:
        came = received(server, "orders:1|c", "example.memory.rss:", "example.sources.ticks.interval.orders.open:")
        assert service.stop() == 0
    assert all(line.count("|") >= 1 for line in came.split())
    assert "|g|#service:example" in came


def test_what_was_counted_last_is_sent_at_the_stop(server, tmp_path):
    """A batch that runs for a moment reports as well."""
    (tmp_path / "site.yaml").write_text(
        f"""
statsd: {{default: {{host: 127.0.0.1, port: {server.getsockname()[1]}}}}}
system-events: {{shutdown: {{end: end}}}}
pipelines:
  end:
  - call-dependency: {{dependency: statsd.default, method: set, arguments: [users, ada], unpack_arguments: true}}
"""
    )
    with Running("site.yaml", cwd=tmp_path) as service:
        assert service.stop() == 0
    assert received(server, "users") == "users:ada|s\n"


def test_a_name_server_that_does_not_answer_keeps_nobody_from_stopping(tmp_path):
    """A look-up that hangs is left behind."""
    (tmp_path / "hanging.py").write_text(
        """
import logging
import socket
import time

def getaddrinfo(*arguments):
    logging.warning("looking up")
    time.sleep(600)

socket.getaddrinfo = getaddrinfo
"""
    )
    (tmp_path / "site.yaml").write_text(
        "statsd: {default: {host: metrics.example}}\nplugins: {bundles: {mine: [hanging]}}\n"
    )
    with Running("site.yaml", cwd=tmp_path) as service:
        service.wait_for("looking up")
        assert service.stop() == 0


def test_a_server_that_is_not_there_disturbs_nobody(tmp_path):
    """One warning, and the service runs and stops."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    overrides = ["-O", f"statsd.default.port:{port}", "-O", "metrics.interval:0.1"]
    with Running(EXAMPLES / "metrics.yaml", *overrides, cwd=tmp_path) as service:
        service.wait_for(f"nobody listens on 127.0.0.1:{port}")
        assert service.stop() == 0
    assert service.log.count("nobody listens") == 1
