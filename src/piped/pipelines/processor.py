"""Processor: one step of a pipeline, and the two bases most steps are written on."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import Deferred

from piped.ground.batons import BatonPath, get_path, set_path
from piped.ground.errors import Mark

if TYPE_CHECKING:
    from piped.runtime.environment import RuntimeEnvironment

Baton = Any


class Processor:
    """One step of a pipeline: `process` takes a baton and gives the one for the consumers.

    A subclass with a `name` is found by that name in configurations. What `process` returns may be a plain value,
    a Deferred, or anything else that can be awaited; `process` may be `async def`.

    Args:
        node_name: how drawings and messages call this step.
    """

    name: ClassVar[str] = ""

    # Set by the compiler once the step stands in a graph:
    #: Unique in its pipeline.
    id: str = ""
    #: The absolute name of the pipeline that this step stands in.
    pipeline_name: str = ""
    #: Where the step is written.
    where: Mark | None = None
    #: The absolute names of the pipelines that its options name.
    calls: Sequence[str] = ()
    time_spent = 0.0

    def __init__(self, node_name: str | None = None) -> None:
        self.node_name = node_name
        self.consumers: list[Processor] = []
        self.error_consumers: list[Processor] = []

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        """Called once, before any baton: the place to ask for dependencies."""

    def process(self, baton: Baton) -> Any:
        """The baton for the consumers."""
        raise NotImplementedError(f"{type(self).__name__} has no process()")

    def get_consumers(self, baton: Baton) -> Sequence[Processor]:
        """The steps that get the baton that `process` made, in order; none makes it a result of the pipeline."""
        return self.consumers

    def get_error_consumers(self, baton: Baton) -> Sequence[Processor]:
        """The steps that get the baton this step received when it or a step below it fails; none passes that on."""
        return self.error_consumers

    def get_input(self, baton: Baton, value: Any, fallback: Any = ...) -> Any:
        """An option's value: what lies at its path for one written with `!path`, else itself."""
        return get_path(baton, value, fallback) if isinstance(value, BatonPath) else value

    def get_resulting_baton(self, baton: Baton, path: str | None, value: Any) -> Baton:
        """The baton with a result in it: set at the path; '' makes it the baton, None discards it."""
        if path is None:
            return baton
        if path == "":
            return value
        if type(baton) is dict and "." not in path:  # nearly every one, at the price of the call that it spares
            baton[path] = value
        else:
            set_path(baton, path, value)
        return baton

    @property
    def label(self) -> str:
        """How drawings and messages call this step."""
        return self.node_name or self.id or self.name or type(self).__name__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label}>"


class FunctionProcessor(Processor):
    """A step that is a function with its options; see `processor`."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any], node_name: str | None = None) -> None:
        super().__init__(node_name)
        self.function, self.options = function, options
        make = _async_step if inspect.iscoroutinefunction(function) else _step
        # A closure in place of the method: nothing is looked up on the way to the function.
        self.process = make(function, options)  # type: ignore[method-assign, assignment]


def _step(function: Callable[..., Any], options: dict[str, Any]) -> Callable[[Baton], Any]:
    def process(baton: Baton) -> Any:
        produced = function(baton, **options)
        if produced is None:
            return baton
        if isinstance(produced, Deferred):
            return produced.addCallback(lambda result: baton if result is None else result)
        return produced

    return process


def _async_step(function: Callable[..., Awaitable[Any]], options: dict[str, Any]) -> Callable[[Baton], Any]:
    async def process(baton: Baton) -> Any:
        produced = await function(baton, **options)
        return baton if produced is None else produced

    return process
