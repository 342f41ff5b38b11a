"""Serving: the connections to one server."""

from __future__ import annotations

import logging
from typing import Any

from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from twisted.spread import pb

from piped.spread.broker import Broker, Limits
from piped.spread.calls import Calls, Door
from piped.spread.login import LoginRoot, Realm

_log = logging.getLogger("piped.spread")


class ServerFactory(pb.PBServerFactory):
    """Makes the connections to one server.

    Args:
        name: how log lines call the server.
        checker: who may log in; None for everybody, without a login.
    """

    noisy = False

    def __init__(self, name: str, calls: Calls, limits: Limits, max_connections: int, checker: Any = None) -> None:
        self._door = Door(calls)
        super().__init__(self._door)
        self.name, self.clock, self.limits, self.max_connections = name, calls.clock, limits, max_connections
        realm: Any = Realm(lambda avatar_id: Door(calls, avatar_id))
        self._portal = Portal(realm, [checker]) if checker is not None else None
        self._brokers: dict[Broker, None] = {}
        self._is_full = False
        self._closed: list[Deferred[None]] = []

    def buildProtocol(self, addr: Any) -> Broker | None:
        if len(self._brokers) >= self.max_connections:
            if not self._is_full:
                _log.warning("%s has %d connections, and takes no more", self.name, len(self._brokers))
            self._is_full = True
            return None
        broker = Broker(self.name, self.clock, self.limits, is_client=False, needs_login=self._portal is not None)
        broker.factory = self
        root: Any = self._door if self._portal is None else LoginRoot(self._portal, broker)
        broker.setNameForLocal("root", root)
        self._brokers[broker] = None
        return broker

    def broker_lost(self, broker: Broker, reason: Failure) -> None:
        """Called by a connection that is over."""
        self._brokers.pop(broker, None)
        self._is_full = False
        if not self._brokers:
            closed, self._closed = self._closed, []
            for each in closed:
                each.callback(None)

    def close(self) -> Deferred[None]:
        """Hang up on everybody; fires when all are gone."""
        for broker in list(self._brokers):
            broker.hang_up()
        if not self._brokers:
            return succeed(None)
        self._closed.append(Deferred())
        return self._closed[-1]
