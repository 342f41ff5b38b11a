"""asyncio's reactor, in which no baton's context leaks into what comes after it."""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Callable, Container
from contextvars import copy_context
from typing import Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.tcp import Connection


class AsyncioReactor(AsyncioSelectorReactor):
    """asyncio's reactor, where sockets and timers do not inherit the context of the baton that touched them last.

    asyncio remembers the context in which a callback is registered. A connection whose reading goes on while a baton
    is answered, or the one timer that Twisted shares among all calls, would carry that baton's context variables into
    whatever they lead to next. Other reactors call everything in the context of the process.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._context = copy_context()
        self._ceases_to_watch = type(loop).__module__.startswith("uvloop")
        self._errors: Any = select.poll() if self._ceases_to_watch else None
        super().__init__(loop)

    #: The time by which timers go: unlike that of other reactors it does not jump when somebody sets the clock.
    seconds = staticmethod(time.monotonic)

    def addReader(self, reader: Any) -> None:
        self._context.run(super().addReader, reader)

    def addWriter(self, writer: Any) -> None:
        try:
            self._context.run(super().addWriter, writer)
        except RuntimeError:  # uvloop has ceased to watch it; whose it is hears why when it writes
            self.callLater(0, self._readOrWrite, writer, False)

    def _readOrWrite(self, selectable: Any, read: bool) -> None:
        """Called when something can be read or written.

        When the other side has reset a connection, uvloop calls this once more, and ceases to watch the socket: who
        reads what had come before would never hear of the end (twisted issue 11904). It is watched anew.
        """
        super()._readOrWrite(selectable, read)
        readers: Container[Any] = self._readers
        if self._ceases_to_watch and isinstance(selectable, Connection) and selectable in readers:
            self._errors.register(selectable, 0)
            if self._errors.poll(0):
                self.callLater(0, self._watch_anew, selectable)
            self._errors.unregister(selectable)

    def _watch_anew(self, selectable: Any) -> None:
        for watched, remove, add in (
            (self._writers, self.removeWriter, self.addWriter),
            (self._readers, self.removeReader, self.addReader),
        ):
            if selectable in watched:
                remove(selectable)
                add(selectable)

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
