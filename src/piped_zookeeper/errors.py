"""What can go wrong with a client, beside what ZooKeeper itself refuses (kazoo.exceptions)."""

from __future__ import annotations

from piped import PipedError


class DisconnectException(PipedError):
    """There is no connection to ZooKeeper, or it was lost before the answer came; named as in Piped 0.7."""


class TooManyCalls(PipedError):
    """So many calls wait for an answer already that one more is refused."""


class NotHeld(PipedError):
    """This process does not lead, or does not hold the lock."""
