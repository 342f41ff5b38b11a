"""Turns: a loop that has held the reactor for too long lets it attend to others once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from piped.ground.units import Seconds

LONGEST_HOLD: Seconds = 0.05


class Timer(Protocol):
    """The part of a reactor, or of a Clock, that tells the time and wakes."""

    def seconds(self) -> float:
        """The time now."""

    def callLater(self, delay: float, callable: Callable[..., object], /, *args: object) -> Any:
        """Call something then; what it gives can be cancelled."""


class Turns:
    """Tells one loop when to pause; made when the loop begins.

    Example:
        >>> from twisted.internet.task import Clock
        >>> clock = Clock()
        >>> turns = Turns(clock)
        >>> turns.due() is None
        True
        >>> clock.advance(LONGEST_HOLD)
        >>> turns.due() is None
        False
    """

    def __init__(self, reactor: Timer, longest: Seconds = LONGEST_HOLD) -> None:
        self._reactor, self._longest = reactor, longest
        self._since = reactor.seconds()

    def due(self) -> Deferred[None] | None:
        """What to wait for before going on; None while there is time left.

        It reads the clock (0.1 us): where a round costs less than that, ask every so many rounds.
        """
        now = self._reactor.seconds()
        if now - self._since < self._longest:
            return None
        self._since = now
        turn: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._reactor.callLater(0, turn.callback, None)
        return turn
