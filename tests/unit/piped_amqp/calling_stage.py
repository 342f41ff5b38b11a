"""What the tests of steps and calls stand on: configurations with a broker in memory, on a clock that stands still."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

from tests.clocks import Reactor
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped import ConfigurationError, RuntimeEnvironment
from piped.config.gathering import gather_text
from piped.runtime.assembly import check, configure
from piped_amqp import processors, providers, remote, remote_pipelines, rpc
from piped_amqp.memory.endpoints import broker_named

MAIN = "{connections: {main: {servers: 'memory://stage'}}}"
OWN = (
    processors.PublishAMQPMessage,
    processors.AckAMQPMessage,
    processors.RejectAMQPMessage,
    processors.ReplyAMQPMessage,
    remote.RunPipelineRemotely,
    providers.AMQPConnectionProvider,
    providers.AMQPConsumerProvider,
    rpc.RPCClientProvider,
    remote_pipelines.RemotePipelineProvider,
)


class Site:
    """A process with a configuration; several on one clock share the broker."""

    def __init__(self, text: str, *plugins: Callable[..., Any], clock: Reactor | None = None) -> None:
        self.clock = clock or Reactor()
        self.environment = RuntimeEnvironment(reactor=self.clock, wall_clock=lambda: 1000.0)
        assembly = check(gather_text(textwrap.dedent(text), "site.yml", environ={}), {}, (*plugins, *OWN), {})
        if problems := assembly.errors or configure(assembly, self.environment):
            raise ConfigurationError(problems=problems)
        self._wanted: dict[str, Any] = {}
        self.environment.application.startService()
        self.turn()

    def turn(self, seconds: float = 0, turns: int = 60) -> None:
        """Let time pass, and what follows happen."""
        self.clock.advance(seconds)
        for _ in range(turns):
            self.clock.advance(0)

    def wanted(self, path: str) -> Any:
        """The dependency on a resource."""
        if path not in self._wanted:
            manager = self.environment.dependency_manager
            self._wanted[path] = manager.add_dependency(manager.as_dependency(path))
            manager.resolve_initial_states()
        return self._wanted[path]

    def get(self, path: str) -> Any:
        return self.wanted(path).get_resource()

    def start(self, baton: Any, pipeline: str = "main") -> Deferred[Any]:
        """Send a baton into a pipeline."""
        started: Deferred[Any] = self.get(f"pipeline.{pipeline}")(baton)
        self.turn()
        return started

    def run(self, baton: Any, pipeline: str = "main") -> Any:
        """The results of a pipeline that needs no time."""
        return self.ended(self.start(baton, pipeline))

    def ended(self, deferred: Deferred[Any]) -> Any:
        """What a Deferred has fired with by now; raises what it failed with."""
        self.turn()
        seen: list[Any] = []
        deferred.addBoth(seen.append)
        assert seen, "it waits"
        if isinstance(seen[0], Failure):
            seen[0].raiseException()
        return seen[0]

    @property
    def broker(self) -> Any:
        return broker_named(self.clock, "stage")

    @property
    def protocol(self) -> Any:
        return self.get("amqp.connection.main")

    def declare(self, queue: str, **options: Any) -> Any:
        """A channel on which a queue was declared."""
        channel = self.ended(self.protocol.open_channel())
        self.ended(channel.queue_declare(queue, **options))
        return channel

    def message(self, queue: str) -> Any:
        """The next message of a queue, acknowledged: the properties and the body; None if there is none."""
        channel = self.ended(self.protocol.open_channel())
        found = self.ended(channel.basic_get(queue, auto_ack=True))
        return None if found is None else (found[2], found[3])

    def lose_connection(self) -> None:
        self.protocol.transport.abortConnection()
        self.turn()
