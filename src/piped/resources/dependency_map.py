"""DependencyMap: what one consumer needs, by names of his own, read as attributes or items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from piped.ground.errors import KeyAlreadyExists, UnsatisfiedDependencyError
from piped.resources.dependency import Dependency, InstanceDependency

if TYPE_CHECKING:
    from piped.resources.wiring import DependencyManager


class DependencyMap:
    """A group of dependencies; ready when all of them are. Made by `DependencyManager.create_dependency_map`.

    `map.users` and `map["users"]` give the resource. The names that are declared are those `in` the map; iterating
    gives those that are available, so that `f(**map)` hands on what is there. A new member is available once
    `resolve_initial_states` was called.
    """

    def __init__(self, manager: DependencyManager, consumer: Dependency, dependencies: Mapping[str, Any]) -> None:
        self._manager = manager
        self._members: dict[str, Dependency] = {}
        self._node = InstanceDependency(self, f"the dependencies of {consumer.name}")
        self._node.is_made_for_one = True
        #: Called when all members are available.
        self.on_ready = self._node.on_ready
        #: Called when they are no longer, with the reason.
        self.on_lost = self._node.on_lost
        #: Called with a member that became available.
        self.on_dependency_ready = self._node.on_dependency_ready
        #: Called with a member that was lost, and the reason.
        self.on_dependency_lost = self._node.on_dependency_lost
        manager.add_dependency(consumer, self._node)
        for key, dependency in dependencies.items():
            self.add_dependency(key, dependency)

    @property
    def is_ready(self) -> bool:
        """Whether all members are available."""
        return self._node.is_ready

    def add_dependency(self, key: str, dependency: Any) -> Dependency:
        """Declare a member: a path, a mapping with `provider`, a Dependency, or any object.

        Raises:
            KeyAlreadyExists: there is one of that name.
        """
        if key in self._members:
            raise KeyAlreadyExists(f"there is a dependency called {key!r} already")
        self._members[key] = added = self._manager.add_dependency(self._node, dependency)
        return added

    def remove_dependency(self, key: str) -> None:
        """Let a member go, available or not.

        Raises:
            KeyError: it was not declared.
        """
        self._manager.remove_dependency(self._node, self._members.pop(key))

    def get_dependency(self, key: str) -> Dependency:
        """The dependency behind a name.

        Raises:
            KeyError: it was not declared.
        """
        return self._members[key]

    def wait_for_resource(self, key: str, timeout: float | None = None) -> Deferred[Any]:
        """A Deferred of a member's resource; see `Dependency.wait_for_resource`.

        Raises:
            KeyError: it was not declared.
        """
        return self._members[key].wait_for_resource(timeout)

    def is_available(self, key: str) -> bool:
        """Whether a name is declared and its resource ready."""
        return key in self._members and self._members[key].is_ready

    def keys(self) -> Iterator[str]:
        """The names that are available."""
        return iter([key for key, dependency in self._members.items() if dependency.is_ready])

    def items(self) -> Iterator[tuple[str, Any]]:
        """The names that are available, each with its resource."""
        return iter([(key, self._members[key].get_resource()) for key in self.keys()])

    __iter__ = keys

    def __contains__(self, key: object) -> bool:
        return key in self._members

    def __getitem__(self, key: str) -> Any:
        """The resource of a member.

        Raises:
            KeyError: it was not declared.
            UnsatisfiedDependencyError: it is not available.
        """
        dependency = self._members[key]
        if not dependency.is_ready:
            error = dependency.not_ready()
            raise UnsatisfiedDependencyError(f"{key} is not available: {error.msg}", error.detail, error.hint)
        return dependency.get_resource()

    def __setitem__(self, key: str, dependency: Any) -> None:
        self.add_dependency(key, dependency)

    def __delitem__(self, key: str) -> None:
        self.remove_dependency(key)

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__") or key == "_members" or key not in self._members:
            raise AttributeError(f"no dependency called {key!r} was declared")
        return self[key]

    def __delattr__(self, key: str) -> None:
        if key not in self._members:
            raise AttributeError(f"no dependency called {key!r} was declared")
        self.remove_dependency(key)

    def __repr__(self) -> str:
        return f"<DependencyMap {', '.join(self._members)}>"
