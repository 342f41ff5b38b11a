"""Tags: which deliveries of a channel are not settled, and which acknowledgements are still to be sent."""

from __future__ import annotations

from bisect import bisect_left


class Tags:
    """The deliveries of one channel by their numbers, which grow with each one.

    Example:
        >>> tags = Tags()
        >>> for tag in (1, 2, 3, 4):
        ...     tags.delivered(tag)
        >>> [tags.ack(tag) for tag in (2, 1, 4, 4)]
        [True, True, True, False]
        >>> tags.take()
        [(2, True), (4, False)]
    """

    __slots__ = ("_acked", "_unsettled")

    def __init__(self) -> None:
        #: In the order of their numbers, as they came.
        self._unsettled: dict[int, None] = {}
        self._acked: list[int] = []

    def __contains__(self, tag: int) -> bool:
        """Whether a delivery waits to be settled."""
        return tag in self._unsettled

    def __len__(self) -> int:
        return len(self._unsettled)

    @property
    def due(self) -> int:
        """How many acknowledgements are to be sent."""
        return len(self._acked)

    def delivered(self, tag: int) -> None:
        """Note a delivery that has to be settled."""
        self._unsettled[tag] = None

    def ack(self, tag: int) -> bool:
        """Have a delivery acknowledged with the next `take`; False if it is settled already, or was never there."""
        if tag not in self._unsettled:
            return False
        del self._unsettled[tag]
        self._acked.append(tag)
        return True

    def settle(self, tag: int) -> bool:
        """Forget a delivery that is given back; False as for `ack`."""
        if tag not in self._unsettled:
            return False
        del self._unsettled[tag]
        return True

    def up_to(self, tag: int) -> list[int]:
        """The deliveries that wait to be settled, up to and including a number; 0 stands for all of them."""
        return [each for each in self._unsettled if not tag or each <= tag]

    def take(self) -> list[tuple[int, bool]]:
        """What is to be sent now: numbers to acknowledge, and whether all before them are meant as well.

        None that waits to be settled is ever meant.
        """
        acked, self._acked = self._acked, []
        acked.sort()
        lowest = next(iter(self._unsettled), None)
        run = len(acked) if lowest is None else bisect_left(acked, lowest)
        alone = [(tag, False) for tag in acked[run:]]
        return [(acked[run - 1], run > 1), *alone] if run else alone

    def clear(self) -> None:
        """Forget all: the channel is gone, or gives everything back."""
        self._unsettled.clear()
        self._acked.clear()
