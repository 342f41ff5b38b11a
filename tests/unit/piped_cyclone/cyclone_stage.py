"""A site in memory: requests without a socket, on a loop that runs only as long as they need it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from tornado.concurrent import Future
from tornado.httputil import HTTPConnection, HTTPHeaders, HTTPServerRequest, RequestStartLine, ResponseStartLine
from twisted.internet.task import Clock

from piped.config.gathering import gather_text
from piped.runtime.assembly import Assembly, check
from piped.testing import Stage
from piped_cyclone.providers import CycloneProvider, CycloneSite


class Connection(HTTPConnection):
    """Keeps what is sent; `lost` tells whoever answers that the client has left."""

    def __init__(self, peer: str) -> None:
        self.context = type("Context", (), {"address": (peer, 4711), "remote_ip": peer, "protocol": "http"})()
        self.code, self.headers, self.body, self.is_finished = 0, HTTPHeaders(), b"", False
        self._on_lost: Callable[[], None] | None = None

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        self._on_lost = callback

    def lost(self) -> None:
        if self._on_lost is not None:
            self._on_lost()

    def write_headers(self, start_line: Any, headers: HTTPHeaders, chunk: bytes | None = None) -> Future[None]:
        assert isinstance(start_line, ResponseStartLine)
        self.code, self.headers = start_line.code, headers
        return self.write(chunk or b"")

    def write(self, chunk: bytes) -> Future[None]:
        self.body += chunk
        written: Future[None] = Future()
        written.set_result(None)
        return written

    def finish(self) -> None:
        self.is_finished = True


def checked(configuration: str) -> Assembly:
    return check(gather_text(configuration, "site.yml", environ={}), {})


def problems_of(section: str) -> list[str]:
    """The problems of a site whose options these lines are."""
    lines = "\n".join(f"    {line}" for line in section.strip("\n").split("\n"))
    text = f"cyclone:\n  site:\n{lines}\npipelines: {{page: [passthrough]}}"
    return [str(problem) for problem in checked(text).problems]


class Site:
    """A configured site.

    Args:
        section: the lines of its options.
        more: other sections.
    """

    def __init__(self, section: str, more: str = "", resources: dict[str, Any] | None = None) -> None:
        lines = "\n".join(f"    {line}" for line in section.strip("\n").split("\n"))
        resources = resources or {}
        gathered = gather_text(f"cyclone:\n  site:\n{lines}\n{more}", "site.yml", environ={})
        assembly = check(gathered, {}, (), resources)
        assert assembly.errors == []
        self.stage = Stage.of(assembly, Clock(), resources)
        self.environment = self.stage.environment
        self.application = self.stage.get("cyclone.application.site")
        [provider] = [each for each in self.environment.application if isinstance(each, CycloneProvider)]
        [self.site] = [each for each in provider if isinstance(each, CycloneSite)]

    def start(self, path: str, method: str = "GET", peer: str = "127.0.0.1", **fields: Any) -> Connection:
        """A request that has come; its answer comes as the loop runs."""
        connection = Connection(peer)
        headers = HTTPHeaders({"Host": "localhost", "Content-Type": "application/x-www-form-urlencoded"})
        request = HTTPServerRequest(
            connection=connection, start_line=RequestStartLine(method, path, "HTTP/1.1"), headers=headers
        )
        request.body = urlencode(fields).encode()
        self.application.find_handler(request).execute()
        return connection

    async def answer(self, path: str, method: str = "GET", peer: str = "127.0.0.1", **fields: Any) -> Connection:
        connection = self.start(path, method, peer, **fields)
        await until(lambda: connection.is_finished)
        return connection

    def ask(self, path: str, method: str = "GET", peer: str = "127.0.0.1", **fields: Any) -> Connection:
        """The answer to a request."""
        return asyncio.run(self.answer(path, method, peer, **fields))


async def until(happened: Callable[[], bool]) -> None:
    """Let the loop turn until something has happened."""
    for _ in range(1000):
        if happened():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come to that")
