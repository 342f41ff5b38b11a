"""Clients: a connection to a server, made again whenever it is lost."""

from __future__ import annotations

import logging
from typing import Any, Final

from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.python.reflect import qual
from twisted.spread import pb

from piped import Backoff, PipedService, Seconds, TimeoutError, told  # noqa: A004 - Piped's own
from piped.resources.events import Event
from piped.spread.broker import Broker, Limits
from piped.spread.errors import LinkLost
from piped.spread.options import ClientOptions

_log = logging.getLogger("piped.spread")

FIRST_WAIT: Final[Seconds] = 1
LONGEST_WAIT: Final[Seconds] = 30


class PipedPBClientFactory(pb.PBClientFactory):
    """Makes the connections of one client, one after another; the same object for all of them.

    Args:
        name: how log lines call the client.
        clock: the reactor.
    """

    noisy = False

    def __init__(self, name: str, clock: Any, limits: Limits) -> None:
        super().__init__()
        self.name, self.clock, self.limits = name, clock, limits
        self._made: Broker | None = None
        #: Called when that has ended.
        self.on_closed: Event[[]] = Event()
        #: Called with this factory when there is a connection.
        self.on_connected: Event[[PipedPBClientFactory]] = Event()
        #: Called with this factory and the reason when it was lost.
        self.on_disconnected: Event[[PipedPBClientFactory, Failure]] = Event()
        #: Called with the root object, or after a login what that has given.
        self.on_got_root_object: Event[[Any]] = Event()
        #: Called with the reason when there is none, such as a refused login.
        self.on_failed_getting_root_object: Event[[Failure]] = Event()

    def buildProtocol(self, addr: Any) -> Broker:
        broker = Broker(self.name, self.clock, self.limits, is_client=True)
        broker.factory = self
        self._made = broker
        return broker

    @property
    def connection(self) -> Broker | None:
        """The connection there is, also one that cannot be used yet, or is being closed."""
        return self._made if self._made is not None and self._made.connected else None

    def clientConnectionMade(self, broker: Broker) -> None:
        super().clientConnectionMade(broker)
        self.on_connected(self)

    def broker_lost(self, broker: Broker, reason: Failure) -> None:
        """Called by a connection that is over."""
        was_connected, self._made = self._broker is broker, None
        self._failAll(Failure(LinkLost(f"{self.name} has lost its connection: {told(reason.value)}")))
        if was_connected:
            self.on_disconnected(self, reason)
        self.on_closed()

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        connection = self.connection
        if connection is not None:
            connection.hang_up()


class PBClient(PipedService):
    """A client that is connected while somebody needs it.

    Args:
        endpoint: a Twisted client endpoint.
    """

    def __init__(
        self, name: str, options: ClientOptions, clock: Any, endpoint: Any, waits: Backoff | None = None
    ) -> None:
        super().__init__()
        self.setName(name)
        self.options, self.clock, self._endpoint = options, clock, endpoint
        self.factory = PipedPBClientFactory(f"pb.client.{name}", clock, options.limits)
        self.factory.on_connected += self._connected
        self.factory.on_disconnected += self._disconnected
        self.root_object: Any = None
        self._waits = waits or Backoff(FIRST_WAIT, LONGEST_WAIT)
        self._consumers: dict[Any, bool] = {}
        self._is_connected = False
        #: What the log was told last.
        self._state = ""
        self._wanted: Deferred[None] | None = None

    def add_consumer(self, dependency: Any, wants_root: bool) -> None:
        """Give somebody the factory, or the root object, whenever it is there."""
        self._consumers[dependency] = wants_root
        if self._resource(wants_root) is not None:
            dependency.on_resource_ready(self._resource(wants_root))
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            wanted.callback(None)

    def remove_consumer(self, dependency: Any) -> None:
        self._consumers.pop(dependency, None)

    async def run(self) -> None:
        """Be connected, again and again, until the service stops."""
        if not self._consumers:
            self._wanted = Deferred()
            await self._wanted
        while True:
            wait = await self._live()
            await deferLater(self.clock, wait)

    def stopService(self) -> Deferred[None]:
        self.factory.disconnect()
        return super().stopService()

    async def _live(self) -> Seconds:
        """One connection, to its end; gives how long to wait for the next one."""
        await self._closed()  # a server that has to be hung up on may take its time
        broker: Broker | None = None
        try:
            broker = await self._in_time(self._endpoint.connect(self.factory))
            root = await self._in_time(self._log_in())
        except CancelledError:  # the service stops
            raise
        except Exception as error:
            return self._failed(error, broker)
        self._waits.reset()
        self.root_object = root
        self._told(logging.INFO, "is connected", f" to {broker.peer}")
        self.factory.on_got_root_object(root)
        self._tell(of_root=True)
        await self._closed()
        return self._waits.next()

    async def _closed(self) -> None:
        if self.factory.connection is not None:
            await self.factory.on_closed.wait_until_fired()

    def _in_time(self, answer: Deferred[Any]) -> Deferred[Any]:
        def too_late(_: Failure, timeout: Seconds) -> Any:
            raise TimeoutError(f"the server has not answered within {timeout:g} s")

        return answer.addTimeout(self.options.login_timeout, self.clock, too_late)

    def _log_in(self) -> Deferred[Any]:
        options = self.options
        if options.username is None:
            return self.factory.getRootObject()  # type: ignore[no-any-return] # Twisted's has no types
        credentials = UsernamePassword(options.username.encode(), (options.password or "").encode())
        return self.factory.login(credentials)  # type: ignore[no-any-return] # as above

    def _failed(self, error: Exception, broker: Broker | None) -> Seconds:
        if broker is None or isinstance(error, LinkLost):
            self._told(logging.WARNING, f"cannot connect: {told(error)}", "; it is tried until it works")
            return self._waits.next()
        broker.hang_up()
        failure = Failure(error)
        self.factory.on_failed_getting_root_object(failure)
        if getattr(error, "remoteType", "") == qual(UnauthorizedLogin):
            self._told(logging.ERROR, f"cannot log in as {self.options.username!r}: it was refused")
            return self._waits.most()
        self._told(logging.ERROR, f"cannot log in: {told(error)}", "; it is tried until it works")
        return self._waits.next()

    def _told(self, level: int, state: str, more: str = "") -> None:
        """Tell the log of another state than before."""
        _log.log(level if state != self._state else logging.DEBUG, "%s %s%s", self.factory.name, state, more)
        self._state = state

    def _resource(self, wants_root: bool) -> Any:
        if wants_root:
            return self.root_object
        return self.factory if self._is_connected else None

    def _connected(self, _: object) -> None:
        self._is_connected = True
        self._tell(of_root=False)

    def _tell(self, of_root: bool) -> None:
        for dependency, wants_root in list(self._consumers.items()):
            if wants_root is of_root:
                dependency.on_resource_ready(self._resource(wants_root))

    def _disconnected(self, _: object, reason: Failure) -> None:
        had_root, self.root_object, self._is_connected = self.root_object is not None, None, False
        if had_root:
            level = logging.WARNING if self.running else logging.INFO
            self._told(level, f"has lost its connection: {told(reason.value)}")
        for dependency, wants_root in list(self._consumers.items()):
            if had_root or not wants_root:
                dependency.on_resource_lost(reason)
