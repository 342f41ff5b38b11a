"""Signals: the first that stops a process asks for it, a second one does not wait; SIGHUP is for files."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("piped")


def listen_to_signals(reactor: Any, ask_for_stop: Callable[[str], object]) -> None:
    """Have the first SIGINT or SIGTERM call something with its name, and a second one end the process at once.

    To be called when the reactor runs, whose own handlers know no second signal.
    """
    heard: list[int] = []

    def hear(number: int, _frame: object) -> None:
        # Not left to the reactor: it may never come to it, in a step that never ends.
        if heard:
            try:
                logger.critical("a second signal, %s: ending at once", signal.Signals(number).name)
                logging.shutdown()
            finally:
                os._exit(1)
        heard.append(number)
        reactor.callFromThread(ask_for_stop, signal.Signals(number).name)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, hear)


def listen_to_hang_up(reactor: Any, reopen: Callable[[], object], ask_for_stop: Callable[[str], object]) -> None:
    """Have SIGHUP call `reopen`; but where the terminal is gone on which the process was started, ask for its stop.

    To be called when the reactor runs.
    """
    has_terminal = _is_terminal(0)

    def hear(number: int, _frame: object) -> None:
        if has_terminal and not _is_terminal(0):
            reactor.callFromThread(ask_for_stop, signal.Signals(number).name)
        else:
            reactor.callFromThread(_reopen, reopen)

    signal.signal(signal.SIGHUP, hear)


def _reopen(reopen: Callable[[], object]) -> None:
    logger.info("SIGHUP: opening the files anew that are written")
    reopen()


def _is_terminal(descriptor: int) -> bool:
    """Whether it is one that somebody still has open at the other end."""
    try:
        os.tcgetpgrp(descriptor)
    except OSError:
        return False
    return True
