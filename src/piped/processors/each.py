"""for-each: run a pipeline for every element of the input, one after the other or several at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped import (
    AllPipelinesFailedError,
    Count,
    InputOutputProcessor,
    Lambda,
    Namespace,
    PipelineName,
    RuntimeEnvironment,
)
from piped.pipelines.input_output import is_awaitable
from piped.pipelines.processor import Baton
from piped.processors.lambdas import bind
from piped.processors.pipelines import Callee, last_of, path_of
from piped.runtime.turns import Turns
from piped.runtime.walk import Walk

#: Elements that are started between two looks at the clock, which cost as much as a small element.
MOST_BETWEEN_LOOKS = 16


class ForEach(InputOutputProcessor):
    """Run a pipeline for each element of the input; the output is the list of what it gave, in the same order.

    A mapping gives a mapping with the same keys. Where the pipeline failed stands a Twisted Failure; if it failed for
    all elements, so does this step, with AllPipelinesFailedError. What still runs when the output is known is
    cancelled, and so is all of it with this step.

    Args:
        pipeline: the name of the pipeline; `.sibling` is relative to this one.
        chunk_size: give the pipeline lists of so many elements instead; of a mapping, lists of its keys.
        result_processor: makes of the list of the pipeline's results what stands in the output. It sees the step as
            `self`. Left out: the last of them.
        namespace: names for the result processor: texts are imported as full names, other values are taken as they
            are.
        parallel: how many elements are worked on at the same time; true for all of them, false for one.
        done_on_first: the output is the first result that there is, and not a list.
        fail_on_error: fail with the first failure.

    Example:
        - set-value: {path: numbers, value: [1, 2, 3]}
        - for-each:
            input_path: numbers
            pipeline: .square
            parallel: 2
    """

    name = "for-each"

    def __init__(
        self,
        pipeline: PipelineName,
        chunk_size: Count | None = None,
        result_processor: Lambda | None = None,
        namespace: Namespace | None = None,
        parallel: bool | Count = False,
        done_on_first: bool = False,
        fail_on_error: bool = False,
        **io: Any,
    ) -> None:
        super().__init__(**io)
        self._pipeline, self._chunk_size = pipeline, chunk_size
        self._text, self._namespace = result_processor, namespace
        #: None for as many as there are.
        self.at_most = None if parallel is True else int(parallel) or 1
        self.is_done_on_first, self.fails_on_error = done_on_first, fail_on_error

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.reactor = runtime_environment.reactor
        self._callee = Callee(runtime_environment.add_processor(self, path_of(self, self._pipeline)))
        self.result_of: Callable[[Any], Any] = bind(self, self._text, self._namespace) if self._text else last_of

    async def process_input(self, input: Any, baton: Baton) -> Any:
        if not isinstance(input, Iterable):
            raise TypeError(f"what lies at {self.input_path!r} has no elements, it is {type(input).__name__}")
        run = self._callee.run or await self._callee.once_ready()
        if self._chunk_size is not None:
            return await _Round(self, run).outcomes_of(_chunks(input, self._chunk_size))
        if not isinstance(input, Mapping):
            # The pipeline may change a list; what is no list may be endless, and is taken as it comes.
            return await _Round(self, run).outcomes_of(list(input) if isinstance(input, list) else input)
        keys, values = list(input), list(input.values())
        outcomes = await _Round(self, run).outcomes_of(values)
        return outcomes if self.is_done_on_first else dict(zip(keys, outcomes, strict=True))


def _chunks(elements: Iterable[Any], size: int) -> Iterator[list[Any]]:
    left = iter(elements)
    while chunk := list(islice(left, size)):
        yield chunk


class _Round:
    """One input of a for-each: its elements are started here, and what becomes of each is gathered.

    All waiting is done in `outcomes_of`, on one Deferred at a time: there a cancelled step is told of it, and a
    pipeline that ends calls nothing but `_ended`, however many there are.
    """

    def __init__(self, step: ForEach, run: Callable[[Any], Any]) -> None:
        self.step, self.run = step, run
        #: In the order of the elements; None for what is still running.
        self.outcomes: list[Any] = []
        self.failed: set[int] = set()
        #: How to stop what is running, by its position.
        self.running: dict[int, Callable[[], object]] = {}
        #: The position of the outcome that makes the others needless.
        self.verdict: int | None = None
        self._news: Deferred[None] | None = None

    async def outcomes_of(self, elements: Iterable[Any]) -> Any:
        try:
            await self._go_through(elements)
        except GeneratorExit:
            raise  # nobody will resume this coroutine any more
        except BaseException:
            await self._end_others()
            raise
        await self._end_others()
        return self._output()

    async def _go_through(self, elements: Iterable[Any]) -> None:
        turns, left, handful = Turns(self.step.reactor), iter(elements), 1
        while self._start_some(islice(left, handful)):
            while len(self.running) == self.step.at_most:
                await self._next_end()
            if self.verdict is not None:
                return
            if (turn := turns.due()) is None:
                handful = min(2 * handful, MOST_BETWEEN_LOOKS)
            else:
                handful = 1
                await turn
        while self.running and self.verdict is None:
            await self._next_end()

    def _start_some(self, elements: Iterable[Any]) -> bool:
        """Start elements, up to one after which there is something to look at; false when there are none."""
        run, outcomes, result_of = self.run, self.outcomes, self.step.result_of
        is_usual = result_of is last_of and not self.step.is_done_on_first
        before = len(outcomes)
        for element in elements:
            outcomes.append(None)
            try:
                outcome = run(element)
                if is_usual and type(outcome) is list and outcome:
                    outcomes[-1] = outcome[-1]
                    continue
                if not is_awaitable(outcome):
                    self._succeeded(len(outcomes) - 1, outcome)
                else:
                    self._wait_for(len(outcomes) - 1, outcome)
            except Exception:  # of somebody's step; it becomes the outcome, or fails this step
                self._failed(len(outcomes) - 1)
            if self.running or self.verdict is not None:
                break
        return len(outcomes) > before

    def _wait_for(self, position: int, outcome: Any) -> None:
        if isinstance(outcome, Walk):
            self.running[position] = outcome.stop
            outcome.when_ended(lambda walk: self._ended(position, walk.result))
        else:
            deferred = outcome if isinstance(outcome, Deferred) else Deferred.fromCoroutine(_awaiting(outcome))
            self.running[position] = deferred.cancel
            deferred.addCallbacks(
                lambda results: self._ended(position, lambda: results),
                lambda failure: self._ended(position, failure.raiseException),
            )

    def _ended(self, position: int, results: Callable[[], Any]) -> None:
        del self.running[position]
        if self.verdict is None:
            try:
                self._succeeded(position, results())
            except BaseException:
                self._failed(position)
        if self._news is not None:
            news, self._news = self._news, None
            news.callback(None)

    def _succeeded(self, position: int, results: Any) -> None:
        self.outcomes[position] = self.step.result_of(results)
        if self.step.is_done_on_first:
            self.verdict = position

    def _failed(self, position: int) -> None:
        """Called while the exception is being handled."""
        failure = Failure()
        self.outcomes[position] = failure
        self.failed.add(position)
        if self.step.fails_on_error or not isinstance(failure.value, Exception):
            self.verdict = position

    def _next_end(self) -> Deferred[None]:
        """A Deferred that fires when something has ended."""
        self._news = Deferred()
        return self._news

    async def _end_others(self) -> None:
        for stop in list(self.running.values()):
            stop()
        while self.running:
            await self._next_end()

    def _output(self) -> Any:
        if self.verdict is not None:
            outcome = self.outcomes[self.verdict]
            if self.verdict in self.failed:
                outcome.raiseException()
            return outcome
        everything_failed = len(self.failed) == len(self.outcomes)
        if everything_failed and (self.outcomes or self.step.is_done_on_first):
            raise AllPipelinesFailedError(
                f"{self.step.label}: the pipeline failed for all {len(self.outcomes)} elements",
                "; ".join(f"{type(each.value).__name__}: {each.value}" for each in self.outcomes[:3]),
                failures=self.outcomes,
            )
        return self.outcomes


async def _awaiting(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
