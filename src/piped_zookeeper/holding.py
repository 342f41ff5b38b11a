"""Holding: leaders and locks, which are there in one process of many."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from kazoo.exceptions import KazooException
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from piped import Backoff, PipedDependencyService, PipedError, RuntimeEnvironment, told
from piped_zookeeper.candidacy import Candidacy, Held
from piped_zookeeper.client import Client
from piped_zookeeper.errors import DisconnectException
from piped_zookeeper.options import HoldingOptions

_log = logging.getLogger("piped.zookeeper")


class Holding(PipedDependencyService):
    """The resource `zookeeper.leader.<name>` or `zookeeper.lock.<name>`: `Held`, while this process is the one.

    It stands in the queue while somebody needs it.

    Args:
        path: the resource path.
    """

    def __init__(self, path: str, options: HoldingOptions) -> None:
        super().__init__()
        self.setName(path)
        self.options = options
        self._consumers: list[Any] = []
        self._wanted: Deferred[None] | None = None
        self._held: Held | None = None
        self._candidacy: Candidacy | None = None

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        super().configure(runtime_environment)
        self._client = runtime_environment.dependency_manager.add_dependency(self, self.options.client)
        identifier = self.options.identifier
        self._identifier = f"{socket.gethostname()}:{os.getpid()}" if identifier is None else identifier

    def add_consumer(self, dependency: Any) -> None:
        self._consumers.append(dependency)
        if self._held is not None:
            dependency.on_resource_ready(self._held)
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            wanted.callback(None)

    def remove_consumer(self, dependency: Any) -> None:
        self._consumers.remove(dependency)

    async def run_with_dependencies(self) -> None:
        """Stand in the queue, and hold what it is for, until the connection is lost or the service stops."""
        if not self._consumers:
            self._wanted = Deferred()
            await self._wanted
        waits = Backoff(0.5, 10)
        if self._candidacy is None:
            client: Client = self._client.get_resource()
            # One for good: its place in the queue is kept when a connection comes back with the same session.
            self._candidacy = Candidacy(client, self.options.path, self._identifier)
        while True:
            try:
                await self._stand(self._candidacy)
                waits.reset()
            except DisconnectException:  # this is called again with the next connection
                return
            except (KazooException, PipedError) as error:
                _log.error("%s: cannot stand in the queue at %s: %s", self.name, self.options.path, told(error))
            await deferLater(self.runtime_environment.reactor, waits.next())

    async def _stand(self, candidacy: Candidacy) -> None:
        """Stand in the queue once; ends when somebody has deleted the node."""
        try:
            held = await candidacy.win()
            self._gain(held)
            try:
                await held.over
                _log.warning("%s: somebody has deleted %s", self.name, held.node)
            finally:
                self._lose(held)
        finally:
            await self._withdraw(candidacy)

    def _gain(self, held: Held) -> None:
        self._held = held
        # Not by way of the dependency, of which others may hear before: what is lost first is what is held.
        held.client.on_disconnected += self._disconnected
        _log.info("%s is held by this process, token %d", self.name, held.token)
        for dependency in list(self._consumers):
            dependency.on_resource_ready(held)

    def _disconnected(self) -> None:
        if self._held is not None:
            self._lose(self._held)

    def _lose(self, held: Held) -> None:
        if self._held is not held:  # it was lost with the connection
            return
        self._held = None
        held.client.on_disconnected -= self._disconnected
        _log.info("%s is held by this process no more", self.name)
        for dependency in list(self._consumers):
            dependency.on_resource_lost("this process holds it no more")

    async def _withdraw(self, candidacy: Candidacy) -> None:
        try:
            await candidacy.withdraw()
        except (KazooException, PipedError) as error:
            # The node goes with the session, or is found again when this stands in the queue anew.
            _log.debug("%s: %s", self.name, told(error))
