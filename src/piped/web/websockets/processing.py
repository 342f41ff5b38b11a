"""The WebSockets of one path: who gets one, and what waits until it can be processed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.web import http

from piped import RuntimeEnvironment, Source
from piped.resources.dependency import Dependency, InstanceDependency
from piped.web import replies
from piped.web.methods import Answer
from piped.web.options import SiteOptions
from piped.web.request import Request
from piped.web.websockets import handshake
from piped.web.websockets.conversation import Conversation
from piped.web.websockets.options import WebSocketOptions
from piped.web.websockets.websocket import WebSocket

_log = logging.getLogger("piped.web")


class Queue:
    """Whoever a source refuses waits here, and tries again in order when it takes more."""

    def __init__(self, source: Source, *dependencies: Dependency) -> None:
        self._waiting: dict[Callable[[], bool], None] = {}
        self._is_going_on = False
        source.on_open += self._go_on
        for dependency in dependencies:
            source.feed(dependency)
            dependency.on_ready += self._go_on

    def add(self, attempt: Callable[[], bool]) -> None:
        """Have something called later that says whether it was taken; one that is not comes back by itself."""
        self._waiting[attempt] = None

    def turn(self, attempt: Callable[[], bool]) -> None:
        """Call something now, but for those who have waited longer: a busy client would never let others in."""
        if self._waiting:
            self.add(attempt)
            self._go_on()
        else:
            attempt()

    def _go_on(self, *_: object) -> None:
        if self._is_going_on:
            return
        self._is_going_on = True
        is_taken = True
        while is_taken and self._waiting:
            attempt = next(iter(self._waiting))
            del self._waiting[attempt]
            is_taken = attempt()
        self._is_going_on = False


class Farewells:
    """Processes the ends of connections, each after all messages that came over it.

    They have a source of their own, without a limit: at a stop every connection ends in the same moment, and has to be
    taken before nothing is taken any more.
    """

    def __init__(self, name: str, environment: RuntimeEnvironment, consumer: Dependency, processor: Any) -> None:
        self._source = Source(f"{name} disconnected", max_running=None)
        environment.sources.add(self._source)
        self._own = InstanceDependency(self._process, self._source.name)
        environment.dependency_manager.add_dependency(consumer, self._own)
        self._processor: Dependency = environment.add_processor(self._own, processor)
        self._queue = Queue(self._source, self._own)
        self._waiting: set[Conversation] = set()
        self._source.on_closed += self._stop

    @property
    def is_ready(self) -> bool:
        return self._own.is_ready

    def say(self, conversation: Conversation) -> bool:
        """Have the end of a connection processed, now or when that is possible."""
        settle = partial(conversation.failed, self._processor.name)
        if self._source.take(conversation, settle, self._own):
            return True
        _log.info("%s: the end of %s waits until it can be processed", self._source.name, conversation.websocket)
        self._queue.add(partial(self.say, conversation))
        return False

    def _stop(self) -> None:
        # Those whose client had left before are in no channel any more.
        for conversation in list(self._waiting):
            conversation.go_away()

    async def _process(self, conversation: Conversation) -> None:
        self._waiting.add(conversation)
        try:
            await conversation.when_over()
        finally:
            self._waiting.discard(conversation)
        process = self._processor.get_resource()
        websocket = conversation.websocket
        await maybeDeferred(process, conversation.baton(code=websocket.code, reason=websocket.reason))


class WebSocketProcessing:
    """Answers requests for a WebSocket, and has its messages processed.

    Args:
        site: how failures are told, and what becomes of messages whose client has left.
        source: takes the batons of the whole site.
        consumer: stands for the site among the dependencies.
        otherwise: answers requests that want no WebSocket.
    """

    def __init__(
        self,
        options: WebSocketOptions,
        site: SiteOptions,
        source: Source,
        environment: RuntimeEnvironment,
        consumer: Dependency,
        otherwise: Answer | None = None,
    ) -> None:
        self.options, self.site, self.source, self.otherwise = options, site, source, otherwise
        self._call_later = environment.reactor.callLater
        self.messages: Dependency = environment.add_processor(consumer, options.processor)
        self.connected: Dependency | None = None
        if options.connected is not None:
            self.connected = environment.add_processor(consumer, options.connected)
        self.farewells: Farewells | None = None
        if options.disconnected is not None:
            self.farewells = Farewells(source.name, environment, consumer, options.disconnected)
        self._feeding = [self.messages, *filter(None, [self.connected])]
        self.queue = Queue(source, *self._feeding)

    def __call__(self, request: Request) -> bool:
        if not handshake.asks_for_websocket(request):
            if self.otherwise is not None:
                return self.otherwise(request)
            handshake.refuse(request, handshake.no_websocket_asked_for(request))
            return True
        request.answered_by = self.messages.name
        headers, options = request.requestHeaders, self.options
        refusal = handshake.refusal_of(headers, options.origins)
        if refusal is not None:
            _log.info("%s gets no WebSocket: %s", request, refusal.why)
            handshake.refuse(request, refusal)
        elif not self._is_ready:
            replies.processing_failed(request, http.SERVICE_UNAVAILABLE)
        else:
            self._open(request, handshake.chosen(headers, options.subprotocols))
        return True

    @property
    def _is_ready(self) -> bool:
        is_all_there = all(dependency.is_ready for dependency in self._feeding)
        return self.source.is_open and is_all_there and (self.farewells is None or self.farewells.is_ready)

    def _open(self, request: Request, subprotocol: str | None) -> None:
        conversation = Conversation(self, WebSocket(request, subprotocol), self._call_later)
        handshake.accept(request, subprotocol)
        # Not a public name: Twisted's own way from a channel to a WebSocket.
        request.channel._protocolUpgradeForWebsockets(conversation.websocket.wire)
        conversation.begin()
