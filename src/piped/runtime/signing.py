"""Which baton is being processed: the sign that log lines written meanwhile carry."""

from __future__ import annotations

from contextvars import ContextVar

from piped.resources.intake import Ticket

#: The ticket of the baton that the running code belongs to, also after a wait; None where there is none.
current_baton: ContextVar[Ticket | None] = ContextVar("current_baton", default=None)
