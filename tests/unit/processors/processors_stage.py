"""What the tests of processors stand on: configurations that run on a clock that stands still."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from piped.catalog.discovery import discover
from piped.config.document import Document
from piped.config.gathering import gather
from piped.ground.errors import ConfigurationError
from piped.pipelines.compiling import compile_pipelines
from piped.runtime.environment import RuntimeEnvironment
from piped.runtime.running import Pipeline
from piped.spec.checking import Checker


class Site:
    """The pipelines and contexts of a configuration, with the processors of Piped.

    Args:
        resources: what else there is for them, by its resource path.
    """

    def __init__(self, file: Path, resources: Mapping[str, Any] = MappingProxyType({})) -> None:
        gathered = gather(str(file), environ={})
        document, checker = Document(gathered.root), Checker({})
        catalog, problems = discover(None, None, (), built_in=["piped.processors"])
        self.clock = Clock()
        self.environment = environment = RuntimeEnvironment(document, reactor=self.clock)
        environment.graphs = compile_pipelines(document.node("pipelines"), catalog, checker)
        if found := [*gathered.problems, *problems, *checker.problems]:
            raise ConfigurationError(problems=found)
        for name, context in document.get("contexts", {}).items():
            Offer(environment, f"context.{name}", context)
        for path, resource in resources.items():
            Offer(environment, path, resource)
        for name, graph in environment.graphs.items():
            pipeline = Pipeline(graph, self.clock)
            OfferWhenReady(environment, f"pipeline.{name}", pipeline)
            for step in graph:
                environment.dependency_manager.add_dependency(pipeline, step)
                step.configure(environment)
        environment.dependency_manager.resolve_initial_states()
        self._dependencies: dict[str, Any] = {}

    def resource(self, path: str) -> Any:
        if path not in self._dependencies:
            manager = self.environment.dependency_manager
            self._dependencies[path] = manager.add_dependency(manager.as_dependency(path))
            manager.resolve_initial_states()
        return self._dependencies[path].get_resource()

    def start(self, baton: Any, pipeline: str = "main") -> Deferred[list[Any]]:
        """Send a baton into a pipeline."""
        started: Deferred[list[Any]] = self.resource(f"pipeline.{pipeline}")(baton)
        return started

    def run(self, baton: Any, pipeline: str = "main") -> list[Any]:
        """The results of a pipeline that waits for nothing."""
        return result_of(self.start(baton, pipeline))


class Offer:
    """A provider of one resource, delivered at once if there is one, else when `deliver` is called."""

    def __init__(self, environment: RuntimeEnvironment, path: str, *resource: Any) -> None:
        self._resource = resource
        self._dependencies: list[Any] = []
        environment.resource_manager.register(path, self)

    def add_consumer(self, dependency: Any) -> None:
        self._dependencies.append(dependency)
        if self._resource:
            dependency.on_resource_ready(self._resource[0])

    def deliver(self, resource: Any) -> None:
        for dependency in self._dependencies:
            dependency.on_resource_ready(resource)

    def lose(self) -> None:
        for dependency in self._dependencies:
            dependency.on_resource_lost("it went away")


class OfferWhenReady(Offer):
    """A provider of something that depends on other things."""

    def __init__(self, environment: RuntimeEnvironment, path: str, resource: Any) -> None:
        super().__init__(environment, path, resource)
        self._manager = environment.dependency_manager

    def add_consumer(self, dependency: Any) -> None:
        self._manager.add_dependency(dependency, self._resource[0])
        super().add_consumer(dependency)


def configured(step: Any, environment: RuntimeEnvironment) -> Any:
    """The step, with all that it needs."""
    step.configure(environment)
    environment.dependency_manager.resolve_initial_states()
    return step


def result_of(deferred: Deferred[Any]) -> Any:
    """What a Deferred that has fired holds; raises what it failed with."""
    ended: list[Any] = []
    failures: list[Any] = []
    deferred.addCallbacks(ended.append, failures.append)
    if failures:
        failures[0].raiseException()
    [value] = ended
    return value
