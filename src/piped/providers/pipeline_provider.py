"""Pipelines: the compiled graphs as resources that can be called with a baton."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from typing import Any

from piped import (
    ConfigurationError,
    InvalidPipelineError,
    PipedError,
    Pipeline,
    Problem,
    RuntimeEnvironment,
    did_you_mean,
    provider,
)
from piped.config.nodes import shown
from piped.pipelines.graph import Graph
from piped.pipelines.names import find_pipeline
from piped.pipelines.processor import Processor


@provider("pipelines", dict[str, Graph])
class PipelineProvider:
    """Every pipeline of the configuration as a resource: call it with a baton, and it gives a Deferred of the results.

    A pipeline is ready while everything that its steps depend on is ready.

    Resources: `pipeline.<name>`, also with `-` in place of `_`; and `pipeline_provider`, which is this provider:
    `provider["name"]` is a pipeline.

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
        graphs, self._dependency_manager = runtime_environment.graphs, runtime_environment.dependency_manager
        self.pipelines = {name: Pipeline(graph, runtime_environment.reactor) for name, graph in graphs.items()}
        spelled_with_hyphens = [f"pipeline.{name.replace('_', '-')}" for name in graphs]
        for path in dict.fromkeys([*self.offers(graphs), *spelled_with_hyphens]):
            runtime_environment.resource_manager.register(path, self)
        problems: list[Problem] = []
        for pipeline in self.pipelines.values():
            for step in pipeline:
                self._dependency_manager.add_dependency(pipeline, step)
                problems += _configure(step, runtime_environment)
        if problems:
            raise ConfigurationError(problems=problems)

    def add_consumer(self, dependency: Any) -> None:
        if dependency.provider == "pipeline_provider":
            dependency.on_resource_ready(self)
            return
        pipeline = self[dependency.provider.removeprefix("pipeline.")]
        self._dependency_manager.add_dependency(dependency, pipeline)
        dependency.on_resource_ready(pipeline)

    def __getitem__(self, name: str) -> Pipeline:
        """The pipeline of that name.

        Raises:
            InvalidPipelineError: there is none.
        """
        known = find_pipeline(name, self.pipelines)
        if known is None:
            raise InvalidPipelineError(f"there is no pipeline {name!r}", hint=did_you_mean(name, self.pipelines))
        return self.pipelines[known]

    def __iter__(self) -> Iterator[str]:
        """The names of all pipelines."""
        return iter(self.pipelines)


def _configure(step: Processor, runtime_environment: RuntimeEnvironment) -> list[Problem]:
    """Configure a step; what it cannot do is told at the place where it is written."""
    owner = f"step {step.label} of pipeline {step.pipeline_name}"
    try:
        step.configure(runtime_environment)
    except ConfigurationError as error:
        return error.problems or [Problem(f"{owner}: {error.msg}", step.where, error.hint)]
    except PipedError as error:
        return [Problem(f"{owner} cannot be configured: {error.msg}", step.where, error.hint)]
    except Exception as error:  # somebody's step, which may raise anything
        raised = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{owner} cannot be configured: {type(error).__name__}: {error}"
        return [Problem(what, step.where, f"its configure() raised this, at {shown(raised.filename)}:{raised.lineno}")]
    return []
