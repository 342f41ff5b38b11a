"""PipedService, PipedDependencyService: what runs while the process does, or while its dependencies are ready."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from piped.resources.dependency import Dependency
from piped.runtime.awaiting import WAITING, BatonTask, failure_of, is_cancellation

if TYPE_CHECKING:
    from piped.runtime.environment import RuntimeEnvironment

T = TypeVar("T")
log = Logger()


class Services(MultiService):
    """The services of a process. One that cannot be stopped is told by its name, and keeps no other from stopping."""

    def stopService(self) -> Deferred[None]:
        """Stop them, the last one first; fires when all have ended."""
        Service.stopService(self)
        stopping = [maybeDeferred(each.stopService).addErrback(self._failed, each) for each in reversed(list(self))]
        return DeferredList(stopping).addCallback(lambda _: None)

    @staticmethod
    def _failed(failure: Failure, service: Any) -> None:
        log.failure("{service} could not be stopped", failure, service=_called(service))


def _called(service: Any) -> str:
    """How log lines call a service."""
    return service.name or type(service).__qualname__


class PipedService(MultiService):
    """A service with a life of its own: `run` is called when it is started, and cancelled when it is stopped.

    A subclass overrides what it needs of `configure`, `is_enabled` and `run`. Services that are added to it start and
    stop with it.

    One that stands in a bundle needs no mark: it is made, configured, and if it is enabled started and stopped with the
    process. A base class is left alone if it is abstract, or if its name begins with `_`; so is a class whose
    constructor needs arguments, for whoever makes it looks after it.

    Example:
        class Sweeper(PipedService):
            async def run(self):
                while True:
                    await self.runtime_environment.in_thread(sweep)
                    await deferLater(self.runtime_environment.reactor, 60)
    """

    def __init__(self) -> None:
        super().__init__()
        self._cancellables: dict[Deferred[Any], None] = {}
        self._life = _Activity(self, "run")

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        """Called once, before anything starts, also when it is not enabled."""
        self.runtime_environment = runtime_environment

    def is_enabled(self) -> bool:
        """Whether it is to be started at all; asked after `configure`."""
        return True

    def run(self) -> Any:
        """Called once for each start. It may be `async def` or return a Deferred; one that fails is logged."""

    def startService(self) -> None:
        """Start; a service that is running already is left alone."""
        if not self.running:
            super().startService()
            self._life.start()

    def stopService(self) -> Deferred[None]:
        """Stop the services below, and cancel `run` and whatever is `cancellable`; fires when all of that has ended."""
        if not self.running:
            return succeed(None)
        below = super().stopService()
        return DeferredList([below, *self._cancel()]).addCallback(lambda _: None)

    def cancellable(self, awaited: T) -> T:
        """Let a Deferred be cancelled when the service stops, if it has not fired by then; gives back what it is given.

        Example:
            async def run(self):
                page = await self.cancellable(fetch(url))
        """
        if isinstance(awaited, Deferred):
            self._cancellables[awaited] = None
            awaited.addBoth(self._forget, awaited)
        return awaited

    def _forget(self, result: Any, deferred: Deferred[Any]) -> Any:
        self._cancellables.pop(deferred, None)
        return result

    def _cancel(self) -> list[Deferred[None]]:
        ended = [self._life.cancel()]
        for deferred in list(self._cancellables):
            deferred.cancel()
        return ended


class PipedDependencyService(PipedService):
    """A service whose `run_with_dependencies` is called while it is running and all its dependencies are ready.

    A dependency that is lost cancels it, and it is called again when all are back; never twice at a time.

    Example:
        class Greeter(PipedDependencyService):
            def configure(self, runtime_environment):
                super().configure(runtime_environment)
                self.dependencies = runtime_environment.create_dependency_map(self, names="context.names")

            async def run_with_dependencies(self):
                print("Hello", *self.dependencies.names)
    """

    def __init__(self) -> None:
        super().__init__()
        self._dependent_life = _Activity(self, "run_with_dependencies")

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        """Join the graph of dependencies: whatever is added to it for this service is waited for."""
        super().configure(runtime_environment)
        self.own_dependency = runtime_environment.dependency_manager.add_dependency(self)
        self.own_dependency.on_ready += self._dependencies_ready
        self.own_dependency.on_lost += self._dependencies_lost

    def run_with_dependencies(self) -> Any:
        """Called whenever all is there. It may be `async def` or return a Deferred; one that fails is logged."""

    def startService(self) -> None:
        """Start; what needs the dependencies follows when they are ready."""
        if not self.running:
            super().startService()
            if self.own_dependency.is_ready:
                self._dependent_life.start()

    def _dependencies_ready(self, _: Dependency) -> None:
        if self.running:
            self._dependent_life.start()

    def _dependencies_lost(self, _: Dependency, reason: object) -> None:
        self._dependent_life.cancel()

    def _cancel(self) -> list[Deferred[None]]:
        return [self._dependent_life.cancel(), *super()._cancel()]


class _Activity:
    """Calls a method of a service, never twice at a time: a start while it is still ending comes after the end."""

    def __init__(self, service: PipedService, method: str) -> None:
        self._service, self._method = service, method
        self._is_due = False
        self._call: _Call | None = None
        self._waiters: list[Deferred[None]] = []

    def start(self) -> None:
        """Call the method, if it does not run already."""
        if self._call is None or self._call.stopped:
            self._is_due = True
            self._go_on()

    def cancel(self) -> Deferred[None]:
        """Cancel what is running; fires when it has ended."""
        self._is_due = False
        if self._call is None:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self._waiters.append(ended)
        if not self._call.stopped:  # what cleans up is not cancelled again
            self._call.stop()
        return ended

    def _go_on(self) -> None:
        if self._is_due and self._call is None:
            self._is_due = False
            self._call = _Call(getattr(self._service, self._method))
            self._call.when_ended(self._ended)
            self._call.begin()

    def _ended(self, call: _Call) -> None:
        self._call = None
        error = call.exception()
        if error is not None and not (call.stopped and is_cancellation(error)):
            service = _called(self._service)
            log.failure("{method} of {service} failed", failure_of(error), method=self._method, service=service)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)
        self._go_on()


class _Call(BatonTask):
    """One call of a method, which may wait for Deferreds and for asyncio alike."""

    def __init__(self, method: Callable[[], Any]) -> None:
        super().__init__(copy_context())
        self._method = method

    def begin(self) -> None:
        try:
            value = self._context.run(lambda: self.settle(self._method()))
        except BaseException as error:
            self.failed(error)
        else:
            if value is not WAITING:
                self.end(value)

    def settled(self, value: Any) -> None:
        self.end(value)

    def failed(self, error: BaseException) -> None:
        self.end(None, error)
