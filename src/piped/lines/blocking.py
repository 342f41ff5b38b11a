"""Blocking: a descriptor that no reactor can watch is read by a thread, a piece at a time."""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable
from threading import Thread
from typing import Any

from piped import Bytes

logger = logging.getLogger("piped.lines")

CHUNK: Bytes = 65536


class BlockingReader:
    """Reads a descriptor of any kind, and leaves it as it is: a file, a pipe, a terminal.

    The thread that waits for the next piece holds up no stop of the process. What it has begun to read when it is
    paused or stopped still comes.

    Args:
        receive: called in the thread of the reactor, with each piece, and with b"" once nothing follows.
    """

    def __init__(self, name: str, descriptor: int, receive: Callable[[bytes], object], reactor: Any) -> None:
        self.name, self._descriptor = name, descriptor
        self._receive, self._reactor = receive, reactor
        self._is_started = self._is_paused = self._is_reading = self._has_ended = False

    def start(self) -> None:
        """Begin to read, also again after a stop."""
        self._is_started = True
        self._read_on()

    def stop(self) -> None:
        """Begin to read nothing more, until the next start."""
        self._is_started = False

    def pauseProducing(self) -> None:
        """Begin to read nothing more, until `resumeProducing`."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        self._is_paused = False
        self._read_on()

    def _read_on(self) -> None:
        if self._is_started and not (self._is_paused or self._is_reading or self._has_ended):
            self._is_reading = True
            # Not in the reactor's pool, which waits for its threads when the process stops.
            Thread(target=self._read, name=self.name, daemon=True).start()

    def _read(self) -> None:
        try:
            data = self._piece()
        except OSError as error:
            logger.error("%s cannot be read: %s", self.name, error.strerror)
            data = b""
        self._reactor.callFromThread(self._came, data)

    def _piece(self) -> bytes:
        while True:
            try:
                return os.read(self._descriptor, CHUNK)
            except BlockingIOError:  # made so by somebody else who has the same terminal or pipe
                select.select([self._descriptor], [], [])

    def _came(self, data: bytes) -> None:
        self._is_reading, self._has_ended = False, not data
        self._receive(data)
        self._read_on()
