"""A reactor that is only a clock, which stands still until a test moves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock


class Reactor(Clock):
    """A clock that is told from other threads, too."""

    def callFromThread(self, call: Callable[..., object], *arguments: Any) -> None:
        self.callLater(0, call, *arguments)
