"""Requests: handlers run as batons of the site, which counts, limits and drains them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cyclone_stage import Site, until
from tornado import web
from twisted.internet.defer import Deferred

from piped import Ticket
from piped.runtime.signing import current_baton


class Waiting(web.RequestHandler):
    """Waits for what a test lets happen."""

    gates: list[Deferred[Any]] = []
    finished: list[str] = []

    async def get(self, name: str) -> None:
        gate: Deferred[Any] = Deferred()
        self.gates.append(gate)
        self.write(str(await gate))

    def on_finish(self) -> None:
        self.finished.append(type(self).__name__)


class Signed(web.RequestHandler):
    """Tells which baton it is."""

    async def get(self) -> None:
        await asyncio.sleep(0)
        ticket = current_baton.get()
        assert isinstance(ticket, Ticket)
        self.write(f"{ticket} {self.__class__.__module__} {self.__class__.__name__}")


class Counted(web.RequestHandler):
    """Keeps something in an attribute of its class, and has a `finish` of its own that gives nothing."""

    count = 0

    def get(self) -> None:
        type(self).count += 1
        self.write(str(Counted.count))

    def finish(self, chunk: Any = None, last: str = "!") -> None:  # type: ignore[override]  # as people write it
        super().finish(last)


class Unmakeable(web.RequestHandler):
    """Its `initialize` fails."""

    def initialize(self) -> None:
        raise KeyError("nothing to begin with")


SECTION = f"""
max_running: 2
application:
  handlers:
    - [/wait/(.*), {__name__}.Waiting]
    - [/signed, {__name__}.Signed]
    - [/unmakeable, {__name__}.Unmakeable]
    - [/counted, {__name__}.Counted]
"""


def test_each_request_is_a_baton() -> None:
    """Log lines of a handler are signed with its baton; its class still has its own name."""
    site = Site(SECTION)
    assert site.ask("/signed").body == f"cyclone.site-1 {__name__} Signed".encode()
    assert site.ask("/signed").body.startswith(b"cyclone.site-2 ")
    assert site.site.source.running == 0


def test_a_handler_is_of_its_own_class(caplog: pytest.LogCaptureFixture) -> None:
    """What it keeps in its class is seen by everybody else, and a `finish` of its own is called as it wants."""
    site = Site(SECTION)
    Counted.count = 0
    assert [site.ask("/counted").body for _ in range(2)] == [b"1!", b"2!"]
    assert (Counted.count, site.site.source.running, caplog.messages) == (2, 0, [])


def test_a_handler_that_cannot_be_made_is_500(caplog: pytest.LogCaptureFixture) -> None:
    """Its client is answered, and the log names the class, the address and the failure."""
    site = Site(SECTION)
    answers = [site.ask("/unmakeable", method) for method in ("GET", "POST")]
    assert [answer.code for answer in answers] == [500, 500]
    assert "cyclone.site: Unmakeable cannot be made for /unmakeable" in caplog.text
    assert "KeyError: 'nothing to begin with'" in caplog.text


def test_as_many_as_allowed_run_at_once() -> None:
    """The next is told to come again; when one has ended there is room."""

    async def play() -> None:
        site = Site(SECTION)
        Waiting.gates.clear()
        first, second = site.start("/wait/a"), site.start("/wait/b")
        await until(lambda: len(Waiting.gates) == 2)
        third = await site.answer("/wait/c")
        assert (third.code, third.headers["Retry-After"], len(Waiting.gates)) == (503, "2", 2)
        Waiting.gates[0].callback("done")
        await until(lambda: first.is_finished and site.site.source.running == 1)
        assert (first.code, first.body) == (200, b"done")
        assert (await site.answer("/signed")).code == 200
        Waiting.gates[1].callback("done")
        await until(lambda: second.is_finished)

    asyncio.run(play())


def test_a_drain_waits_for_what_runs_and_takes_nothing_more() -> None:
    """It has ended when the last handler has."""

    async def play() -> None:
        site = Site(SECTION)
        Waiting.gates.clear()
        running = site.start("/wait/a")
        await until(lambda: len(Waiting.gates) == 1)
        drained = site.site.source.drain()
        assert (await site.answer("/signed")).code == 503
        assert not drained.called
        Waiting.gates[0].callback("done")
        await until(lambda: drained.called)
        assert running.body == b"done"

    asyncio.run(play())


def test_what_is_cut_short_is_cancelled_and_told() -> None:
    """A handler that waits too long for the stop is cancelled, and so is what it waits for; its client gets 500."""

    async def play() -> None:
        site = Site(SECTION)
        Waiting.gates.clear()
        running = site.start("/wait/a")
        await until(lambda: len(Waiting.gates) == 1)
        site.site.source.stop_running()
        await until(lambda: site.site.source.running == 0)
        assert (running.code, Waiting.gates[0].called) == (500, True)

    asyncio.run(play())


def test_handlers_of_the_application_itself_are_counted_too() -> None:
    """What is answered by the default handler is a baton like any other."""
    site = Site(SECTION)
    assert site.ask("/nothing").code == 404
    assert site.ask("/signed").body.startswith(b"cyclone.site-2 ")
