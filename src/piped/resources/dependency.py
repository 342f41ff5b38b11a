"""Dependency: one node of the graph of who needs what; it stands for a Python object or for a resource."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from piped.ground import errors
from piped.ground.errors import InitiallyLost, Mark, NotReadyError, ReplayedLost, ResourceError
from piped.ground.units import ResourcePath
from piped.resources.events import Event

if TYPE_CHECKING:
    from piped.resources.wiring import DependencyManager


class Dependency:
    """What both kinds share: readiness, and the events that tell of it.

    It is ready when its own value is there and all that it needs is ready. Nothing is told before it was resolved.
    """

    #: False: it only becomes ready by `fire_on_ready`, each time anew.
    cascade_ready = True
    #: False: once ready it stays so whatever it needs, until `fire_on_lost`.
    cascade_lost = True
    #: True: it leaves the graph when nobody needs it any more.
    is_made_for_one = False
    #: Where the user wrote what it stands for.
    where: Mark | None = None

    def __init__(self) -> None:
        #: Called with this dependency when it became ready.
        self.on_ready: Event[[Dependency]] = Event()
        #: Called with this dependency and the reason when it was lost, or was not there at first.
        self.on_lost: Event[[Dependency, object]] = Event()
        #: Called with the dependency it needs that became ready.
        self.on_dependency_ready: Event[[Dependency]] = Event()
        #: Called with the dependency it needs that was lost, and the reason.
        self.on_dependency_lost: Event[[Dependency, object]] = Event()
        #: Who delivers the news; None outside of a graph.
        self.manager: DependencyManager | None = None
        self.is_resolved = False
        #: What it needs and was told to be ready.
        self.told: set[Dependency] = set()

    @property
    def name(self) -> str:
        """How messages and drawings call it."""
        raise NotImplementedError

    @property
    def has_value(self) -> bool:
        """Whether its own value is there."""
        return True

    @property
    def is_ready(self) -> bool:
        return self.manager is not None and self.manager.is_ready(self)

    @property
    def described(self) -> str:
        """The name with its place, where that is known."""
        return f"{self.name} ({self.where})" if self.where else self.name

    def fire_on_ready(self) -> None:
        """Make it ready; while something that it needs is missing, it becomes ready with that."""
        if self.manager is not None:
            self.manager.provide(self)

    def fire_on_lost(self, reason: object) -> None:
        """Make it lost until `fire_on_ready`; or, where a lost need is the cause, until that is back."""
        if self.manager is not None:
            self.manager.lose(self, reason)

    def get_resource(self) -> Any:
        """What the dependency stands for.

        Raises:
            NotReadyError: it is not there.
        """
        raise NotImplementedError

    def wait_for_resource(self, timeout: float | None = None) -> Deferred[Any]:
        """A Deferred of the resource: at once if ready, else when it becomes so.

        It fails with Piped's TimeoutError after `timeout` seconds.
        """
        if self.is_ready:
            return succeed(self.get_resource())
        clock = self.manager.clock if self.manager is not None else None
        waiting = self.on_ready.wait_until_fired(timeout, clock)
        return waiting.addCallbacks(lambda _: self.get_resource(), self._timed_out, errbackArgs=(timeout,))

    def not_ready(self) -> NotReadyError:
        """The error that tells who needs it, and what it waits for."""
        where = f"{self.name} is written at {self.where}" if self.where else ""
        if self.manager is None:
            return NotReadyError(f"{self.name} is not ready", where, "it was not added to a dependency manager")
        causes = self.manager.missing(self)
        needed_by = ", ".join(consumer.described for consumer in self.manager.consumers_of(self))
        detail = "; ".join(filter(None, (needed_by and f"needed by {needed_by}", where)))
        if not self.is_resolved:
            hint = "call resolve_initial_states() after adding a dependency"
        elif causes:
            hint = f"waits for {', '.join(causes)}"
        else:
            hint = ""
        return NotReadyError(f"{self.name} is not ready", detail, hint, missing=causes)

    def _timed_out(self, failure: Failure, timeout: float) -> Any:
        if not isinstance(failure.value, errors.TimeoutError):
            return failure  # cancelled
        untimely = self.not_ready()
        raise errors.TimeoutError(f"{self.name} was not ready within {timeout} s", untimely.detail, untimely.hint)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.described}>"


class InstanceDependency(Dependency):
    """Stands for a Python object: ready when all that the object needs is.

    Args:
        instance: the object.
        name: how messages call it, if not by its `name`.
    """

    def __init__(self, instance: object, name: str | None = None) -> None:
        super().__init__()
        self.instance, self._name = instance, name

    @property
    def name(self) -> str:
        if self._name is not None:
            return self._name
        name = getattr(self.instance, "name", None)
        return name if isinstance(name, str) and name else reprlib.repr(self.instance)

    @property
    def where(self) -> Mark | None:  # type: ignore[override] # read late: a processor gets its place when it is linked
        where = None if self._name is not None else getattr(self.instance, "where", None)
        return where if isinstance(where, Mark) else None

    def get_resource(self) -> Any:
        return self.instance


class ResourceDependency(Dependency):
    """Stands for what some provider offers at a resource path; ready once that was delivered and all it needs is ready.

    Args:
        provider: the resource path.
        configuration: what else stood in the specification, for the provider to read.
    """

    is_made_for_one = True

    def __init__(self, provider: str, configuration: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.where = getattr(provider, "where", None)
        #: The whole resource path.
        self.provider = f"{provider.prefix}{provider}" if isinstance(provider, ResourcePath) else provider
        self.configuration = dict(configuration or {})
        #: Called by the provider with the resource, whenever there is a new one.
        self.on_resource_ready: Event[[Any]] = Event()
        #: Called by the provider with the reason, when the resource is gone.
        self.on_resource_lost: Event[[object]] = Event()
        self.on_resource_ready += self._take
        self.on_resource_lost += self._drop
        self._has_resource = False
        self._resource: Any = None

    @property
    def name(self) -> str:
        return self.provider

    @property
    def has_value(self) -> bool:
        return self._has_resource

    def get_resource(self) -> Any:
        """The resource, also while something that it needs is lost.

        Raises:
            NotReadyError: the provider has not delivered one, or took it back.
        """
        if not self._has_resource:
            raise self.not_ready()
        return self._resource

    def _take(self, resource: Any) -> None:
        replaced = self._has_resource and self._resource is not resource
        self._has_resource, self._resource = True, resource
        if self.manager is None or not self.cascade_ready:
            return
        if replaced and self.is_ready:
            # Whoever holds the former one hears that it is gone.
            self.manager.lose(self, ResourceError(f"{self.name} was replaced"))
        self.manager.provide(self)

    def _drop(self, reason: object) -> None:
        self._has_resource, self._resource = False, None
        if self.manager is not None:
            self.manager.lose(self, reason)


def in_words(dependency: Dependency, reason: object) -> str:
    """A first cause as a person reads it: the name, and why it was lost if there is more to say.

    Example:
        >>> in_words(ResourceDependency("amqp.connection.main"), ConnectionError("connection refused"))
        'amqp.connection.main (connection refused)'
    """
    if isinstance(reason, Failure):
        reason = reason.value
    if reason is None or isinstance(reason, InitiallyLost | ReplayedLost):
        return dependency.name
    said = reason.msg if isinstance(reason, ResourceError) else str(reason)
    return f"{dependency.name} ({said or type(reason).__name__})"
