"""Pipes that a reactor reads and writes."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from piped import PipedError
from piped.children.pipes import CHUNK, ENOUGH, MOST, PipeReader, PipeWriter


class Watching(Clock):
    """A reactor that looks at its descriptors when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.addReader, self.removeReader = self.readers.add, self.readers.discard
        self.addWriter, self.removeWriter = self.writers.add, self.writers.discard

    def turn(self) -> None:
        can_read, can_write, _ = select.select(list(self.readers), list(self.writers), [], 0)
        for each in can_read:
            each.doRead()
        for each in can_write:
            each.doWrite()
        self.advance(0)


class Heard:
    """What came out of a pipe."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ends = 0

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)

    def ended(self) -> None:
        self.ends += 1


class Outgoing:
    """A pipe from a child, whose end `into` a test writes to."""

    def __init__(self) -> None:
        self.reactor, self.heard = Watching(), Heard()
        out, self.into = os.pipe()
        self.reader = PipeReader(self.reactor, out, "child.stdout", self.heard)

    @property
    def data(self) -> bytes:
        return b"".join(self.heard.pieces)


class Incoming:
    """A pipe to a child, whose end `out` a test reads."""

    def __init__(self) -> None:
        self.reactor = Watching()
        self.out, into = os.pipe()
        self.writer = PipeWriter(self.reactor, into, "child.stdin")

    def read_all(self) -> int:
        """Read until the other end is closed or nothing is left to write; gives how much came."""
        size = 0
        os.set_blocking(self.out, False)
        while self.reactor.writers or select.select([self.out], [], [], 0)[0]:
            self.reactor.turn()
            piece = os.read(self.out, 1 << 20)
            size += len(piece)
            if not piece:
                break
        return size


@pytest.fixture
def outgoing() -> Iterator[Outgoing]:
    outgoing = Outgoing()
    yield outgoing
    outgoing.reader.close()


@pytest.fixture
def incoming() -> Iterator[Incoming]:
    incoming = Incoming()
    yield incoming
    incoming.writer.close()


def failures(*waiting: Deferred[None]) -> list[str]:
    found: list[str] = []
    for each in waiting:
        each.addErrback(lambda failure: found.append(failure.value.msg))
    return found


def test_what_is_written_comes_and_then_the_end(outgoing: Outgoing) -> None:
    """All bytes, and one word that nothing follows."""
    waiting, cancelled = outgoing.reader.when_ended(), outgoing.reader.when_ended()
    cancelled.addErrback(lambda _: None)
    cancelled.cancel()
    os.write(outgoing.into, b"some bytes")
    outgoing.reactor.turn()
    assert not waiting.called
    assert (outgoing.data, outgoing.heard.ends) == (b"some bytes", 0)
    os.close(outgoing.into)
    outgoing.reactor.turn()
    assert outgoing.heard.ends == 1
    assert waiting.called
    assert outgoing.reader.when_ended().called
    assert not outgoing.reactor.readers
    outgoing.reader.close()
    assert outgoing.heard.ends == 1


def test_nothing_is_read_while_it_is_paused(outgoing: Outgoing) -> None:
    """The child waits when the pipe is full, for as long as we like."""
    outgoing.reader.pauseProducing()
    os.set_blocking(outgoing.into, False)
    os.write(outgoing.into, b"x" * CHUNK)
    for _ in range(5):
        outgoing.reactor.turn()
    assert outgoing.data == b""
    with pytest.raises(BlockingIOError):
        os.write(outgoing.into, b"x")
    outgoing.reader.resumeProducing()
    outgoing.reactor.turn()
    assert len(outgoing.data) == CHUNK
    os.close(outgoing.into)


def test_the_last_is_read_although_somebody_holds_the_pipe_open(outgoing: Outgoing) -> None:
    """A daemon that a child has left behind does not keep us from going on; what was written before is there."""
    os.write(outgoing.into, b"last words")
    outgoing.reader.finish()
    outgoing.reactor.advance(0)
    assert (outgoing.data, outgoing.heard.ends) == (b"last words", 1)
    os.close(outgoing.into)


def test_the_last_is_read_when_it_is_wanted(outgoing: Outgoing) -> None:
    """Who has paused it gets the last words after going on, and only then the end."""
    os.write(outgoing.into, b"last words")
    outgoing.reader.pauseProducing()
    outgoing.reader.finish()
    outgoing.reactor.advance(0)
    assert (outgoing.data, outgoing.heard.ends) == (b"", 0)
    outgoing.reader.resumeProducing()
    outgoing.reader.pauseProducing()
    outgoing.reactor.advance(0)
    assert (outgoing.data, outgoing.heard.ends) == (b"", 0)
    outgoing.reader.resumeProducing()
    outgoing.reader.resumeProducing()
    outgoing.reactor.advance(0)
    assert (outgoing.data, outgoing.heard.ends) == (b"last words", 1)
    os.close(outgoing.into)


def test_a_reactor_that_cannot_watch_it_ends_it(outgoing: Outgoing) -> None:
    """The descriptor is closed, and is told to be none, whatever the reactor asks after that."""
    outgoing.reader.connectionLost(Failure(OSError()))
    assert (outgoing.heard.ends, outgoing.reader.fileno()) == (1, -1)
    outgoing.reader.resumeProducing()
    outgoing.reader.doRead()
    assert not outgoing.reactor.readers
    os.close(outgoing.into)


def test_little_is_written_at_once(incoming: Incoming) -> None:
    """There is nothing to wait for while the pipe takes it."""
    assert incoming.writer.write(b"hello").called
    assert os.read(incoming.out, 100) == b"hello"
    assert not incoming.reactor.writers


def test_who_writes_more_than_is_read_waits(incoming: Incoming) -> None:
    """What comes back fires when there is room again; all bytes come, in order."""
    rooms = [incoming.writer.write(b"x" * CHUNK) for _ in range(4)]
    assert [room.called for room in rooms] == [True, True, False, False]
    assert incoming.read_all() == 4 * CHUNK
    assert all(room.called for room in rooms)
    assert not incoming.reactor.writers


def test_who_does_not_wait_is_refused_in_the_end(incoming: Incoming) -> None:
    """The memory is not filled; the message says what to do."""
    incoming.writer.write(b"x" * MOST)
    with pytest.raises(PipedError, match=r"child\.stdin is full: \d+ bytes wait to be read") as caught:
        incoming.writer.write(b"x" * 2 * CHUNK)
    assert "wait for what write() returns" in caught.value.hint
    assert incoming.read_all() == MOST


def test_the_end_comes_after_what_was_written(incoming: Incoming) -> None:
    """A program that reads to the end gets everything; nothing can be written after that."""
    incoming.writer.write(b"x" * (CHUNK + ENOUGH))
    incoming.writer.end()
    with pytest.raises(PipedError, match=r"child\.stdin is closed"):
        incoming.writer.write(b"more")
    assert incoming.read_all() == CHUNK + ENOUGH
    assert incoming.writer.is_closed


def test_the_end_comes_at_once_where_nothing_waits(incoming: Incoming) -> None:
    """An input that is closed right away is empty."""
    incoming.writer.end()
    assert incoming.writer.is_closed
    assert os.read(incoming.out, 1) == b""


def test_who_waits_hears_that_nobody_reads_any_more(incoming: Incoming) -> None:
    """A pipeline that waits for room fails when the child dies."""
    waiting = incoming.writer.write(b"x" * 3 * CHUNK)
    os.close(incoming.out)
    incoming.reactor.turn()
    assert failures(waiting) == ["nobody reads child.stdin any more"]
    with pytest.raises(PipedError, match=r"child\.stdin is closed"):
        incoming.writer.write(b"more")


def test_writing_to_nobody_fails_at_once(incoming: Incoming) -> None:
    """Also the first to notice hears of it."""
    os.close(incoming.out)
    with pytest.raises(PipedError, match=r"nobody reads child\.stdin any more"):
        incoming.writer.write(b"hello")


def test_who_is_cancelled_does_not_hear_of_the_room(incoming: Incoming) -> None:
    """A pipeline that was stopped meanwhile disturbs nobody; what it has written comes nevertheless."""
    waiting = incoming.writer.write(b"x" * 3 * CHUNK)
    ends: list[Any] = []
    waiting.addBoth(ends.append)
    waiting.cancel()
    assert incoming.read_all() == 3 * CHUNK
    assert len(ends) == 1
