"""What the tests of ZeroMQ stand on: real sockets within the process, on a reactor that moves when a test says so."""

from __future__ import annotations

import select
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import zmq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from piped import ConfigurationError, RuntimeEnvironment
from piped.config.gathering import gather_text
from piped.runtime.assembly import check, configure


class BellReactor(Clock):
    """A clock that also watches descriptors, when it is told to look."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []
        #: How often a descriptor was found ready.
        self.rings = 0

    def addReader(self, reader: Any) -> None:
        assert reader not in self.readers
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)

    def turn(self) -> None:
        """One turn: whoever's descriptor is ready is told, and what is due is called."""
        ready, _, _ = select.select(self.readers, [], [], 0)
        due = [call for call in self.getDelayedCalls() if call.getTime() <= self.seconds()]
        self.rings += len(ready)
        for reader in ready:
            if reader in self.readers:
                reader.doRead()
        for call in due:  # not those that are planned meanwhile, as `advance` would
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)

    def settle(self) -> None:
        """Turns, until there is nothing to do."""
        for _ in range(10_000):
            if not select.select(self.readers, [], [], 0)[0] and not self._is_due():
                return
            self.turn()
        raise AssertionError("the reactor never comes to rest")

    def _is_due(self) -> bool:
        return any(call.getTime() <= self.seconds() for call in self.getDelayedCalls())


class ZMQStage:
    """A configuration whose sockets meet plain ones of pyzmq."""

    def __init__(self, text: str, *processors: Callable[..., Any]) -> None:
        self.reactor = BellReactor()
        self.environment = RuntimeEnvironment(reactor=self.reactor)
        assembly = check(gather_text(textwrap.dedent(text), "site.yml", environ={}), {}, processors)
        if problems := assembly.errors or configure(assembly, self.environment):
            self.environment.application.stopService()  # closes what was made
            raise ConfigurationError(problems=problems)

    def start(self) -> list[str]:
        """Start what `piped run` starts; gives the problems of opening."""
        self.environment.application.startService()
        opened: list[Any] = []
        Deferred.fromCoroutine(self.environment.listeners.open()).addCallback(opened.extend)
        self.settle()
        return [str(problem) for problem in opened]

    def resource(self, path: str) -> Any:
        manager = self.environment.dependency_manager
        dependency = manager.add_dependency(manager.as_dependency(path))
        manager.resolve_initial_states()
        return dependency.get_resource()

    def peer(self, kind: int, address: str, *, high_water: int | None = None) -> zmq.Socket[bytes]:
        """A plain socket that is connected to an address."""
        socket: zmq.Socket[bytes] = self.resource("zmq.context").socket(kind)
        socket.linger = 0
        socket.rcvtimeo = socket.sndtimeo = 0
        if high_water is not None:
            socket.set_hwm(high_water)
        if kind == zmq.SUB:
            socket.subscribe(b"")
        socket.connect(address)
        self.settle()
        return socket

    def settle(self) -> None:
        self.reactor.settle()

    def run(self, baton: Any, pipeline: str) -> Deferred[list[Any]]:
        """Send a baton into a pipeline."""
        started: Deferred[list[Any]] = self.resource(f"pipeline.{pipeline}")(baton)
        return started


@contextmanager
def staged(text: str, *processors: Callable[..., Any]) -> Iterator[ZMQStage]:
    """A stage that was started, and is stopped at the end."""
    stage = ZMQStage(text, *processors)
    try:
        assert stage.start() == []
        yield stage
    finally:
        stage.environment.application.stopService()
        context = stage.environment.resource_manager.get_provider_or_fail("zmq.context")._context
        assert context is None or context.closed
        assert not stage.reactor.readers


def received(socket: zmq.Socket[bytes]) -> list[Any]:
    """All messages that a socket has now; those of several parts as lists."""
    messages = []
    while socket.poll(0, zmq.POLLIN):
        parts = socket.recv_multipart(zmq.NOBLOCK)
        messages.append(parts[0] if len(parts) == 1 else parts)
    return messages
