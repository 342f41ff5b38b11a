"""One thing that a session waits for: Deferreds and asyncio alike, started at once."""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any

from piped.runtime.awaiting import WAITING, BatonTask


class Turn(BatonTask):
    """Runs a coroutine; see `when_ended`, `result` and `stop`."""

    __slots__ = ()

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> Turn:
        try:
            value = self._context.run(self.settle, coroutine)
        except BaseException as error:
            self.failed(error)
        else:
            if value is not WAITING:
                self.end(value)
        return self

    def settled(self, value: Any) -> None:
        self.end(value)

    def failed(self, error: BaseException) -> None:
        self.end(None, error)


def begin(coroutine: Coroutine[Any, Any, Any]) -> Turn:
    """Run a coroutine in a context of its own, as far as it comes without waiting."""
    return Turn(copy_context()).begin(coroutine)
