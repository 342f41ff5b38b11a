"""Leaders: of several processes one works at a time, whatever becomes of them, of the network and of the ensemble."""

import os
import signal
from contextlib import ExitStack

import pytest
from commands import Running, wait_until
from kazoo.client import KazooClient
from servers import zookeeper as zookeeper_server
from servers.proxy import Proxy

CONFIGURATION = """
zookeeper:
  clients:
    main:
      servers: ${SERVERS}
      session_timeout: 2
  leaders:
    work: {client: main, path: /leaders/work, identifier: "${WORKER}"}
ticks:
  interval:
    work: {interval: 0.02, processor: work}
pipelines:
  work:
    - require-leadership: {leader: work, output_path: token}
    - note
"""
#: Each tick writes at its begin and its end when that was by the clock of the machine, who it was, and the token.
BUNDLE = """
import os
import time
from twisted.internet import reactor
from twisted.internet.task import deferLater
from piped import processor

FILE = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def write(what, baton):
    line = f"{time.monotonic_ns()} {os.environ['WORKER']} {what} {baton['token']}\\n"
    os.write(FILE, line.encode())

@processor("note")
async def note(baton):
    write("begin", baton)
    await deferLater(reactor, 0.01)
    write("end", baton)
"""


class Workers:
    """Processes that all want to lead, each with a network of its own, and what they have noted."""

    def __init__(self, tmp_path, ensemble, monkeypatch, stack):
        self.folder, self.ensemble, self.monkeypatch, self.stack = tmp_path, ensemble, monkeypatch, stack
        self.notes = tmp_path / "notes"
        (tmp_path / "bundle").mkdir()
        (tmp_path / "bundle" / "__init__.py").write_text("")
        (tmp_path / "bundle" / "noting.py").write_text(BUNDLE)
        (tmp_path / "site.yml").write_text("plugins: {bundles: {mine: [bundle]}}\n" + CONFIGURATION)
        self.networks, self.running = {}, {}

    def start(self, name):
        proxies = [self.stack.enter_context(Proxy(member.port)) for member in self.ensemble.members]
        self.networks[name] = proxies
        self.monkeypatch.setenv("SERVERS", ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies))
        self.monkeypatch.setenv("WORKER", name)
        self.monkeypatch.setenv("NOTES", str(self.notes))
        self.running[name] = self.stack.enter_context(Running("site.yml", cwd=self.folder, ready="is connected"))

    def hold(self, name):
        for proxy in self.networks[name]:
            proxy.hold()

    def go_on(self, name):
        for proxy in self.networks[name]:
            proxy.go_on()

    def noted(self):
        """What was noted, in the order of time: who, begin or end, and the token."""
        lines = [line.split() for line in self.notes.read_text().splitlines()] if self.notes.exists() else []
        return [(name, what, int(token)) for _, name, what, token in sorted(lines, key=lambda line: int(line[0]))]

    def next_leader(self, than=None):
        """Who leads, once that is somebody else and it has done something."""
        wait_until(lambda: self.noted() and self.noted()[-1][0] != than)
        return self.noted()[-1][0]


@pytest.fixture
def workers(tmp_path, monkeypatch):
    if not zookeeper_server.is_installed():
        pytest.skip("ZOOKEEPER IS NOT INSTALLED (apt install zookeeper): no leader is elected by a real ensemble")
    with ExitStack() as stack:
        ensemble = stack.enter_context(zookeeper_server.ZooKeeper(tmp_path / "ensemble", members=3))
        yield Workers(tmp_path, ensemble, monkeypatch, stack)


def test_of_three_processes_one_works_at_a_time(workers):
    """Networks held, members and processes killed or frozen: one leads after the other, never two at a time."""
    for name in "abc":
        workers.start(name)
    first = workers.next_leader()
    workers.hold(first)
    second = workers.next_leader(than=first)
    workers.go_on(first)
    workers.running[second].process.send_signal(signal.SIGKILL)
    third = workers.next_leader(than=second)
    # Another one, or the same again: it keeps its place if the session goes on.
    count = len(workers.noted())
    killed = workers.ensemble.leader
    killed.kill()
    wait_until(lambda: len(workers.noted()) > count + 10)
    killed.start()
    third = workers.next_leader()
    assert workers.running[third].stop() == 0  # who stops gives way at once
    last = workers.next_leader(than=third)
    assert len({first, second, third, last}) >= 3

    noted = workers.noted()
    tokens = [token for _, _, token in noted]
    assert tokens == sorted(tokens), "somebody has worked after a later one had begun"
    owners = {token: {name for name, _, each in noted if each == token} for token in set(tokens)}
    assert all(len(names) == 1 for names in owners.values()), owners


def test_a_process_that_was_frozen_finds_out_before_it_goes_on(workers):
    """A process that stood still for longer than its session does nothing with the old token when it wakes."""
    for name in "ab":
        workers.start(name)
    first = workers.next_leader()
    pid = workers.running[first].process.pid
    os.kill(pid, signal.SIGSTOP)
    second = workers.next_leader(than=first)
    count = len(workers.noted())
    os.kill(pid, signal.SIGCONT)
    workers.running[first].wait_for("is held by this process no more")
    wait_until(lambda: len(workers.noted()) > count + 20)
    after = [(name, what) for name, what, _ in workers.noted()[count:]]
    # What had begun before ends; nothing begins.
    assert [what for name, what in after if name == first and what == "begin"] == []
    assert {name for name, what in after if what == "begin"} == {second}


def test_it_queues_up_with_the_elections_of_kazoo(workers):
    """A lock that a program of kazoo holds is not held here, and the other way round."""
    servers = workers.ensemble.servers
    kazoo = KazooClient(servers)
    kazoo.start()
    try:
        lock = kazoo.Lock("/leaders/work", "a program")
        lock.acquire()
        workers.start("a")
        wait_until(lambda: len(lock.contenders()) == 2)
        assert lock.contenders() == ["a program", "a"]
        assert workers.noted() == []
        lock.release()
        assert workers.next_leader() == "a"
        assert not kazoo.Lock("/leaders/work").acquire(blocking=False)
    finally:
        kazoo.stop()
        kazoo.close()
