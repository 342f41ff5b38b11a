"""Which baton is being processed: the sign that log lines written meanwhile carry."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class BatonId:
    """The number that a baton got from the source that took it.

    Example:
        >>> str(BatonId("web.site", 17))
        'web.site-17'
    """

    source: str
    number: int

    def __str__(self) -> str:
        return f"{self.source}-{self.number}"


#: The baton that the running code belongs to, also after a wait; None where there is none.
current_baton: ContextVar[BatonId | None] = ContextVar("current_baton", default=None)
