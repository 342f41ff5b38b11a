"""What no decent client sends: thousands of broken requests, and hundreds of slow ones, against a running site."""

import asyncio
import json
import random
import time
from collections import Counter
from urllib.parse import urlsplit

import psutil
import pytest
from commands import Running, wait_until
from sockets import ask

from malformed_requests import mutated, smuggling

REQUESTS = 10_000
SITE = """\
web:
  site:
    port: 0
    access_log: json
    max_body_size: 10000
    header_timeout: 3
    body_timeout: 3
    max_connections: 500
    routing:
      __config__: {processor: length}
      "{id}": {__config__: {processor: length}}
      files: {__config__: {static: .}}
pipelines:
  length:
    - eval-lambda: {lambda: "baton: str(len(baton['request'].content.read()))", output_path: content}
    - write-web-response
"""


async def told(host, port, data, patience):
    """The codes of what a client is answered, and how the connection ended."""
    reader, writer = await asyncio.open_connection(host, port)
    came, end = b"", "closed"
    try:
        writer.write(data)
        while part := await asyncio.wait_for(reader.read(65536), patience):
            came += part
    except TimeoutError:
        end = "waits"
    except ConnectionError:
        end = "reset"
    writer.transport.abort()
    codes = [int(part[:3]) for part in came.split(b"HTTP/1.1 ")[1:]] + [
        int(p[:3]) for p in came.split(b"HTTP/1.0 ")[1:]
    ]
    return codes, end


async def normal_client(site, slowest):
    """Asks like anybody else, all the time; keeps the longest time that an answer took."""
    while True:
        began = time.monotonic()
        codes, _ = await told(*site, b"GET /normal HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 30)
        assert codes == [200]
        slowest[0] = max(slowest[0], time.monotonic() - began)
        await asyncio.sleep(0.05)


def run(main):
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


@pytest.fixture
def site(tmp_path, channel):
    (tmp_path / "site.yaml").write_text(SITE)
    with Running("site.yaml", "-O", f"web.site.channel:{channel}", cwd=tmp_path) as running:
        parts = urlsplit(running.url())
        running.address = parts.hostname, parts.port
        yield running
        assert running.stop() == 0
        for word in ("Traceback", "[ERROR", "[CRITICAL", "Unhandled"):
            assert word not in running.log


def entries(running):
    """The lines of the access log."""
    return [json.loads(line[line.index("{") :]) for line in running.lines if "[piped.access]" in line]


def test_malformed_requests_hurt_nobody(site):
    """Broken requests are refused or understood, none makes the site fail, and others are served all the while."""
    chance = random.Random(4)
    hidden = list(smuggling())
    corpus = hidden + [mutated(chance) for _ in range(REQUESTS - len(hidden))]
    counted, slowest = Counter(), [0.0]
    process = psutil.Process(site.process.pid)
    ask(site.url(""), "/warm")
    before = process.memory_info().rss

    async def send_all():
        left = iter(corpus)

        async def client():
            for data in left:
                codes, end = await told(*site.address, data, 0.1)
                counted.update(codes or [f"nothing, and {end}"])

        normal = asyncio.ensure_future(normal_client(site.address, slowest))
        await asyncio.gather(*(client() for _ in range(50)))
        assert not normal.done()
        normal.cancel()

    began = time.monotonic()
    run(send_all())
    grown = process.memory_info().rss - before
    print(f"{len(corpus)} requests in {time.monotonic() - began:.1f} s, {grown / 2**20:.1f} MiB more,", end=" ")
    print(f"a normal client waited {slowest[0] * 1000:.0f} ms at most: {dict(counted.most_common())}")
    assert ask(site.url(""), "/smuggled-not").code == 200
    paths = {entry.get("path") for entry in entries(site)}
    assert {"/outer", "/smuggled-not"} <= paths
    assert "/smuggled" not in paths
    assert {200, 400, 413, 414, 431} <= counted.keys()
    assert 500 not in counted
    assert grown < 40 << 20
    assert slowest[0] < 10


def test_slow_senders_keep_nobody_waiting(site):
    """Two hundred clients that send byte by byte are cut, within a header and within a body; others do not notice."""
    slowest, codes = [0.0], Counter()

    async def slow(begin):
        reader, writer = await asyncio.open_connection(*site.address)
        writer.write(begin)
        answer = asyncio.ensure_future(reader.read(1000))
        while not answer.done():
            writer.write(b"x")
            await asyncio.wait([answer], timeout=0.2)
        try:
            codes[(await answer)[9:12].decode()] += 1
        except ConnectionError:
            codes["reset"] += 1
        writer.transport.abort()

    async def send_all():
        normal = asyncio.ensure_future(normal_client(site.address, slowest))
        headers = b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "
        body = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
        await asyncio.gather(*(slow(begin) for begin in [headers, body] * 100))
        assert not normal.done()
        normal.cancel()

    began = time.monotonic()
    run(send_all())
    print(f"200 slow senders in {time.monotonic() - began:.1f} s: {dict(codes)}; a normal client waited", end=" ")
    print(f"{slowest[0] * 1000:.0f} ms at most")
    assert codes["408"] > 150, codes
    assert sum(codes.values()) == 200
    assert slowest[0] < 10
    wait_until(lambda: Counter(entry.get("status") for entry in entries(site))[408] == 200)
