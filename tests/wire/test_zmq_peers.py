"""ZeroMQ on real sockets, with programs that know nothing but pyzmq."""

from __future__ import annotations

import ast
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from commands import EXAMPLES, Running, piped, wait_until

PEERS = Path(__file__).with_name("zmq_peers.py")

SITE = """
zmq:
  queues:
    jobs: {type: PULL, sockopts: [{key: HWM, value: 100}], binds: [JOBS], processor: pass_on}
    inner: {type: PUSH, connects: [inproc://inner]}
    outer: {type: PULL, binds: [inproc://inner], processor: double}
    results: {type: PUSH, sockopts: [{key: HWM, value: 100}], binds: [RESULTS]}
    questions: {type: REP, binds: [QUESTIONS], processor: answer, error_reply: sorry}
    router: {type: XREP, binds: [ROUTER], processor: answer}
    news: {type: SUB, sockopts: [{key: SUBSCRIBE, value: ''}], connects: [NEWS], processor: spread}
    copies: {type: PUB, binds: [COPIES]}
pipelines:
  pass_on:
    - send-zmq-message: {queue_name: inner}
  double:
    - eval-lambda: {lambda: "message: int(message) * 2"}
    - send-zmq-message: {queue_name: results}
  answer:
    - eval-lambda: {lambda: "message: int(message) * 2", input_path: message, output_path: reply}
  spread:
    - send-zmq-message: {queue_name: copies}
"""
NAMES = ("JOBS", "RESULTS", "QUESTIONS", "ROUTER", "NEWS", "COPIES")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Site:
    """A process that was started on a reactor, and its addresses."""

    def __init__(self, folder, reactor="uvloop", transport="tcp", text=SITE):
        self.addresses = {
            name: f"tcp://127.0.0.1:{free_port()}" if transport == "tcp" else f"ipc://{folder}/{name}" for name in NAMES
        }
        for name, address in self.addresses.items():
            text = text.replace(f"[{name}]", f"[{address}]")
        (folder / "site.yaml").write_text(text)
        self.running = Running("-r", reactor, "site.yaml", cwd=folder)
        self.process = psutil.Process(self.running.process.pid)

    def peer(self, verb, name, *arguments):
        return Peer(verb, self.addresses[name], *arguments)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.running.__exit__(*exception)


class Peer:
    """A plain peer in a process of its own, which says lines."""

    def __init__(self, *command):
        self.process = subprocess.Popen(
            [sys.executable, PEERS, *map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.said() == "ready"

    def said(self):
        return self.process.stdout.readline().rstrip("\n")

    def values(self):
        return ast.literal_eval(self.said())

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture(scope="module", params=["uvloop tcp", "asyncio ipc", "epoll tcp"])
def site(request, tmp_path_factory):
    """One process for each reactor, with queues over two transports; and within the process, from one to another."""
    with Site(tmp_path_factory.mktemp("site"), *request.param.split()) as site:
        yield site
        with site.peer("pull", "RESULTS", 10_000) as pull:  # what a peer that was killed has left
            pull.go_on()
            assert site.running.stop() == 0, site.running.log


def test_every_message_of_a_pusher_is_pulled_through_in_order(site):
    """PUSH, PULL, and a queue within the process between two pipelines."""
    with site.peer("pull", "RESULTS", 3000) as pull, site.peer("push", "JOBS", 3000):
        pull.go_on()
        assert pull.values() == [2 * number for number in range(3000)]


def test_every_question_is_answered(site):
    """REQ and REP in lockstep; a pipeline that fails blocks nobody."""
    with site.peer("ask", "QUESTIONS", "1", "what", "3") as ask:
        assert [ask.said() for _ in range(3)] == ["2", "sorry", "6"]


def test_who_asks_without_waiting_is_answered_in_order(site):
    """DEALER and ROUTER, two of them at once."""
    with site.peer("deal", "ROUTER", 500) as one, site.peer("deal", "ROUTER", 500) as two:
        assert one.values() == two.values() == [2 * number for number in range(500)]
    with site.peer("ask", "ROUTER", "21") as ask:
        assert ask.said() == "42"


def test_what_is_published_is_spread(site):
    """PUB and SUB on both sides; no more than the marks hold."""
    with site.peer("subscribe", "COPIES", 50) as subscribe, site.peer("publish", "NEWS", 50):
        assert subscribe.values() == list(range(50))


def test_a_peer_that_was_killed_keeps_nobody_from_going_on(site):
    """One who has asked, one who pushes, and one who pulls; what the dead one had got is lost with it, no more."""
    with site.peer("ask", "QUESTIONS", "1") as ask, site.peer("pull", "RESULTS", 3000) as pull:
        ask.kill()
        with site.peer("push", "JOBS", 3000) as push:
            pull.kill()
            with site.peer("pull", "RESULTS", 1000) as heir:
                heir.go_on()
                came = heir.values()
            push.kill()
    assert came == sorted(set(came))
    with site.peer("ask", "QUESTIONS", "5") as ask:
        assert ask.said() == "10"


def test_a_receiver_that_is_held_for_five_seconds_holds_whoever_sends(tmp_path):
    """Nothing is lost, the memory does not grow, and nobody is busy meanwhile; then all come in order."""
    with (
        Site(tmp_path) as site,
        site.peer("pull", "RESULTS", 50_000) as pull,
        site.peer("push", "JOBS", 50_000) as push,
    ):
        time.sleep(1)  # until all marks are reached
        memory, spent = site.process.memory_info().rss, sum(site.process.cpu_times()[:2])
        time.sleep(5)  # what the promise is about
        assert sum(site.process.cpu_times()[:2]) - spent < 0.5
        assert site.process.memory_info().rss - memory < 5 * 2**20
        pull.go_on()
        assert pull.values() == [2 * number for number in range(50_000)]
        assert push.said() == "done"


SLOW = """
plugins:
  bundles: {here: [slow_step]}
zmq:
  queues:
    jobs: {type: PULL, binds: [JOBS], processor: work}
    results: {type: PUSH, binds: [RESULTS]}
pipelines:
  work:
    - slow
    - send-zmq-message: {queue_name: results}
"""
SLOW_STEP = """
import asyncio
from piped import processor

@processor("slow")
async def slow(baton):
    print("taken", flush=True)
    await asyncio.sleep(1)
"""


def test_a_stop_lets_the_message_that_was_taken_end(tmp_path):
    """Its result is sent before the process has gone."""
    (tmp_path / "slow_step.py").write_text(SLOW_STEP)
    with Site(tmp_path, text=SLOW) as site, site.peer("pull", "RESULTS", 1) as pull:
        with site.peer("push", "JOBS", 1):
            assert site.running.process.stdout.readline() == "taken\n"
            assert site.running.stop() == 0
        pull.go_on()
        assert pull.values() == [0]


def test_an_address_in_use_is_told_at_its_place(tmp_path):
    """The process does not start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        queue = f"a: {{type: PULL, processor: p, binds: ['{address}']}}"
        (tmp_path / "site.yaml").write_text(f"zmq:\n  queues:\n    {queue}\npipelines: {{p: [passthrough]}}")
        done = piped("run", "site.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert f"site.yaml:3:43: zmq.socket.a cannot bind {address}: address already in use" in done.stderr


def test_the_example_makes_jobs_and_tells_of_results(tmp_path, monkeypatch):
    """As its comment says."""
    ports = {name: str(free_port()) for name in ("JOBS", "RESULTS", "QUESTIONS")}
    for name, port in ports.items():
        monkeypatch.setenv(name, port)
    with Running(EXAMPLES / "zmq.yaml", cwd=tmp_path) as running:

        def told():
            with Peer("ask", f"tcp://127.0.0.1:{ports['QUESTIONS']}", "") as ask:
                return json.loads(ask.said())

        wait_until(lambda: told() == {"1": 1, "2": 4, "3": 9, "4": 16, "5": 25})
        assert running.stop() == 0
