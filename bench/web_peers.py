"""What a request costs with Piped and with its peers: CPU time of the server, in rounds in which all take turns.

    python bench/web_peers.py                                      everything, which takes a quarter of an hour
    python bench/web_peers.py hello --only piped,aiohttp --rounds 3

Needs wrk (https://github.com/wg/wrk), which Debian has as a package.

Each server is one process, set up as its users would for speed: without an access log, on uvloop where it can be (the
plain `twisted` and `klein` are on epoll), with the same answers, which are looked at first. What is told are medians:
the CPU time of the server for each request or message; how that compares with aiohttp's, round by round, with the inner
half of the rounds in parentheses; and how many there were in a second, which says more about the machine and who else
was using it. Where the parentheses are wide, the machine was too busy to measure anything. Kernel time is part of it:
sending is most of what a delivered event costs, with any server.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from children import PIPED
from web_load import Cost, Server, ask, follow, serving

HERE = Path(__file__).parent / "web_servers"
RUN = PIPED, "run", HERE / "site.yaml", "-O", "web.site.port:PORT"
#: What the others are measured by.
MEASURE = "aiohttp"
SERVERS: dict[str, tuple[object, ...]] = {
    "piped": RUN,
    "piped-twisted": (*RUN, "-O", "web.site.channel:twisted"),
    "aiohttp": (sys.executable, HERE / "on_aiohttp.py", "PORT"),
    "starlette": (sys.executable, HERE / "on_starlette.py", "PORT"),
    "tornado": (sys.executable, HERE / "on_tornado.py", "PORT"),
    "klein": (sys.executable, HERE / "on_klein.py", "PORT"),
    "twisted": (sys.executable, HERE / "on_twisted.py", "PORT"),
    "twisted-uvloop": (sys.executable, HERE / "on_twisted.py", "PORT", "uvloop"),
}
HELLO = b"Hello from a pipeline."
#: Of about 1 KiB.
OBJECT = {
    "id": 4711,
    "name": "a webhook of some service",
    "is_active": True,
    "nothing": None,
    "tags": ["orders", "paid", "europe"],
    "amounts": [12.5, 99.0, 3.75, 1024, 7],
    "items": [{"sku": f"A-{n:05}", "count": n, "price": n * 1.25, "title": f"thing number {n}"} for n in range(12)],
}
FILE = random.Random(1).randbytes(100 << 10)
EVENT = b"data: ~ 4,711 orders were paid in the last second, 17 of them from abroad.\n"


@dataclass(frozen=True)
class Scenario:
    """What servers are asked for, and how much of what `MEASURE` spends on it Piped may spend."""

    title: str
    path: str
    is_right: Callable[[bytes], bool]
    sends: bytes | None = None
    #: Clients that follow a stream of events, of which each is sent ten in a second.
    followers: int = 0
    leaves_out: tuple[str, ...] = ()
    bar: float | None = None

    def measured(self, server: Server, seconds: int) -> Cost:
        if self.followers:
            return follow(server, self.path, self.followers, seconds, mark=b"~")
        return ask(server, self.path, seconds, self.sends)

    def check(self, name: str, server: Server) -> None:
        """See that the server does what it is measured for."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        headers = {} if self.sends is None else {"Content-Type": "application/json"}
        connection.request("GET" if self.sends is None else "POST", self.path, self.sends, headers)
        response = connection.getresponse()
        body = _first_event(response) if self.followers else response.read()
        connection.close()
        if response.status != 200 or not self.is_right(body):
            raise SystemExit(f"{name} answers {self.path} with {response.status} and {body[:200]!r}")


def _first_event(response: http.client.HTTPResponse) -> bytes:
    while (line := response.readline()) and not line.startswith(b"data:"):
        pass
    return line


SCENARIOS = {
    "hello": Scenario("hello, two steps", "/", HELLO.__eq__, bar=1),
    "json": Scenario(
        "JSON echo of 1 KiB",
        "/echo",
        # Not every peer writes a blank between the members.
        lambda body: bool(json.loads(body) == OBJECT),
        sends=json.dumps(OBJECT).encode(),
        bar=1,
    ),
    "file": Scenario("a file of 100 KiB", "/files/file.bin", FILE.__eq__),
    "events": Scenario("1,000 SSE clients", "/events", EVENT.__eq__, followers=1000, leaves_out=("klein", "tornado")),
}


def measure(scenario: Scenario, servers: dict[str, Server], rounds: int, seconds: int) -> None:
    servers = {name: server for name, server in servers.items() if name not in scenario.leaves_out}
    for name, server in servers.items():
        scenario.check(name, server)
        scenario.measured(server, 1)  # warm
    costs: dict[str, list[Cost]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, server in servers.items():
            costs[name].append(scenario.measured(server, seconds))
    tell(scenario, costs)


def tell(scenario: Scenario, costs: dict[str, list[Cost]]) -> None:
    """Print a line for each server, and whether Piped is within its bar."""
    for name, rounds in costs.items():
        cpu, rate = median(each.cpu for each in rounds), median(each.rate for each in rounds)
        beside = ""
        if MEASURE in costs:
            low, middle, high = _spread(rounds, costs[MEASURE])
            beside = f"x {middle:.2f} ({low:.2f}-{high:.2f})"
        print(f"{scenario.title:20} {name:16} {cpu * 1e6:8.1f} us {beside:>18} {rate:10,.0f}/s", flush=True)
    if scenario.bar is not None and {"piped", MEASURE} <= costs.keys():
        low, _, high = _spread(costs["piped"], costs[MEASURE])
        verdict = "met" if high <= scenario.bar else "NOT MET" if low > scenario.bar else "UNDECIDED, for noise"
        print(f"{scenario.title:20} bar: at most {scenario.bar:.2f} of {MEASURE}: {verdict}", flush=True)


def _spread(rounds: list[Cost], others: list[Cost]) -> tuple[float, float, float]:
    """How many times the cost of others: the middle of all rounds, between the ends of their inner half.

    Each round is compared in itself, as what disturbs it disturbs all who take their turns in it.
    """
    ratios = sorted(each.cpu / other.cpu for each, other in zip(rounds, others, strict=True))
    beyond = len(ratios) // 4
    return ratios[beyond], median(ratios), ratios[-1 - beyond]


def main() -> None:
    options = arguments()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed (apt install wrk)")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a file for each connection, here and in the servers
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        Path(folder, "file.bin").write_bytes(FILE)
        servers = {name: stack.enter_context(serving(*SERVERS[name], folder=folder)) for name in options.only}
        print(f"{'':20} {'':16} {'CPU of each':>11} {MEASURE:>18} {'in a second':>12}", flush=True)
        for name in options.scenarios or SCENARIOS:
            measure(SCENARIOS[name], servers, options.rounds, options.seconds)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", help=f"some of {', '.join(SCENARIOS)}; all if left out")
    parser.add_argument("--only", default=",".join(SERVERS), help="some of %(default)s")
    parser.add_argument("--rounds", type=int, default=15, help="in which all take turns (%(default)s)")
    parser.add_argument("--seconds", type=int, default=1, help="of each turn (%(default)s)")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := {*options.only} - SERVERS.keys() | {*options.scenarios} - SCENARIOS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    main()
