"""What becomes of connections when a site closes."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from web_stage import Client, parsed

from piped.web.request import Request

pytestmark = pytest.mark.usefixtures("each_channel")


def test_an_idle_connection_is_hung_up_on_when_the_port_closes() -> None:
    """A client that keeps its connection for later does not hold up a stop."""
    client = Client(lambda request: request.answer(b""))
    client.get()
    assert not client.is_hung_up_on
    client.site.stopFactory()
    assert client.is_hung_up_on


def test_what_is_being_answered_goes_on_when_the_port_closes() -> None:
    """A response that was begun is finished; it says that the connection closes with it."""
    kept: list[Request] = []
    client = Client(kept.append)
    client.get()
    client.site.stopFactory()
    assert not client.is_hung_up_on
    kept[0].answer(b"done")
    _, headers, body = parsed(client.transport.value())
    assert (headers["connection"], body, client.is_hung_up_on) == ("close", b"done", True)


def test_a_request_that_was_half_sent_when_the_port_closed_is_the_last() -> None:
    """Who was still sending gets an answer, and then no other."""
    client = Client(lambda request: request.answer(b"ok"))
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\n")
    client.site.stopFactory()
    _, headers, body = parsed(client.send(b"Content-Length: 1\r\n\r\nx"))
    assert (headers["connection"], body, client.is_hung_up_on) == ("close", b"ok", True)


def test_closing_waits_for_the_clients_but_not_forever() -> None:
    """Who waits for nothing that is being sent gets two seconds to go, then the connection is cut."""
    client = Client(lambda request: None)
    client.get()
    closed: list[None] = []
    client.site.close().addCallback(closed.append)
    client.reactor.advance(1.9)
    assert not client.transport.disconnected
    client.reactor.advance(0.2)
    assert client.transport.disconnected
    client.leave()
    assert closed == [None]


def test_a_download_goes_on_as_long_as_it_is_taken() -> None:
    """A stop lets a file end, however long it takes; a client that takes nothing for eight seconds is cut."""
    kept: list[Request] = []
    client = Client(kept.append)
    client.get()
    kept[0].write(b"begun ")
    client.site.close()
    for _ in range(30):
        client.reactor.advance(1)
        kept[0].write(b"more ")
    assert not client.transport.disconnected
    client.reactor.pump([1] * 16)
    assert client.transport.disconnected
    client.leave()
    assert client.reactor.getDelayedCalls() == []


def test_the_deadline_of_a_stop_cuts_a_download() -> None:
    """Whoever stops the process may lose patience."""
    kept: list[Request] = []
    client = Client(kept.append)
    client.get()
    kept[0].write(b"begun ")
    closing = client.site.close()
    closing.addErrback(lambda failure: failure.trap(CancelledError))
    closing.cancel()
    assert client.transport.disconnected
    client.leave()
    assert client.reactor.getDelayedCalls() == []


def test_what_was_being_sent_when_the_site_closed_is_sent() -> None:
    """A download that ends soon after the stop is whole."""
    kept: list[Request] = []
    client = Client(kept.append)
    client.get()
    kept[0].write(b"begun ")
    closing = client.site.close()
    kept[0].answer(b"ended")
    assert client.transport.value().endswith(b"ended\r\n0\r\n\r\n")
    assert client.is_hung_up_on
    client.leave()
    assert closing.called
    assert client.reactor.getDelayedCalls() == []


def test_closing_a_site_without_clients_is_done_at_once() -> None:
    """A site that nobody visits stops without delay, and leaves no timer."""
    client = Client(lambda request: None)
    client.leave()
    assert client.site.close().called
    assert client.reactor.getDelayedCalls() == []


def test_a_site_needs_no_clock_while_nobody_visits() -> None:
    """An idle site does not wake up the process."""
    client = Client(lambda request: None)
    assert isinstance(client.reactor, Clock)
    client.leave()
    assert client.reactor.getDelayedCalls() == []
