"""Feeding: lines go to a processor one at a time, and whoever sends them waits meanwhile."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped import RuntimeEnvironment, Source, told
from piped.lines.splitting import LineSplitter, TooLong
from piped.runtime.turns import Turns

logger = logging.getLogger("piped.lines")


class Producer(Protocol):
    """What sends the bytes."""

    def pauseProducing(self) -> object:
        """Send nothing more."""

    def resumeProducing(self) -> object:
        """Send on."""


class LineFeed:
    """Gives each line as the baton `{line: text}` to a source, while it takes them; else to the log, at level debug.

    What sends the bytes is paused while there are lines that nobody has taken: at most those of one piece of data wait.
    The bytes are read as UTF-8; what is none becomes U+FFFD, so that every line can be written somewhere else.

    Args:
        source: takes one baton at a time; None where nobody processes the lines.
    """

    def __init__(
        self, name: str, splitter: LineSplitter, source: Source | None, environment: RuntimeEnvironment
    ) -> None:
        self.name, self.source = name, source
        self._splitter, self._environment = splitter, environment
        #: Lines that nobody has taken; None is the end.
        self._waiting: deque[str | None] = deque()
        self._producer: Producer | None = None
        self._is_paused = self._is_feeding = self._is_stopped = False
        #: Fire when nothing waits any more.
        self._watchers: list[Deferred[None]] = []
        if source is not None:
            source.on_open += self._feed

    def start(self) -> None:
        """Take lines, which is so from the beginning, again after a stop."""
        self._is_stopped = False
        if self.source is not None:
            self.source.reopen()

    def stop(self) -> None:
        """Process no more lines: those that wait are counted in the log, any that follow are only written there."""
        left = sum(line is not None for line in self._waiting)
        if left:
            logger.warning("%s: %d lines were not processed any more", self.name, left)
        self._waiting.clear()
        self._is_stopped = True
        self._feed()

    def connected(self, producer: Producer) -> None:
        """From now on the bytes come from here."""
        self._producer = producer
        if self._is_paused:
            producer.pauseProducing()

    def data_received(self, data: bytes) -> None:
        """Cut bytes into lines and have them processed."""
        self._add(self._splitter.split(data))

    def when_taken(self) -> Deferred[None]:
        """Fires when no line waits any more."""
        taken: Deferred[None] = Deferred()
        self._watchers.append(taken)
        self._tell_taken()
        return taken

    def ended(self, tells: bool = False) -> None:
        """The bytes have ended: what is left is a line too.

        Args:
            tells: whether the processor hears of it, with the baton `{line: null}`.
        """
        self._add(self._splitter.finish())
        if tells:
            self._waiting.append(None)
            self._feed()

    def _add(self, lines: Iterable[bytes | TooLong]) -> None:
        for line in lines:
            if isinstance(line, TooLong):
                most = self._splitter.max_length
                logger.error("%s: a line is longer than max_length, %d bytes: it is dropped", self.name, most)
            else:
                self._waiting.append(line.decode("utf-8", "replace"))
        self._feed()

    def _feed(self) -> None:
        # To have processed a line may open the source, which calls this once more.
        if self._is_feeding:
            return
        self._is_feeding = True
        try:
            if self.source is None or self._is_stopped:
                self._write_to_log()
            else:
                self._give(self.source)
        finally:
            self._is_feeding = False
        self._pause(bool(self._waiting))
        self._tell_taken()

    def _tell_taken(self) -> None:
        if not self._waiting:
            watchers, self._watchers = self._watchers, []
            for watcher in watchers:
                watcher.callback(None)

    def _give(self, source: Source) -> None:
        turns = Turns(self._environment.reactor)
        while self._waiting and source.is_open:
            source.take({"line": self._waiting.popleft()}, self._settled)
            if self._waiting and (turn := turns.due()) is not None:
                turn.addCallback(lambda _: self._feed())
                return

    def _write_to_log(self) -> None:
        while self._waiting:
            logger.debug("%s: %s", self.name, self._waiting.popleft())

    def _pause(self, is_paused: bool) -> None:
        if is_paused is not self._is_paused:
            self._is_paused = is_paused
            if self._producer is not None:
                (self._producer.pauseProducing if is_paused else self._producer.resumeProducing)()

    def _settled(self, outcome: list[Any] | Failure) -> None:
        if isinstance(outcome, Failure):
            logger.error("%s: a line failed: %s", self.name, told(outcome.value), exc_info=outcome.value)
