"""DependencyManager: who needs what, and the delivery of what became ready or was lost, one piece after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from piped.ground.errors import (
    AlreadyExistingDependency,
    CircularDependencyGraph,
    InitiallyLost,
    ReplayedLost,
    ResourceError,
    UnprovidedResourceError,
)
from piped.resources import drawing
from piped.resources.dependency import Dependency, InstanceDependency, ResourceDependency, in_words
from piped.resources.dependency_map import DependencyMap
from piped.resources.events import Clock
from piped.resources.offers import ResourceManager
from piped.resources.readiness import Notice, Readiness


class DependencyManager:
    """The graph of dependencies.

    A change takes effect at once, for the whole graph; the events that tell of it are then called one after another,
    never one within another: what a handler changes is told after everything that was already to be told.

    Args:
        resource_manager: finds the providers of resources.
        clock: measures timeouts.
    """

    def __init__(self, resource_manager: ResourceManager | None = None, clock: Clock | None = None) -> None:
        self.resource_manager = resource_manager if resource_manager is not None else ResourceManager()
        self.clock = clock
        self._readiness: Readiness[Dependency] = Readiness(lambda dependency: not dependency.cascade_lost)
        self._instances: dict[Hashable, InstanceDependency] = {}
        #: What was added since the last resolve, and who was given new needs since then; as ordered sets.
        self._unresolved: dict[Dependency, None] = {}
        self._changed: dict[Dependency, None] = {}
        self._news: deque[Callable[[], None]] = deque()
        self._is_delivering = False

    # The graph

    def as_dependency(self, thing: Any) -> Dependency:
        """The dependency that stands for something.

        A Dependency stands for itself. A text is a resource path; it, like a mapping with the path as `provider`,
        gives a new ResourceDependency each time. Any other object has one InstanceDependency, shared among equals.

        Raises:
            ResourceError: a mapping without `provider`.
        """
        if isinstance(thing, Dependency):
            return thing
        if isinstance(thing, str):
            return ResourceDependency(thing)
        if isinstance(thing, Mapping):
            configuration = dict(thing)
            provider = configuration.pop("provider", None)
            if not isinstance(provider, str):
                raise ResourceError(
                    f"this dependency names no provider: {dict(thing)!r}", hint="write {provider: <resource path>}"
                )
            return ResourceDependency(provider, configuration)
        key = _key(thing)
        if key not in self._instances:
            self._instances[key] = InstanceDependency(thing)
        return self._instances[key]

    def add_dependency(self, consumer: Any, dependency: Any = None) -> Dependency:
        """Let a consumer need something; gives that dependency, or the consumer's own without a second argument.

        What was not there yet tells nothing, and counts for nobody who was, before `resolve_initial_states`.

        Raises:
            AlreadyExistingDependency: it was added before.
            ResourceError: one of them belongs to another dependency manager.
        """
        consumer_node = self._joined(self.as_dependency(consumer))
        if dependency is None:
            return consumer_node
        node = self._joined(self.as_dependency(dependency))
        if node in self._readiness.needs(consumer_node):
            raise AlreadyExistingDependency(f"{consumer_node.described} needs {node.described} already")
        self._changed[consumer_node] = None
        notices = self._readiness.require(consumer_node, node)
        if node.is_resolved:
            notices = [replace(notice, reason=ReplayedLost(f"{node.name} was lost before")) for notice in notices]
        self._apply(notices)
        if node.is_ready:
            self._post(self._tell_consumer, consumer_node, node, True)
        return node

    def remove_dependency(self, consumer: Any, dependency: Any = None) -> None:
        """Let a consumer no longer need something; without a second argument, let it leave the graph.

        A resource that nobody needs any more leaves as well, and its provider is told if it has `remove_consumer`.

        Raises:
            ResourceError: the consumer does not need it.
        """
        consumer_node = self.as_dependency(consumer)
        if dependency is None:
            self._leave(consumer_node)
            return
        node = self.as_dependency(dependency)
        if node not in self._readiness.needs(consumer_node):
            raise ResourceError(f"{consumer_node.described} does not need {node.described}")
        consumer_node.told.discard(node)
        self._apply(self._readiness.release(consumer_node, node))
        self._leave_if_unneeded(node)

    def create_dependency_map(self, consumer: Any, /, **dependencies: Any) -> DependencyMap:
        """What a consumer needs, by name; the values are whatever `as_dependency` understands."""
        return DependencyMap(self, self.as_dependency(consumer), dependencies)

    def get_dependencies_of(self, consumer: Any) -> list[Dependency]:
        """What a consumer needs directly."""
        return self._readiness.needs(self.as_dependency(consumer))

    def consumers_of(self, dependency: Any) -> list[Dependency]:
        """Who needs it directly."""
        return self._readiness.consumers(self.as_dependency(dependency))

    # Readiness

    def resolve_initial_states(self) -> None:
        """Resolve all that was added since: ask the providers for resources, then tell who is ready and who is lost.

        Costs what was added, not what is there.

        Raises:
            CircularDependencyGraph: things need each other in a circle.
            UnprovidedResourceError: resources that nobody provides; everything else was resolved.
        """
        unprovided: list[UnprovidedResourceError] = []
        while self._changed or self._unresolved:
            self._refuse_circles()
            self._changed.clear()
            for dependency in self._needs_first(list(self._unresolved)):
                if dependency in self._unresolved:
                    del self._unresolved[dependency]
                    try:
                        self._resolve(dependency)
                    except UnprovidedResourceError as error:
                        unprovided.append(error)
        if len(unprovided) == 1:
            raise unprovided[0]
        if unprovided:
            msgs = "\n".join(f"{each.msg} – {each.hint}" for each in unprovided)
            raise UnprovidedResourceError(msgs, unprovided[0].detail)

    def has_resolved(self, thing: Any) -> bool:
        return self.as_dependency(thing).is_resolved

    def has_all_dependencies_provided(self, thing: Any) -> bool:
        """Whether all that it needs directly is ready."""
        return all(map(self._readiness.is_ready, self.get_dependencies_of(thing)))

    def is_ready(self, dependency: Dependency) -> bool:
        return self._readiness.is_ready(dependency)

    def missing(self, thing: Any) -> list[str]:
        """The first causes why something is not ready, in words."""
        causes = self._readiness.missing(self.as_dependency(thing))
        return [in_words(cause, self._readiness.reason(cause)) for cause in causes]

    def waiting(self) -> list[tuple[str, list[str]]]:
        """Whoever is not ready and needed by nobody else, each with the first causes in words."""
        return [
            (dependency.name, self.missing(dependency))
            for dependency in self._readiness
            if dependency.is_resolved and not dependency.is_ready and not self._readiness.consumers(dependency)
        ]

    def provide(self, dependency: Dependency) -> None:
        """Note that a dependency has its value; called by the dependency."""
        self._apply(self._readiness.provide(dependency))

    def lose(self, dependency: Dependency, reason: object) -> None:
        """Note that a dependency has lost its value; called by the dependency."""
        self._apply(self._readiness.lose(dependency, reason))
        if dependency.has_value and dependency.cascade_ready and not self.has_all_dependencies_provided(dependency):
            # Fired by hand because of a lost need: it is to be ready again when that is back.
            self._apply(self._readiness.provide(dependency))

    def get_dot(self) -> str:
        """The graph in the dot language."""
        names = dict.fromkeys([*self._readiness, *self._unresolved])
        resolved = {dependency for dependency in names if dependency.is_resolved}
        return drawing.dot(names, self._readiness, resolved, lambda dependency: dependency.name)

    # Inner workings: joining and leaving

    def _joined(self, dependency: Dependency) -> Dependency:
        if dependency.manager is not self:
            if dependency.manager is not None:
                raise ResourceError(f"{dependency.described} belongs to another dependency manager")
            dependency.manager = self
            self._unresolved[dependency] = None
            if isinstance(dependency, InstanceDependency):
                self._instances.setdefault(_key(dependency.instance), dependency)
        return dependency

    def _leave_if_unneeded(self, dependency: Dependency) -> None:
        if dependency.is_made_for_one and not self._readiness.consumers(dependency):
            self._leave(dependency)

    def _leave(self, dependency: Dependency) -> None:
        if dependency.manager is not self:
            return
        needs = self._readiness.needs(dependency)
        notices = self._readiness.remove(dependency)
        was_resolved = dependency.is_resolved
        dependency.manager, dependency.is_resolved = None, False
        dependency.told.clear()
        self._unresolved.pop(dependency, None)
        if isinstance(dependency, InstanceDependency):
            self._instances.pop(_key(dependency.instance), None)
        elif isinstance(dependency, ResourceDependency) and was_resolved:
            self.resource_manager.release(dependency)
        self._apply(notices)
        for need in needs:
            self._leave_if_unneeded(need)

    # Inner workings: resolving

    def _refuse_circles(self) -> None:
        if circles := self._readiness.circles(self._changed):
            told = ["→".join(each.described for each in [*circle, circle[0]]) for circle in circles]
            raise CircularDependencyGraph(
                f"these need each other in a circle: {'; '.join(told)}",
                hint="a pipeline that runs itself needs a path decided at run time (pipeline_path)",
            )

    def _needs_first(self, dependencies: Iterable[Dependency]) -> list[Dependency]:
        """The dependencies and the unresolved ones that they need, in an order in which all needs come first."""
        order: dict[Dependency, None] = {}
        todo = list(reversed(list(dependencies)))
        while todo:
            dependency = todo[-1]
            needs = self._readiness.needs(dependency)
            left = [need for need in reversed(needs) if need in self._unresolved and need not in order]
            todo += left
            if not left:
                order[todo.pop()] = None
        return list(order)

    def _resolve(self, dependency: Dependency) -> None:
        if isinstance(dependency, ResourceDependency):
            self.resource_manager.resolve(dependency)
        dependency.is_resolved = True
        if dependency.has_value and dependency.cascade_ready:
            self._readiness.provide(dependency)
        notices = self._readiness.add(dependency)
        if dependency.cascade_lost and not dependency.is_ready:
            notices.insert(0, Notice(dependency, False, InitiallyLost(f"{dependency.name} is not there yet")))
        self._apply(notices)
        for need in filter(self._readiness.is_ready, self._readiness.needs(dependency)):
            self._post(self._tell_consumer, dependency, need, True)

    # Inner workings: telling

    def _apply(self, notices: Iterable[Notice[Dependency]]) -> None:
        for notice in notices:
            if not notice.is_ready and not notice.name.cascade_ready:
                self._readiness.lose(notice.name, notice.reason)
            self._news.append(partial(self._tell, notice))
        self._deliver()

    def _post(self, tell: Callable[..., None], *args: Any) -> None:
        self._news.append(partial(tell, *args))
        self._deliver()

    def _deliver(self) -> None:
        if self._is_delivering:
            return
        self._is_delivering = True
        try:
            while self._news:
                self._news.popleft()()
        finally:
            self._is_delivering = False

    def _tell(self, notice: Notice[Dependency]) -> None:
        dependency = notice.name
        if notice.is_ready:
            dependency.on_ready(dependency)
        else:
            dependency.on_lost(dependency, notice.reason)
        for consumer in self._readiness.consumers(dependency):
            self._tell_consumer(consumer, dependency, notice.is_ready, notice.reason)

    def _tell_consumer(self, consumer: Dependency, need: Dependency, is_ready: bool, reason: object = None) -> None:
        """Tell a consumer of a change in what it needs, unless it was told so before."""
        if not consumer.is_resolved or (need in consumer.told) is is_ready:
            return
        if is_ready:
            consumer.told.add(need)
            consumer.on_dependency_ready(need)
        else:
            consumer.told.discard(need)
            consumer.on_dependency_lost(need, reason)


def _key(instance: object) -> Hashable:
    """What an instance is found by: equal ones share, unhashable ones are found by identity."""
    try:
        hash(instance)
    except TypeError:
        return ("by identity", id(instance))
    return instance
