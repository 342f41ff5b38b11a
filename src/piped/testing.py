"""Stage: pipelines and processors in a test, without a reactor, a port or a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from piped.config.gathering import gather_text
from piped.ground.errors import ConfigurationError
from piped.runtime.assembly import check, configure
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
        #: Moves the time: `stage.clock.advance(seconds)`.
        self.clock = Clock()
        gathered = gather_text(configuration, "<test>", environ=environ or {})
        assembly = check(gathered, environ or {}, processors)
        if assembly.errors:
            raise ConfigurationError(problems=assembly.errors)
        self.environment = RuntimeEnvironment(assembly.document, reactor=self.clock, wall_clock=self.clock.seconds)
        self._provided = _Provided()
        for path, resource in (resources or {}).items():
            self._provided.resources[path] = resource
            self.environment.resource_manager.register(path, self._provided)
        problems = configure(assembly, self.environment)
        if problems:
            raise ConfigurationError(problems=problems)

    def start(self, pipeline: str, baton: Baton) -> Deferred[list[Baton]]:
        """Send a baton through a pipeline; a Deferred of the results, for steps that wait.

        Raises:
            NotReadyError: something that the pipeline needs is not there.
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
            NotReadyError: it is not there.
        """
        dependency = self.environment.dependency_manager.add_dependency(object(), {"provider": path})
        self.environment.dependency_manager.resolve_initial_states()
        if not dependency.is_ready:
            raise dependency.not_ready()
        return dependency.get_resource()

    def provide(self, path: str, resource: Any) -> None:
        """Let a resource be there, or be another one; the path must be one of `resources`."""
        self._provided.provide(path, resource)

    def lose(self, path: str, reason: str = "lost by the test") -> None:
        """Let a resource be gone."""
        self._provided.lose(path, reason)


class _Provided:
    """The provider of what a test stands in for."""

    def __init__(self) -> None:
        self.resources: dict[str, Any] = {}
        self._consumers: list[Any] = []

    def add_consumer(self, dependency: Any) -> None:
        self._consumers.append(dependency)
        if dependency.provider in self.resources:
            dependency.on_resource_ready(self.resources[dependency.provider])

    def provide(self, path: str, resource: Any) -> None:
        self.resources[path] = resource
        for consumer in self._consumers:
            if consumer.provider == path:
                consumer.on_resource_ready(resource)

    def lose(self, path: str, reason: str) -> None:
        self.resources.pop(path, None)
        for consumer in self._consumers:
            if consumer.provider == path:
                consumer.on_resource_lost(reason)
