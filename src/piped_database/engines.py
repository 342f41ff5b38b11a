"""EngineService: the life of an engine: whether its database answers, and whom that is told."""

from __future__ import annotations

import logging
from typing import Any, Final

from sqlalchemy import event, select
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from piped import Backoff, ConfigurationError, PipedService, RuntimeEnvironment, Seconds, TimeoutError, told  # noqa: A004
from piped.resources.events import Event
from piped_database.access import Access
from piped_database.driving import OnLoop
from piped_database.making import listen_to_events, run_around, sync_engine_of
from piped_database.options import EngineOptions

_log = logging.getLogger("piped.database")
_FIRST_RETRY: Final[Seconds] = 0.2


class EngineService(PipedService):
    """An engine that is looked after while somebody needs it.

    Args:
        name: what the configuration calls it.
    """

    def __init__(self, name: str, options: EngineOptions) -> None:
        super().__init__()
        self.setName(f"database.engine.{name}")
        self.options = options
        self.engine = options.engine.make()
        self.is_ready = False
        #: Called when it answers, after it did not.
        self.on_ready: Event[[]] = Event()
        #: Called with the reason when it does not answer any more.
        self.on_lost: Event[[object]] = Event()
        self._engine_name = name
        self._consumers: list[tuple[Any, Any]] = []
        self._retries = Backoff(min(_FIRST_RETRY, options.retry_interval), options.retry_interval)
        #: Fires when it is time to look.
        self._alarm: Deferred[None] | None = None
        self._is_alarmed = False
        self._state = ""

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        """Prepare what needs the reactor.

        Raises:
            ConfigurationError: an asynchronous engine, and a reactor that is not asyncio's.
        """
        super().configure(runtime_environment)
        self._reactor = reactor = runtime_environment.reactor
        options, engine = self.options, self.engine
        self.access = Access(
            self._engine_name,
            engine,
            reactor,
            timeout=options.timeout,
            max_waiting=options.max_waiting,
            pool_timeout=float(options.engine.get("pool_timeout", 30)),
        )
        on_asyncio = hasattr(reactor, "_asyncioEventloop") or isinstance(reactor, Clock)
        if isinstance(self.access.driving, OnLoop) and not on_asyncio:
            kind = options.engine.parsed.drivername
            hint = f"start with -r uvloop or -r asyncio, or write a URL whose driver may block, not {kind}"
            raise ConfigurationError(f"{self.name} is asynchronous, and needs the loop of asyncio", hint=hint)
        self.access.on_late += self.look
        run_around(engine, self._engine_name, options.checkout, options.checkin)
        listen_to_events(engine, options.events)
        event.listen(sync_engine_of(engine), "handle_error", self._told_of)

    # Who needs it

    def add_consumer(self, dependency: Any, resource: Any) -> None:
        """Give somebody the engine, or what is on top of it, whenever it answers."""
        self._consumers.append((dependency, resource))
        if self.is_ready:
            dependency.on_resource_ready(resource)
        elif len(self._consumers) == 1:
            self._wake()

    def remove_consumer(self, dependency: Any) -> None:
        self._consumers = [each for each in self._consumers if each[0] is not dependency]

    # Its life

    async def run(self) -> None:
        """Look whether the database answers, again and again, until the service stops."""
        while True:
            wait: Seconds | None = None
            if self._consumers:
                wait = await self._look()
            await self._next(wait)

    def look(self) -> None:
        """Look whether the database still answers now; when it did not, the next look comes in its time."""
        if self.is_ready:
            self._is_alarmed = True
            self._wake()

    def _wake(self) -> None:
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            alarm.callback(None)

    def stopService(self) -> Deferred[None]:
        return super().stopService().addCallback(lambda _: Deferred.fromCoroutine(self._end()))

    async def _end(self) -> None:
        if self.is_ready:
            self._lost(CancelledError("the service was stopped"))
        await self._dispose()
        self.access.close()

    async def _look(self) -> Seconds:
        """Whether it answers; gives how long to wait for the next look."""
        self._is_alarmed = False
        try:
            answered = await self._ping()
        except CancelledError:
            raise
        except Exception as error:  # each driver has its own
            await self._failed(error)
            return self._retries.next()
        if answered and not self.is_ready:
            self._ready()
        return self.options.ping_interval

    async def _ping(self) -> bool:
        """Run a trivial SELECT; false if all connections are in use, and so nothing is known."""
        patience, access = self.options.ping_timeout, self.access
        has_slot = self.is_ready
        if has_slot:
            try:
                await access.slots.take(patience)
            except TimeoutError:
                return False
        ping = access.driving.once(lambda connection: connection.execute(select(1)).scalar(), writes=False)
        if has_slot:
            ping.when_over(access.slots.give_back)
        await ping.limit(patience, lambda: TimeoutError(f"it has not answered within {patience:g} s"))
        return True

    async def _next(self, wait: Seconds | None) -> None:
        """Wait for the time of the next look, or an alarm."""
        if self._is_alarmed:
            return
        alarm = self._alarm = Deferred()
        call = None if wait is None else self._reactor.callLater(wait, self._wake)
        try:
            await alarm
        finally:
            self._alarm = None
            if call is not None and call.active():
                call.cancel()

    def _ready(self) -> None:
        self.is_ready = True
        self._retries.reset()
        self._tell(logging.INFO, "is connected")
        self.on_ready()
        for dependency, resource in list(self._consumers):
            dependency.on_resource_ready(resource)

    async def _failed(self, error: Exception) -> None:
        if self.is_ready:
            self._tell(logging.WARNING, f"has lost its database: {told(error)}")
            self._lost(error)
        else:
            self._tell(logging.WARNING, f"cannot connect: {told(error)}", "; it is tried until it works")
        await self._dispose()
        self._is_alarmed = False

    async def _dispose(self) -> None:
        """Close the connections of the pool."""
        patience = self.options.ping_timeout
        late = TimeoutError(f"the connections of its pool were not closed within {patience:g} s")
        try:
            await self.access.driving.dispose().limit(patience, lambda: late)
        except TimeoutError as error:
            _log.warning("%s: %s", self.name, told(error))

    def _lost(self, reason: object) -> None:
        self.is_ready = False
        self.on_lost(reason)
        for dependency, _ in list(self._consumers):
            dependency.on_resource_lost(reason)

    def _tell(self, level: int, state: str, more: str = "") -> None:
        """Tell the log of another state than before."""
        _log.log(level if state != self._state else logging.DEBUG, "%s %s%s", self.name, state, more)
        self._state = state

    def _told_of(self, context: Any) -> None:
        """Called by SQLAlchemy, in whatever thread, with every error of the driver."""
        if context.is_disconnect and not isinstance(self._reactor, Clock):
            self._reactor.callFromThread(self.look)
        elif context.is_disconnect:
            self.look()
