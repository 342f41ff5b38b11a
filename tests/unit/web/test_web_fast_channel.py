"""The fast channel on asyncio's transport: what the end of a connection leaves behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from web_stage import Client, Served, Stage
from websocket_stage import TEXT, Peer, Waiting, close_frame, frame

from piped.web.request import Request

CHUNKED = b"PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def fast() -> Iterator[None]:
    Served.by = "fast"
    yield
    Served.by = "twisted"


class Fails:
    """A producer that fails when its client leaves."""

    def stopProducing(self) -> None:
        raise ValueError("cannot stop")

    pauseProducing = resumeProducing = stopProducing


def test_a_client_is_forgotten_whatever_fails_at_its_end() -> None:
    """A producer that fails when the client leaves keeps neither its request nor its place among the clients."""
    kept: list[Request] = []
    client = Client(kept.append)
    client.get()
    kept[0].registerProducer(Fails(), True)
    with pytest.raises(ValueError, match="cannot stop"):
        client.leave()
    assert (client.site.channels, kept[0].is_open) == (set(), False)


def test_whoever_has_kept_a_transport_may_use_it() -> None:
    """What is written to the transport of a client that has left is dropped, as Twisted's does."""
    kept: list[Any] = []
    client = Client(lambda request: kept.append(request.transport))
    client.get()
    client.leave()
    transport = kept[0]
    transport.write(b"x")
    transport.writeSequence([b"x"])
    for call in (transport.loseWriteConnection, transport.loseConnection, transport.abortConnection):
        call()
    assert (transport.connected, client.transport.value()) == (False, b"")


def test_what_a_websocket_has_sent_before_it_left_disturbs_nobody() -> None:
    """Messages and a close that were not read yet when the client left are forgotten with it."""
    it = Waiting()
    peer = Peer({"processor": "it", "max_pending": 2}, it=it).open()
    peer.raw(*(frame(TEXT, b"%d" % number) for number in range(5)), close_frame(1000))
    assert not peer.is_read
    peer.leave()
    with capturedLogs() as logged:
        while it.waiting:
            it.go_on()
        peer.reactor.advance(100)
    assert (it.messages, logged, peer.heard(), peer.reactor.getDelayedCalls()) == (["0", "1"], [], [], [])


# Nothing is left for the garbage collector, which looks late, and makes everybody wait when it does.


@pytest.fixture
def garbage() -> Iterator[list[Any]]:
    """What only the garbage collector would find of what a test does."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def found(garbage: list[Any]) -> set[str]:
    gc.collect()
    return {type(one).__qualname__ for one in garbage if type(one).__module__.startswith(("piped", "web_stage"))}


def test_requests_leave_nothing_behind(garbage: list[Any]) -> None:
    """Requests of all kinds, and connections, are gone when they have ended."""
    waiting: list[Deferred[None]] = []

    async def late(baton: Any) -> None:
        waiting.append(Deferred())
        await waiting[-1]
        baton["request"].answer(b"late")

    def echo(baton: Any) -> None:
        baton["request"].answer(b"%d" % len(baton["request"].content.read()))

    def parts(baton: Any) -> None:
        for part in ("a", "b"):
            baton["request"].write(part)
        baton["request"].finish()

    def args(baton: Any) -> None:
        baton["request"].answer(str(baton["request"].args).encode())

    processors = {"late": late, "echo": echo, "parts": parts, "args": args}
    stage = Stage(
        {f"pipeline.{name}": call for name, call in processors.items()},
        routing={name: {"__config__": {"processor": f"pipeline.{name}"}} for name in processors},
    )
    stage.get("/late")
    waiting.pop().callback(None)
    stage.get("/echo", method="PUT", body=bytes(200_000))
    stage.send(CHUNKED + b"1\r\nx\r\n0\r\n\r\n")
    for target in ("/parts", "/args?a=b", "/none"):
        stage.get(target)
    stage.get("/late")
    stage.stop_taking()
    waiting.pop().callback(None)
    stage.take()
    for begin in (b"nonsense\r\n\r\n", CHUNKED + b"ff\r\nx", CHUNKED + b"no\r\n"):
        stage.send(begin)
        stage.leave()
        stage.connect(stage.site)
    assert found(garbage) == set()


def test_websockets_leave_nothing_behind(garbage: list[Any]) -> None:
    """What was kept for a WebSocket, such as half a message, is gone with its client."""
    for last in (b"", frame(TEXT, b"half", fin=False), close_frame(1000)):
        peer = Peer("it", it=lambda baton: baton["websocket"].send(baton["message"])).open()
        peer.say("a", b"b")
        peer.raw(last)
        peer.leave()
        del peer
    assert found(garbage) & {"Wire", "Conversation", "WebSocket", "Request", "FastChannel", "_Parts"} == set()
