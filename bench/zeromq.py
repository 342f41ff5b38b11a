"""What a ZeroMQ message costs beside a bare asyncio loop of pyzmq that does nothing with it; and whether any is lost.

    python bench/zeromq.py                        five rounds in turns, then a million messages through two queues
    python bench/zeromq.py --rounds 15 --through 0

Each server is one process on uvloop, told are medians of its CPU time (its I/O thread included) for each message that
another process pushes over TCP. Piped takes it through a pipeline of two steps; the bare loop counts it. Then messages
go through a pipeline from one queue to another, whose receiver stops reading now and then: a high-water mark of 100
everywhere lets each sender wait, and every message has to arrive, once and in order.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil
import zmq

BAR = 0.6
MESSAGES = 100_000
THROUGH = 1_000_000
HIGH_WATER = 100

COUNTING = """\
total = 0

def count(message):
    global total
    total += 1
    return message
"""
SITE = """\
zmq:
  queues:
    jobs: {type: PULL, binds: ["tcp://127.0.0.1:JOBS"], processor: count}
    counted: {type: REP, binds: ["tcp://127.0.0.1:OTHER"], processor: tell}
pipelines:
  count:
    - eval-lambda: {lambda: "message: int(message)"}
    - eval-lambda: {lambda: "number: count(number)", namespace: {count: counting.count}}
  tell:
    - eval-lambda: {lambda: "message: counting.total", namespace: {counting: counting}, output_path: reply}
"""
PASSING = """\
zmq:
  queues:
    jobs:
      type: PULL
      sockopts: [{key: HWM, value: 100}]
      binds: ["tcp://127.0.0.1:JOBS"]
      processor: pass
    results:
      type: PUSH
      sockopts: [{key: HWM, value: 100}]
      binds: ["tcp://127.0.0.1:OTHER"]
pipelines:
  pass:
    - eval-lambda: {lambda: "message: int(message)"}
    - send-zmq-message: {queue_name: results}
"""
BARE = """\
import asyncio, uvloop, zmq, zmq.asyncio

async def main():
    context, count = zmq.asyncio.Context(), 0
    jobs, counted = context.socket(zmq.PULL), context.socket(zmq.REP)
    jobs.bind("tcp://127.0.0.1:JOBS")
    counted.bind("tcp://127.0.0.1:OTHER")

    async def tell():
        while True:
            await counted.recv()
            await counted.send_string(str(count))

    telling = asyncio.ensure_future(tell())
    while True:
        await jobs.recv()
        count += 1

uvloop.run(main())
"""
PUSHING = """\
import sys, zmq
context = zmq.Context()
jobs = context.socket(zmq.PUSH)
jobs.sndhwm = 100
jobs.connect("tcp://127.0.0.1:JOBS")
for number in range(int(sys.argv[1])):
    jobs.send(b"%d" % number)
context.destroy(linger=-1)
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Addresses:
    """Two ports of loopback, and texts in which they take the place of JOBS and OTHER."""

    def __init__(self) -> None:
        self.jobs, self.other = free_port(), free_port()

    def text(self, template: str) -> str:
        return template.replace("JOBS", str(self.jobs)).replace("OTHER", str(self.other))

    def pushing(self, messages: int) -> list[str]:
        """The command that pushes that many messages."""
        return [sys.executable, "-c", self.text(PUSHING), str(messages)]


class Server:
    """One server in a process of its own."""

    def __init__(self, folder: Path, text: str, *command: object) -> None:
        self._addresses = Addresses()
        file = folder / f"served-{self._addresses.jobs}"
        file.write_text(self._addresses.text(text))
        self._process = subprocess.Popen([sys.executable, *map(str, command), file], stderr=subprocess.DEVNULL)
        self._context = zmq.Context()
        self._counted = self._context.socket(zmq.REQ)
        self._counted.connect(f"tcp://127.0.0.1:{self._addresses.other}")
        self._measured = 0
        self.cost(MESSAGES // 10)

    def cost(self, messages: int = MESSAGES) -> float:
        """Microseconds of CPU time for each message."""
        before = self._spent()
        with subprocess.Popen(self._addresses.pushing(messages)):
            self._measured += messages
            while self._count() < self._measured:
                time.sleep(0.02)
        return (self._spent() - before) / messages * 1e6

    def _count(self) -> int:
        self._counted.send(b"")
        return int(self._counted.recv())

    def _spent(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def stop(self) -> None:
        self._context.destroy(linger=0)
        self._process.terminate()
        self._process.wait()


def compare(folder: Path, rounds: int) -> None:
    """Let both servers take messages, in turns."""
    (folder / "counting.py").write_text(COUNTING)
    servers = [Server(folder, SITE, "-m", "piped", "run"), Server(folder, BARE)]
    try:
        costs = [[server.cost() for server in servers] for _ in range(rounds)]
    finally:
        for server in servers:
            server.stop()
    piped, bare = (median(each) for each in zip(*costs, strict=True))
    ratio = median(other / own for own, other in costs)
    print(f"piped {piped:6.1f} us a message, through two steps")
    print(f"bare  {bare:6.1f} us a message, which it forgets")
    print(f"rate of piped beside bare: x {ratio:.2f} (bar {BAR})", flush=True)
    if ratio < BAR:
        raise SystemExit("a message costs too much")


def pass_through(folder: Path, messages: int) -> None:
    """Let messages through a server whose receiver stops reading now and then, and count them."""
    addresses, file = Addresses(), folder / "passing.yaml"
    file.write_text(addresses.text(PASSING))
    server = subprocess.Popen([sys.executable, "-m", "piped", "run", file], stderr=subprocess.DEVNULL)
    context = zmq.Context()
    results = context.socket(zmq.PULL)
    results.rcvhwm = HIGH_WATER
    results.rcvtimeo = 60_000
    results.connect(f"tcp://127.0.0.1:{addresses.other}")
    began, most = time.monotonic(), 0
    try:
        with subprocess.Popen(addresses.pushing(messages)):
            for number in range(messages):
                if number % (messages // 4 or 1) == 0:
                    time.sleep(1)  # everybody before has to wait
                    most = max(most, psutil.Process(server.pid).memory_info().rss)
                if (came := int(results.recv())) != number:
                    raise SystemExit(f"{number} was expected, and {came} came")
    finally:
        context.destroy(linger=0)
        server.terminate()
        server.wait()
    took = time.monotonic() - began
    print(f"0 of {messages:,} messages lost in {took:.0f} s, in order, with at most {most / 2**20:.0f} MiB of memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--through", type=int, default=THROUGH, help="how many messages go through two queues")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), arguments.rounds)
    if arguments.through:
        with tempfile.TemporaryDirectory() as folder:
            pass_through(Path(folder), arguments.through)


if __name__ == "__main__":
    main()
