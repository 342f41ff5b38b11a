"""When Python looks for garbage: not while a command loads what it works with, as nearly all of that stays."""

from __future__ import annotations

import atexit
import gc


def pause() -> None:
    """Look for no garbage from now on, nor at the end, where the process gives back all of its memory anyway."""
    gc.disable()
    atexit.register(gc.freeze)


def resume() -> None:
    """Look for garbage again, but never among what has been loaded: a process that will run calls this first."""
    atexit.unregister(gc.freeze)
    gc.collect()
    gc.freeze()
    gc.enable()
