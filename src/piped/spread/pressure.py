"""Pressure: whether a peer takes what is sent, and what may be sent while it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Pressure:
    """Knows whether the peer takes what is sent: calls need not wait for an answer, and may have been given up.

    Args:
        reading: what is not read from as long as the peer does not read.
        go_on: called when it reads again.
    """

    def __init__(self, reading: Any, go_on: Callable[[], None]) -> None:
        self._reading, self._go_on = reading, go_on
        #: How many calls were sent since the peer does not read; None if it does.
        self._unread: int | None = None

    @property
    def is_taken(self) -> bool:
        """Whether the peer reads."""
        return self._unread is None

    def admits(self, most: int) -> bool:
        """Whether one more call may be sent."""
        if self._unread is None:
            return True
        self._unread += 1
        return self._unread <= most

    def pauseProducing(self) -> None:
        self._unread = 0
        if self._reading is not None:
            self._reading.pauseProducing()

    def resumeProducing(self) -> None:
        self._unread = None
        if self._reading is not None:
            self._reading.resumeProducing()
        self._go_on()

    def stopProducing(self) -> None:
        """The connection is over."""
