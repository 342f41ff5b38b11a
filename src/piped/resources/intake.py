"""Intake: whether a source may take the next baton, and what is running; pure counting."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal


class Refusal(Enum):
    """Why a baton was not taken; false, so that `if admission:` reads well."""

    NOT_READY = "what processes the batons is not ready"
    PAUSED = "the source is paused"
    FULL = "as many batons as allowed are being processed"
    DRAINING = "the source is about to stop"

    def __bool__(self) -> Literal[False]:
        return False


@dataclass(slots=True, eq=False)
class Ticket:
    """Stands for one baton that a source has taken, the first being number 1; to be settled once.

    Example:
        >>> str(Ticket("web.site", 17))
        'web.site-17'
    """

    source: str
    number: int
    is_settled: bool = False

    def __str__(self) -> str:
        return f"{self.source}-{self.number}"


#: What comes of asking: a ticket, or why not.
Admission = Ticket | Refusal


class Intake:
    """Counts what a source has taken and not settled yet, and says whether it may take more.

    Open means: ready, not paused, not draining, not full. Whatever may change that is followed by a question to
    `flipped`, so that a source hears of it once and pauses or goes on.

    Args:
        max_running: how many batons at most are being processed at a time; None for as many as come.
        source: whose tickets these are.

    Example:
        >>> intake = Intake(max_running=1, is_ready=True)
        >>> ticket = intake.admit()
        >>> intake.admit(), intake.flipped()
        (<Refusal.FULL: 'as many batons as allowed are being processed'>, False)
        >>> intake.settle(ticket)
        >>> intake.is_open, intake.flipped(), intake.flipped()
        (True, True, None)
    """

    __slots__ = ("is_draining", "is_paused", "is_ready", "max_running", "running", "source", "taken", "was_open")

    def __init__(self, max_running: int | None, source: str = "", *, is_ready: bool = False) -> None:
        if max_running is not None and max_running < 1:
            raise ValueError(f"max_running is {max_running}, which would never take a baton")
        self.max_running, self.source, self.is_ready = max_running, source, is_ready
        self.is_paused = self.is_draining = False
        #: How many were taken and not settled yet, and how many were taken ever.
        self.running = self.taken = 0
        #: What `flipped` was last asked about.
        self.was_open = is_ready

    @property
    def refusal(self) -> Refusal | None:
        """Why nothing is taken now; None when open."""
        if self.is_draining:
            return Refusal.DRAINING
        if self.is_paused:
            return Refusal.PAUSED
        if not self.is_ready:
            return Refusal.NOT_READY
        if self.max_running is not None and self.running >= self.max_running:
            return Refusal.FULL
        return None

    @property
    def is_open(self) -> bool:
        return self.refusal is None

    @property
    def is_drained(self) -> bool:
        """Whether it takes nothing more, and all that was taken is settled."""
        return self.is_draining and not self.running

    def admit(self) -> Admission:
        """A ticket for the next baton, or why there is none."""
        is_full = self.max_running is not None and self.running >= self.max_running
        if is_full or not self.is_ready or self.is_paused or self.is_draining:
            refusal = self.refusal
            if refusal is not None:
                return refusal
        self.running += 1
        self.taken += 1
        return Ticket(self.source, self.taken)

    def settle(self, ticket: Ticket) -> None:
        """Count a baton as done.

        Raises:
            RuntimeError: it was settled before.
        """
        if ticket.is_settled:
            raise RuntimeError(f"baton {ticket.number} was settled twice")
        ticket.is_settled = True
        self.running -= 1

    def drain(self) -> None:
        """Take nothing more."""
        self.is_draining = True

    def reopen(self) -> None:
        """Take batons again after a drain."""
        self.is_draining = False

    def flipped(self) -> bool | None:
        """Whether it is open now, if that has changed since the last question; else None."""
        is_open = self.is_open
        if is_open is self.was_open:
            return None
        self.was_open = is_open
        return is_open
