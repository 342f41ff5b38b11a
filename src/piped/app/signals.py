"""Signals that stop a process: the first asks for it, the second one does not wait."""

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
