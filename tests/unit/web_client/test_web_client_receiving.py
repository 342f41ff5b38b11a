"""Bodies of answers, as they are received and unpacked."""

from __future__ import annotations

import gc
import gzip
import tracemalloc
import zlib
from typing import Any

import pytest
from client_stage import Response, asking, result_of
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss

from clocks import Reactor
from piped.ground.errors import PipedError, TimeoutError  # noqa: A004 - the documented name
from piped.web_client.errors import CutOffError
from piped.web_client.receiving import MOST_WAITING, Body


@given(st.binary(max_size=1000), st.data())
def test_a_packed_body_arrives_in_any_parts(body: bytes, data: Any) -> None:
    """However the network cuts a packed body, it is unpacked to what it was."""
    packed = gzip.compress(body[:300]) + gzip.compress(body[300:])
    cut = data.draw(st.integers(0, len(packed)))
    response = Response(content_encoding="gzip")
    running = asking(response)
    response.deliver(packed[:cut], packed[cut:])
    assert result_of(running) == body


@pytest.mark.parametrize("parts", [[b"x" * 1001], [b"x" * 500, b"x" * 501]])
@pytest.mark.parametrize("packing", ["", "gzip"])
def test_a_body_has_a_bound(parts: list[bytes], packing: str) -> None:
    """A body of exactly the bound is whole, one byte more is an error that hangs up at once."""
    pack = gzip.compress if packing else bytes
    response = Response(content_encoding=packing)
    running = asking(response, max_body=1001)
    response.deliver(*map(pack, parts))
    assert result_of(running) == b"x" * 1001
    response = Response(content_encoding=packing)
    running = asking(response)
    for part in parts:
        response.body.dataReceived(pack(part))
    assert response.transport.disconnecting
    response.deliver(pack(b"more"))
    with pytest.raises(PipedError, match="the body has more than 1000 bytes"):
        result_of(running)


def test_a_bomb_does_not_go_off() -> None:
    """A body that would be large once it is unpacked takes no more memory than it may have."""
    packed = gzip.compress(b"\0" * 20_000_000)
    response = Response(content_encoding="gzip")
    running = asking(response)
    tracemalloc.start()
    try:
        response.body.dataReceived(packed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    with pytest.raises(PipedError, match="more than 1000 bytes"):
        result_of(running)


def test_cancelled_it_hangs_up() -> None:
    """Nobody goes on sending to somebody who does not listen any more."""
    response = Response()
    running = asking(response)
    response.body.dataReceived(b"half")
    running.cancel()
    assert response.transport.disconnecting
    with pytest.raises(CancelledError):
        result_of(running)


def test_an_end_without_a_length_is_an_end() -> None:
    """Where the server says no length, its hanging up is the end of the body; of a packed one only if it is whole."""
    for body, reason in ((b"all", PotentialDataLoss()), (b"all", ResponseDone())):
        response = Response()
        running = asking(response)
        response.deliver(body, reason=reason)
        assert result_of(running) == body
    response = Response(content_encoding="gzip")
    running = asking(response)
    response.deliver(gzip.compress(b"all")[:-1], reason=PotentialDataLoss())
    with pytest.raises(PipedError, match="cut"):
        result_of(running)


def test_empty_packed_parts_are_not_kept() -> None:
    """A server that sends nothing in many parts does not fill the memory."""
    response = Response(content_encoding="gzip")
    asked = asking(response)
    empty = gzip.compress(b"") * 1000
    tracemalloc.start()
    for _ in range(50):
        response.body.dataReceived(empty)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300_000
    response.deliver()
    assert result_of(asked) == b""


@pytest.mark.parametrize("window", [zlib.MAX_WBITS, -zlib.MAX_WBITS])
@given(body=st.binary(max_size=1000), cut=st.integers(1, 5))
def test_deflate_comes_with_and_without_its_header(window: int, body: bytes, cut: int) -> None:
    """Both are unpacked, wherever the network cuts them."""
    packing = zlib.compressobj(wbits=window)
    packed = packing.compress(body) + packing.flush()
    response = Response(content_encoding="deflate")
    running = asking(response)
    response.deliver(packed[:cut], packed[cut:])
    assert result_of(running) == body


@pytest.mark.parametrize("sizes", [[1], [65536], [65537], [1_000_000], [70_000, 300_000]])
def test_what_is_unpacked_is_all_there(sizes: list[int]) -> None:
    """Parts have a bound, and what a full part holds back comes with the next."""
    bodies = [bytes(n % 251 for n in range(size)) for size in sizes]
    response = Response(content_encoding="gzip")
    running = asking(response, max_body=None)
    response.deliver(b"".join(map(gzip.compress, bodies)))
    assert result_of(running) == b"".join(bodies)


def received(**options: Any) -> tuple[Response, Body, Reactor]:
    """A response whose body nobody reads yet."""
    reactor, response = Reactor(), Response()
    body = Body(reactor, "GET http://x/", **options)
    response.deliverBody(body.receiver)
    return response, body, reactor


def next_of(body: Body) -> Deferred[bytes]:
    return Deferred.fromCoroutine(body.__anext__())


def test_a_server_waits_while_nothing_is_taken() -> None:
    """No more than a bound is kept; the rest comes once that is taken."""
    response, body, _ = received()
    while response.transport.producerState == "producing":
        response.body.dataReceived(b"x" * 65536)
    assert response.transport.producerState == "paused"
    taken = result_of(next_of(body))
    assert MOST_WAITING < len(taken) <= MOST_WAITING + 65536
    assert response.transport.producerState == "producing"
    waiting = next_of(body)
    response.body.dataReceived(b"y")
    assert result_of(waiting) == b"y"


def test_a_server_that_sends_no_more_is_left() -> None:
    """With patience each part has its time, and time between the parts does not count."""
    response, body, reactor = received()
    body.patience = 5
    response.body.dataReceived(b"x")
    reactor.advance(60)
    assert result_of(next_of(body)) == b"x"
    waiting = next_of(body)
    reactor.advance(4)
    assert not response.transport.disconnecting
    reactor.advance(2)
    with pytest.raises(TimeoutError, match="nothing more came within 5 s"):
        result_of(waiting)
    assert response.transport.disconnecting


def test_who_forgets_a_body_leaves() -> None:
    """A body that nobody refers to any more does not keep a connection."""
    response, body, reactor = received()
    assert not response.transport.disconnecting
    del body
    gc.collect()
    reactor.advance(0)
    assert response.transport.disconnecting


def test_a_failure_stays_a_failure() -> None:
    """A body that was cut never looks as if it had ended."""
    response, body, _ = received()
    response.deliver(b"half", reason=ResponseFailed([Failure(ConnectionDone())]))
    assert result_of(next_of(body)) == b"half"
    for _ in range(2):
        with pytest.raises(CutOffError, match="GET http://x/ got no whole answer"):
            result_of(next_of(body))


def test_the_beginning_of_a_body() -> None:
    """A long one is left, a short one is read to its end so that its connection can be kept."""
    for size, is_left in ((10, False), (11, True)):
        response, body, _ = received()
        beginning = Deferred.fromCoroutine(body.beginning(10))
        response.body.dataReceived(b"x" * size)
        assert response.transport.disconnecting is is_left
        if not is_left:
            response.deliver()
        assert result_of(beginning) == b"x" * 10


@pytest.mark.parametrize("reason", [ResponseDone(), ResponseFailed([Failure(ConnectionDone())])])
@pytest.mark.parametrize(("limit", "packing", "begun"), [(3, "", b"half"), (None, "gzip", b"")])
def test_a_beginning_is_what_came(reason: Exception, limit: int | None, packing: str, begun: bytes) -> None:
    """Neither `max_body`, nor that it is cut or badly packed, keeps the code of an answer from being told."""
    response, body, _ = received(limit=limit, packing=packing)
    beginning = Deferred.fromCoroutine(body.beginning(10))
    response.deliver(b"half", reason=reason)
    assert result_of(beginning) == begun


def test_who_cancels_a_beginning_is_not_answered() -> None:
    """That nobody waits any more is not taken for an end."""
    response, body, _ = received()
    beginning = Deferred.fromCoroutine(body.beginning(10))
    beginning.cancel()
    with pytest.raises(CancelledError):
        result_of(beginning)
    assert response.transport.disconnecting
