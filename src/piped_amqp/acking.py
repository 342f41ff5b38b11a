"""What is done with a delivery once its pipeline has ended: a table without state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Ending(Enum):
    """How a pipeline has ended."""

    PROCESSED = "every branch has ended well"
    FAILED = "it failed, and nobody handled that"
    REJECTED = "it raised `piped.Rejected`: trying again will not help"
    INTERRUPTED = "it was stopped, or lost what it needs: that says nothing about the message"


class Failed(Enum):
    """What a consumer was told to do with a delivery that has failed."""

    GIVE_BACK = "the broker gets it back, as the other options say"
    ACK = "it is acknowledged, and so it is gone"
    BY_HAND = "the pipeline has settled it, or will"


class Last(Enum):
    """What a consumer was told to do with a delivery that has failed often enough."""

    DEAD_LETTER = "it is published elsewhere, with the reason"
    REJECT = "the broker drops it, or sends it where the queue's dead letters go"
    PAUSE = "it is given back, and nothing more is consumed"


class Settlement(Enum):
    """What is done with a delivery."""

    NOTHING = "it is settled already, or somebody else will"
    ACK = "acknowledge it"
    RETRY = "give it back after a delay"
    GIVE_BACK = "give it back at once"
    REJECT = "reject it without giving it back"
    DEAD_LETTER = "publish it elsewhere, then acknowledge it"
    PAUSE = "give it back, and consume nothing more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acking:
    """How a consumer settles what was delivered.

    Args:
        no_ack: the broker expects no acknowledgements.
        acks_processed: acknowledge what was processed; otherwise the pipeline does.
        max_redeliveries: how often one that has failed is tried again; None for ever.
    """

    no_ack: bool = False
    acks_processed: bool = True
    failed: Failed = Failed.GIVE_BACK
    max_redeliveries: int | None = None
    last: Last = Last.PAUSE


_LAST = {
    Last.DEAD_LETTER: Settlement.DEAD_LETTER,
    Last.REJECT: Settlement.REJECT,
    Last.PAUSE: Settlement.PAUSE,
}
_FAILED = {Failed.ACK: Settlement.ACK, Failed.BY_HAND: Settlement.NOTHING}


def decide(acking: Acking, ending: Ending, *, redeliveries: int = 0, is_settled: bool = False) -> Settlement:
    """What to do with a delivery.

    Args:
        redeliveries: how often it was tried again before.
        is_settled: the pipeline has settled it by hand, or its channel is gone.

    Example:
        >>> decide(Acking(max_redeliveries=3, last=Last.DEAD_LETTER), Ending.FAILED, redeliveries=3).name
        'DEAD_LETTER'
    """
    if acking.no_ack or is_settled:
        return Settlement.NOTHING
    if ending is Ending.PROCESSED:
        return Settlement.ACK if acking.acks_processed else Settlement.NOTHING
    if ending is Ending.INTERRUPTED:
        return Settlement.GIVE_BACK
    if acking.failed is not Failed.GIVE_BACK:
        return _FAILED[acking.failed]
    if ending is Ending.REJECTED:  # given back it would come again, and pausing would help nobody
        return Settlement.DEAD_LETTER if acking.last is Last.DEAD_LETTER else Settlement.REJECT
    if acking.max_redeliveries is None or redeliveries < acking.max_redeliveries:
        return Settlement.RETRY
    return _LAST[acking.last]
