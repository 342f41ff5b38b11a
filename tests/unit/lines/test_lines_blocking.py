"""Reading what no reactor can watch."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from piped.lines.blocking import CHUNK, BlockingReader


class Calls:
    """The part of a reactor that takes calls from threads; a test makes them."""

    def __init__(self) -> None:
        self._calls: queue.Queue[tuple[Callable[..., Any], tuple[Any, ...]]] = queue.Queue()

    def callFromThread(self, call: Callable[..., Any], *arguments: Any) -> None:
        self._calls.put((call, arguments))

    def make_next(self, within: float = 20) -> None:
        call, arguments = self._calls.get(timeout=within)
        call(*arguments)

    @property
    def are_none(self) -> bool:
        return self._calls.empty()


class Reading:
    """A reader of a descriptor, and the pieces that it has given."""

    def __init__(self, descriptor: int) -> None:
        self.calls, self.pieces = Calls(), list[bytes]()
        self.name = f"input {id(self)}"
        self.reader = BlockingReader(self.name, descriptor, self.pieces.append, self.calls)

    @property
    def threads(self) -> list[threading.Thread]:
        """Those that read, or have read and are about to end."""
        return [thread for thread in threading.enumerate() if thread.name == self.name]

    def is_idle(self) -> bool:
        """Whether nobody reads, once those have ended that have read."""
        for thread in self.threads:
            thread.join(2)
        return not self.threads and self.calls.are_none

    def read_to_the_end(self) -> bytes:
        while b"" not in self.pieces:
            self.calls.make_next()
        return b"".join(self.pieces)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe: to read, and to write."""
    out, into = os.pipe()
    yield out, into
    os.close(out)


@pytest.mark.parametrize("size", [0, 3, 3 * CHUNK + 1])
def test_a_file_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    """A regular file comes as a whole, piece by piece, and then the end."""
    file = tmp_path / "input"
    file.write_bytes(b"x" * size)
    descriptor = os.open(file, os.O_RDONLY)
    reading = Reading(descriptor)
    reading.reader.start()
    assert reading.read_to_the_end() == b"x" * size
    assert reading.pieces.count(b"") == 1
    assert max(map(len, reading.pieces)) <= CHUNK
    os.close(descriptor)


def test_nothing_has_no_lines() -> None:
    """/dev/null ends at once."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    reading = Reading(descriptor)
    reading.reader.start()
    assert reading.read_to_the_end() == b""
    os.close(descriptor)


def test_nothing_more_is_read_while_it_is_paused(pipe: tuple[int, int]) -> None:
    """What was begun comes; the rest stays in the pipe until it goes on."""
    out, into = pipe
    reading = Reading(out)
    reading.reader.start()
    reading.reader.pauseProducing()
    os.write(into, b"begun")
    reading.calls.make_next()
    os.write(into, b"later")
    os.close(into)
    assert (reading.pieces, reading.is_idle()) == ([b"begun"], True)
    reading.reader.resumeProducing()
    assert reading.read_to_the_end() == b"begunlater"


def test_it_reads_only_between_a_start_and_a_stop(pipe: tuple[int, int]) -> None:
    """And with one thread at a time, however often it is asked to go on."""
    out, into = pipe
    reading = Reading(out)
    reading.reader.resumeProducing()
    assert reading.is_idle()
    reading.reader.start()
    reading.reader.stop()
    reading.reader.resumeProducing()
    reading.reader.start()
    assert len(reading.threads) == 1
    reading.reader.stop()
    os.write(into, b"begun")
    reading.calls.make_next()
    reading.reader.resumeProducing()
    assert (reading.pieces, reading.is_idle()) == ([b"begun"], True)
    reading.reader.start()
    os.close(into)
    assert reading.read_to_the_end() == b"begun"


def test_the_end_comes_once(pipe: tuple[int, int]) -> None:
    """Who goes on after it hears nothing."""
    out, into = pipe
    os.close(into)
    reading = Reading(out)
    reading.reader.start()
    reading.read_to_the_end()
    reading.reader.resumeProducing()
    reading.reader.start()
    assert reading.is_idle()


def test_a_descriptor_that_does_not_block_is_waited_for(pipe: tuple[int, int]) -> None:
    """Another program may have made the terminal that it shares with us so."""
    out, into = pipe
    os.set_blocking(out, False)
    reading = Reading(out)
    reading.reader.start()
    with pytest.raises(queue.Empty):
        reading.calls.make_next(within=0.05)
    os.write(into, b"here")
    os.close(into)
    assert reading.read_to_the_end() == b"here"
    assert not os.get_blocking(out)


def test_what_cannot_be_read_has_ended(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A folder, say, is told in the log, and gives the end."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    reading = Reading(descriptor)
    reading.reader.start()
    assert reading.read_to_the_end() == b""
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [
        (logging.ERROR, f"{reading.name} cannot be read: Is a directory")
    ]
    os.close(descriptor)
