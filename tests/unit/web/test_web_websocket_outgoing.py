"""What is on its way to the client of a WebSocket."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher
from websocket_stage import PING, PONG, TEXT, Peer, closed, frame

from piped.web.streaming import ClientLeft
from piped.web.topics import Message
from piped.web.websockets.websocket import WebSocket

pytestmark = pytest.mark.usefixtures("each_channel")


def opened(**options: Any) -> tuple[Peer, WebSocket, list[Any]]:
    """A client, its WebSocket, and the ends that were told."""
    made: list[WebSocket] = []
    ends: list[Any] = []

    def hello(baton: Any) -> None:
        made.append(baton["websocket"])

    def end(baton: Any) -> None:
        ends.append((baton["code"], baton["reason"]))

    named = {"it": lambda baton: None, "hello": hello, "end": end}
    client = Peer({"processor": "it", "connected": "hello", "disconnected": "end", **options}, **named).open()
    return client, made[0], ends


def outcomes(*sent: Deferred[None]) -> list[Any]:
    """What became of each: None for one that was taken, the type of its failure, "waits"."""
    found: list[Any] = []
    for one in sent:
        if not one.called:
            found.append("waits")
            continue
        one.addCallbacks(found.append, lambda failure: found.append(failure.type))
    return found


def test_a_message_that_the_client_can_take_need_not_be_waited_for() -> None:
    """As long as the transport takes more, `send` is done at once."""
    client, websocket, _ = opened()
    assert outcomes(websocket.send("a"), websocket.send(b"b")) == [None, None]
    assert len(client.heard()) == 2


def test_a_message_is_waited_for_while_the_client_does_not_read() -> None:
    """`await send()` goes on when the client has taken what was before; the order stays."""
    client, websocket, _ = opened()
    client.stop_taking()
    first, second = websocket.send("a"), websocket.send("b")
    assert (outcomes(first, second), client.heard()) == (["waits", "waits"], [])
    client.take()
    assert outcomes(first, second) == [None, None]
    assert client.heard() == [(TEXT, b"a"), (TEXT, b"b")]


def test_the_message_that_fills_the_buffer_is_waited_for() -> None:
    """It has gone to the transport, which asks to wait with the next one."""
    client, websocket, _ = opened()
    client.transport.write = fill(client, client.transport.write)
    sent = websocket.send("a")
    assert outcomes(sent) == ["waits"]
    assert client.heard() == [(TEXT, b"a")]
    client.take()
    assert outcomes(sent) == [None]


def fill(client: Peer, write: Any) -> Any:
    def fills(data: bytes) -> None:
        write(data)
        client.stop_taking()

    return fills


def test_what_waits_is_sent_as_the_client_takes_it() -> None:
    """Each time that it has taken something it gets as much as fills the buffer, so that memory stays flat."""
    client, websocket, _ = opened()
    client.stop_taking()
    sent = [websocket.send(str(number)) for number in range(3)]
    client.transport.write = fill(client, client.transport.write)
    for number in range(3):
        client.take()
        assert client.heard() == [(TEXT, str(number).encode())]
        assert outcomes(*sent) == [None] * number + ["waits"] * (3 - number)
    client.take()
    assert outcomes(sent[-1]) == [None]


def test_a_client_that_reads_too_slowly_is_cut_off() -> None:
    """Above `max_unsent` nothing more is kept for it; the pipeline is told why it has gone."""
    client, websocket, ends = opened(max_unsent=100)
    client.stop_taking()
    sent = [websocket.send("x" * 40) for _ in range(2)]
    assert not client.is_cut
    sent.append(websocket.send("x" * 40))
    assert client.is_cut
    assert outcomes(*sent, websocket.send("more")) == [ClientLeft] * 4
    client.leave()
    assert ends == [(1008, "it does not read what is sent to it")]


def test_what_was_taken_does_not_count_any_more() -> None:
    """A client that reads in fits and starts may be sent any amount."""
    client, websocket, _ = opened(max_unsent=100)
    for _ in range(10):
        client.stop_taking()
        websocket.send("x" * 40)
        websocket.send("x" * 40)
        client.take()
    assert not client.is_cut


def test_one_message_may_be_longer_than_max_unsent() -> None:
    """It is no sign of a slow client; the next one is."""
    client, websocket, _ = opened(max_unsent=100)
    client.stop_taking()
    websocket.send("x" * 1000)
    assert not client.is_cut
    websocket.send("")
    assert client.is_cut


def test_a_client_that_has_left_is_sent_nothing() -> None:
    """`send` fails for who waits for it."""
    client, websocket, _ = opened()
    client.stop_taking()
    sent = websocket.send("a")
    client.leave()
    assert not websocket.is_open
    assert outcomes(sent, websocket.send("b")) == [ClientLeft, ClientLeft]


def test_who_does_not_wait_for_a_message_is_told_nothing() -> None:
    """A message that could not be sent leaves no line about a Deferred in the log."""
    events: list[LogEvent] = []
    client, websocket, _ = opened()
    globalLogPublisher.addObserver(events.append)
    try:
        client.stop_taking()
        websocket.send("a")
        client.leave()
        websocket.send("b")
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert [event for event in events if "Unhandled" in str(event.get("log_format"))] == []


def test_waiting_can_be_cancelled() -> None:
    """The message is sent all the same: it is on its way."""
    client, websocket, _ = opened()
    client.stop_taking()
    sent = websocket.send("a")
    sent.addErrback(lambda failure: None)
    sent.cancel()
    client.take()
    assert client.heard() == [(TEXT, b"a")]


def test_a_close_comes_after_what_was_sent() -> None:
    """The last words of a pipeline reach the client, then it is hung up on when it has answered."""
    client, websocket, _ = opened()
    client.stop_taking()
    websocket.send("last words")
    websocket.close(4000, "done")
    assert (client.heard(), websocket.is_open) == ([], False)
    client.take()
    assert client.heard() == [(TEXT, b"last words"), closed(4000, "done")]
    assert not client.is_hung_up_on
    client.raw(frame(8, b"\x0f\xa0"))
    assert client.is_hung_up_on
    client.leave()
    assert client.reactor.getDelayedCalls() == []


def test_a_client_that_takes_nothing_is_cut_some_seconds_after_a_close() -> None:
    """It would never read that it was closed."""
    client, websocket, _ = opened()
    client.stop_taking()
    websocket.send("x")
    websocket.close()
    client.reactor.advance(5)
    assert client.is_cut


def test_a_close_of_the_client_is_not_kept_waiting() -> None:
    """What waits for it is dropped: it does not want it any more."""
    client, websocket, _ = opened()
    client.stop_taking()
    sent = websocket.send("x")
    assert client.raw(frame(8, b"\x03\xe8")) == [closed(1000)]
    assert (client.is_hung_up_on, outcomes(sent)) == (True, [ClientLeft])


def test_a_closed_connection_can_be_closed_again() -> None:
    """The first code counts."""
    client, websocket, ends = opened()
    websocket.close(4000)
    websocket.close(4001)
    assert client.heard() == [closed(4000)]
    client.leave()
    assert ends == [(4000, "")]


def test_no_ping_is_put_behind_messages_that_wait() -> None:
    """A client that takes nothing has a limit of the site; a ping would only be late."""
    client, _, ends = opened(ping_interval=10, ping_timeout=5, max_unsent=10)
    client.stop_taking()
    client.channel.deadline = 10**9
    client.reactor.pump([1] * 60)
    assert (client.is_hung_up_on, ends) == (False, [])
    client.take()
    client.reactor.pump([1] * 10)
    assert client.heard() == [(PING, b"")]


def test_an_answer_to_a_ping_comes_before_what_waits() -> None:
    """So that a client which reads again sees at once that the site is there."""
    client, websocket, _ = opened()
    client.stop_taking()
    websocket.send("a")
    client.raw(frame(PING, b"there?"))
    client.take()
    assert client.heard() == [(PONG, b"there?"), (TEXT, b"a")]


def test_what_is_published_is_encoded_once() -> None:
    """A frame is made for the first of a thousand members, and sent to all."""
    first, one, _ = opened()
    second, other, _ = opened()
    message = Message({"price": 17})
    one.deliver(message)
    other.deliver(message)
    assert first.heard() == second.heard() == [(TEXT, b'{"price": 17}')]
    assert len(message._encoded) == 1
    one.deliver(Message(b"\x00"))
    assert first.heard() == [(2, b"\x00")]
    first.leave()
    one.deliver(message)


@pytest.mark.parametrize("message", [None, 17, {"a": 1}, ["x"]])
def test_only_text_and_bytes_are_messages(message: Any) -> None:
    """Anything else is a mistake of the program, at the place where it is made."""
    _, websocket, _ = opened()
    with pytest.raises(TypeError, match="text or bytes"):
        websocket.send(message)


def test_every_kind_of_bytes_can_be_sent() -> None:
    """Also those that are changed afterwards."""
    client, websocket, _ = opened()
    changing = bytearray(b"before")
    client.stop_taking()
    websocket.send(changing)
    websocket.send(memoryview(b"view"))
    changing[:] = b"after!"
    client.take()
    assert client.heard() == [(2, b"before"), (2, b"view")]
