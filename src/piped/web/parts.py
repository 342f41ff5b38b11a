"""Where the parts of a streamed response come from: values in memory, asynchronous iterators, and what blocks."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from threading import Lock
from typing import Any, Final, Protocol

from piped import PipedError, RuntimeEnvironment
from piped.pipelines.input_output import is_awaitable
from piped.web.streaming import BATCH

_log = logging.getLogger("piped.web")
#: Bytes that a part which is neither text nor bytes is taken for.
_VALUE: Final = 64
#: How many parts are taken at once from what is in memory already.
_AT_ONCE: Final = 1000
#: Seconds for which a thread collects parts before they are sent.
_LONGEST: Final = 0.05
#: What cannot block; any other iterable may.
_COLLECTIONS: Final = (list, tuple, set, frozenset, deque, range)


class Parts(Protocol):
    """The parts of a response, in order."""

    async def take(self) -> Sequence[Any]:
        """The next parts, as soon as there are some; none at the end."""

    async def close(self) -> None:
        """Called once, when no more are taken."""


class _InMemory:
    """Parts that are all there."""

    def __init__(self, parts: Iterable[Any]) -> None:
        self._parts = iter(parts)

    async def take(self) -> Sequence[Any]:
        return list(islice(self._parts, _AT_ONCE))

    async def close(self) -> None:
        pass


class _Asynchronous:
    """Parts that an asynchronous iterator gives, each when it comes."""

    def __init__(self, parts: AsyncIterator[Any]) -> None:
        self._parts = parts

    async def take(self) -> Sequence[Any]:
        try:
            return [await anext(self._parts)]
        except StopAsyncIteration:
            return ()

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

    def __init__(self, content: Any, parts: Iterable[Any], environment: RuntimeEnvironment) -> None:
        self._content, self._given = content, parts
        self._parts: Iterator[Any] | None = None
        self._in_thread, self._now = environment.in_thread, environment.reactor.seconds
        self._lock, self._is_closed = Lock(), False

    async def take(self) -> Sequence[Any]:
        taken: Sequence[Any] = await self._in_thread(self._take)
        return taken

    async def close(self) -> None:
        self._is_closed = True
        await self._in_thread(self._close)

    def _take(self) -> Sequence[Any]:
        try:
            with self._lock:
                return self._collected()
        finally:
            if self._is_closed:  # it came while this thread was busy, and whoever closes does not wait for it
                try:
                    self._close()
                except Exception:
                    _log.exception("what was streamed could not be closed")

    def _collected(self) -> Sequence[Any]:
        if self._parts is None:
            self._parts = iter(self._given)
        taken: list[Any] = []
        size, ends = 0, self._now() + _LONGEST
        for part in self._parts:
            taken.append(part)
            size += len(part) if isinstance(part, str | bytes) else _VALUE
            if size >= BATCH or self._is_closed or self._now() >= ends:
                break
        return taken

    def _close(self) -> None:
        if not self._lock.acquire(blocking=False):
            return  # whoever is busy with it sees to it
        try:
            for each in (self._parts, self._content):
                close = getattr(each, "close", None)
                if close is not None:
                    close()
        finally:
            self._lock.release()


def _chunks(file: Any) -> Iterator[Any]:
    while chunk := file.read(BATCH):
        yield chunk


async def parts_of(content: Any, environment: RuntimeEnvironment, *, by_lines: bool = False) -> Parts:
    """The parts that a content stands for: an iterable, an asynchronous one, a file, or a function that gives one.

    Args:
        by_lines: take a file as its lines, and not as pieces of any length.

    Raises:
        PipedError: it is none of these.
    """
    if callable(content) and not _is_iterable(content):
        content = content()
    if is_awaitable(content):
        content = await content
    if isinstance(content, str | bytes | bytearray | memoryview):
        return _InMemory([content])
    if hasattr(content, "__aiter__"):
        return _Asynchronous(aiter(content))
    if isinstance(content, _COLLECTIONS):
        return _InMemory(content)
    if hasattr(content, "read") and not by_lines:
        return _Blocking(content, _chunks(content), environment)
    if isinstance(content, Mapping) or not _is_iterable(content):
        hint = "it must be an iterable, an asynchronous one, a file, or a function that gives one of these"
        raise PipedError(f"{type(content).__name__} cannot be sent in parts", hint=hint)
    return _Blocking(content, content, environment)


def _is_iterable(content: Any) -> bool:
    return hasattr(content, "__iter__") or hasattr(content, "__aiter__")
