"""Steps that run another pipeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.python.failure import Failure

from piped import (
    ConfigurationError,
    InputOutputProcessor,
    InvalidPipelineError,
    Lambda,
    Namespace,
    Path,
    Pipeline,
    PipelineName,
    Processor,
    ProcessorPath,
    ResourcePath,
    RuntimeEnvironment,
    get_path,
    set_path,
)
from piped.pipelines.handovers import handovers
from piped.pipelines.input_output import is_awaitable
from piped.pipelines.names import absolute
from piped.pipelines.processor import Baton
from piped.processors.lambdas import bind, depend
from piped.resources.dependency import Dependency


def path_of(step: Processor, name: str) -> ProcessorPath:
    """The resource path of a pipeline that a step names, maybe relative to its own."""
    return ProcessorPath(f"pipeline.{absolute(name, step.pipeline_name)}", getattr(name, "where", None))


class Callee:
    """Another pipeline, as a step calls it.

    Args:
        dependency: stands for it: a Pipeline, or anything that can be called with a baton.
    """

    def __init__(self, dependency: Dependency) -> None:
        self._dependency = dependency
        #: Sends a baton in: gives the results, or something to await. None while the pipeline is not ready.
        self.run: Callable[[Baton], Any] | None = None
        dependency.on_ready += self._found
        dependency.on_lost += self._lost
        if dependency.is_ready:
            self._found(dependency)

    async def once_ready(self) -> Callable[[Baton], Any]:
        """What `run` is as soon as the pipeline is ready."""
        return _run_of(await self._dependency.wait_for_resource())

    def traced(self, baton: Baton) -> Any:
        """A Deferred of the results or the Failure, and the Trace."""
        return self._dependency.get_resource().traced_process(baton)

    def _found(self, dependency: Dependency) -> None:
        self.run = _run_of(dependency.get_resource())

    def _lost(self, dependency: Dependency, reason: object) -> None:
        self.run = None


def _run_of(target: Any) -> Callable[[Baton], Any]:
    # The inner call of a Pipeline spares the Deferred around the results.
    return target.run if isinstance(target, Pipeline) else target


def last_of(results: Any) -> Any:
    """The last result; what is no list of results stands for itself."""
    return results[-1] if isinstance(results, list | tuple) and results else results


class RunPipeline(InputOutputProcessor):
    """Send the input into another pipeline; the output is its last result.

    It waits until that pipeline is ready. One that is named by `pipeline` is a dependency of this one.

    Args:
        pipeline: the name of the pipeline; `.sibling` is relative to this one.
        pipeline_path: where that name lies in the baton, instead of `pipeline`.
        only_last_result: if off, the output is the list of all results.
        trace_path: where to put the list of what happened in the pipeline, from step to step, also if it failed.

    Example:
        - set-value: {path: n, value: 5}
        - run-pipeline:
            pipeline: .square
            input_path: n
            output_path: n_squared
    """

    name = "run-pipeline"

    def __init__(
        self,
        pipeline: PipelineName | None = None,
        pipeline_path: Path | None = None,
        only_last_result: bool = True,
        trace_path: Path | None = None,
        **io: Any,
    ) -> None:
        super().__init__(**io)
        if (pipeline is None) == (pipeline_path is None):
            raise ConfigurationError(f"{self.name} needs either pipeline or pipeline_path", hint="write one of the two")
        if trace_path == "":
            raise ConfigurationError("the trace cannot replace the baton", hint="give trace_path a name, or remove it")
        self._pipeline, self._pipeline_path = pipeline, pipeline_path
        self._only_last_result, self._trace_path = only_last_result, trace_path
        self._callee: Callee | None = None
        #: What was asked for by `pipeline_path` so far, by its whole path: of the ways to write a name there is no end.
        self._callees: dict[str, Callee] = {}

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._environment = runtime_environment
        if self._pipeline is not None:
            self._callee = Callee(runtime_environment.add_processor(self, path_of(self, self._pipeline)))

    def process_input(self, input: Any, baton: Baton) -> Any:
        callee = self._callee or self._named_by(baton)
        if callee.run is None or self._trace_path is not None:
            return self._run_later(callee, input, baton)
        outcome = callee.run(input)
        return self._once_ended(outcome) if is_awaitable(outcome) else self._output_of(outcome)

    def _named_by(self, baton: Baton) -> Callee:
        name = get_path(baton, self._pipeline_path or "")
        if not isinstance(name, str):
            raise InvalidPipelineError(f"what lies at {self._pipeline_path!r} is no name of a pipeline: {name!r}")
        wanted = self._environment.resource_path(path_of(self, name))
        path = wanted["provider"]
        if path not in self._callees:
            self._callees[path] = Callee(self._found(wanted))
        return self._callees[path]

    def _found(self, wanted: dict[str, Any]) -> Dependency:
        """A dependency that stands by itself: this step must not be lost with what one of its batons asked for."""
        manager = self._environment.dependency_manager
        dependency = manager.add_dependency(manager.as_dependency(wanted))
        manager.resolve_initial_states()
        return dependency

    async def _run_later(self, callee: Callee, input: Any, baton: Baton) -> Any:
        """The output of a pipeline that has to be waited for first, or that is to be traced."""
        run = await callee.once_ready()
        if self._trace_path is None:
            outcome = run(input)
            return self._output_of(await outcome if is_awaitable(outcome) else outcome)
        results, trace = await callee.traced(input)
        set_path(baton, self._trace_path, handovers(trace, outside=self))
        if isinstance(results, Failure):
            results.raiseException()
        return self._output_of(results)

    async def _once_ended(self, outcome: Awaitable[Any]) -> Any:
        return self._output_of(await outcome)

    def _output_of(self, results: Any) -> Any:
        return last_of(results) if self._only_last_result else results


class RunPipelineIf(RunPipeline):
    """Send the input into another pipeline if a condition holds; if not, the baton goes on untouched.

    Args:
        condition: called with what lies at `condition_input_path`; it sees the step as `self`. Left out: what lies
            there is the answer.
        condition_input_path: what to decide by.
        namespace: names for the condition: texts are imported as full names, other values are taken as they are.
        dependencies: resources by the name that the condition finds them under, as `self.dependencies.<name>`.

    Example:
        - set-value: {path: n, value: 5}
        - run-pipeline-if:
            condition: "n: n < 10"
            condition_input_path: n
            pipeline: .square
            input_path: n
    """

    name = "run-pipeline-if"

    def __init__(
        self,
        condition: Lambda | None = None,
        condition_input_path: Path = "",
        namespace: Namespace | None = None,
        dependencies: dict[str, ResourcePath] | None = None,
        **run: Any,
    ) -> None:
        super().__init__(**run)
        self._text, self._condition_input_path = condition, condition_input_path
        self._namespace, self._dependencies = namespace, dependencies

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        super().configure(runtime_environment)
        depend(self, runtime_environment, self._dependencies)
        self._holds = bind(self, self._text, self._namespace) if self._text else bool

    def process(self, baton: Baton) -> Any:
        if not self._holds(get_path(baton, self._condition_input_path)):
            return baton
        return super().process(baton)
