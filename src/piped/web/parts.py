"""Where the parts of a streamed response come from: values in memory, asynchronous iterators, and what blocks."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from threading import Lock
from typing import Any, Final, Protocol

from piped import PipedError, RuntimeEnvironment
from piped.pipelines.input_output import is_awaitable
from piped.web.streaming import BATCH

_log = logging.getLogger("piped.web")
#: Seconds for which parts are collected before they are sent.
_LONGEST: Final = 0.05
#: What cannot block; any other iterable may.
_COLLECTIONS: Final = (list, tuple, set, frozenset, deque, range)
#: Makes bytes of a part.
Encode = Callable[[Any], bytes]


class Parts(Protocol):
    """The parts of a response, in order; small ones that come together are taken together."""

    async def take(self) -> bytes | None:
        """What is to be sent next, as soon as there is something; None at the end."""

    async def close(self) -> None:
        """Called once, when no more are taken."""


class _InMemory:
    """Parts that are all there."""

    def __init__(self, parts: Iterable[Any], encode: Encode, now: Callable[[], float]) -> None:
        self._parts, self._encode, self._now = iter(parts), encode, now

    async def take(self) -> bytes | None:
        return _collected(self._parts, self._encode, self._now)

    async def close(self) -> None:
        pass


class _Asynchronous:
    """Parts that an asynchronous iterator gives, each when it comes."""

    def __init__(self, parts: AsyncIterator[Any], encode: Encode) -> None:
        self._parts, self._encode = parts, encode

    async def take(self) -> bytes | None:
        try:
            return self._encode(await anext(self._parts))
        except StopAsyncIteration:
            return None

    async def close(self) -> None:
        close = getattr(self._parts, "aclose", None)
        if close is not None:
            await close()


class _Blocking:
    """Parts that may have to be waited for in a blocking manner: they are only touched in threads, by one at a time.

    Args:
        content: what is closed at the end, if it can be.
        parts: what gives the parts.
    """

    def __init__(self, content: Any, parts: Iterable[Any], encode: Encode, environment: RuntimeEnvironment) -> None:
        self._content, self._given, self._encode = content, parts, encode
        self._parts: Iterator[Any] | None = None
        self._in_thread, self._now = environment.in_thread, environment.reactor.seconds
        self._lock, self._is_closed = Lock(), False

    async def take(self) -> bytes | None:
        taken: bytes | None = await self._in_thread(self._take)
        return taken

    async def close(self) -> None:
        self._is_closed = True
        await self._in_thread(self._close)

    def _take(self) -> bytes | None:
        try:
            with self._lock:
                if self._parts is None:
                    self._parts = iter(self._given)
                return _collected(self._parts, self._encode, self._now, lambda: self._is_closed)
        finally:
            if self._is_closed:  # it came while this thread was busy, and whoever closes does not wait for it
                try:
                    self._close()
                except Exception:  # it is the user's code, and nobody waits for this any more
                    _log.exception("what was streamed could not be closed")

    def _close(self) -> None:
        if not self._lock.acquire(blocking=False):
            return  # whoever is busy with it sees to it
        try:
            with ExitStack() as closing:  # all of them, also where one fails
                for each in (self._content, self._parts):
                    close = getattr(each, "close", None)
                    if close is not None:
                        closing.callback(close)
        finally:
            self._lock.release()


def _collected(
    parts: Iterator[Any], encode: Encode, now: Callable[[], float], is_closed: Callable[[], bool] = lambda: False
) -> bytes | None:
    """As many parts as there are within a moment, up to what is sent at once; None if there are none."""
    taken: list[bytes] = []
    size, ends = 0, now() + _LONGEST
    for part in parts:
        data = encode(part)
        taken.append(data)
        size += len(data)
        if size >= BATCH or now() >= ends or is_closed():
            break
    return b"".join(taken) if taken else None


def _chunks(file: Any) -> Iterator[Any]:
    while chunk := file.read(BATCH):
        yield chunk


async def parts_of(content: Any, environment: RuntimeEnvironment, encode: Encode, *, by_lines: bool = False) -> Parts:
    """The parts that a content stands for: an iterable, an asynchronous one, a file, or a function that gives one.

    Args:
        encode: called with each part, in the thread that has got it.
        by_lines: take a file as its lines, and not as pieces of any length.

    Raises:
        PipedError: it is none of these.
    """
    if callable(content) and not _is_iterable(content):
        content = content()
    if is_awaitable(content):
        content = await content
    if isinstance(content, str | bytes | bytearray | memoryview):
        return _InMemory([content], encode, environment.reactor.seconds)
    if hasattr(content, "__aiter__"):
        return _Asynchronous(aiter(content), encode)
    if isinstance(content, _COLLECTIONS):
        return _InMemory(content, encode, environment.reactor.seconds)
    if hasattr(content, "read") and not by_lines:
        return _Blocking(content, _chunks(content), encode, environment)
    if isinstance(content, Mapping) or not _is_iterable(content):
        hint = "it must be an iterable, an asynchronous one, a file, or a function that gives one of these"
        raise PipedError(f"{type(content).__name__} cannot be sent in parts", hint=hint)
    return _Blocking(content, content, encode, environment)


def _is_iterable(content: Any) -> bool:
    return hasattr(content, "__iter__") or hasattr(content, "__aiter__")
