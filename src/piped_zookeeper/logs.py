"""kazoo's log lines, as far as they are for Piped's log."""

from __future__ import annotations

import logging
from typing import Final

from kazoo.protocol.serialization import Auth, Connect

#: So long the same warning is not told again, in seconds.
ONCE_IN: Final = 60
_MOST_REMEMBERED: Final = 100


class Discretion(logging.Filter):
    """Keeps back what tells a password, or that of a session; and what was told a moment ago.

    kazoo says why it cannot connect at every try. Its warnings without arguments only say that a connection is lost,
    which this house says itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        args = record.args if isinstance(record.args, tuple) else ()
        # Below debug it tells how to take over a session.
        if record.levelno < logging.DEBUG or any(isinstance(each, Auth | Connect) for each in args):
            return False
        return record.levelno != logging.WARNING or (bool(args) and self._is_new(record))

    def _is_new(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        before = self._told.pop(text, None)
        if before is not None and record.created < before + ONCE_IN:
            self._told[text] = before
            return False
        if len(self._told) >= _MOST_REMEMBERED:
            del self._told[next(iter(self._told))]
        self._told[text] = record.created
        return True


_DISCRETION = Discretion()


def kazoo_log(is_told: bool) -> logging.Logger:
    """The log of kazoo: nothing, or warnings and errors; with `--log-level debug` all of it."""
    log = logging.getLogger("kazoo")
    log.addFilter(_DISCRETION)
    log.propagate = is_told
    log.setLevel(logging.DEBUG if logging.getLogger().isEnabledFor(logging.DEBUG) else logging.WARNING)
    if not is_told and not log.handlers:
        log.addHandler(logging.NullHandler())
    return log
