"""scatter-gather: run several pipelines at the same time, each with a part of the baton, and gather their results."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.python.failure import Failure

from piped import ConfigurationError, Path, PipelineName, Processor, RuntimeEnvironment, get_path
from piped.pipelines.input_output import Words, is_awaitable
from piped.pipelines.processor import Baton
from piped.processors.pipelines import Callee, last_of, path_of
from piped.runtime.running import Outcome
from piped.runtime.walk import Walk

_MISSING: Final = object()
NAME_OF_PIPELINE: Final[Path] = Words("the name of the pipeline")


@dataclass(frozen=True, slots=True)
class Target:
    """One of the pipelines that a baton is scattered to.

    Args:
        pipeline: the name of the pipeline; `.sibling` is relative to this one.
        input_path: what it gets; a baton that has nothing there leaves it out.
        output_path: where its last result goes; '' makes that the baton, null discards it. The name of a pipeline
            counts as a path here, without the dots in front.
    """

    pipeline: PipelineName
    input_path: Path = ""
    output_path: Path | None = NAME_OF_PIPELINE


class ScatterGather(Processor):
    """Run several pipelines at the same time, each with a part of the baton, and gather their last results in it.

    The baton goes on when all of them have ended; if some failed, the first of those in the order of the list is the
    failure of this step, and no result is gathered. Cancelling the step cancels all of them.

    Args:
        mapping: the pipelines, what each of them gets and where its result goes.
        copy: give each pipeline a shallow copy; if off, they all work on the very parts of this baton.
        input_path_prefix: put in front of each input path as it is: end it with a dot.
        output_path_prefix: the same for the output paths.

    Example:
        - set-value: {path: sides, value: {a: 3, b: 4}}
        - scatter-gather:
            input_path_prefix: sides.
            output_path_prefix: squares.
            mapping:
                - {pipeline: .square, input_path: a, output_path: a}
                - {pipeline: .square, input_path: b, output_path: b}
    """

    name = "scatter-gather"

    def __init__(
        self,
        mapping: list[Target],
        copy: bool = True,
        input_path_prefix: Path = "",
        output_path_prefix: Path = "",
    ) -> None:
        super().__init__()
        self._copies = copy
        self._legs = [_Leg(target, input_path_prefix, output_path_prefix) for target in mapping]

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        for leg in self._legs:
            leg.callee = Callee(runtime_environment.add_processor(self, path_of(self, leg.pipeline)))

    async def process(self, baton: Baton) -> Baton:
        parts = [(leg, value) for leg in self._legs if (value := leg.input_from(baton)) is not _MISSING]
        runs = [leg.callee.run or await leg.callee.once_ready() for leg, _ in parts]
        inputs = [_copy_of(value, leg) if self._copies else value for leg, value in parts]
        outcomes = await _ended([_started(run, value) for run, value in zip(runs, inputs, strict=True)])
        for outcome in outcomes:
            if isinstance(outcome, Failure):
                outcome.raiseException()
        for (leg, _), results in zip(parts, outcomes, strict=True):
            baton = self.get_resulting_baton(baton, leg.output_path, last_of(results))
        return baton


class _Leg:
    """A target as it is run: with its whole paths and, once configured, its pipeline."""

    callee: Callee

    def __init__(self, target: Target, input_prefix: str, output_prefix: str) -> None:
        self.pipeline = target.pipeline
        output_path = target.output_path
        if output_path is NAME_OF_PIPELINE:
            output_path = target.pipeline.lstrip(".")
        self.input_path = input_prefix + target.input_path
        self.output_path = None if output_path is None else output_prefix + output_path
        for path in (self.input_path, self.output_path):
            if path is not None and path.endswith("."):
                raise ConfigurationError(f"the path {path!r} ends with a dot", hint="a prefix needs a path behind it")

    def input_from(self, baton: Baton) -> Any:
        return get_path(baton, self.input_path, _MISSING)


def _copy_of(value: Any, leg: _Leg) -> Any:
    try:
        return copy.copy(value)
    except Exception as error:
        error.add_note(f"what lies at {leg.input_path!r} cannot be copied for {leg.pipeline}: say `copy: false`")
        raise


def _started(run: Callable[[Baton], Any], baton: Baton) -> Any:
    """The results of a pipeline, its Failure, or a Deferred of one of the two."""
    try:
        outcome = run(baton)
    except BaseException:  # raised again when the others have ended
        return Failure()
    if isinstance(outcome, Walk):
        return Outcome(outcome)
    return ensureDeferred(outcome) if is_awaitable(outcome) else outcome


async def _ended(outcomes: list[Any]) -> list[Any]:
    """The same with what the Deferreds among them have come to."""
    waiting = {position: each for position, each in enumerate(outcomes) if isinstance(each, Deferred)}
    if waiting:
        # Its cancellation is that of them all, and it fires when the last of them has ended.
        ended = await DeferredList(waiting.values(), consumeErrors=True)
        for position, (_, outcome) in zip(waiting, ended, strict=True):
            outcomes[position] = outcome
    return outcomes
