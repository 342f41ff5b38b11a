"""Feeding lines to a processor."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from piped import RuntimeEnvironment, Source
from piped.lines.feeding import LineFeed
from piped.lines.splitting import LineSplitter
from piped.resources.dependency import InstanceDependency


class Sender:
    """What sends bytes, and is paused and resumed."""

    def __init__(self) -> None:
        self.is_paused = False

    def pauseProducing(self) -> None:
        self.is_paused = True

    def resumeProducing(self) -> None:
        self.is_paused = False


class Feeding:
    """A feed with the lines that came to its processor, which works as a test says."""

    def __init__(self, process: Callable[[dict[str, Any]], Any] | None = None, max_length: int = 100) -> None:
        self.lines: list[str | None] = []
        self._process = process or (lambda baton: None)
        self.environment = RuntimeEnvironment(reactor=Clock())
        manager = self.environment.dependency_manager
        self.dependency = manager.add_dependency(InstanceDependency(self._line, "processor"))
        manager.resolve_initial_states()
        self.source = Source("lines", self.dependency, max_running=1)
        self.sender = Sender()
        self.feed = LineFeed("the lines", LineSplitter(b"\n", max_length), self.source, self.environment)
        self.feed.connected(self.sender)

    def _line(self, baton: dict[str, Any]) -> Any:
        self.lines.append(baton["line"])
        return self._process(baton)


class Slow(Feeding):
    """A processor that takes until it is told."""

    def __init__(self) -> None:
        self.working: list[Deferred[None]] = []
        super().__init__(self._work)

    def _work(self, baton: dict[str, Any]) -> Deferred[None]:
        self.working.append(Deferred())
        return self.working[-1]

    def work(self) -> None:
        self.working.pop(0).callback(None)


def test_each_line_is_a_baton() -> None:
    """The text of a line, without its delimiter; what is behind the last one comes at the end."""
    feeding = Feeding()
    feeding.feed.data_received(b"one\n\ntw")
    feeding.feed.data_received(b"o\nrest")
    assert feeding.lines == ["one", "", "two"]
    feeding.feed.ended()
    assert feeding.lines == ["one", "", "two", "rest"]


def test_the_end_can_be_told() -> None:
    """The last baton has null for the line, behind all lines."""
    feeding = Slow()
    feeding.feed.data_received(b"one\nrest")
    feeding.feed.ended(tells=True)
    assert feeding.lines == ["one"]
    feeding.work()
    feeding.work()
    assert feeding.lines == ["one", "rest", None]


def test_lines_are_processed_one_at_a_time() -> None:
    """The next one waits until the former has been processed, and so does who sends them."""
    feeding = Slow()
    feeding.feed.data_received(b"1\n2\n3\n")
    assert (feeding.lines, feeding.sender.is_paused) == (["1"], True)
    feeding.work()
    assert (feeding.lines, feeding.sender.is_paused) == (["1", "2"], True)
    feeding.work()
    assert (feeding.lines, feeding.sender.is_paused) == (["1", "2", "3"], False)


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), max_size=20))
def test_only_one_piece_of_data_waits(pieces: list[int]) -> None:
    """Who sends only while it is not paused never has more waiting than the lines of its last piece."""
    feeding, sent = Slow(), 0
    for count in pieces:
        while feeding.sender.is_paused:
            feeding.work()
        feeding.feed.data_received(b"x\n" * count)
        sent += count
        assert sent - len(feeding.lines) <= max(count, 1)
    while feeding.working:
        feeding.work()
    assert len(feeding.lines) == sent


def test_lines_wait_for_a_processor_that_is_lost() -> None:
    """Nothing is dropped while it is away, and nothing more is read."""
    feeding = Feeding()
    feeding.dependency.fire_on_lost("it went away")
    feeding.feed.data_received(b"1\n2\n")
    assert (feeding.lines, feeding.sender.is_paused) == ([], True)
    feeding.dependency.fire_on_ready()
    assert (feeding.lines, feeding.sender.is_paused) == (["1", "2"], False)


def test_a_step_may_lose_and_regain_its_processor() -> None:
    """For each of many lines: the next one comes when the former has been processed, not from within it."""

    def work(_: object) -> None:
        feeding.dependency.fire_on_lost("a moment")
        feeding.dependency.fire_on_ready()

    feeding = Feeding(work)
    feeding.feed.data_received(b"x\n" * 2000)
    assert len(feeding.lines) == 2000


def test_a_sender_that_comes_meanwhile_waits_too() -> None:
    """The next run of a program begins to be heard when what the former one has said is processed."""
    feeding = Slow()
    feeding.feed.data_received(b"1\n2\n")
    next_one = Sender()
    feeding.feed.connected(next_one)
    assert next_one.is_paused
    feeding.work()
    assert not next_one.is_paused


def test_many_lines_let_others_have_a_turn() -> None:
    """A processor that holds the reactor does not do so for all lines of a piece: after 50 ms others come first."""

    def work(_: object) -> None:
        feeding.environment.reactor.rightNow += 0.02

    feeding = Feeding(work)
    feeding.feed.data_received(b"x\n" * 9)
    assert (len(feeding.lines), feeding.sender.is_paused) == (3, True)
    feeding.environment.reactor.advance(0)
    assert (len(feeding.lines), feeding.sender.is_paused) == (9, False)


def test_a_line_that_is_too_long_is_dropped_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """One error for each, which says how long one may be; the others come."""
    feeding = Feeding(max_length=5)
    feeding.feed.data_received(b"12345\nmuch too long, ")
    feeding.feed.data_received(b"and then some\nok\n")
    assert feeding.lines == ["12345", "ok"]
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "the lines: a line is longer than max_length, 5 bytes: it is dropped"


def test_a_line_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The failure costs one line; the next one comes."""

    def work(baton: dict[str, Any]) -> None:
        if baton["line"] == "bad":
            raise ValueError("no good")

    feeding = Feeding(work)
    feeding.feed.data_received(b"bad\ngood\n")
    assert feeding.lines == ["bad", "good"]
    [record] = caplog.records
    assert (record.levelno, "the lines" in record.getMessage()) == (logging.ERROR, True)
    assert "ValueError: no good" in record.getMessage()


def test_what_is_no_utf_8_can_be_written_elsewhere() -> None:
    """Bytes that are no text become U+FFFD, which any file, page or JSON takes."""
    feeding = Feeding()
    feeding.feed.data_received("smörgås\n".encode() + b"sm\xf6r\n")
    assert feeding.lines == ["smörgås", "sm�r"]


def test_lines_without_a_processor_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At level debug, with the name of where they come from."""
    caplog.set_level(logging.DEBUG)
    feed = LineFeed("worker.stderr", LineSplitter(b"\n", 100), None, RuntimeEnvironment())
    feed.data_received(b"oops\n")
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [(logging.DEBUG, "worker.stderr: oops")]


def test_a_stop_counts_what_was_not_processed(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing vanishes silently; what follows is read, so that who sends it can end, and logged."""
    caplog.set_level(logging.DEBUG)
    feeding = Slow()
    feeding.feed.data_received(b"1\n2\n3\n")
    feeding.source.drain()
    feeding.feed.stop()
    assert not feeding.sender.is_paused
    feeding.feed.data_received(b"4\n")
    feeding.work()
    assert feeding.lines == ["1"]
    told = [(each.levelno, each.getMessage()) for each in caplog.records]
    assert told == [(logging.WARNING, "the lines: 2 lines were not processed any more"), (10, "the lines: 4")]


def test_a_stop_while_others_have_a_turn() -> None:
    """The rest of a long piece does not come after the stop."""

    def work(_: object) -> None:
        feeding.environment.reactor.rightNow += 0.06

    feeding = Feeding(work)
    feeding.feed.data_received(b"1\n2\n")
    feeding.feed.stop()
    feeding.environment.reactor.advance(1)
    assert feeding.lines == ["1"]


def test_lines_come_again_after_a_new_start() -> None:
    """A service that is started anew goes on with what is sent then."""
    feeding = Feeding()
    feeding.source.drain()
    feeding.feed.stop()
    feeding.feed.start()
    feeding.feed.data_received(b"again\n")
    assert feeding.lines == ["again"]
