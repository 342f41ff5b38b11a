"""Requests: each request of an application is a baton of its site, so that they are counted, limited and drained."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar
from weakref import WeakSet

from tornado.gen import convert_yielded
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped import Outcome, Source, Ticket
from piped.resources.dependency import Dependency
from piped.runtime.awaiting import is_cancellation
from piped.web.replies import RETRY_AFTER
from piped_cyclone import awaiting as _awaiting  # noqa: F401 - whatever Tornado runs may await Deferreds

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
        self._classes: dict[type[RequestHandler], type[RequestHandler]] = {}
        self.websockets: WeakSet[WebSocketHandler] = WeakSet()

    def watch(self, application: Application) -> None:
        """Have every handler that an application makes from now on work as a baton of this source."""
        make = application.get_handler_delegate

        def get_handler_delegate(
            request: HTTPServerRequest, target_class: type[RequestHandler], *args: Any, **kwargs: Any
        ) -> HTTPMessageDelegate:
            return make(request, self._taken(target_class), *args, **kwargs)

        # On the object, as applications may come from a function: whoever routes asks the object.
        application.get_handler_delegate = get_handler_delegate  # type: ignore[method-assign, assignment]

    def _taken(self, handler: type[RequestHandler]) -> type[RequestHandler]:
        if handler not in self._classes:
            names = {"__module__": handler.__module__, "__qualname__": handler.__qualname__, "_piped_source": self}
            self._classes[handler] = type(handler.__name__, (_Taken, handler), names)
        return self._classes[handler]

    def drain(self) -> Deferred[None]:
        """Take nothing more, and ask WebSockets to end, which would go on for ever."""
        drained = super().drain()
        for websocket in list(self.websockets):
            websocket.close(_GOING_AWAY, "the server stops")
        return drained


class _Taken(RequestHandler):
    """What is added to a class of handlers: each runs as a baton, or answers that there is no room for it."""

    _piped_source: ClassVar[Requests]
    _piped_sent: asyncio.Future[None] | None = None

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> asyncio.Future[None]:
        sent = self._piped_sent = super().finish(chunk)
        return sent

    # Tornado's own step from a request to the method of a handler. It has no public name, and there is no other place
    # where both the beginning and the end of the work can be seen.
    def _execute(  # type: ignore[override]  # a future instead of a coroutine, which Tornado takes as well
        self, transforms: list[Any], *args: bytes, **kwargs: bytes
    ) -> asyncio.Future[None] | Coroutine[Any, Any, None]:
        work = partial(super()._execute, transforms, *args, **kwargs)
        ended = asyncio.get_running_loop().create_future()
        if isinstance(self, WebSocketHandler):
            self._piped_source.websockets.add(self)
        ticket = self._piped_source.take(partial(self._piped_serve, work), partial(_settle, ended))
        if isinstance(ticket, Ticket):
            return ended
        self.prepare = partial(unavailable, self)  # type: ignore[method-assign]  # of this request only
        return work()

    async def _piped_serve(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await work()
        if self._piped_sent is not None:
            with suppress(StreamClosedError):  # the client has left
                await self._piped_sent


def _settle(ended: asyncio.Future[None], outcome: Outcome) -> None:
    if isinstance(outcome, Failure) and outcome.value is not None and not is_cancellation(outcome.value):
        ended.set_exception(outcome.value)
    else:
        ended.set_result(None)
