"""Where the parts of a response come from."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from io import BytesIO, StringIO
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from piped.ground.errors import PipedError
from piped.runtime.environment import RuntimeEnvironment
from piped.web.parts import parts_of
from piped.web.streaming import BATCH


class Threads(RuntimeEnvironment):
    """An environment whose threads do their work when they are told to, one after the other."""

    def __init__(self) -> None:
        super().__init__(reactor=Clock())
        self.work: deque[Callable[[], None]] = deque()

    def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred()

        def work() -> None:
            try:
                result = function(*arguments)
            except Exception:
                result = Failure()
            waiting.callback(result)

        self.work.append(work)
        return waiting

    def do(self) -> None:
        self.work.popleft()()


def taken(content: Any, **options: Any) -> list[Any]:
    """All parts of a content."""
    parts: list[Any] = []

    def encode(part: Any) -> bytes:
        parts.append(part)
        return encoded(part)

    async def take() -> None:
        source = await parts_of(content, RuntimeEnvironment(reactor=Clock()), encode, **options)
        sent = []
        while (data := await source.take()) is not None:
            sent.append(data)
        await source.close()
        assert b"".join(sent) == b"".join(map(encoded, parts)), "all of them, and in order"

    run(take())
    return parts


def encoded(part: Any) -> bytes:
    """Numbers are lines of ten bytes."""
    if isinstance(part, str):
        return part.encode()
    return b"%09d\n" % part if isinstance(part, int) else bytes(part)


def run(coroutine: Any) -> Any:
    """What a coroutine gives that waits for nothing."""
    ended: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(ended.append)
    [result] = ended
    if isinstance(result, Failure):
        result.raiseException()
    return result


async def numbers() -> Any:
    yield 1
    yield 2


async def later() -> Any:
    return [1, 2]


class Lines:
    """Something that can be iterated over, and called for another purpose."""

    def __call__(self) -> None:
        raise AssertionError("it was called")

    def __iter__(self) -> Iterator[int]:
        return iter((1, 2))


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        (1, 2),
        range(1, 3),
        deque([1, 2]),
        (number for number in (1, 2)),
        Lines(),
        lambda: [1, 2],
        lambda: (number for number in (1, 2)),
        numbers,
        later,
        lambda: succeed([1, 2]),
    ],
)
def test_anything_that_can_be_gone_through_has_parts(content: Any) -> None:
    """Collections, generators, asynchronous ones, and functions that give one, now or later."""
    assert taken(content) == [1, 2]


def test_what_comes_later_has_parts() -> None:
    """An asynchronous generator, and a Deferred of a list."""
    assert taken(numbers()) == [1, 2]
    assert taken(succeed([1, 2])) == [1, 2]


def test_nothing_at_all_has_no_parts() -> None:
    """Whatever is empty ends at once."""
    for content in ([], iter(()), BytesIO(), ""):
        assert b"".join(map(encoded, taken(content))) == b""


@pytest.mark.parametrize("content", ["text", b"bytes", bytearray(b"x"), memoryview(b"x")])
def test_a_whole_is_one_part(content: Any) -> None:
    """Text and bytes are not taken letter by letter."""
    assert taken(content) == [content]


@pytest.mark.parametrize("content", [17, None, {"a": 1}, object()])
def test_what_has_no_parts_is_told(content: Any) -> None:
    """The type is named, and what would be right."""
    with pytest.raises(PipedError, match=f"{type(content).__name__} cannot be sent in parts") as caught:
        taken(content)
    assert "iterable" in caught.value.hint


def test_a_file_is_read_in_pieces() -> None:
    """Bytes and text of any length are never read as a whole, and the file is closed."""
    for file in (BytesIO(b"x" * (BATCH + 1)), StringIO("x" * (BATCH + 1))):
        assert [len(part) for part in taken(file)] == [BATCH, 1]
        assert file.closed


def test_a_file_may_be_taken_by_its_lines() -> None:
    """Where parts are values, those of a file are its lines."""
    assert taken(StringIO("a\nb\n"), by_lines=True) == ["a\n", "b\n"]


def test_a_generator_is_closed_at_the_end() -> None:
    """What it cleans up is cleaned up also when not all was taken; so is one that was never begun."""
    closed: list[str] = []

    def endless(name: str) -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * BATCH
        finally:
            closed.append(name)

    class Cursor:
        def __iter__(self) -> Iterator[bytes]:
            return endless("inner")

        def close(self) -> None:
            closed.append("outer")

    async def take_one(content: Any) -> None:
        source = await parts_of(content, RuntimeEnvironment(reactor=Clock()), encoded)
        assert await source.take() == b"x" * BATCH
        await source.close()

    run(take_one(endless("generator")))
    run(take_one(Cursor()))
    assert closed == ["generator", "inner", "outer"]


def test_everything_is_closed() -> None:
    """A generator that cannot clean up does not keep what it reads open."""
    closed: list[str] = []

    class Cursor:
        def __iter__(self) -> Iterator[bytes]:
            try:
                yield b"x" * BATCH
                yield b"never"
            finally:
                raise OSError("it is stuck")

        def close(self) -> None:
            closed.append("outer")

    async def take_one() -> None:
        source = await parts_of(Cursor(), RuntimeEnvironment(reactor=Clock()), encoded)
        await source.take()
        await source.close()

    with pytest.raises(OSError, match="stuck"):
        run(take_one())
    assert closed == ["outer"]


def test_an_empty_part_is_no_end() -> None:
    """Whoever has nothing to send yet may say so."""
    assert taken([b"", b"x" * BATCH, b"", b"y"]) == [b"", b"x" * BATCH, b"", b"y"]

    async def parts() -> Any:
        for part in (b"", b"x", b"", b"y"):
            yield part

    assert taken(parts()) == [b"", b"x", b"", b"y"]


class TestInThreads:
    """What may block is only touched in threads."""

    def begun(self, content: Any) -> tuple[Threads, Any]:
        threads = Threads()
        return threads, run(parts_of(content, threads, encoded))

    def test_nothing_happens_in_the_reactor(self) -> None:
        """The iterator is made, asked and closed by threads."""
        asked: list[str] = []

        class Slow:
            def __iter__(self) -> Iterator[bytes]:
                asked.append("iter")
                yield b"x"

            def close(self) -> None:
                asked.append("close")

        threads, source = self.begun(Slow())
        taking = Deferred.fromCoroutine(source.take())
        assert asked == []
        threads.do()
        assert asked == ["iter"]
        Deferred.fromCoroutine(source.close())
        assert asked == ["iter"]
        threads.do()
        assert asked == ["iter", "close"]
        assert taking.result == b"x"

    def test_parts_are_encoded_in_the_thread(self) -> None:
        """What it costs to make JSON of many values is no matter of the reactor."""
        calls: list[Any] = []

        def encode(part: Any) -> bytes:
            calls.append(part)
            return b"x"

        threads = Threads()
        source = run(parts_of(iter([17]), threads, encode))
        taking = Deferred.fromCoroutine(source.take())
        assert calls == []
        threads.do()
        assert (calls, taking.result) == ([17], b"x")

    def test_parts_that_come_slowly_are_sent_as_they_come(self) -> None:
        """A thread collects for some milliseconds only."""

        def slow() -> Iterator[bytes]:
            for part in (b"a", b"b", b"c"):
                threads.reactor.advance(0.03)
                yield part

        threads = Threads()
        source = run(parts_of(slow(), threads, encoded))
        taking = Deferred.fromCoroutine(source.take())
        threads.do()
        assert taking.result == b"ab"

    def test_a_moment_without_anything_to_send_is_no_end(self) -> None:
        """What is empty when it is looked at may give more later."""

        def slow() -> Iterator[bytes]:
            yield b""
            threads.reactor.advance(0.06)
            yield b""
            yield b"x"

        threads = Threads()
        source = run(parts_of(slow(), threads, encoded))
        takings = []
        for _ in range(3):
            takings.append(Deferred.fromCoroutine(source.take()))
            threads.do()
        assert [taking.result for taking in takings] == [b"", b"x", None]

    @pytest.mark.parametrize(("part", "most"), [(b"x" * 1000, 66_000), ("ü" * 1000, 66_000), (17, 65_540)])
    def test_no_more_is_collected_than_is_sent_at_once(self, part: Any, most: int) -> None:
        """However fast a generator is, no more than some 64 KiB of it wait, counted as they are sent."""
        threads, source = self.begun(part for _ in range(100_000))
        taking = Deferred.fromCoroutine(source.take())
        threads.do()
        assert len(taking.result) == most

    def test_who_closes_does_not_wait_for_a_thread_that_is_busy(self) -> None:
        """A client that leaves while a generator blocks is not waited with: the thread closes it when it is done."""
        closed: list[str] = []
        closing: list[Deferred[None]] = []

        def blocking() -> Iterator[bytes]:
            try:
                closing.append(Deferred.fromCoroutine(source.close()))
                threads.do()
                yield b"x"
                closed.append("asked again")
                yield b"x"
            finally:
                closed.append("closed")

        threads = Threads()
        source = run(parts_of(blocking(), threads, encoded))
        Deferred.fromCoroutine(source.take())
        threads.do()
        assert closed == ["closed"]
        assert [each.result for each in closing] == [None]

    def test_what_cannot_be_closed_later_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        """Nobody waits for it any more, so the log has it."""

        class Stubborn:
            def __iter__(self) -> Iterator[bytes]:
                Deferred.fromCoroutine(source.close())
                threads.do()
                yield b"x"

            def close(self) -> None:
                raise OSError("it is stuck")

        threads = Threads()
        source = run(parts_of(Stubborn(), threads, encoded))
        taking = Deferred.fromCoroutine(source.take())
        with caplog.at_level(logging.ERROR, "piped.web"):
            threads.do()
        assert taking.called
        assert "it is stuck" in caplog.text

    def test_a_failure_to_close_is_one_of_the_step(self) -> None:
        """Who waits for the end is told."""

        class Stubborn:
            def __iter__(self) -> Iterator[bytes]:
                return iter(())

            def close(self) -> None:
                raise OSError("it is stuck")

        with pytest.raises(OSError, match="stuck"):
            taken(Stubborn())
