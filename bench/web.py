"""What a request costs beside bare twisted.web, and what connections, large files and many routes cost.

Needs wrk (https://github.com/wg/wrk), which Debian has as a package, for the first part; without it that part is left
out. Times are CPU time of the server process.
"""

from __future__ import annotations

import resource
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from children import PIPED
from web_load import Server, ask, connect, serving

from piped.web.routing import Route

#: Seconds of each round, and rounds in which the two servers take turns.
SECONDS, ROUNDS = 3, 5
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


def hello(folder: str) -> None:
    if shutil.which("wrk") is None:
        print("hello: left out, as wrk is not installed (apt install wrk)")
        return
    Path(folder, "bare.py").write_text(BARE)
    bare_command = sys.executable, "bare.py", "PORT"
    piped_command = PIPED, "run", "-r", "epoll", "site.yaml", "-O", "web.site.port:PORT"
    with serving(*bare_command, folder=folder) as bare, serving(*piped_command, folder=folder) as piped:
        ask(bare, "/", SECONDS), ask(piped, "/", SECONDS)  # warm
        pairs = [(ask(bare, "/", SECONDS).cpu, ask(piped, "/", SECONDS).cpu) for _ in range(ROUNDS)]
    ratio = median(ours / theirs for theirs, ours in pairs)
    theirs, ours = (median(times) * 1e6 for times in zip(*pairs, strict=True))
    print(f"hello, two steps, epoll:   {ours:.1f} us CPU beside {theirs:.1f} us: x {ratio:.2f}  (bar: 1.15)")


def idle_connections(server: Server) -> None:
    """Memory of connections that have had an answer and are kept."""
    # The first ones take what was free in the process already.
    connections = [answered(server.port) for _ in range(IDLE // 5)]
    before = server.process.memory_info().rss
    connections += [answered(server.port) for _ in range(IDLE - len(connections))]
    each = (server.process.memory_info().rss - before) / (IDLE - IDLE // 5) / 1024
    print(f"  an idle connection:      {each:.1f} KiB, of {IDLE:,}  (bar: 20)")
    for connection in connections:
        connection.close()


def answered(port: int) -> socket.socket:
    connection = connect(port)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    if not connection.recv(1000).startswith(b"HTTP/1.1 200"):
        raise SystemExit("no answer")
    return connection


def large_file(server: Server, folder: str) -> None:
    """Growth of the server while it sends a file of 1 GiB."""
    with open(Path(folder, "large.bin"), "wb") as file:
        file.truncate(SIZE)
    before = highest = server.process.memory_info().rss
    spent = server.cpu_seconds()
    room, got, looked = bytearray(1 << 20), 0, 0
    with connect(server.port) as connection:
        connection.sendall(b"GET /files/large.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while count := connection.recv_into(room):
            got += count
            if got - looked > 16 << 20:
                looked, highest = got, max(highest, server.process.memory_info().rss)
    if got < SIZE:
        raise SystemExit("the file came in part")
    spent = server.cpu_seconds() - spent
    print(f"  a file of 1 GiB:         {(highest - before) / 2**20:.1f} MiB more at most, {spent:.1f} s CPU")


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
        for channel in "fast", "twisted":
            print(f"channel {channel}:")
            command = PIPED, "run", "site.yaml", "-O", "web.site.port:PORT", "-O", f"web.site.channel:{channel}"
            with serving(*command, folder=folder) as server:
                idle_connections(server)
                large_file(server, folder)
        routes()


if __name__ == "__main__":
    main()
