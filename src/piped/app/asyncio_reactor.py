"""asyncio's reactor, in which no baton's context leaks into what comes after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor


class AsyncioReactor(AsyncioSelectorReactor):
    """asyncio's reactor, where sockets and timers do not inherit the context of the baton that touched them last.

    asyncio remembers the context in which a callback is registered. A connection whose reading goes on while a baton
    is answered, or the one timer that Twisted shares among all calls, would carry that baton's context variables into
    whatever they lead to next. Other reactors call everything in the context of the process.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._context = copy_context()
        super().__init__(loop)

    #: The time by which timers go: unlike that of other reactors it does not jump when somebody sets the clock.
    seconds = staticmethod(time.monotonic)

    def addReader(self, reader: Any) -> None:
        try:
            self._context.run(super().addReader, reader)
        except RuntimeError:
            self._not_watched(reader, is_reader=True)

    def addWriter(self, writer: Any) -> None:
        try:
            self._context.run(super().addWriter, writer)
        except RuntimeError:
            self._not_watched(writer, is_reader=False)

    def _not_watched(self, selectable: Any, is_reader: bool) -> None:
        # uvloop has stopped to watch a socket whose other side has reset the connection, and its owner has not heard of
        # that yet. It will, from the system, when it reads or writes.
        self.callLater(0, self._readOrWrite, selectable, is_reader)

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self._context.run(super().callLater, delay, callable, *args, **kwargs)

    def callFromThread(  # type: ignore[override] # Twisted's own reactors disagree on the name of `f`
        self, f: Callable[..., Any], *args: object, **kwargs: object
    ) -> None:
        # Not the shared context itself: this one may be called while that is entered, also from a signal.
        self._context.copy().run(super().callFromThread, f, *args, **kwargs)


def new_loop(is_fast: bool) -> asyncio.AbstractEventLoop:
    """A loop of uvloop where that is wanted and installed, else asyncio's own."""
    if is_fast:
        try:
            import uvloop  # exists on CPython outside Windows only
        except ImportError:
            return asyncio.new_event_loop()
        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop
    return asyncio.new_event_loop()
