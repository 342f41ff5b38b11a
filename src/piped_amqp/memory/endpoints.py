"""`memory://name`: an endpoint that leads to a broker within the process."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from piped_amqp.memory.broker import Broker
from piped_amqp.memory.session import Session
from piped_amqp.memory.transport import MemoryAddress, connect

#: The brokers of the process by reactor and name: who has a reactor of his own, as tests do, has brokers of his own.
_brokers: dict[tuple[Any, str], Broker] = {}


def broker_named(reactor: Any, name: str) -> Broker:
    """The broker of that name in this process, made when it is first asked for."""
    if (reactor, name) not in _brokers:
        _brokers[reactor, name] = Broker(reactor)
    return _brokers[reactor, name]


@implementer(IStreamClientEndpoint)
class MemoryEndpoint:
    """Connects to a broker in memory, as other endpoints connect to a server."""

    def __init__(self, reactor: Any, name: str) -> None:
        self._reactor = reactor
        self._name = name

    def connect(self, factory: Any) -> Deferred[Any]:
        """The factory's protocol, connected."""
        address = MemoryAddress(self._name)
        factory.doStart()
        client = factory.buildProtocol(address)
        if client is None:
            return fail(ConnectError(string="the factory makes no protocol"))
        connect(self._reactor, address, client, Session(broker_named(self._reactor, self._name)))
        return succeed(client)


def endpoint(reactor: Any, name: str) -> MemoryEndpoint:
    """A client endpoint to the broker of that name in this process; any credentials and virtual host will do.

    Args:
        reactor: gives the time; what is sent arrives in later turns of it.
    """
    return MemoryEndpoint(reactor, name)
