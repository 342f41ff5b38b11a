"""ClientService: keeps a client connected, and tells what becomes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from piped import Backoff, PipedService, RuntimeEnvironment, Seconds
from piped_zookeeper.client import Client
from piped_zookeeper.happenings import Happenings
from piped_zookeeper.link import Link
from piped_zookeeper.logs import kazoo_log
from piped_zookeeper.options import ClientOptions

_log = logging.getLogger("piped.zookeeper")

SESSION: Final[Seconds] = 10
FIRST_WAIT: Final[Seconds] = 0.5
LONGEST_WAIT: Final[Seconds] = 5
#: Why a link is given up, where it is not a failure: only the session is to be another one.
_RENEW: Final = ""


class ClientService(PipedService):
    """The resource `zookeeper.client.<name>`: the `Client`, while it is connected.

    Args:
        name: what the configuration calls it.
        make: makes what does the work of a client of kazoo, out of the keywords of `kazoo.client.KazooClient`.
        is_log_told: whether kazoo's log lines are for Piped's log.
    """

    def __init__(self, name: str, options: ClientOptions, make: Callable[..., Any], is_log_told: bool = True) -> None:
        super().__init__()
        self.setName(f"zookeeper.client.{name}")
        self.options, self._make, self._is_log_told = options, make, is_log_told
        self.client = Client(name, options.max_cached)
        self.happenings = Happenings(name, self.client, options.events)
        self._consumers: list[Any] = []
        self._wanted: Deferred[None] | None = None
        self._link: Link | None = None
        #: Fires with the reason when the link is to be given up.
        self._over: Deferred[str] = Deferred()
        self._limit: Any = None
        #: What a connection is told as.
        self._next_event = "connected"
        #: Nobody is told that it stops: the process has not started, or somebody was told already.
        self._is_mute = True
        self._said = ""

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        super().configure(runtime_environment)
        self.happenings.configure(runtime_environment)
        runtime_environment.after_start += self._started
        runtime_environment.before_stop += self._before_stop

    def add_consumer(self, dependency: Any) -> None:
        """Give somebody the client, whenever it is connected."""
        self._consumers.append(dependency)
        if self.client.is_connected:
            dependency.on_resource_ready(self.client)
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            wanted.callback(None)

    def remove_consumer(self, dependency: Any) -> None:
        self._consumers.remove(dependency)

    def startService(self) -> None:
        self.happenings.reopen()
        super().startService()

    async def run(self) -> None:
        """Be connected, again and again, until the service stops."""
        if not self._consumers and not self.happenings:
            self._wanted = Deferred()
            await self._wanted
        waits = Backoff(FIRST_WAIT, LONGEST_WAIT)
        while True:
            began = self.runtime_environment.reactor.seconds()
            self.happenings.tell("starting")
            self._next_event = "connected"
            self._set_limit(self.options.connect_timeout, "there was no session")
            try:
                reason = await self._live()
            finally:
                self._clear_limit()
                if not self._is_mute:
                    self.happenings.tell("stopping")
            self._say(logging.ERROR, f"begins anew: {reason}")
            lasted = self.runtime_environment.reactor.seconds() - began
            await deferLater(self.runtime_environment.reactor, waits.next(lasted))

    async def _live(self) -> str:
        """Use links until one fails; gives the reason."""
        while True:
            self._over = Deferred()
            link = self._link = self._linked()
            link.start()
            try:
                reason = await self._over
            finally:
                self._link = None
                self._lose("the client has stopped")
                await link.stop()
            if reason != _RENEW:
                return reason
            self._next_event = "connected"
            self._set_limit(self.options.reconnect_timeout, "there was no connection")

    def _linked(self) -> Link:
        options, environment = self.options, self.runtime_environment
        client = self._make(
            hosts=options.servers.hosts,
            timeout=options.session_timeout or SESSION,
            auth_data=list(options.auth),
            default_acl=[each.acl for each in options.default_encoded_acls] or None,
            logger=kazoo_log(self._is_log_told),
        )
        return Link(client, environment.reactor, environment.in_thread, self)

    # What the link tells

    def connected(self) -> None:
        link, event = self._link, self._next_event
        if link is None:  # it is being given up
            return
        self._clear_limit()
        self.client.use(link)
        self._say(logging.INFO, f"is connected, session 0x{(link.session_id or 0) & (1 << 64) - 1:x}")
        for dependency in list(self._consumers):
            dependency.on_resource_ready(self.client)
        self.happenings.tell(event)
        if event == "connected" and self.client.is_connected:
            looked = self.client.exists("/")
            looked.addCallbacks(self._looked, lambda _: None)

    def suspended(self) -> None:
        if self._link is None or not self.client.is_connected:
            return
        self._say(logging.WARNING, "has lost its connection; it is tried until it works")
        self._lose("the connection to ZooKeeper was lost")
        self._next_event = "reconnected"
        self.happenings.tell("reconnecting")
        self._set_limit(self.options.reconnect_timeout, "there was no way back to the session")
        if not self.options.reuse_session:
            self._give_up(_RENEW)

    def expired(self) -> None:
        if self._link is None:
            return
        self._lose("the session has expired")
        if self._next_event == "connected":  # there was none yet that anybody has heard of
            return
        self._say(logging.WARNING, "has lost its session: it has expired")
        for event in ("expired", "stopping", "starting"):
            self.happenings.tell(event)
        self._next_event = "connected"
        self._set_limit(self.options.connect_timeout, "there was no session")

    def ended(self, reason: str) -> None:
        self._lose(reason)
        self._give_up(reason)

    # Inner workings

    def _looked(self, stat: Any) -> None:
        chroot = self.options.servers.chroot
        if stat is None and chroot:
            _log.warning("%s: the root of this client, %s, does not exist; make it first", self.name, chroot)

    def _lose(self, reason: str) -> None:
        if not self.client.is_connected:
            return
        self.client.use(None)
        for dependency in list(self._consumers):
            dependency.on_resource_lost(reason)

    def _give_up(self, reason: str) -> None:
        if not self._over.called:
            self._over.callback(reason)

    def _set_limit(self, seconds: Seconds, what: str) -> None:
        self._clear_limit()
        reason = f"{what} within {seconds:g} s"
        self._limit = self.runtime_environment.reactor.callLater(seconds, self._give_up, reason)

    def _clear_limit(self) -> None:
        if self._limit is not None and self._limit.active():
            self._limit.cancel()
        self._limit = None

    def _started(self) -> None:
        self._is_mute = False

    def _before_stop(self) -> Deferred[None] | None:
        """Tell that it stops while it can still be used."""
        if self._link is None or self._is_mute:
            return None
        self._is_mute = True
        return self.happenings.tell_stopping()

    def _say(self, level: int, what: str) -> None:
        """Tell the log of another state than before."""
        _log.log(level if what != self._said else logging.DEBUG, "%s %s", self.name, what)
        self._said = what
