"""Pipelines: the compiled graphs as resources that can be called with a baton."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from piped import (
    ConfigurationError,
    InvalidPipelineError,
    Pipeline,
    Problem,
    RuntimeEnvironment,
    did_you_mean,
    provider,
)
from piped.pipelines.graph import Graph
from piped.pipelines.processor import Processor


@provider("pipelines", dict[str, Graph])
class PipelineProvider:
    """Every pipeline of the configuration as a resource: call it with a baton, and it gives a Deferred of the results.

    A pipeline is ready while everything that its steps depend on is ready.

    Resources: `pipeline.<name>`, and `pipeline_provider`, which is this provider: `provider["name"]` is a pipeline.

    Example:
        pipelines:
            my_pipeline:
                - passthrough
            another:
                nested_pipeline:
                    - passthrough
    """

    prefixes = ("pipeline.",)

    def __init__(self) -> None:
        self.pipelines: dict[str, Pipeline] = {}

    @staticmethod
    def offers(graphs: dict[str, Graph]) -> Iterable[str]:
        yield "pipeline_provider"
        for name in graphs:
            yield f"pipeline.{name}"

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.pipelines = {
            name: Pipeline(graph, runtime_environment.reactor) for name, graph in runtime_environment.graphs.items()
        }
        for path in self.offers(runtime_environment.graphs):
            runtime_environment.resource_manager.register(path, self)
        problems: list[Problem] = []
        for pipeline in self.pipelines.values():
            for step in pipeline:
                runtime_environment.dependency_manager.add_dependency(pipeline, step)
                problems += _configure(step, runtime_environment)
        if problems:
            raise ConfigurationError(problems=problems)
        self._dependency_manager = runtime_environment.dependency_manager

    def add_consumer(self, dependency: Any) -> None:
        if dependency.provider == "pipeline_provider":
            dependency.on_resource_ready(self)
            return
        pipeline = self.pipelines[dependency.provider.removeprefix("pipeline.")]
        self._dependency_manager.add_dependency(dependency, pipeline)
        dependency.on_resource_ready(pipeline)

    def __getitem__(self, name: str) -> Pipeline:
        try:
            return self.pipelines[name]
        except KeyError:
            raise InvalidPipelineError(
                f"there is no pipeline {name!r}", hint=did_you_mean(name, self.pipelines)
            ) from None

    def __iter__(self) -> Iterable[str]:
        return iter(self.pipelines)


def _configure(step: Processor, runtime_environment: RuntimeEnvironment) -> list[Problem]:
    """Configure a step; what it cannot do is told at the place where it is written."""
    owner = f"step {step.label} of pipeline {step.pipeline_name}"
    try:
        step.configure(runtime_environment)
    except ConfigurationError as error:
        return error.problems or [Problem(f"{owner}: {error.msg}", step.where, error.hint)]
    except Exception as error:
        text = getattr(error, "msg", None) or str(error)
        return [Problem(f"{owner} cannot be configured: {type(error).__name__}: {text}", step.where)]
    return []
