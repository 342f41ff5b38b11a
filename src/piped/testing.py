"""Stage: pipelines and processors in a test, without a reactor, a port or a file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from piped.config.gathering import gather_text
from piped.ground.errors import ConfigurationError
from piped.resources.offers import ResourceManager, ResourceProvider
from piped.runtime.assembly import Assembly, check, configure
from piped.runtime.environment import RuntimeEnvironment

Baton = Any


class Stage:
    """A configuration in which everything stands still until a test moves it.

    Args:
        configuration: the text of a configuration, in YAML.
        processors: functions or classes that it uses besides the built-in ones, marked as for a bundle.
        resources: what stands for the outside: objects by their resource path, ready from the start.
        environ: what `${NAME}` is filled in with.

    Raises:
        ConfigurationError: with every Problem of the configuration.

    Example:
        >>> stage = Stage("pipelines: {greet: [{set-value: {path: greeting, value: hello}}]}")
        >>> stage.run("greet", {})
        [{'greeting': 'hello'}]
    """

    def __init__(
        self,
        configuration: str,
        *processors: Callable[..., Any],
        resources: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        gathered = gather_text(configuration, "<test>", environ=environ or {})
        assembly = check(gathered, environ or {}, processors, resources or ())
        if assembly.errors:
            raise ConfigurationError(problems=assembly.errors)
        self._set(assembly, Clock(), resources or {}, ResourceManager())

    @classmethod
    def of(cls, assembly: Assembly, clock: Clock, resources: Mapping[str, Any]) -> Stage:
        """A stage for a configuration that was checked, and is used on no other.

        Args:
            clock: the time; its seconds are those since 1970 as well.
            resources: as for a Stage; they take the place of what the configuration offers at the same path.

        Raises:
            ConfigurationError: something cannot be configured.
        """
        stage = cls.__new__(cls)
        stage._set(assembly, clock, resources, _Preferring(resources))
        return stage

    def _set(self, assembly: Assembly, clock: Clock, resources: Mapping[str, Any], offers: ResourceManager) -> None:
        #: Moves the time: `stage.clock.advance(seconds)`.
        self.clock = clock
        environment = self.environment = RuntimeEnvironment(reactor=clock, wall_clock=clock.seconds)
        environment.resource_manager = environment.dependency_manager.resource_manager = offers
        self._provided = _Provided(resources)
        for path in resources:
            ResourceManager.register(offers, path, self._provided)
        #: What was asked for by `get`, by its path.
        self._wanted: dict[str, Any] = {}
        problems = configure(assembly, environment)
        if problems:
            raise ConfigurationError(problems=problems)

    def start(self, pipeline: str, baton: Baton) -> Deferred[list[Baton]]:
        """Send a baton through a pipeline; a Deferred of the results, for steps that wait.

        Raises:
            UnprovidedResourceError: there is no such pipeline.
            NotReadyError: something that it needs is not there.
        """
        outcome: Deferred[list[Baton]] = self.get(f"pipeline.{pipeline}")(baton)
        return outcome

    def run(self, pipeline: str, baton: Baton) -> list[Baton]:
        """The results of a pipeline whose steps need not wait; raises what no error consumer handled.

        Raises:
            AssertionError: a step waits.
        """
        outcome: list[Any] = []
        self.start(pipeline, baton).addBoth(outcome.append)
        if not outcome:
            raise AssertionError(f"{pipeline} waits: use start(), and advance the clock or provide what it waits for")
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        results: list[Baton] = outcome[0]
        return results

    def get(self, path: str) -> Any:
        """The resource at a path, as a component would get it.

        Raises:
            UnprovidedResourceError: nobody provides it.
            NotReadyError: it is not there.
        """
        if path not in self._wanted:
            manager = self.environment.dependency_manager
            wanted = manager.add_dependency(manager.as_dependency(path))
            manager.resolve_initial_states()
            self._wanted[path] = wanted
        dependency = self._wanted[path]
        if not dependency.is_ready:
            raise dependency.not_ready()
        return dependency.get_resource()

    def provide(self, path: str, resource: Any) -> None:
        """Let one of `resources` be there again, or be another one.

        Raises:
            KeyError: the path is none of them.
        """
        self._provided.provide(path, resource)

    def lose(self, path: str, reason: str = "lost by the test") -> None:
        """Let one of `resources` be gone.

        Raises:
            KeyError: the path is none of them.
        """
        self._provided.lose(path, reason)

    def unasked(self) -> list[str]:
        """The paths of those `resources` that nobody has asked for."""
        return [path for path in self._provided.paths if path not in self._provided.asked]


class _Preferring(ResourceManager):
    """The offers of a configuration, where some paths are taken: whoever else offers them is passed over."""

    def __init__(self, taken: Collection[str]) -> None:
        super().__init__()
        self._taken = taken

    def register(self, path: str, provider: ResourceProvider) -> None:
        if path not in self._taken:
            super().register(path, provider)


class _Provided:
    """The provider of what a test stands in for."""

    def __init__(self, resources: Mapping[str, Any]) -> None:
        #: What is there, by its path; those that are lost are missing.
        self.resources = dict(resources)
        self.paths = list(resources)
        self.asked: set[str] = set()
        self._consumers: dict[str, list[Any]] = {path: [] for path in resources}

    def add_consumer(self, dependency: Any) -> None:
        self.asked.add(dependency.provider)
        self._consumers[dependency.provider].append(dependency)
        if dependency.provider in self.resources:
            dependency.on_resource_ready(self.resources[dependency.provider])

    def remove_consumer(self, dependency: Any) -> None:
        self._consumers[dependency.provider].remove(dependency)

    def provide(self, path: str, resource: Any) -> None:
        for consumer in self._consumers[path]:
            consumer.on_resource_ready(resource)
        self.resources[path] = resource

    def lose(self, path: str, reason: str) -> None:
        for consumer in self._consumers[path]:
            consumer.on_resource_lost(reason)
        self.resources.pop(path, None)
