"""Responses in parts: no faster than the client takes them, and no longer than it stays."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from web_stage import Client, parsed

from piped.runtime.environment import RuntimeEnvironment
from piped.runtime.turns import LONGEST_HOLD, Turns
from piped.web.parts import parts_of
from piped.web.request import Request
from piped.web.streaming import BATCH, ClientLeft, Outlet, cut_off, outlet_of, send_parts

pytestmark = pytest.mark.usefixtures("each_channel")


class Slow(Client):
    """A client of a site that answers when its test says so, and takes what it is sent when it is told to."""

    def __init__(self, method: str = "GET", **options: Any) -> None:
        requests: list[Request] = []
        super().__init__(requests.append, **options)
        self.get(method=method)
        self.request = requests.pop()

    @property
    def sent(self) -> bytes:
        return self.transport.value()


def outcome(deferred: Deferred[Any]) -> list[Any]:
    """What a Deferred has fired with, as far as it has."""
    ended: list[Any] = []
    deferred.addBoth(ended.append)
    return ended


class TestSend:
    """`await request.send(data)`."""

    def test_parts_are_sent_as_they_come(self) -> None:
        """Text and bytes are sent at once, in chunks, and the response goes on."""
        client = Slow()
        assert outcome(client.request.send("grün")) == [None]
        assert outcome(client.request.send(b"\xff")) == [None]
        client.request.finish()
        assert parsed(client.sent)[2] == b"5\r\ngr\xc3\xbcn\r\n1\r\n\xff\r\n0\r\n\r\n"

    def test_it_waits_for_a_client_that_does_not_take_more(self) -> None:
        """What was sent is on its way; the next part is asked for when the client takes more."""
        client = Slow()
        client.stop_taking()
        ended = outcome(client.request.send("one"))
        assert (ended, b"one" in client.sent) == ([], True)
        client.take()
        assert ended == [None]

    def test_what_was_written_before_counts(self) -> None:
        """A client that has not taken what `write` sent is waited for as well."""
        client = Slow()
        client.request.write("much")
        client.stop_taking()
        ended = outcome(client.request.send("more"))
        assert ended == []
        client.take()
        assert ended == [None]

    def test_several_may_wait(self) -> None:
        """Each goes on in its turn, and only as long as the client takes more."""
        client = Slow()
        client.stop_taking()
        first, second = client.request.send("one"), client.request.send("two")
        first.addCallback(lambda _: client.stop_taking())
        ended = outcome(second)
        client.take()
        assert (first.called, ended) == (True, [])
        client.take()
        assert ended == [None]

    def test_a_client_that_leaves_ends_the_waiting(self) -> None:
        """Whoever waits is told at once, and so is whoever sends more; no one else is bothered."""
        client = Slow()
        client.stop_taking()
        waiting = outcome(client.request.send("one"))
        client.leave()
        later = outcome(client.request.send("two"))
        for [failure] in (waiting, later):
            assert failure.check(ClientLeft)
            assert failure.check(CancelledError), "nobody logs it"
            assert "left" in str(failure.value)

    def test_who_does_not_wait_is_not_bothered(self) -> None:
        """Nothing is logged of what was sent to a client that has left, whoever has forgotten it."""
        events: list[LogEvent] = []
        client = Slow()
        client.stop_taking()
        globalLogPublisher.addObserver(events.append)
        try:
            client.request.send("one")
            client.leave()
            client.request.send("two")
            gc.collect()
        finally:
            globalLogPublisher.removeObserver(events.append)
        assert events == []

    def test_nothing_is_sent_after_the_end(self) -> None:
        """A response that somebody else has finished takes no more, and says so."""
        client = Slow()
        client.request.answer(b"whole")
        [failure] = outcome(client.request.send("more"))
        assert failure.check(ClientLeft)

    def test_one_who_waits_may_give_up(self) -> None:
        """What is cancelled does not wait any more, and disturbs no one who does."""
        client = Slow()
        client.stop_taking()
        first, second = client.request.send("one"), client.request.send("two")
        outcome(first)
        ended = outcome(second)
        first.cancel()
        client.take()
        assert ended == [None]

    def test_a_finished_response_leaves_the_connection_for_the_next(self) -> None:
        """The same connection answers the next request."""
        client = Slow()
        outcome(client.request.send("one"))
        client.request.finish()
        client.get()
        assert not client.is_hung_up_on

    def test_something_else_may_produce_the_response(self) -> None:
        """Two cannot send one response: the second is told."""
        client = Slow()
        client.request.registerProducer(object(), True)
        with pytest.raises(ValueError, match="registering producer"):
            outlet_of(client.request)

    def test_a_stream_has_no_time_limit(self) -> None:
        """`response_timeout` is for what does not begin: a response that has begun may go on for ever."""
        late: list[Request] = []
        early, client = Slow(), Slow()
        early.request.limit(1, late.append)
        outcome(early.request.send("one"))
        outcome(client.request.send("one"))
        client.request.limit(1, late.append)
        for each in (early, client):
            each.reactor.advance(2)
        assert late == []

    def test_a_client_can_be_cut_off(self) -> None:
        """What it has not taken is given up, so that it costs nothing more."""
        client = Slow()
        cut_off(client.request)
        assert client.transport.disconnected
        assert not client.request.is_open

    @pytest.mark.parametrize("leaves", [True, False])
    def test_nothing_is_kept_of_a_response_that_has_ended(self, leaves: bool) -> None:
        """The request is held by nobody, whoever has waited for its client."""
        client = Slow()
        client.stop_taking()
        waiting = client.request.send("one")
        ended = outcome(waiting)
        kept = weakref.ref(client.request)
        client.leave() if leaves else client.request.finish()
        del client.request
        if leaves:
            del client  # its channel, of which nothing is left either
        gc.collect()
        assert kept() is None
        assert len(ended) == 1


def test_an_outlet_that_was_never_full_has_nothing_to_wait_for() -> None:
    """No Deferred is made for a client that takes everything."""
    outlet = Outlet()
    assert outlet.ready() is None
    outlet.pauseProducing()
    assert outlet.ready() is not None


class TestSendParts:
    """A whole response from a source of parts."""

    def start(self, client: Slow, content: Any, turns: Turns | None = None) -> Deferred[None]:
        async def run() -> None:
            parts = await parts_of(content, RuntimeEnvironment(reactor=Clock()), bytes)
            await send_parts(client.request, parts, turns or Turns(Clock()))

        return Deferred.fromCoroutine(run())

    def test_small_parts_are_sent_together(self) -> None:
        """What is there at once is one write, and not a packet for each part."""
        client = Slow()
        assert outcome(self.start(client, [b"a", b"b", b"", b"c"])) == [None]
        assert parsed(client.sent)[2] == b"3\r\nabc\r\n"

    def test_many_parts_are_sent_in_pieces(self) -> None:
        """Nothing is collected beyond some 64 KiB."""
        client = Slow()
        outcome(self.start(client, [b"x" * 1000] * 200))
        sizes = [int(line, 16) for line in parsed(client.sent)[2].split(b"\r\n")[::2] if line]
        assert sum(sizes) == 200_000
        assert max(sizes) < BATCH + 1000

    def test_nothing_is_taken_while_the_client_takes_nothing(self) -> None:
        """The source is asked for no more than what the client takes."""
        asked: list[int] = []

        async def numbers() -> Any:
            for number in range(3):
                asked.append(number)
                yield b"%d" % number

        client = Slow()
        client.stop_taking()
        ended = outcome(self.start(client, numbers()))
        assert asked == [0]
        client.take()
        assert (asked, ended) == ([0, 1, 2], [None])

    def test_who_leaves_ends_the_source(self) -> None:
        """An endless generator is closed when its client leaves, and its cleaning up is done."""
        closed: list[str] = []

        async def endless() -> Any:
            try:
                while True:
                    yield b"x"
                    client.stop_taking()
            finally:
                closed.append("closed")

        client = Slow()
        ended = outcome(self.start(client, endless()))
        assert (ended, closed) == ([], [])
        client.leave()
        assert closed == ["closed"]
        assert ended[0].check(ClientLeft)

    @pytest.mark.parametrize("begun", [True, False])
    def test_who_leaves_ends_a_source_that_never_gives_anything_more(self, begun: bool) -> None:
        """A generator is not left waiting for ever for what nobody wants any more, nor who waits for its end."""
        closed: list[str] = []
        nothing: Deferred[None] = Deferred()

        async def waiting() -> Any:
            try:
                if begun:
                    yield b"x"
                await nothing
                yield b"never"
            finally:
                closed.append("closed")

        client = Slow()
        ended = outcome(self.start(client, waiting()))
        assert (ended, closed) == ([], [])
        client.leave()
        assert closed == ["closed"]
        assert ended[0].check(ClientLeft)

    def test_who_left_before_is_not_waited_for(self) -> None:
        """Nothing is taken from a source whose client is gone already; it is only closed."""

        async def never() -> Any:
            raise AssertionError("it was asked")
            yield

        client = Slow()
        client.leave()
        [failure] = outcome(self.start(client, never()))
        assert failure.check(ClientLeft)

    def test_who_cancels_ends_the_source(self) -> None:
        """A stream that is cancelled closes what it reads, wherever it waits."""
        closed: list[str] = []
        nothing: Deferred[None] = Deferred()

        async def waiting() -> Any:
            try:
                yield b"x"
                await nothing
            finally:
                closed.append("closed")

        running = self.start(Slow(), waiting())
        ended = outcome(running)
        running.cancel()
        assert closed == ["closed"]
        assert isinstance(ended[0], Failure)
        assert not ended[0].check(ClientLeft), "who cancels is not told of a client"

    def test_a_source_that_never_waits_lets_others_have_a_turn(self) -> None:
        """A fast client and a fast source do not keep the reactor to themselves."""
        clock = Clock()

        async def busy() -> Any:
            for _ in range(3):
                yield b"x"
                clock.advance(LONGEST_HOLD)

        ended = outcome(self.start(Slow(), busy(), Turns(clock)))
        assert ended == []
        clock.advance(0)
        assert ended == [None]
