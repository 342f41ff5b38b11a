"""Requests: each request of an application is a baton of its site, so that they are counted, limited and drained."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakSet

from tornado.gen import convert_yielded
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.web import Application, ErrorHandler, RequestHandler
from tornado.websocket import WebSocketHandler
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped import Outcome, Source, Ticket
from piped.resources.dependency import Dependency
from piped.runtime.awaiting import is_cancellation
from piped.web.replies import RETRY_AFTER
from piped_cyclone import awaiting as _awaiting  # noqa: F401 - whatever Tornado runs may await Deferreds

_log = logging.getLogger("piped.cyclone")
#: The code of RFC 6455 that tells a WebSocket that its server stops.
_GOING_AWAY = 1001


def unavailable(handler: RequestHandler) -> None:
    """Tell a client to come again in a moment."""
    handler.set_status(503)
    handler.set_header("Retry-After", RETRY_AFTER)
    handler.finish("<html><title>503: Service Unavailable</title><body>503: Service Unavailable</body></html>")


def serve(work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Future[None]:
    """What processes each baton of a site: it is the work of a handler, done in a task of its own."""
    return convert_yielded(work())


class Requests(Source):
    """The requests of a site.

    Args:
        name: how log lines call the site.
        dependency: stands for `serve`.
        max_running: how many requests are processed at a time.
    """

    def __init__(self, name: str, dependency: Dependency, max_running: int) -> None:
        super().__init__(name, dependency, max_running=max_running)
        self.websockets: WeakSet[WebSocketHandler] = WeakSet()

    def watch(self, application: Application) -> None:
        """Have every handler that an application makes from now on work as a baton of this source."""
        make = application.get_handler_delegate

        def get_handler_delegate(
            request: HTTPServerRequest, target_class: type[RequestHandler], *args: Any, **kwargs: Any
        ) -> HTTPMessageDelegate:
            delegate = make(request, target_class, *args, **kwargs)
            delegate.handler_class = partial(self._made, delegate.handler_class)  # type: ignore[assignment]  # called
            return delegate

        # On the object, as applications may come from a function: whoever routes asks the object.
        application.get_handler_delegate = get_handler_delegate  # type: ignore[method-assign, assignment]

    def _made(
        self,
        handler_class: type[RequestHandler],
        application: Application,
        request: HTTPServerRequest,
        /,
        **kwargs: Any,
    ) -> RequestHandler:
        """Make a handler. It stays of its own class, as that may keep things in attributes of the class."""
        try:
            handler = handler_class(application, request, **kwargs)
        except Exception:  # Tornado would hang up, and not say on whom
            _log.exception("%s: %s cannot be made for %s", self.name, handler_class.__name__, request.path)
            handler = ErrorHandler(application, request, status_code=500)
        # Tornado's own step from a request to the method of a handler. It has no public name, and there is no other
        # place where both the beginning and the end of the work can be seen.
        handler._execute = partial(self._execute, handler)  # type: ignore[method-assign, assignment]
        return handler

    def _execute(
        self, handler: RequestHandler, transforms: list[Any], *args: bytes, **kwargs: bytes
    ) -> asyncio.Future[None] | Coroutine[Any, Any, None]:
        """Run a handler as a baton, or have it answer that there is no room for it."""
        del handler._execute  # Tornado's own is seen again
        work = partial(handler._execute, transforms, *args, **kwargs)
        ended = asyncio.get_running_loop().create_future()
        if isinstance(handler, WebSocketHandler):
            self.websockets.add(handler)
        ticket = self.take(partial(_to_the_last_byte, handler, work), partial(_settle, ended))
        if isinstance(ticket, Ticket):
            return ended
        handler.prepare = partial(unavailable, handler)  # type: ignore[method-assign]  # of this request only
        return work()

    def drain(self) -> Deferred[None]:
        """Take nothing more, and ask WebSockets to end, which would go on for ever."""
        drained = super().drain()
        for websocket in list(self.websockets):
            websocket.close(_GOING_AWAY, "the server stops")
        return drained


async def _to_the_last_byte(handler: RequestHandler, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Work until everything is sent that the handler has finished with."""
    finish, sent = handler.finish, []

    def finish_and_keep(*args: Any, **kwargs: Any) -> Any:
        sent.append(finish(*args, **kwargs))
        return sent[-1]

    handler.finish = finish_and_keep  # type: ignore[method-assign]  # of this request only
    try:
        await work()
    finally:
        del handler.finish
    for each in sent:
        if each is not None:  # a method of somebody's own may give nothing
            with suppress(StreamClosedError):  # the client has left
                await each


def _settle(ended: asyncio.Future[None], outcome: Outcome) -> None:
    if isinstance(outcome, Failure) and outcome.value is not None and not is_cancellation(outcome.value):
        ended.set_exception(outcome.value)
    else:
        ended.set_result(None)
