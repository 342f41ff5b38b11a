"""Clients of statsd servers: what they are told waits a moment, and goes out in a datagram with the rest."""

from __future__ import annotations

import logging
import random
import socket
from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError, MessageLengthError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from piped import ConfigurationError, PipedService, did_you_mean, told
from piped_statsd.metrics import Metrics
from piped_statsd.wire import Kind, Outbox, line

logger = logging.getLogger(__name__)

#: Seconds that a metric waits for others to go with it.
TOGETHER = 0.1
#: The address of a name is looked up again after so many seconds, as it may move; when there is none, sooner at first.
LOOK_UP_AGAIN, FIRST_RETRY = 60.0, 1.0

#: The clients of the configuration that was configured last, by their names.
_configured: dict[str, StatsdClient] = {}


class StatsdClient(Metrics, PipedService):
    """Sends metrics to one server. Nothing waits for that: what cannot be sent is dropped, and the log says so once.

    Args:
        name: what the configuration calls it.
        host: an address, or a name, which is looked up from time to time.
        uniform: a random number between two others.
        look_up: as `socket.getaddrinfo`, which it is by default, in a thread.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
        look_up: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        self.setName(f"statsd.{name}")
        self.host, self.port = host, port
        self._uniform, self._look_up = uniform, look_up
        self._outbox = Outbox()
        self._flushing: Any = None
        #: The open socket, and the address that it sends to.
        self._socket: Any = None
        self._address = ""
        #: What the log was told already.
        self._told: set[str] = set()

    # Metrics

    def now(self) -> float:
        seconds: float = self.runtime_environment.reactor.seconds()
        return seconds

    def send(self, name: str, value: float | str, kind: Kind, tags: Sequence[str] = (), sample_rate: float = 1) -> None:
        if sample_rate < 1 and self._uniform(0, 1) >= sample_rate:
            return
        self._outbox.add(line(name, value, kind, tags, sample_rate))
        if self._outbox.dropped:
            self._warn("metrics are dropped: too many, or too long ones, came before they could be sent")
        if self._socket is None:
            return
        if self._outbox.is_full:
            self._write(self._outbox.take())
        if self._flushing is None:
            self._flushing = self.runtime_environment.reactor.callLater(TOGETHER, self._flush)

    def _flush(self) -> None:
        """Send all that waits."""
        if self._flushing is not None and self._flushing.active():
            self._flushing.cancel()
        self._flushing = None
        while packet := self._outbox.take():
            self._write(packet)

    def _write(self, packet: bytes) -> None:
        try:
            self._socket.write(packet)
        except (OSError, MessageLengthError) as error:  # full, or no way to the server
            self._warn(f"metrics are dropped: {told(error)}")

    def _warn(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            logger.warning("%s: %s", self.name, text)

    # The way to the server

    async def run(self) -> None:
        """Keep the way to the server open."""
        retry = FIRST_RETRY
        while True:
            pause = LOOK_UP_AGAIN
            try:
                self._connect(await self._find_address())
                retry = FIRST_RETRY
            except (OSError, CannotListenError) as error:
                self._warn(f"there is no way to {self.host}: {told(error)}")
                pause, retry = retry, min(2 * retry, LOOK_UP_AGAIN)
            if self._address == self.host:
                return
            await deferLater(self.runtime_environment.reactor, self._uniform(pause / 2, pause))

    async def _find_address(self) -> str:
        if isIPAddress(self.host) or isIPv6Address(self.host):
            return self.host
        look_up = self._look_up or partial(_aside, self.runtime_environment.reactor, socket.getaddrinfo)
        answer = await maybeDeferred(look_up, self.host, self.port, 0, socket.SOCK_DGRAM)
        found = [(family == socket.AF_INET6, address[0]) for family, _, _, _, address in answer]
        # A name with both, such as localhost, is usually served by the older one.
        return str(min(found)[1])

    def _connect(self, address: str) -> None:
        if address == self._address:
            return
        interface = "::" if isIPv6Address(address) else ""
        opened = self.runtime_environment.reactor.listenUDP(0, _Refusals(self), interface)
        try:
            opened.connect(address, self.port)
        except OSError:
            opened.stopListening()
            raise
        former, self._socket, self._address = self._socket, opened, address
        if former is not None:
            former.stopListening()
        self._flush()

    def refused(self) -> None:
        """Nobody listens there."""
        self._warn(f"nobody listens on {self._address}:{self.port}")

    def stopService(self) -> Deferred[None]:
        """Send what waits, and close the way to the server."""
        ending: list[Deferred[Any]] = [super().stopService()]
        if self._socket is not None:
            self._flush()
            ending.append(maybeDeferred(self._socket.stopListening))
            self._socket, self._address = None, ""
        self._told.clear()
        return DeferredList(ending).addCallback(lambda _: None)


def _aside(reactor: Any, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    """Call something that may block for as long as it likes: no stop of the process waits for its thread."""

    def work() -> None:
        try:
            outcome = function(*arguments)
        except Exception as error:
            outcome = Failure(error)
        reactor.callFromThread(ended.callback, outcome)

    ended: Deferred[Any] = Deferred()
    # Not in the reactor's pool, which waits for its threads when the process stops.
    Thread(target=work, name=f"{function.__name__} of statsd", daemon=True).start()
    return ended


class _Refusals(DatagramProtocol):
    """Hears that nobody listens; servers of statsd do not answer."""

    noisy = False

    def __init__(self, client: StatsdClient) -> None:
        self._client = client

    def connectionRefused(self) -> None:
        self._client.refused()


class ClientByName(Metrics):
    """The client of that name, looked for when it is used."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def _client(self) -> StatsdClient:
        if self.name not in _configured:
            fix = did_you_mean(self.name, _configured) or f"write it below statsd: {self.name}: {{host: localhost}}"
            raise ConfigurationError(f"there is no statsd client {self.name!r}", hint=fix)
        return _configured[self.name]

    def now(self) -> float:
        return self._client.now()

    def send(self, name: str, value: float | str, kind: Kind, tags: Sequence[str] = (), sample_rate: float = 1) -> None:
        self._client.send(name, value, kind, tags, sample_rate)


def client(name: str = "default") -> ClientByName:
    """The client of that name in the section `statsd`, also for modules that are imported before it is read.

    Raises:
        ConfigurationError: when it is used, and there is no such client.

    Example:
        from piped_statsd.clients import client

        metrics = client()

        @metrics.timed("orders.store")
        async def store(order):
            metrics.increment("orders", tags=[f"shop:{order.shop}"])
    """
    return ClientByName(name)


def configured(clients: dict[str, StatsdClient]) -> None:
    """Let `client` find these, and no others."""
    _configured.clear()
    _configured.update(clients)
