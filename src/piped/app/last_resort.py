"""The last resort: a process ends though some of its threads do not."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator

logger = logging.getLogger("piped")

#: Seconds that threads have left when all else has stopped.
PATIENCE = 2.0


def end_without_threads() -> None:
    """Called when all else has stopped: if the process is still there after two seconds, it is ended, with code 1."""
    timer = threading.Timer(PATIENCE, _end)
    timer.daemon = True
    timer.start()


def _end() -> None:
    try:
        logger.critical("ending without the threads that do not end: %s", "; ".join(_busy_threads()))
        logging.shutdown()
    finally:
        os._exit(1)


def _busy_threads() -> Iterator[str]:
    """The threads that a process waits for, each with the line that it is at."""
    frames = sys._current_frames()
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon and thread.ident in frames:
            frame = frames[thread.ident]
            yield f"{thread.name} at {frame.f_code.co_filename}:{frame.f_lineno}"
