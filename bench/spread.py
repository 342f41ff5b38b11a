"""What a call over Perspective Broker costs: CPU time of the server, beside bare twisted.spread doing the same.

    python bench/spread.py              five rounds, in which both take turns
    python bench/spread.py --rounds 15

Each server is one process and answers with what it is sent: Piped through a pipeline, the bare one with a method. A
driver, which is another process and bare twisted.spread, keeps 50 calls on the way on each of four connections. Told
are the medians of the CPU time for each call, and how they compare, round by round.
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

BAR = 1.2
CALLS = 10_000
#: About what a job, an order or an event has.
VALUE = {
    "id": 4711,
    "name": "a job of some kind",
    "is_due": True,
    "tags": ["a", "b", "c"],
    "amount": 12.5,
    "raw": b"\0" * 64,
}

PIPED = """
pb:
  servers:
    echo: {{listen: "tcp:{port}:interface=127.0.0.1", processor: echo}}
pipelines:
  echo:
    - callback-deferred: {{result_path: args.0}}
"""

BARE = """
import sys
try:
    import uvloop, asyncio
    from twisted.internet import asyncioreactor
    asyncioreactor.install(uvloop.new_event_loop())
except ImportError:
    pass
from twisted.internet import reactor
from twisted.spread import pb

class Echo(pb.Root):
    def remote_echo(self, value):
        return value

reactor.listenTCP(int(sys.argv[1]), pb.PBServerFactory(Echo()), interface="127.0.0.1")
reactor.run()
"""

DRIVER = """
import sys
from twisted.internet import defer, reactor, task
from twisted.spread import pb

async def drive(port, count, value):
    factory = pb.PBClientFactory()
    reactor.connectTCP("127.0.0.1", port, factory)
    root = await factory.getRootObject()
    assert await root.callRemote("echo", value) == value

    async def caller():
        for _ in range(count // 50):
            await root.callRemote("echo", value)

    await defer.gatherResults([defer.ensureDeferred(caller()) for _ in range(50)])
    factory.disconnect()

def main(reactor, port, count, value):
    drives = [defer.ensureDeferred(drive(int(port), int(count) // 4, eval(value))) for _ in range(4)]
    return defer.gatherResults(drives)

task.react(main, sys.argv[1:])
"""


class Server:
    """One server in a process of its own."""

    def __init__(self, port: int, *command: object) -> None:
        self.port = port
        self._process = subprocess.Popen([sys.executable, *map(str, command)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if time.monotonic() > deadline:
                raise SystemExit(f"nothing listens on {port}")
            time.sleep(0.05)
        self.cost(CALLS // 10)

    def cost(self, calls: int = CALLS) -> float:
        """Microseconds of CPU time for each call."""
        before = self._spent()
        subprocess.run([sys.executable, "-c", DRIVER, str(self.port), str(calls), repr(VALUE)], check=True)
        return (self._spent() - before) / calls * 1e6

    def _spent(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        file, port, other = Path(folder) / "site.yaml", free_port(), free_port()
        file.write_text(PIPED.format(port=port))
        servers = [Server(port, "-m", "piped", "run", file), Server(other, "-c", BARE, other)]
        try:
            costs = [[server.cost() for server in servers] for _ in range(rounds)]
        finally:
            for server in servers:
                server.stop()
    piped, bare = (median(each) for each in zip(*costs, strict=True))
    ratio = median(one / two for one, two in costs)
    print(f"piped {piped:6.1f} µs a call\nbare  {bare:6.1f} µs a call\nratio {ratio:.2f} (bar {BAR})")
    if ratio > BAR:
        raise SystemExit("a call costs too much")


if __name__ == "__main__":
    main()
