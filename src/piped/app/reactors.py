"""Which reactor runs: asyncio's on uvloop where there is one, or the one that was asked for by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import click
from twisted.application.reactors import NoSuchReactor, getReactorTypes, installReactor
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.main import installReactor as install_instance

UVLOOP, ASYNCIO = "uvloop", "asyncio"


class AsyncioReactor(AsyncioSelectorReactor):
    """asyncio's reactor, where sockets and timers do not inherit the context of the baton that touched them last.

    asyncio remembers the context in which a callback is registered. A connection whose reading goes on while a baton
    is answered, or the one timer that Twisted shares among all calls, would carry that baton's context variables into
    whatever they lead to next. Other reactors call everything in the context of the process.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._context = copy_context()
        super().__init__(loop)

    def addReader(self, reader: Any) -> None:
        self._context.run(super().addReader, reader)

    def addWriter(self, writer: Any) -> None:
        self._context.run(super().addWriter, writer)

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self._context.run(super().callLater, delay, callable, *args, **kwargs)

    def callFromThread(self, f: Callable[..., Any], *args: object, **kwargs: object) -> None:
        # Not the shared context itself: this one may be called while that is entered, also from a signal.
        self._context.copy().run(super().callFromThread, f, *args, **kwargs)


def install(name: str | None = None) -> Any:
    """Install the reactor and give it. Called before anything imports `twisted.internet.reactor`.

    Raises:
        click.BadParameter: there is none of that name.
    """
    if name in (None, UVLOOP, ASYNCIO):
        install_instance(AsyncioReactor(_uvloop() if name != ASYNCIO else asyncio.new_event_loop()))
    else:
        try:
            installReactor(name)
        except NoSuchReactor:
            raise click.BadParameter(f"there is no reactor {name!r}: see piped run --help-reactors") from None
    from twisted.internet import reactor  # the late import is Twisted's own rule: it installs one when it is imported

    return reactor


def _uvloop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # exists on CPython outside Windows only
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def descriptions() -> list[tuple[str, str]]:
    """The name of each reactor that can be asked for, with what it is."""
    known = {kind.shortName: kind.description for kind in getReactorTypes()}
    known[UVLOOP] = "asyncio on uvloop, which is the default where uvloop is installed"
    return sorted(known.items())
