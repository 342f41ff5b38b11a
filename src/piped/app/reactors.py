"""Which reactor runs: asyncio's on uvloop where there is one, or the one that was asked for by name."""

from __future__ import annotations

import asyncio
from typing import Any

import click
from twisted.application.reactors import NoSuchReactor, getReactorTypes, installReactor
from twisted.internet import asyncioreactor

UVLOOP, ASYNCIO = "uvloop", "asyncio"


def install(name: str | None = None) -> Any:
    """Install the reactor and give it. Called before anything imports `twisted.internet.reactor`."""
    if name in (None, UVLOOP, ASYNCIO):
        asyncioreactor.install(_uvloop() if name != ASYNCIO else asyncio.new_event_loop())
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
