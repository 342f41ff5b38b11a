"""A request as a baton: given to a processor, and answered where the processor does not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.web import http

from piped import Rejected, Source, Ticket, told
from piped.resources.dependency import Dependency
from piped.web import replies
from piped.web.debugger import Debugger
from piped.web.options import SiteOptions
from piped.web.request import Request

_log = logging.getLogger("piped.web")
_LEVELS: Final = {"debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40, "critical": 50}


def log_failure(options: SiteOptions, request: Request, failure: Failure) -> None:
    """Tell of a failed request once, with its traceback, if and how the site wants to be told."""
    if options.log_exceptions is not None:
        error = failure.value
        level = _LEVELS[options.log_exceptions]
        _log.log(level, "%s failed for %s: %s", request.answered_by, request, told(error), exc_info=error)


class Processing:
    """Answers requests with what a processor does to them.

    Args:
        dependency: stands for the processor.
        source: takes the batons of the whole site.
        debugger: shows failures to those who may see them; None where nobody may.
    """

    def __init__(
        self, options: SiteOptions, source: Source, dependency: Dependency, debugger: Debugger | None = None
    ) -> None:
        self.options, self.source, self.dependency, self.debugger = options, source, dependency, debugger
        source.feed(dependency)

    def __call__(self, request: Request) -> bool:
        request.answered_by = self.dependency.name
        baton: dict[str, Any] = {"request": request}
        if request.params:
            baton["params"] = request.params
        ticket = self.source.take(baton, partial(self._settle, request, baton), self.dependency)
        if not isinstance(ticket, Ticket):
            _log.debug("%s refused %s: %s", self.source.name, request, ticket.value)
            replies.processing_failed(request, http.SERVICE_UNAVAILABLE)
            return True
        if not request.is_open:
            return True
        if not ticket.is_settled and (self.options.cancel_on_disconnect or request.method in (b"GET", b"HEAD")):
            request.on_lost = partial(self.source.cancel, ticket)
        if self.options.response_timeout is not None:
            request.limit(self.options.response_timeout, _too_late(self.source, ticket))
        return True

    def _settle(self, request: Request, baton: Any, outcome: list[Any] | Failure) -> None:
        # Once an answer has begun nobody can be told: then it is a failure like any other.
        if isinstance(outcome, Failure) and isinstance(outcome.value, Rejected) and not request.startedWriting:
            _log.info("%s refuses %s: %s", request.answered_by, request, told(outcome.value))
            replies.rejected(request, outcome.value.msg)
        elif isinstance(outcome, Failure):
            try:
                if request.is_open or not outcome.check(CancelledError):
                    log_failure(self.options, request, outcome)
                if self.debugger is not None:
                    self.debugger.offer(request, outcome, baton)
            finally:  # whatever is wrong with the failure: the client is answered
                replies.processing_failed(request)
        elif request.is_open:
            request.let_go()


def _too_late(source: Source, ticket: Ticket) -> Callable[[Request], None]:
    def give_up(request: Request) -> None:
        _log.warning("%s did not answer %s in time", request.answered_by, request)
        replies.processing_failed(request, http.GATEWAY_TIMEOUT)
        source.cancel(ticket)

    return give_up
