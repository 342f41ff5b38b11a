"""The wire of a WebSocket: frames that are none, limits, pings, and how it ends."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from websocket_stage import BINARY, CLOSE, KEY, PING, PONG, TEXT, UPGRADE, Peer, close_frame, closed, frame, frames_in

pytestmark = pytest.mark.usefixtures("each_channel")


def echo(baton: Any) -> Any:
    return baton["websocket"].send(baton["message"])


class Ends:
    """A processor for the ends of connections."""

    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []

    def __call__(self, baton: Any) -> None:
        self.told.append((baton["code"], baton["reason"]))


def peer(**options: Any) -> tuple[Peer, Ends]:
    ends = Ends()
    return Peer({"processor": "echo", "disconnected": "ends", **options}, echo=echo, ends=ends).open(), ends


def test_text_stays_text_and_bytes_stay_bytes() -> None:
    """A message comes as it was sent, whatever is in it."""
    client, _ = peer()
    assert client.say("grün", b"\xff\x00", "", b"") == [
        (TEXT, "grün".encode()),
        (BINARY, b"\xff\x00"),
        (TEXT, b""),
        (BINARY, b""),
    ]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    messages=st.lists(st.one_of(st.text(max_size=200), st.binary(max_size=200)), max_size=5),
    cuts=st.lists(st.integers(1, 40), min_size=1),
    parts=st.integers(1, 4),
)
def test_messages_are_whole_however_they_come(messages: list[str | bytes], cuts: list[int], parts: int) -> None:
    """In any number of frames, cut anywhere by the network, and with pings between them, a message is the same."""
    data, expected = b"", []
    for message in messages:
        opcode, content = (TEXT, message.encode()) if isinstance(message, str) else (BINARY, message)
        expected.append((opcode, content))
        step = len(content) // parts + 1
        pieces = [content[at : at + step] for at in range(0, len(content), step)] or [b""]
        for number, piece in enumerate(pieces):
            data += frame(opcode if number == 0 else 0, piece, fin=number == len(pieces) - 1) + frame(PING, b"p")
    client, _ = peer()
    heard, turn = [], 0
    while data:
        cut = cuts[turn % len(cuts)]
        heard += client.raw(data[:cut])
        data, turn = data[cut:], turn + 1
    assert [found for found in heard if found[0] != PONG] == expected


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"x", is_masked=False), 1002),
        (frame(TEXT, b"x", rsv=4), 1002),
        (frame(TEXT, b"x", rsv=1), 1002),
        (frame(3, b"x"), 1002),
        (frame(11), 1002),
        (frame(0, b"continued"), 1002),
        (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(CLOSE, b"x"), 1002),
        (close_frame(1005), 1002),
        (close_frame(1006), 1002),
        (close_frame(999), 1002),
        (close_frame(2999), 1002),
        (close_frame(5000), 1002),
        (b"\x81\xfe\x00\x05\x00\x00\x00\x00hello", 1002),
        (b"\x82\xff" + b"\xff" * 8, 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xed\xa0\x80"), 1007),
        (frame(TEXT, b"\xc3", fin=False) + frame(0, b"("), 1007),
        (frame(TEXT, b"cut \xc3"), 1007),
        (frame(CLOSE, b"\x03\xe8\xff"), 1007),
        (frame(TEXT, b"x" * 101), 1009),
        (frame(BINARY, b"x" * 101), 1009),
        (frame(TEXT, "ü".encode() * 51), 1009),
        (frame(BINARY, b"x" * 60, fin=False) + frame(0, b"x" * 41), 1009),
        (b"\x82\xfe\x00\xff\x00\x00\x00\x00" + b"x" * 101, 1009),
    ],
)
def test_what_is_against_the_rules_is_closed_with_its_code(data: bytes, code: int) -> None:
    """A client that breaks the protocol or a limit is told which, and nothing of it reaches the pipeline."""
    client, ends = peer(max_message_size=100)
    [(opcode, payload)] = client.raw(data)
    assert (opcode, struct.unpack("!H", payload[:2])[0]) == (CLOSE, code)
    assert client.say("more") == []
    client.reactor.advance(6)
    assert client.is_hung_up_on
    client.leave()
    assert [told for told, _ in ends.told] == [code]


def test_a_message_may_be_as_long_as_the_limit() -> None:
    """The limit is for the payload, in bytes, and for each message anew."""
    client, _ = peer(max_message_size=100)
    for _ in range(3):
        assert client.raw(frame(TEXT, b"x" * 60, fin=False), frame(0, "ü".encode() * 20)) == [
            (TEXT, b"x" * 60 + "ü".encode() * 20)
        ]


def test_a_message_in_very_many_parts_costs_no_more_than_others() -> None:
    """Five thousand parts of one byte are read in steps, and put together at once."""
    client, _ = peer()
    data = frame(TEXT, b"x", fin=False) + frame(0, b"x", fin=False) * 5_000 + frame(0, b"!")
    assert client.raw(data) == []
    assert not client.is_read  # others are served meanwhile, and the client does not send on
    client.reactor.advance(0)
    assert (client.heard(), client.is_read) == ([(TEXT, b"x" * 5_001 + b"!")], True)


def test_a_ping_is_answered_with_what_it_holds() -> None:
    """Clients measure their latency by that."""
    client, _ = peer()
    assert client.raw(frame(PING, b"hello")) == [(PONG, b"hello")]
    assert client.raw(frame(PONG, b"unasked")) == []


def test_of_many_pings_only_the_last_is_answered() -> None:
    """A flood of pings does not become a flood of answers, nor memory that fills with them."""
    client, _ = peer()
    assert client.raw(*[frame(PING, b"%d" % number) for number in range(100)]) == [(PONG, b"99")]
    client.stop_taking()
    for number in range(100):
        assert client.raw(frame(PING, b"%d" % number)) == []
    client.take()
    assert client.heard() == [(PONG, b"99")]


def test_a_client_is_asked_whether_it_is_there() -> None:
    """Every `ping_interval` a ping is sent; whatever the client sends shows that it is there."""
    client, ends = peer(ping_interval=30, ping_timeout=20)
    for _ in range(3):
        client.reactor.pump([1] * 29)
        assert client.heard() == []
        client.reactor.advance(1)
        assert client.heard() == [(PING, b"")]
        client.raw(frame(PONG))
    assert ends.told == []


def test_a_client_that_does_not_answer_a_ping_is_closed() -> None:
    """A connection whose other side is gone does not stay for ever."""
    client, ends = peer(ping_interval=30, ping_timeout=20)
    client.reactor.advance(30)
    client.heard()
    client.reactor.advance(20)
    assert client.heard() == [closed(1011, "it did not answer a ping")]
    client.reactor.advance(5)
    assert client.is_hung_up_on
    client.leave()
    assert ends.told == [(1011, "it did not answer a ping")]
    assert client.reactor.getDelayedCalls() == []


def test_pings_can_be_left_out() -> None:
    """`ping_interval: null` sends none."""
    client, _ = peer(ping_interval=None)
    client.reactor.advance(10**5)
    assert (client.heard(), client.is_hung_up_on) == ([], False)


def test_a_client_whose_pong_is_not_read_is_not_closed() -> None:
    """While messages wait nothing is read, so that an answer cannot be seen."""
    waiting: list[Any] = []

    def wait(baton: Any) -> Any:
        waiting.append(Deferred())
        return waiting[-1]

    client = Peer({"processor": "it", "max_pending": 1}, it=wait).open()
    client.reactor.advance(30)
    client.say("one")
    client.reactor.advance(300)
    assert (client.heard(), client.is_hung_up_on) == ([], False)


def test_a_client_whose_messages_come_to_wait_after_a_ping_is_not_closed() -> None:
    """Its answer may be among what is not read any more."""
    waiting: list[Any] = []

    def wait(baton: Any) -> Any:
        waiting.append(Deferred())
        return waiting[-1]

    client = Peer("it", it=wait).open()
    client.say("one", "two")
    client.reactor.advance(30)
    client.processors.lose("pipeline.it")
    waiting[0].callback(None)
    client.reactor.advance(20)
    assert (client.heard(), client.is_hung_up_on) == ([(PING, b"")], False)


def test_a_close_of_the_client_is_answered() -> None:
    """The client gets its code back, and the site hangs up, as the standard wants it."""
    client, ends = peer()
    assert client.raw(close_frame(4001, "tired")) == [closed(4001, "tired")]
    assert client.is_hung_up_on
    client.leave()
    assert ends.told == [(4001, "tired")]


def test_a_close_without_a_code_is_told_as_1005() -> None:
    """So do browsers when `close()` has no arguments."""
    client, ends = peer()
    assert client.raw(frame(CLOSE)) == [(CLOSE, b"")]
    client.leave()
    assert ends.told == [(1005, "")]


def test_a_client_that_vanishes_is_told_as_1006() -> None:
    """No word came from it."""
    client, ends = peer()
    client.leave()
    assert ends.told == [(1006, "")]
    assert client.reactor.getDelayedCalls() == []


def test_what_comes_after_a_close_is_not_read() -> None:
    """Neither after the client's nor after one for its mistakes."""
    client, _ = peer()
    assert client.raw(close_frame(1000), frame(TEXT, b"more")) == [closed(1000)]
    assert client.raw(frame(TEXT, b"more")) == []


def test_a_connection_that_was_hung_up_on_and_is_still_there_is_cut() -> None:
    """A client that never closes its side does not keep the connection."""
    client, _ = peer()
    client.raw(close_frame(1000))
    assert not client.is_cut
    client.reactor.advance(5)
    assert client.is_cut


def test_the_access_log_has_an_entry_for_each_connection() -> None:
    """With 101, what was sent, and how long it was open."""
    client = Peer("echo", echo=echo)
    entries: list[Any] = []
    client.site.write_entry = entries.append
    client.open()
    client.say("hello")
    client.reactor.advance(7)
    assert entries == []
    client.leave()
    [entry] = entries
    assert (entry.status, entry.target, entry.size, entry.seconds) == (101, b"/", 7, 7.0)


def test_connections_are_counted_until_they_end() -> None:
    """`max_connections` counts them, as long as they are there and no longer."""
    client, _ = peer()
    assert len(client.site.channels) == 1
    client.leave()
    assert len(client.site.channels) == 0


def test_frames_that_come_with_the_request_are_read() -> None:
    """A hasty client loses nothing."""
    client = Peer("echo", echo=echo)
    head = "\r\n".join(["GET / HTTP/1.1", "Host: site", *UPGRADE, f"Sec-WebSocket-Key: {KEY}", "", ""]).encode()
    client.send(head + frame(TEXT, b"hasty"))
    client.reactor.advance(0)
    assert frames_in(client.transport.value().partition(b"\r\n\r\n")[2]) == [(TEXT, b"hasty")]
