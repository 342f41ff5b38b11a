"""What a request costs beside bare twisted.web, and what connections, large files and many routes cost.

Needs wrk (https://github.com/wg/wrk), which Debian has as a package, for the first part; without it that part is left
out. Times are CPU time of the server process.
"""

from __future__ import annotations

import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psutil
from children import PIPED

from piped.web.routing import Route

#: Seconds of each round, and rounds in which the two servers take turns.
SECONDS, ROUNDS, CLIENTS = 3, 5, 50
IDLE, SIZE = 5000, 1 << 30

BARE = """\
import sys
from twisted.internet import epollreactor
epollreactor.install()
from twisted.internet import reactor
from twisted.web import resource, server

class Hello(resource.Resource):
    isLeaf = True

    def render(self, request):
        return b"Hello from a pipeline."

site = server.Site(Hello())
site.log = lambda request: None
reactor.listenTCP(int(sys.argv[1]), site, interface="127.0.0.1")
reactor.run()
"""
SITE = """\
web:
  site:
    routing:
      __config__: {processor: hello}
      files: {__config__: {static: .}}
pipelines:
  hello:
    - set-value: {path: content, value: Hello from a pipeline.}
    - write-web-response
"""


@contextmanager
def server(*command: object, folder: str) -> Iterator[tuple[psutil.Process, int]]:
    """A server that runs, and its port, which is put in the place of PORT."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [str(part).replace("PORT", str(port)) for part in command]
    with subprocess.Popen(arguments, cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    connect(port).close()
                    break
                except ConnectionRefusedError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise SystemExit(f"{arguments} did not open its port") from None
                    time.sleep(0.01)
            yield psutil.Process(process.pid), port
        finally:
            process.terminate()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def cost_of_hello(process: psutil.Process, port: int) -> float:
    """CPU seconds of the server for one request, while wrk asks for all that it can give."""
    before = cpu_seconds(process)
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{SECONDS}s", f"http://127.0.0.1:{port}/"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in told or "Socket errors" in told:
        raise SystemExit(told)
    [requests] = re.findall(r"(\d+) requests in", told)
    return (cpu_seconds(process) - before) / int(requests)


def hello(folder: str) -> None:
    if shutil.which("wrk") is None:
        print("hello: left out, as wrk is not installed (apt install wrk)")
        return
    Path(folder, "bare.py").write_text(BARE)
    bare_command = sys.executable, "bare.py", "PORT"
    piped_command = PIPED, "run", "-r", "epoll", "site.yaml", "-O", "web.site.port:PORT"
    with server(*bare_command, folder=folder) as bare, server(*piped_command, folder=folder) as piped:
        cost_of_hello(*bare), cost_of_hello(*piped)  # warm
        pairs = [(cost_of_hello(*bare), cost_of_hello(*piped)) for _ in range(ROUNDS)]
    ratio = median(ours / theirs for theirs, ours in pairs)
    theirs, ours = (median(times) * 1e6 for times in zip(*pairs, strict=True))
    print(f"hello, two steps, epoll:   {ours:.1f} us CPU beside {theirs:.1f} us: x {ratio:.2f}  (bar: 1.15)")


def idle_connections(process: psutil.Process, port: int) -> None:
    """Memory of connections that have had an answer and are kept."""
    # The first ones take what was free in the process already.
    connections = [answered(port) for _ in range(IDLE // 5)]
    before = process.memory_info().rss
    connections += [answered(port) for _ in range(IDLE - len(connections))]
    each = (process.memory_info().rss - before) / (IDLE - IDLE // 5) / 1024
    print(f"an idle connection:        {each:.1f} KiB, of {IDLE:,}  (bar: 20)")
    for connection in connections:
        connection.close()


def answered(port: int) -> socket.socket:
    connection = connect(port)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    if not connection.recv(1000).startswith(b"HTTP/1.1 200"):
        raise SystemExit("no answer")
    return connection


def large_file(process: psutil.Process, port: int, folder: str) -> None:
    """Growth of the server while it sends a file of 1 GiB."""
    with open(Path(folder, "large.bin"), "wb") as file:
        file.truncate(SIZE)
    before = highest = process.memory_info().rss
    spent = cpu_seconds(process)
    room, got, looked = bytearray(1 << 20), 0, 0
    with connect(port) as connection:
        connection.sendall(b"GET /files/large.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while count := connection.recv_into(room):
            got += count
            if got - looked > 16 << 20:
                looked, highest = got, max(highest, process.memory_info().rss)
    if got < SIZE:
        raise SystemExit("the file came in part")
    spent = cpu_seconds(process) - spent
    print(f"a file of 1 GiB:           {(highest - before) / 2**20:.1f} MiB more at most, {spent:.1f} s CPU")


def routes() -> None:
    """The time to find a route among ten and among ten thousand."""

    def microseconds(count: int) -> float:
        route = Route("root", children={f"r{n}": Route(f"r{n}", children={"x": Route("x")}) for n in range(count)})
        path = [f"r{count // 2}", "x"]
        times = []
        for _ in range(7):
            began = time.process_time()
            for _ in range(50_000):
                route.find(path)
            times.append((time.process_time() - began) / 50_000 * 1e6)
        return min(times)

    few, many = microseconds(10), microseconds(10_000)
    print(f"a route of 10,000:         {many:.2f} us beside {few:.2f} us of 10: x {many / few:.2f}")


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a file for each connection, in both processes
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "site.yaml").write_text(SITE)
        hello(folder)
        command = PIPED, "run", "-r", "epoll", "site.yaml", "-O", "web.site.port:PORT"
        with server(*command, folder=folder) as (process, port):
            idle_connections(process, port)
            large_file(process, port, folder)
        routes()


if __name__ == "__main__":
    main()
