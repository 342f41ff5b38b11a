"""What a message costs with Piped, and with its peers, at one RabbitMQ: CPU time of the process that takes it.

    python bench/amqp.py                             everything, which takes about ten minutes
    python bench/amqp.py consume --only piped,pika-twisted --rounds 5

Needs RabbitMQ, which Debian has as rabbitmq-server: one is started in a folder of its own.

Each round, each peer is a new process at queues that were filled before; it measures itself, from its first message to
its last, so that neither its start nor the filling counts. All have 200 messages at most on their way and acknowledge
each one; confirmed means that it is acknowledged only after the broker has confirmed what became of it. Told
are medians, and how they compare with pika on Twisted, round by round: in parentheses the inner half of the rounds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pika
import psutil
from children import PIPED

sys.path.append(str(Path(__file__).parents[1]))  # for the servers that the tests start as well

from servers.rabbitmq import RabbitMQ

HERE = Path(__file__).parent / "amqp_peers"
PEERS = {
    "piped": PIPED,
    "pika-twisted": HERE / "on_pika_twisted.py",
    "pika-blocking": HERE / "on_pika_blocking.py",
    "aio-pika": HERE / "on_aio_pika.py",
    "faststream": HERE / "on_faststream.py",
}
#: What the others are measured by.
MEASURE = "pika-twisted"
#: Longer than any peer takes for its turn.
PATIENCE = 300


@dataclass(frozen=True)
class Scenario:
    """What is done with each message, how many there are, and what Piped may spend of what `MEASURE` does."""

    title: str
    does: str
    count: int
    size: int = 12
    bar: float | None = None


SCENARIOS = {
    "consume": Scenario("three steps, 12 bytes", "consume", 30_000, bar=1.5),
    "consume-4k": Scenario("three steps, 4 KiB", "consume", 30_000, 4096, bar=1.5),
    "forward": Scenario("published on, confirmed", "forward", 10_000),
    "serve": Scenario("calls answered", "serve", 10_000),
    "call": Scenario("calls made", "call", 10_000),
}


class Bench:
    """A broker, and the queues that the peers work at."""

    def __init__(self, broker: RabbitMQ) -> None:
        self.port = broker.port
        self._connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.port, heartbeat=0))
        self.channel = self._connection.channel()

    def fill(self, count: int, size: int, **arguments: str) -> None:
        """Have so many messages wait in the queue `in`, and none in `out`."""
        for queue in ("in", "out", "echo"):
            self.channel.queue_delete(queue)
            self.channel.queue_declare(queue, durable=True, arguments=arguments)
        body = b"x" * size
        for number in range(count):
            properties = pika.BasicProperties(delivery_mode=2, reply_to="out", correlation_id=str(number))
            self.channel.basic_publish("", "in", body, properties)
        while self.waiting("in") < count:
            time.sleep(0.05)  # the broker tells of it only when it is asked

    def waiting(self, queue: str) -> int:
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    @contextmanager
    def peer(self, name: str, does: str, count: int) -> Iterator[subprocess.Popen[str]]:
        """A peer that has begun its work; it prints what a message has cost when it has done them all."""
        environ = os.environ | {"PORT": str(self.port), "SCENARIO": does, "COUNT": str(count)}
        if name == "piped":
            site = HERE / ("calls.yaml" if does == "call" else "site.yaml")
            command = [str(PIPED), "run", "--log-level", "warning", str(site)]
        else:
            command = [sys.executable, str(PEERS[name]), does, str(self.port), str(count)]
        # The one that echoes is ended in the midst of its work, of which it would complain.
        stderr = subprocess.DEVNULL if does == "echo" else None
        with subprocess.Popen(
            command, cwd=HERE, env=environ, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process:
            try:
                yield process
                if name != "piped" and does != "echo":  # these end by themselves, and complain if they are ended
                    process.wait(PATIENCE)
            finally:
                process.terminate()

    def cost(self, name: str, scenario: Scenario) -> float:
        """Microseconds of CPU time for each message."""
        self.fill(0 if scenario.does == "call" else scenario.count, scenario.size)
        with self.peer(name, scenario.does, scenario.count) as process:
            if scenario.does == "call":
                with self.peer("pika-twisted", "echo", 0):
                    spent = _said(process)
            else:
                spent = _said(process)
            if scenario.does in {"forward", "serve"}:
                self._wait_for_all(name, scenario.count)
        return spent

    def _wait_for_all(self, name: str, count: int) -> None:
        deadline = time.monotonic() + 10
        while (sent := self.waiting("out")) < count:
            if time.monotonic() > deadline:
                raise SystemExit(f"{name} has sent {sent} of {count} messages on")
            time.sleep(0.05)  # as above

    def memory(self, count: int) -> None:
        """Print what Piped takes while very many messages wait."""
        self.fill(count, 12, **{"x-queue-mode": "lazy"})
        with self.peer("piped", "consume", count) as process:
            watched, sizes = psutil.Process(process.pid), []
            while (waiting := self.waiting("in")) > count // 10:
                if waiting < count * 0.95:
                    sizes.append(watched.memory_info().rss / 1e6)
                time.sleep(0.5)  # between two looks
        print(f"{count:,} messages waiting: {min(sizes):.0f} MB at least, {max(sizes):.0f} MB at most", flush=True)


def _said(process: subprocess.Popen[str]) -> float:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{process.args!r} ended with {process.wait(PATIENCE)}")
    return float(line)


def measure(bench: Bench, scenario: Scenario, peers: list[str], rounds: int) -> None:
    costs: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name in peers:
            costs[name].append(bench.cost(name, scenario))
    for name, mine in costs.items():
        beside = ""
        if MEASURE in costs:
            ratios = sorted(one / other for one, other in zip(mine, costs[MEASURE], strict=True))
            beyond = len(ratios) // 4
            beside = f"x {median(ratios):.2f} ({ratios[beyond]:.2f}-{ratios[-1 - beyond]:.2f})"
        print(f"{scenario.title:24} {name:14} {median(mine):8.1f} us {beside:>20}", flush=True)
        if name == "piped" and scenario.bar is not None and beside:
            verdict = "met" if median(ratios) <= scenario.bar else "NOT MET"
            print(f"{scenario.title:24} bar: at most {scenario.bar:.2f} of {MEASURE}: {verdict}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", help=f"some of {', '.join(SCENARIOS)}, memory; all if left out")
    parser.add_argument("--only", default=",".join(PEERS), help="some of %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="in which all take turns (%(default)s)")
    parser.add_argument("--waiting", type=int, default=1_000_000, help="messages in `memory` (%(default)s)")
    options = parser.parse_args()
    chosen, peers = options.scenarios or [*SCENARIOS, "memory"], options.only.split(",")
    if unknown := {*peers} - PEERS.keys() | {*chosen} - {*SCENARIOS, "memory"}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        broker = RabbitMQ(Path(folder))
        broker.start()
        try:
            bench = Bench(broker)
            for name in chosen:
                if name == "memory":
                    bench.memory(options.waiting)
                else:
                    measure(bench, SCENARIOS[name], peers, options.rounds)
        finally:
            broker.kill()


if __name__ == "__main__":
    main()
