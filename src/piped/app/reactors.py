"""Which reactor runs: asyncio's on uvloop where there is one, or the one that was asked for by name."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import click
from twisted.application.reactors import getReactorTypes, installReactor

UVLOOP, ASYNCIO = "uvloop", "asyncio"


def install(name: str | None = None) -> Any:
    """Install the reactor and give it. Called before anything imports `twisted.internet.reactor`."""
    if name in (None, UVLOOP, ASYNCIO):
        # Imported late, as it brings OpenSSL along, for which the verbs that run nothing would wait.
        from twisted.internet.main import installReactor as install_instance

        from piped.app.asyncio_reactor import AsyncioReactor, new_loop

        install_instance(AsyncioReactor(new_loop(is_fast=name != ASYNCIO)))
    else:
        installReactor(name)
    from twisted.internet import reactor  # the late import is Twisted's own rule: it installs one when it is imported

    return reactor


def descriptions() -> dict[str, str]:
    """What each reactor is that can be asked for on this machine, by its name."""
    usable = dict(_usable())
    usable[UVLOOP] = "asyncio on uvloop, which is the default where uvloop is installed"
    return dict(sorted(usable.items()))


def _usable() -> Iterator[tuple[str, str]]:
    for kind in getReactorTypes():
        try:
            import_module(kind.moduleName)
        except Exception:  # each one is a plug-in, and raises what it likes where it cannot work
            continue
        yield kind.shortName, kind.description


def known_reactor(_ctx: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    """Refuses, as click's callback of an option, the name of a reactor that does not work here."""
    if name is not None and name not in descriptions():
        raise click.BadParameter(f"there is no reactor {name!r} on this machine: see piped run --help-reactors")
    return name
