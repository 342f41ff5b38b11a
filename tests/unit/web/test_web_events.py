"""Events as an EventSource reads them, and the responses that stay open for it."""

from __future__ import annotations

import gc
import logging
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_stage import Client, parsed

from piped.web.events import EventOutlet, EventStream, check_line, event_of, is_event_stream, open_stream
from piped.web.request import Request
from piped.web.streaming import outlet_of
from piped.web.topics import Message

pytestmark = pytest.mark.usefixtures("each_channel")


def received(stream: bytes) -> list[tuple[str | None, str, str]]:
    """The events of a stream, each with its type, its data and the last id.

    Source: WHATWG HTML, section 9.2.6, "interpreting an event stream".
    """
    events: list[tuple[str | None, str, str]] = []
    kind, data, last_id = None, "", ""
    for line in re.split("\r\n|\r|\n", stream.decode())[:-1]:
        if not line:
            if data:
                events.append((kind, data.removesuffix("\n"), last_id))
            kind, data = None, ""
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            kind = value
        elif field == "data":
            data += value + "\n"
        elif field == "id":
            last_id = value
    return events


class TestEvents:
    """What is written for a message."""

    @pytest.mark.parametrize(
        ("message", "event"),
        [
            (Message("hello"), b"data: hello\n\n"),
            (Message("a\nb\rc\r\nd"), b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
            (Message("a\n"), b"data: a\ndata: \n\n"),
            (Message(""), b"data: \n\n"),
            (Message("grün\u2028\x0b".encode()), "data: grün\u2028\x0b\n\n".encode()),
            (Message({"a": [1]}), b'data: {"a": [1]}\n\n'),
            (Message("x", event="news", id="1 7"), b"event: news\nid: 1 7\ndata: x\n\n"),
            (Message("x", id=""), b"id: \ndata: x\n\n"),
        ],
    )
    def test_a_message_is_an_event(self, message: Message, event: bytes) -> None:
        """Each line of the data is one of the event; other values are JSON."""
        assert event_of(message) == event

    @pytest.mark.parametrize("field", ["event", "id"])
    @pytest.mark.parametrize("value", ["a\nb", "a\rb", "x\n\ndata: false", "\0"])
    def test_nothing_can_be_smuggled_in(self, field: str, value: str) -> None:
        """A type or an id that would end its line is refused."""
        with pytest.raises(ValueError, match=f"the {field} of an event must be a single line"):
            event_of(Message("x", **{field: value}))
        with pytest.raises(ValueError, match="single line"):
            check_line(field, value)

    def test_bytes_must_be_text(self) -> None:
        """A stream is UTF-8, and nothing else."""
        with pytest.raises(ValueError, match="utf-8"):
            event_of(Message(b"\xff"))

    line = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=5)

    @given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), line, line), max_size=4))
    def test_a_client_reads_what_was_sent(self, sent: list[tuple[str, str, str]]) -> None:
        """Any text comes as it was, but for its line ends, which are all the same then."""
        stream = b"".join(event_of(Message(data, event, id)) for data, event, id in sent)
        expected = [(event, re.sub("\r\n?", "\n", data), id) for data, event, id in sent]
        # What comes behind the last event belongs to none.
        assert received(stream) == expected


class Browser(Client):
    """A client whose request is an open event stream."""

    def __init__(self, *headers: str, version: str = "1.1", heartbeat: float = 0, retry: float | None = None) -> None:
        requests: list[Request] = []
        super().__init__(requests.append)
        self.get(*headers) if version == "1.1" else self.send(b"GET / HTTP/1.0\r\n\r\n")
        self.request = requests.pop()
        open_stream(self.request, self.reactor, retry=retry, heartbeat=heartbeat)
        self.begin = self.came()

    def came(self) -> bytes:
        """What was sent since the last look."""
        data = self.transport.value()
        self.transport.clear()
        return data


class TestStreams:
    """Responses that are open event streams."""

    def test_what_a_stream_begins_with(self) -> None:
        """The headers tell a browser what it is, caches and proxies to leave it alone; something is sent at once."""
        code, headers, body = parsed(Browser().begin)
        assert (code, headers["content-type"], headers["cache-control"]) == (200, "text/event-stream", "no-store")
        assert (headers["x-accel-buffering"], headers["transfer-encoding"]) == ("no", "chunked")
        assert body == b"3\r\n:\n\n\r\n"

    def test_how_long_to_wait_before_coming_again(self) -> None:
        """`retry` is told in milliseconds."""
        assert parsed(Browser(retry=2.5).begin)[2] == b"d\r\nretry: 2500\n\n\r\n"

    def test_a_message_is_sent_at_once(self) -> None:
        """Each is a chunk of its own, and counted in the access log by its own length."""
        browser = Browser()
        before = browser.request.sentLength
        EventStream(browser.request).deliver(Message("hello"))
        assert browser.came() == b"d\r\ndata: hello\n\n\r\n"
        assert browser.request.sentLength - before == 13

    def test_old_clients_get_no_chunks(self) -> None:
        """Over HTTP/1.0 the stream ends with the connection."""
        browser = Browser(version="1.0", heartbeat=15)
        EventStream(browser.request).deliver(Message("hello"))
        assert browser.came() == b"data: hello\n\n"
        browser.reactor.advance(15)
        assert browser.came() == b":\n\n"
        browser.request.finish()
        assert browser.is_hung_up_on

    def test_comments_keep_it_alive(self) -> None:
        """One comes every so many seconds, until the end."""
        browser = Browser(heartbeat=15)
        for _ in range(2):
            browser.reactor.advance(14.9)
            assert browser.came() == b""
            browser.reactor.advance(0.1)
            assert browser.came() == b"3\r\n:\n\n\r\n"
        browser.request.finish()
        browser.came()
        browser.reactor.advance(30)
        assert browser.came() == b""

    def test_nothing_is_left_of_a_client_that_has_left(self) -> None:
        """Its comments end, and messages that still come do no harm."""
        browser = Browser(heartbeat=15)
        browser.leave()
        EventStream(browser.request).deliver(Message("hello"))
        assert browser.came() == b""
        assert browser.reactor.getDelayedCalls() == []

    def test_comments_do_not_keep_a_forgotten_stream(self) -> None:
        """A stream that nobody can send to any more is finished, whoever has forgotten it."""
        browser = Browser(heartbeat=15)
        browser.request.answered_by = "pipeline.it"
        gc.disable()
        try:
            browser.request.let_go()
            del browser.request
            browser.reactor.advance(0)
        finally:
            gc.enable()
        assert browser.came() == b"0\r\n\r\n"

    def test_a_client_that_takes_nothing_is_cut(self, caplog: pytest.LogCaptureFixture) -> None:
        """What waits for it is bounded; it may come again."""
        browser = Browser()
        stream = EventStream(browser.request)
        outlet: Any = outlet_of(browser.request)
        outlet.max_unsent = 30
        browser.stop_taking()
        stream.deliver(Message("hello"))
        stream.deliver(Message("hello"))
        assert not browser.is_hung_up_on
        with caplog.at_level(logging.INFO, "piped.web"):
            stream.deliver(Message("hello"))
        assert browser.transport.disconnected
        assert "does not take its events, 39 bytes wait, of at most 30 (max_unsent)" in caplog.text

    def test_a_client_that_takes_nothing_is_cut_however_small_the_events(self) -> None:
        """What waits is added up, also where the transport says with each write that it is full."""
        browser = Browser()
        stream = EventStream(browser.request)
        outlet: Any = outlet_of(browser.request)
        outlet.max_unsent = 30
        for _ in range(3):
            browser.stop_taking()
            stream.deliver(Message("hello"))
        assert browser.transport.disconnected

    def test_a_client_that_takes_it_in_the_end_stays(self) -> None:
        """Only what waits at one time counts."""
        browser = Browser()
        stream = EventStream(browser.request)
        outlet: Any = outlet_of(browser.request)
        outlet.max_unsent = 20
        for _ in range(5):
            browser.stop_taking()
            stream.deliver(Message("hello"))
            browser.take()
            stream.deliver(Message("hello"))
        assert not browser.is_hung_up_on

    def test_only_what_was_opened_is_a_stream(self) -> None:
        """Other responses are told from it."""
        requests: list[Request] = []
        Client(requests.append).get()
        assert not is_event_stream(requests[0])
        outlet_of(requests[0])
        assert not is_event_stream(requests[0])
        assert is_event_stream(Browser().request)
        assert isinstance(outlet_of(Browser().request), EventOutlet)
