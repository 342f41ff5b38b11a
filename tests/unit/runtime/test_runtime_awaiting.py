"""Awaiting: what a step may return and await, with asyncio's loop and without one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock, deferLater
from twisted.logger import globalLogPublisher

from piped.pipelines.graph import Graph
from piped.pipelines.processor import Processor
from piped.pipelines.runs import PLAIN
from piped.runtime.running import Pipeline, Walk


class Step(Processor):
    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.process = function  # type: ignore[method-assign]


def pipeline(*functions: Callable[[Any], Any]) -> Pipeline:
    steps = [Step(function) for function in functions]
    for before, after in pairwise(steps):
        before.consumers.append(after)
    return Pipeline(Graph("p", steps[:1]))


async def ended(outcome: Any) -> Any:
    return outcome if isinstance(outcome, list) else await outcome


def result_of(outcome: Any) -> Any:
    assert isinstance(outcome, Walk)
    return outcome.result()


class Later(Deferred[Any]):
    """A subclass that nobody thought of."""


class Awaitable:
    def __init__(self, awaited: Any) -> None:
        self.awaited = awaited

    def __await__(self) -> Any:
        return (yield from self.awaited.__await__())


async def waits_for(awaited: Any) -> Any:
    return await awaited


# Without a loop


@pytest.mark.parametrize("wrap", [lambda later: later, waits_for, Awaitable, lambda later: waits_for(Awaitable(later))])
def test_deferreds_need_no_loop(wrap: Callable[[Any], Any]) -> None:
    """Steps that wait for Deferreds, in whatever wrapping, run under any reactor, and at once when it fires."""
    later = Later()
    walk = pipeline(lambda baton: wrap(later), lambda baton: baton + 1).run(0)
    later.callback(1)
    assert result_of(walk) == [2]


def test_coroutines_run_under_a_clock() -> None:
    """An `async def` step waits for the test's own time."""
    clock = Clock()

    async def sleeps(baton: Any) -> Any:
        for _ in range(3):
            await deferLater(clock, 1)
        return baton

    walk = pipeline(sleeps).run(5)
    clock.pump([1, 1])
    assert isinstance(walk, Walk)
    assert not walk.done()
    clock.advance(1)
    assert result_of(walk) == [5]


def test_a_coroutine_that_never_waits_ends_at_once() -> None:
    """It gives its results, not a Walk; so does one that awaits what has fired."""

    async def quick(baton: Any) -> Any:
        return await succeed(baton + 1)

    assert pipeline(quick, quick).run(0) == [2]


def test_a_failure_is_raised_where_it_is_awaited() -> None:
    """Inside the coroutine, as its own exception, with its traceback."""
    later: Deferred[Any] = Deferred()

    async def handles(baton: Any) -> Any:
        try:
            await later
        except ValueError as error:
            return str(error)

    walk = pipeline(handles).run(0)
    later.errback(ValueError("no"))
    assert result_of(walk) == ["no"]


def test_an_unknown_awaitable_is_an_error() -> None:
    """What neither Twisted nor asyncio knows is told to the step that awaits it."""

    class Foreign:
        def __await__(self) -> Any:
            yield "trio"

    with pytest.raises(RuntimeError, match="a step awaited 'trio'"):
        pipeline(lambda baton: Foreign()).run(0)


def test_generators_are_batons() -> None:
    """What is no awaitable is passed on as it is, and its class is only remembered if that says everything."""
    made = (number for number in range(3))
    assert pipeline(lambda baton: made).run(0) == [made]
    assert type(made) not in PLAIN
    assert pipeline(lambda baton: Clock).run(0) == [Clock]


def test_a_failure_that_nobody_hears_is_logged() -> None:
    """A walk that failed while nobody listened tells the log when it is forgotten; one that is heard does not."""
    logged: list[Any] = []
    globalLogPublisher.addObserver(logged.append)
    try:
        for listens in (False, True):
            later: Deferred[Any] = Deferred()
            walk = pipeline(lambda baton, later=later: later).run(0)
            later.errback(ValueError("unheard"))
            if listens:
                assert isinstance(walk, Walk)
                assert isinstance(walk.exception(), ValueError)
            del walk
            gc.collect()
            assert [str(event["log_failure"].value) for event in logged if "log_failure" in event] == ["unheard"]
    finally:
        globalLogPublisher.removeObserver(logged.append)


def test_who_stops_himself_leaves_nothing_behind() -> None:
    """A step that stops its own walk and then waits is cancelled there, without a word in the log."""
    logged: list[Any] = []
    first: Deferred[Any] = Deferred()

    async def stops(baton: Any) -> None:
        await first
        walk.stop()
        await Deferred()

    globalLogPublisher.addObserver(logged.append)
    try:
        walk: Any = pipeline(stops).run(0)
        first.callback(None)
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert walk.cancelled()
    assert not logged


# With asyncio


def test_both_worlds_in_one_coroutine() -> None:
    """A step may await asyncio's things and Deferreds in turn."""

    async def both(baton: Any) -> Any:
        later: Deferred[Any] = Deferred()
        asyncio.get_running_loop().call_soon(later.callback, 2)
        return [await asyncio.sleep(0, 1), await later, await asyncio.gather(asyncio.sleep(0, 3))]

    async def main() -> Any:
        return await ended(pipeline(both, lambda baton: asyncio.ensure_future(asyncio.sleep(0, baton))).run(0))

    assert asyncio.run(main()) == [[1, 2, [3]]]


def test_asyncio_knows_the_task_from_the_first_line() -> None:
    """`current_task` is one and the same in all of a baton's coroutines, and another for its sender."""
    tasks: list[Any] = []

    async def looks(baton: Any) -> Any:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        tasks.append(asyncio.current_task())
        return baton

    async def main() -> None:
        own = asyncio.current_task()
        walk = pipeline(looks, looks).run(0)
        assert asyncio.current_task() is own
        await ended(walk)
        assert set(tasks) == {walk}
        assert asyncio.current_task() is own

    asyncio.run(main())


def test_a_cancelling_can_be_taken_back() -> None:
    """A timeout that comes too late to be raised harms nothing that is awaited later."""

    async def takes_back(baton: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        assert (task.cancelling(), task.uncancel()) == (1, 0)
        return await asyncio.sleep(0, baton)

    async def main() -> Any:
        return await ended(pipeline(takes_back).run(5))

    assert asyncio.run(main()) == [5]


def test_timeouts_and_groups_work() -> None:
    """asyncio's own tools, around its futures, around Deferreds and around other pipelines."""
    inner = pipeline(lambda baton: Deferred())

    async def times_out(baton: Any) -> Any:
        for awaited in (asyncio.sleep(9), Deferred(), inner.run(0), inner(0)):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await awaited
        assert inner.waiting == 0
        return baton

    async def groups(baton: Any) -> Any:
        async with asyncio.TaskGroup() as group:
            one = group.create_task(asyncio.sleep(0, "one"))
        return one.result(), await asyncio.wait_for(asyncio.sleep(0, "two"), 1)

    async def fails() -> None:
        raise ValueError

    async def group_fails(baton: Any) -> Any:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                await Deferred()
        except ExceptionGroup:
            return baton

    async def main() -> Any:
        return await ended(pipeline(times_out, groups, group_fails).run(0))

    assert asyncio.run(main()) == [("one", "two")]


@pytest.mark.parametrize("awaits", [lambda: asyncio.sleep(9), lambda: asyncio.sleep(0), lambda: waits_for(Deferred())])
@pytest.mark.parametrize("swallows", [False, True])
def test_cancelling_reaches_whatever_waits(awaits: Callable[[], Any], swallows: bool) -> None:
    """The error is raised where the step waits; the Deferred fires when its cleaning up has ended."""
    log: list[str] = []

    async def cleans_up(baton: Any) -> Any:
        try:
            await awaits()
        except BaseException as error:
            await asyncio.sleep(0)
            log.append(type(error).__name__)
            if not swallows:
                raise

    def never(baton: Any) -> None:
        log.append("never")

    async def main() -> None:
        walked = pipeline(cleans_up, never)
        walked[0].error_consumers.append(Step(never))
        deferred = Pipeline(walked.graph)(0)
        deferred.addErrback(lambda failure: log.append(failure.type is CancelledError))  # type: ignore[arg-type]
        deferred.cancel()
        assert log == []
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert log == ["CancelledError", True]


def test_a_walk_is_awaited_like_a_future() -> None:
    """By tasks and by asyncio's tools; its failure is raised there."""

    async def fails(baton: Any) -> Any:
        await asyncio.sleep(0)
        raise ValueError(baton)

    async def main() -> None:
        walks = [pipeline(lambda baton: asyncio.sleep(0, baton)).run(number) for number in range(3)]
        assert await asyncio.gather(*walks) == [[0], [1], [2]]
        with pytest.raises(ValueError, match="7"):
            await ended(pipeline(fails).run(7))

    asyncio.run(main())


def test_a_walk_that_lasts_has_no_result() -> None:
    """Asking too early is an error of the asker."""
    walk = pipeline(lambda baton: Deferred()).run(0)
    with pytest.raises(asyncio.InvalidStateError):
        result_of(walk)
