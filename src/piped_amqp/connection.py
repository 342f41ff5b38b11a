"""AMQPConnection: the service that is connected to one of its brokers, again and again."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from itertools import cycle
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall, deferLater
from twisted.python.failure import Failure

from piped import Backoff, ConfigurationError, Mark, PipedService, Problem, RuntimeEnvironment, Seconds
from piped.config.nodes import node_of
from piped.ground.errors import ResourceError
from piped.resources.events import Event
from piped.spec.checking import Checker
from piped_amqp.parameters import Parameters, PikaParameters
from piped_amqp.protocol import MAX_UNCONFIRMED, AMQProtocol
from piped_amqp.reasons import SPEAKS_NO_AMQP, GivenUp, in_words
from piped_amqp.servers import MEMORY, Server, Servers

_log = logging.getLogger("piped.amqp")
#: A connection that was lost sooner is no sign that the next one would be better.
_SHORT: Final[Seconds] = 1
#: How many states are told once while there is no connection; a peer that always says something else is told on.
_MOST_TOLD: Final = 100


class AMQPConnection(PipedService):
    """A connection that is kept while the service runs: what it gives is an AMQProtocol, a new one for each connection.

    Args:
        name: the key in the configuration.
        servers: endpoints of brokers, tried in turns.
        max_idle_time: make the connection anew when no byte went either way for so long.
        reconnect_interval: how long to wait, more or less, when none of them could be reached.
        parameters: pika's, by their names.
        where: it is written.
    """

    def __init__(
        self,
        name: str,
        servers: str | Iterable[str],
        max_idle_time: Seconds | None = None,
        reconnect_interval: Seconds = 1,
        parameters: Parameters | Mapping[str, Any] | None = None,
        *,
        max_reconnect_interval: Seconds = 1.5,
        connect_timeout: Seconds = 10,
        close_timeout: Seconds = 5,
        max_unconfirmed: int = MAX_UNCONFIRMED,
        where: Mark | None = None,
    ) -> None:
        super().__init__()
        self.setName(name)
        self.called, self.where = f"amqp.connection.{name}", where
        self.servers: Servers = servers if isinstance(servers, Servers) else _checked(Servers, servers)
        self.parameters: Parameters = (
            parameters if isinstance(parameters, Parameters) else _checked(PikaParameters, parameters)
        )
        self._max_idle_time, self._max_unconfirmed = max_idle_time, max_unconfirmed
        self._connect_timeout, self._close_timeout = connect_timeout, close_timeout
        self._waits = Backoff(reconnect_interval, max_reconnect_interval)
        #: The connection, while it can be used.
        self.protocol: AMQProtocol | None = None
        #: Called with a protocol that can be used.
        self.on_connected: Event[[AMQProtocol]] = Event()
        #: Called with the reason when it was lost.
        self.on_disconnected: Event[[Failure]] = Event()
        #: What the log was told since there was a connection.
        self._told: set[str] = set()
        #: How many bytes had been sent and received at the last look.
        self._traffic = 0

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        """Make the endpoints; nothing is opened before it starts."""
        super().configure(runtime_environment)
        self._clock = runtime_environment.reactor
        try:
            endpoints = [(server, server.endpoint(self._clock)) for server in self.servers]
        except ValueError as error:  # a file that was there when it was checked
            raise ConfigurationError(problems=[Problem(str(error), self.where)]) from error
        self._endpoints = cycle(endpoints)
        self._for_pika = self.parameters.for_pika(self.called)

    async def run(self) -> None:
        """Be connected, until the service stops."""
        while True:
            for _ in self.servers:
                if await self._live(*next(self._endpoints)):
                    break
            else:
                await deferLater(self._clock, self._waits.next())

    async def _live(self, server: Server, endpoint: Any) -> bool:
        """One connection, to its end; gives whether there was one that is worth another try at once."""
        protocol = AMQProtocol(self._for_pika, self._clock, self.called, self._max_unconfirmed)
        try:
            try:
                await self._connect(endpoint, protocol)
            except CancelledError:
                raise
            except Exception as error:  # each kind of endpoint fails as it likes
                if not self.running:  # also when it is cancelled
                    raise CancelledError from error
                self._tell_failure(server, error, protocol)
                return False
            began = self._clock.seconds()
            cause = await self._use(server, protocol)
        except CancelledError:  # the service stops
            await self._close(protocol)
            raise
        self._tell_loss(server, cause, protocol)
        return bool(self._clock.seconds() - began >= max(self._waits.first, _SHORT))

    async def _connect(self, endpoint: Any, protocol: AMQProtocol) -> None:
        """Have the protocol ready, or raise why not; then nothing is left of the attempt."""
        connecting = endpoint.connect(_Once(protocol))
        await connecting.addTimeout(self._connect_timeout, self._clock, self._too_late)
        ready = protocol.ready
        if ready is None:
            return
        giving_up = self._clock.callLater(self._connect_timeout, protocol.give_up, self._unanswered())
        try:
            await ready
        finally:
            if giving_up.active():
                giving_up.cancel()

    def _too_late(self, _: object, seconds: Seconds) -> Any:
        raise GivenUp(f"it could not be reached within {seconds:g} s")

    def _unanswered(self) -> GivenUp:
        what = f"what answers there did not finish the greeting and the login within {self._connect_timeout:g} s"
        return GivenUp(what, SPEAKS_NO_AMQP)

    async def _use(self, server: Server, protocol: AMQProtocol) -> BaseException:
        """Offer the protocol until it is lost; gives the reason."""
        protocol.on_lost += self._taken_back  # before anything else is told of it
        ended: Deferred[tuple[tuple[Failure], Any]] = protocol.on_lost.wait_until_fired()
        self._told.clear()
        self._waits.reset()
        _log.info("%s is connected to %s", self.called, server)
        if server.startswith(MEMORY):
            warning = "%s uses a broker in memory: other processes do not see it, and nothing is kept"
            _log.warning(warning, self.called)
        looking = LoopingCall(self._look, protocol)
        looking.clock = self._clock
        if self._max_idle_time:
            self._traffic = protocol.traffic
            looking.start(self._max_idle_time, now=False)
        self.protocol = protocol
        self.on_connected(protocol)
        try:
            (reason,), _ = await ended
        finally:
            if looking.running:
                looking.stop()
        return reason.value or ConnectionDone()

    def _taken_back(self, reason: Failure) -> None:
        if self.protocol is not None:
            self.protocol = None
            self.on_disconnected(reason)

    def _look(self, protocol: AMQProtocol) -> None:
        """Give up a connection on which nothing was sent or received since the last look."""
        before, self._traffic = self._traffic, protocol.traffic
        if before == self._traffic:
            what = f"no byte went either way for {self._max_idle_time:g} s (max_idle_time)"
            protocol.give_up(GivenUp(what))

    async def _close(self, protocol: AMQProtocol) -> None:
        """Say goodbye to the broker; one that does not answer in time is left without."""
        self._taken_back(Failure(ResourceError(f"{self.called} is closed")))
        too_late = GivenUp(f"the broker did not say goodbye within {self._close_timeout:g} s")
        giving_up = self._clock.callLater(self._close_timeout, protocol.give_up, too_late)
        try:
            await protocol.close(200, "the process stops")
        finally:
            if giving_up.active():
                giving_up.cancel()

    # What is told

    def _tell_failure(self, server: Server, error: Exception, protocol: AMQProtocol) -> None:
        what, fix = in_words(error, self.parameters, protocol.last_state)
        level = logging.ERROR if fix else logging.WARNING
        self._tell(level, f"waits for {server}: {what}; it is tried until it works", fix)

    def _tell_loss(self, server: Server, cause: BaseException, protocol: AMQProtocol) -> None:
        what, fix = in_words(cause, self.parameters, protocol.last_state)
        self._tell(logging.WARNING, f"has lost {server}: {what}; it connects anew", fix)

    def _tell(self, level: int, state: str, fix: str) -> None:
        """Tell the log of a state, once until there is a connection again."""
        place = f" ({self.where})" if self.where else ""
        line = f"{self.called}{place} {state}{f' – {fix}' if fix else ''}"
        _log.log(logging.DEBUG if line in self._told else level, "%s", line)
        if len(self._told) < _MOST_TOLD:
            self._told.add(line)


def _checked(shape: Any, written: Any) -> Any:
    """What somebody gives in Python, as what it would be if it were written in a configuration."""
    checker = Checker(os.environ)
    value = checker.value(
        shape, node_of(written if isinstance(written, str | Mapping | None) else list(written)), owner="it"
    )
    if checker.problems:
        raise ConfigurationError(problems=checker.problems)
    return value


class _Once(Factory):
    """Makes the one protocol of an attempt."""

    noisy = False

    def __init__(self, protocol: AMQProtocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: Any) -> AMQProtocol:
        return self._protocol
