"""The body of a request to another server: whole, or read from a file while it is sent."""

from __future__ import annotations

import io
import os
import reprlib
from collections.abc import Callable
from threading import Lock
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

#: Bytes that are read at a time.
_PART: Final = 64 * 1024
InThread = Callable[..., Deferred[Any]]


class Outgoing(Protocol):
    """A body that can be sent, and sent again if `can_repeat`."""

    can_repeat: bool

    def producer(self) -> Any:
        """An IBodyProducer that sends it once."""


async def outgoing(value: Any, in_thread: InThread) -> Outgoing | None:
    """The body that a value is: text, bytes, an open file or an upload of a form; None for None.

    A file of bytes is sent from where it stands, as it is read. One of text is read whole.

    Raises:
        TypeError: it is something else.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return Whole(value.encode())
    if isinstance(value, bytes | bytearray | memoryview):
        return Whole(bytes(value))
    file = value if hasattr(value, "read") else getattr(value, "content", None)
    if not hasattr(file, "read"):
        raise TypeError(f"a body must be text, bytes or something to read them from, not {reprlib.repr(value)}")
    if isinstance(file, io.BytesIO | io.StringIO):
        return await outgoing(file.read(), in_thread)
    if isinstance(file, io.TextIOBase):
        return await outgoing(await in_thread(file.read), in_thread)
    start, length = await in_thread(_measured, file)
    return FromFile(file, in_thread, start, length)


def _measured(file: Any) -> tuple[int | None, int | None]:
    """Where a file stands and how much follows there; None for one that is only read on."""
    try:
        start = file.tell()
        length = file.seek(0, os.SEEK_END) - start
        file.seek(start)
    except (AttributeError, OSError):
        return None, None
    return start, length


class Whole:
    """Bytes that are in memory already."""

    can_repeat = True

    def __init__(self, data: bytes) -> None:
        self._data = data

    def producer(self) -> Any:
        return _Whole(self._data)


@implementer(IBodyProducer)
class _Whole:
    def __init__(self, data: bytes) -> None:
        self._data, self.length = data, len(data)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Nothing: all is on its way already."""

    resumeProducing = stopProducing = pauseProducing


class FromFile:
    """What follows in an open file; it is read in threads, and no faster than the server takes it.

    Args:
        start: where to begin; None for a file that is only read on.
        length: how many bytes follow; None where nobody knows.
    """

    def __init__(self, file: Any, in_thread: InThread, start: int | None, length: int | None) -> None:
        self._file, self._in_thread, self._start, self._length = file, in_thread, start, length
        self.can_repeat = start is not None
        # The one who sent it before may still read when it is sent again.
        self._lock = Lock()

    def producer(self) -> Any:
        return _FromFile(self._read, UNKNOWN_LENGTH if self._length is None else self._length)

    def _read(self, position: int) -> Deferred[bytes]:
        return self._in_thread(self._read_at, position)

    def _read_at(self, position: int) -> bytes:
        with self._lock:
            if self._start is not None:
                self._file.seek(self._start + position)
            data = self._file.read(_PART)
        return data.encode() if isinstance(data, str) else data


@implementer(IBodyProducer)
class _FromFile:
    """Writes what `read` gives from a position on, until there is nothing more."""

    def __init__(self, read: Callable[[int], Deferred[bytes]], length: Any) -> None:
        self._read, self.length = read, length
        self._position = 0
        self._is_stopped = self._is_paused = False
        self._resumed: Deferred[None] | None = None

    def startProducing(self, consumer: Any) -> Deferred[None]:
        # Does not fire once it was told to stop: so says IBodyProducer.
        done: Deferred[None] = Deferred(lambda _: self.stopProducing())
        writing = Deferred.fromCoroutine(self._write(consumer))
        writing.addBoth(lambda result: None if self._is_stopped else done.callback(result))
        return done

    async def _write(self, consumer: Any) -> None:
        while not self._is_stopped and (data := await self._read(self._position)):
            if self._is_paused:
                self._resumed = Deferred()
                await self._resumed
            if self._is_stopped:
                return
            self._position += len(data)
            consumer.write(data)

    def pauseProducing(self) -> None:
        self._is_paused = True

    def resumeProducing(self) -> None:
        self._is_paused = False
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.callback(None)

    def stopProducing(self) -> None:
        self._is_stopped = True
        self.resumeProducing()
