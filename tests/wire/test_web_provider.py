"""Web sites on real sockets."""

from __future__ import annotations

import gc
import http.client
import logging
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from piped.pipelines.graph import Graph
from piped.providers.web_provider import WebSite
from piped.runtime.draining import drain
from piped.runtime.environment import RuntimeEnvironment
from piped.runtime.running import Pipeline
from piped.web.processors import WriteWebResponse

Answer = tuple[int, dict[str, str], bytes]


class Resources:
    """Offers what it is given, by its path."""

    def __init__(self, **offered: Any) -> None:
        self.offered = {f"pipeline.{name}": resource for name, resource in offered.items()}

    def add_consumer(self, dependency: Any) -> None:
        dependency.on_resource_ready(self.offered[dependency.provider])


class Slow:
    """A processor that waits until its test says how to go on."""

    def __init__(self) -> None:
        self.batons: list[Any] = []
        self.began: Deferred[None] = Deferred()
        self.cancelled: Deferred[None] = Deferred()
        self.waiting: Deferred[Any] = Deferred(lambda _: self.cancelled.callback(None))

    def __call__(self, baton: Any) -> Deferred[Any]:
        self.batons.append(baton)
        self.began.callback(None)
        return self.waiting


def ask(port: int, *requests: tuple[str, str], body: bytes | None = None) -> list[Answer]:
    """The answers to requests that are sent one after the other on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    answers = []
    try:
        for method, target in requests:
            connection.request(method, target, body=body)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            answers.append((response.status, headers, response.read()))
    finally:
        connection.close()
    return answers


def begin(port: int, request: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(request)
    return connection


def rest_of(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


class WebSiteOnTheWire(TestCase):
    """Each test opens a site on a port of its own."""

    timeout = 20
    channel = "fast"

    async def open(self, routing: dict[str, Any], options: dict[str, Any] | None = None, **offered: Any) -> int:
        """The port of a site whose pipelines are the given resources."""
        self.environment = environment = RuntimeEnvironment(reactor=reactor)
        resources = Resources(**offered)
        for path in resources.offered:
            environment.resource_manager.register(path, resources)
        self.site = WebSite("site", {"port": 0, "channel": self.channel, "routing": routing, **(options or {})})
        self.site.setServiceParent(environment.application)
        self.site.configure(environment)
        environment.dependency_manager.resolve_initial_states()
        environment.application.startService()
        assert await environment.listeners.open() == []
        self.addCleanup(self.stop)
        [listener] = environment.listeners.members
        assert listener.port is not None
        return int(listener.port.getHost().port)

    async def stop(self) -> None:
        """What a process does when it is asked to stop."""
        await self.environment.listeners.close()
        await drain(self.environment.sources, 1, self.environment.reactor)
        await self.environment.application.stopService()

    async def in_thread(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return await deferToThread(function, *arguments, **named)

    async def test_a_pipeline_answers(self) -> None:
        """A site with one pipeline answers every method on its path, and 404 elsewhere, on one connection."""
        hello = Pipeline(Graph("hello", [WriteWebResponse(fallback_content="Piped says hello.")]))
        port = await self.open({"__config__": {"processor": "pipeline.hello"}}, hello=hello)
        requests = [("GET", "/"), ("HEAD", "/"), ("POST", "/?a=b"), ("GET", "/x"), ("GET", "/")]
        answers = await self.in_thread(ask, port, *requests)
        assert [(code, body) for code, _, body in answers[:3]] == [
            (200, b"Piped says hello."),
            (200, b""),
            (200, b"Piped says hello."),
        ]
        assert (answers[3][0], answers[4][0]) == (404, 200)
        assert all(headers["content-length"] == "17" for _, headers, _ in answers[:3])

    async def test_a_large_body_and_a_large_answer_pass(self) -> None:
        """Megabytes go in and out unchanged."""
        sent = os.urandom(3_000_000)

        def echo(baton: Any) -> None:
            baton["request"].write(baton["request"].content.read())
            baton["request"].finish()

        port = await self.open({"__config__": {"processor": "pipeline.echo"}}, echo=echo)
        [(code, _, body)] = await self.in_thread(ask, port, ("PUT", "/"), body=sent)
        assert (code, body == sent) == (200, True)

    async def test_a_large_file_is_streamed(self) -> None:
        """A file of megabytes is sent whole, with its length."""
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        content = os.urandom(5_000_000)
        with open(os.path.join(folder, "large.bin"), "wb") as file:
            file.write(content)
        port = await self.open({"__config__": {"static": folder}})
        listing, large = await self.in_thread(ask, port, ("GET", "/"), ("GET", "/large.bin"))
        assert b"large.bin" in listing[2]
        assert (large[1]["content-length"], large[2] == content) == ("5000000", True)

    async def test_a_client_that_leaves_stops_its_pipeline(self) -> None:
        """When a browser gives up, what was computed for it is cancelled."""
        slow = Slow()
        port = await self.open({"__config__": {"processor": "pipeline.slow"}}, slow=slow)
        connection = await self.in_thread(begin, port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await slow.began
        connection.close()
        await slow.cancelled
        await deferLater(reactor, 0)
        assert self.site.source.running == 0

    async def test_a_forgotten_request_is_finished_from_any_thread(self) -> None:
        """The client is answered also when the last reference to its request goes away in another thread."""
        kept: list[Any] = []
        port = await self.open({"__config__": {"processor": "pipeline.forget"}}, forget=kept.append)
        warnings: list[logging.LogRecord] = []
        handler = logging.Handler()
        handler.emit = warnings.append  # type: ignore[method-assign]
        logging.getLogger("piped.web").addHandler(handler)
        self.addCleanup(logging.getLogger("piped.web").removeHandler, handler)
        answering = deferToThread(ask, port, ("GET", "/"))
        while not kept:
            await deferLater(reactor, 0.01)
        await self.in_thread(kept.clear)
        gc.collect()
        [(code, _, body)] = await answering
        assert (code, body) == (200, b"")
        assert "pipeline.forget ended without finishing GET /" in warnings[0].getMessage()
        assert warnings[0].thread == threading.main_thread().ident, "only the reactor's thread may write to a client"

    async def test_half_an_answer_is_not_taken_for_a_whole_one(self) -> None:
        """A pipeline that fails after it has begun to answer breaks the answer off."""

        def half(baton: Any) -> None:
            baton["request"].write("half")
            raise ValueError("no more")

        port = await self.open({"__config__": {"processor": "pipeline.half"}}, {"log_exceptions": None}, half=half)
        with pytest.raises(http.client.IncompleteRead):
            await self.in_thread(ask, port, ("GET", "/"))

    async def test_a_body_that_is_too_large_is_refused_before_it_is_sent(self) -> None:
        """A client that asks first is told 413 and need not send its body."""
        port = await self.open({"__config__": {"processor": "pipeline.none"}}, {"max_body_size": 10}, none=print)
        request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n"
        connection = await self.in_thread(begin, port, request)
        assert (await self.in_thread(rest_of, connection)).startswith(b"HTTP/1.1 413 ")

    async def test_a_stop_lets_an_answer_end(self) -> None:
        """When the process stops no new client is let in, idle ones are hung up on, and what is running is answered."""
        slow = Slow()
        port = await self.open({"__config__": {"processor": "pipeline.slow"}}, slow=slow)
        idle = await self.in_thread(begin, port, b"")
        running = await self.in_thread(begin, port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await slow.began
        stopping = Deferred.fromCoroutine(self.stop())
        assert await self.in_thread(rest_of, idle) == b""
        with pytest.raises(ConnectionRefusedError):
            await self.in_thread(begin, port, b"")
        assert not stopping.called
        slow.batons.pop()["request"].answer(b"bye")
        slow.waiting.callback(None)
        answer = await self.in_thread(rest_of, running)
        assert b"Connection: close" in answer
        assert answer.endswith(b"\r\n\r\nbye")
        await stopping

    async def test_a_stop_does_not_wait_longer_than_the_deadline(self) -> None:
        """What does not end in time is cancelled, and its client told."""
        slow = Slow()
        port = await self.open({"__config__": {"processor": "pipeline.slow"}}, slow=slow)
        running = await self.in_thread(begin, port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await slow.began
        await self.stop()
        assert slow.cancelled.called
        assert (await self.in_thread(rest_of, running)).startswith(b"HTTP/1.1 500 ")

    async def test_a_port_in_use_is_told(self) -> None:
        """Two sites on one port: the second one says which, and who asked for it."""
        port = await self.open({})
        other = RuntimeEnvironment(reactor=reactor)
        site = WebSite("other", {"port": port, "routing": {}})
        site.configure(other)
        [problem] = await other.listeners.open()
        assert f"web.other cannot listen on port {port}: address already in use" in problem.what

    async def test_many_clients_at_once(self) -> None:
        """Clients are served side by side, each with its own answer."""

        async def path(baton: Any) -> None:
            await deferLater(reactor, 0.01)
            baton["request"].answer(baton["request"].postpath[0].encode())

        port = await self.open({"__config__": {"no_resource_processor": "pipeline.path"}}, path=path)

        async def client(number: int) -> None:
            answers = await self.in_thread(ask, port, *[("GET", f"/{number}-{turn}") for turn in range(5)])
            assert [body for _, _, body in answers] == [f"{number}-{turn}".encode() for turn in range(5)]

        for running in [Deferred.fromCoroutine(client(number)) for number in range(20)]:
            await running


class WebSiteOnTheWireOfTwisted(WebSiteOnTheWire):
    """The same with Twisted's channel."""

    channel = "twisted"
