"""What comes over one WebSocket becomes batons, in order, and no faster than they are processed."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from piped import Refusal, Rejected, Ticket, told
from piped.resources.dependency import Dependency
from piped.web.processing import log_failure
from piped.web.websockets.websocket import WebSocket
from piped.web.websockets.wire import GOING_AWAY, INTERNAL_ERROR, NORMAL, POLICY_VIOLATION, Wire

if TYPE_CHECKING:
    from piped.web.websockets.processing import WebSocketProcessing

_log = logging.getLogger("piped.web")


class Conversation:
    """What comes over one WebSocket, and the batons that are made of it."""

    def __init__(self, route: WebSocketProcessing, websocket: WebSocket, call_later: Callable[..., Any]) -> None:
        self._route, self.websocket = route, websocket
        self._options = route.options
        self._wire = websocket.wire = Wire(self, websocket.request, route.options, call_later)
        #: What was not taken yet; None stands for the beginning of the connection.
        self._waiting: deque[str | bytes | None] = deque()
        self._size = 0
        self._running = 0
        self._taken = 0
        self._tickets: dict[int, Ticket] = {}
        self._is_connecting = self._is_going_on = self._is_lost = False
        self._is_leaving = self._is_farewell_said = False
        self._over: list[Deferred[None]] = []

    def begin(self) -> None:
        """The connection is open."""
        if self._route.connected is not None:
            self._waiting.append(None)
            self.go_on()

    def baton(self, **content: Any) -> dict[str, Any]:
        """What every baton of the connection holds, and more."""
        request = self.websocket.request
        baton: dict[str, Any] = {"request": request, "websocket": self.websocket, **content}
        if request.params:
            baton["params"] = request.params
        return baton

    # What the wire calls

    def textMessageReceived(self, message: str) -> None:
        self._received(message)

    def bytesMessageReceived(self, data: bytes) -> None:
        self._received(data)

    def pongReceived(self, payload: bytes) -> None:
        """Whatever comes shows the wire that the client is there."""

    def closing(self, code: int, reason: str, is_by_client: bool) -> None:
        self.websocket.code, self.websocket.reason = code, reason
        self.websocket.leave_all()
        if not is_by_client:
            self._drop()
            level = logging.DEBUG if code in (NORMAL, GOING_AWAY) else logging.INFO
            _log.log(level, "%s is closed with %d: %s", self.websocket, code, reason)

    def connectionLost(self, reason: Failure) -> None:
        self._is_lost = True
        self.websocket.request.connectionLost(reason)
        if self._route.site.cancel_on_disconnect:
            self._drop()
            for ticket in list(self._tickets.values()):
                self._route.source.cancel(ticket)
        self._say_farewell()
        self._rest()

    def go_away(self) -> None:
        """The site stops: what is being processed ends, everything else is dropped; the client may connect anew."""
        if not self._is_leaving:
            self._is_leaving = True
            if self._waiting:
                _log.warning("%s: %d messages were not processed before the stop", self.websocket, len(self._waiting))
            self._drop()
            self._wire.hold(True)
            self._say_farewell()
        if not self._running:
            self._wire.close(GOING_AWAY, "the server stops")
        self._rest()

    # Messages

    def _received(self, message: str | bytes) -> None:
        self._waiting.append(message)
        self._size += len(message)
        self.go_on()

    def go_on(self) -> bool:
        """Have as many messages processed as may be now; False when the source has refused one."""
        if self._is_going_on:  # what is processed at once comes back here
            return True
        self._is_going_on = True
        most = 1 if self._options.ordered else self._options.max_pending
        is_taken = True
        while is_taken and self._waiting and self._running < most and not self._is_connecting:
            is_taken = self._take(self._waiting.popleft())
        self._is_going_on = False
        is_full = len(self._waiting) + self._running >= self._options.max_pending
        self._wire.hold(self._is_leaving or not is_taken or is_full or self._size >= self._options.max_message_size)
        self._rest()
        return is_taken

    def _take(self, message: str | bytes | None) -> bool:
        route = self._route
        dependency: Dependency = route.messages
        if message is None and route.connected is not None:
            dependency, baton = route.connected, self.baton()
            self._is_connecting = True
        else:
            baton = self.baton(message=message)
        size = 0 if message is None else len(message)
        self._running += 1
        self._size -= size
        self._taken += 1
        settle = partial(self._settled, self._taken, dependency.name, message is None)
        ticket = route.source.take(baton, settle, dependency)
        if isinstance(ticket, Ticket):
            if not ticket.is_settled:
                self._tickets[self._taken] = ticket
            return True
        _log.debug("%s has %s wait: %s", route.source.name, self.websocket, ticket.value)
        self._running -= 1
        self._size += size
        self._is_connecting = False
        self._waiting.appendleft(message)
        if ticket is Refusal.DRAINING:
            self.go_away()
        else:
            route.queue.add(self.go_on)
        return False

    def _settled(self, number: int, processor: str, is_connecting: bool, outcome: list[Any] | Failure) -> None:
        self._tickets.pop(number, None)
        self._running -= 1
        if is_connecting:
            self._is_connecting = False
        code, reason = self.failed(processor, outcome)
        if code and (is_connecting or self._options.on_error == "close"):
            self.websocket.close(code, reason)
        if self._is_leaving:
            self.go_away()
        if self._waiting:
            self._route.queue.turn(self.go_on)
        else:
            self.go_on()

    def failed(self, processor: str, outcome: list[Any] | Failure) -> tuple[int, str]:
        """Tell of a failure; gives the code and the reason to close with, 0 where there is nothing to close for."""
        if not isinstance(outcome, Failure):
            return 0, ""
        if outcome.check(CancelledError) and not self.websocket.is_open:  # ClientLeft is one, too
            _log.debug("%s ended with its client, %s", processor, self.websocket)
            return 0, ""
        if isinstance(outcome.value, Rejected):
            _log.info("%s refuses a message of %s: %s", processor, self.websocket, told(outcome.value))
            return POLICY_VIOLATION, outcome.value.msg
        request = self.websocket.request
        request.answered_by = processor
        log_failure(self._route.site, request, outcome)
        return INTERNAL_ERROR, ""

    def _drop(self) -> None:
        self._waiting.clear()
        self._size = 0

    # The end

    def when_over(self) -> Deferred[None]:
        """Fires when the client is gone and nothing that it has sent is being processed, or waits for that."""
        over: Deferred[None] = Deferred()
        self._over.append(over)
        self._rest()
        return over

    def _say_farewell(self) -> None:
        if self._route.farewells is not None and not self._is_farewell_said:
            self._is_farewell_said = True
            self._route.farewells.say(self)

    def _rest(self) -> None:
        if self._is_lost and not self._running and not self._waiting:
            waiting, self._over = self._over, []
            for over in waiting:
                if not over.called:
                    over.callback(None)
