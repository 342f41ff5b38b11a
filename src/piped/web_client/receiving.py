"""The body of an answer: received no faster than it is taken, unpacked, and within its bound."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

# twisted.web.client has it too, but brings OpenSSL along, for which every other configuration would wait.
from twisted.web._newclient import ResponseDone
from twisted.web.http import PotentialDataLoss

from piped import (
    PipedError,
    Seconds,
    TimeoutError,  # noqa: A004 - the documented name
)
from piped.web_client.errors import named

#: Bytes that may wait to be taken before the server has to wait.
MOST_WAITING: Final = 256 * 1024
#: Bytes of a part that is unpacked.
_PART: Final = 64 * 1024
#: What is asked for, and understood.
PACKINGS: Final = ("gzip", "x-gzip", "deflate")


class Body:
    """The body of an answer, iterated over once with `async for`: parts of bytes, as they came or unpacked.

    The server waits while nothing is taken. The connection is closed when the body is not wanted any more: by `aclose`,
    by cancelling, or with the last reference.

    Args:
        reactor: gives the time.
        called: how messages call it, such as "GET http://example.org/".
        limit: the most bytes it may have, unpacked; None for any number.
        packing: one of PACKINGS, or "".
    """

    def __init__(self, reactor: Any, called: str, limit: int | None = None, packing: str = "") -> None:
        self._reactor, self._called, self._limit = reactor, called, limit
        self._size = 0
        self._unpacking = _Unpacking(packing) if packing else None
        self._unpacked: Iterator[bytes] = iter(())
        self._failure: Exception | None = None
        #: Seconds that the server may take for each part; None for any time.
        self.patience: Seconds | None = None
        self.receiver = _Receiver()

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        try:
            part = await self._next()
            self._size += len(part)
            if self._limit is not None and self._size > self._limit:
                hint = "max_body says how long it may be"
                raise PipedError(f"the body has more than {self._limit} bytes", hint=hint)
        except Exception as error:
            self.receiver.hang_up()
            self._failure = named(self._called, error)
            raise self._failure from error
        if part:
            return part
        raise StopAsyncIteration

    async def _next(self) -> bytes:
        """The next part; b"" at the end."""
        while True:
            for part in self._unpacked:
                return part
            part = await self._taken()
            if self._unpacking is None:
                return part
            if not part:
                if self._unpacking.is_cut:
                    raise PipedError("the packed body was cut")
                return b""
            self._unpacked = self._unpacking.parts(part)

    async def _taken(self) -> bytes:
        if self.patience is None or self.receiver.has_more:
            return await self.receiver.take()
        seconds = self.patience
        taking = Deferred.fromCoroutine(self.receiver.take())

        def too_late(result: Any, _: float) -> Any:
            if isinstance(result, Failure):
                raise TimeoutError(f"nothing more came within {seconds:g} s")
            return result

        return await taking.addTimeout(seconds, self._reactor, too_late)

    async def read(self) -> bytes:
        """All of it, or what is left."""
        return b"".join([part async for part in self])

    async def beginning(self, most: int) -> bytes:
        """So many bytes at most, or what came; the rest is not wanted, and if it is much the connection is closed."""
        self._limit = None  # `most` is the bound
        begun = bytearray()
        with contextlib.suppress(PipedError):  # the code of the answer counts, and not how well this follows it
            async for part in self:
                begun += part
                if len(begun) > most:
                    await self.aclose()
                    break
        return bytes(begun[:most])

    async def aclose(self) -> None:
        """Have no more of it; nothing happens when all has come."""
        self._failure = self._failure or PipedError(f"the answer to {self._called} is closed")
        self.receiver.hang_up()

    def __del__(self) -> None:
        # May run in any thread, and in the midst of anything.
        if not self.receiver.is_over:
            self._reactor.callFromThread(self.receiver.hang_up)

    def __repr__(self) -> str:
        return f"<Body of {self._called}>"


class _Receiver(Protocol):
    """Keeps what has come until it is taken; when that is too much the server waits.

    It does not know the Body: that one can be forgotten while the connection is still there.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._waiter: Deferred[None] | None = None
        self._end: Failure | None = None
        self._is_paused = False
        #: Called once, when nothing more will come.
        self.on_end: Callable[[], object] = int

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come; also before anything could."""
        return self._end is not None or self.transport is None

    @property
    def has_more(self) -> bool:
        return bool(self._parts) or self._end is not None

    async def take(self) -> bytes:
        """What has come, waiting for it if there is nothing; b"" at the end.

        Raises:
            Exception: what has cut it.
        """
        if not self.has_more:
            self._waiter = Deferred()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        if self._is_paused:
            self._is_paused = False
            self._connection.resumeProducing()
        # Without a length the end of the connection is the end of the body (RFC 9112, section 6.3).
        if not data and self._end is not None and not self._end.check(ResponseDone, PotentialDataLoss):
            self._end.raiseException()
        return data

    def hang_up(self) -> None:
        """Close the connection, if something is still to come; what has come is not wanted any more."""
        self._parts.clear()
        if not self.is_over:
            self._connection.loseConnection()

    @property
    def _connection(self) -> Any:
        return self.transport

    def dataReceived(self, data: bytes) -> None:
        if not data:
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > MOST_WAITING and not self._is_paused and self._waiter is None:
            self._is_paused = True
            self._connection.pauseProducing()
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end = reason
        self.on_end()
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)


class _Unpacking:
    """Unpacks gzip, of any number of members, and deflate, with its header and without."""

    def __init__(self, packing: str) -> None:
        self._is_gzip = packing != "deflate"
        self._begun = b""
        self._zip: Any = None

    @property
    def is_cut(self) -> bool:
        """Whether it ended in the midst of what is packed; nothing at all is not cut."""
        return bool(self._begun) if self._zip is None else not self._zip.eof

    def parts(self, data: bytes) -> Iterator[bytes]:
        """What is in there, in parts of a bounded size: a small packet can hold a thousand times as much.

        Raises:
            PipedError: it is not packed like that.
        """
        data, self._begun = self._begun + data, b""
        if self._zip is None and len(data) < 2:
            self._begun = data
            return
        try:
            while data:
                if self._zip is None or self._zip.eof:
                    self._zip = zlib.decompressobj(self._window(data))
                is_full = True
                while is_full or data:  # behind a full part something may be held back
                    part = self._zip.decompress(data, _PART)
                    is_full = len(part) == _PART
                    if part:
                        yield part
                    if self._zip.eof:
                        break
                    data = self._zip.unconsumed_tail
                data = self._zip.unused_data
        except zlib.error as error:
            raise PipedError("a body that is said to be packed cannot be unpacked", detail=str(error)) from error

    def _window(self, data: bytes) -> int:
        if self._is_gzip:
            return 16 + zlib.MAX_WBITS
        # RFC 9110, 8.4.1.2: many senders leave out the header that there has to be (RFC 1950, 2.2).
        has_header = data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0
        return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
