"""Random graphs: a pipeline does exactly what a recursive evaluator does that is written as the rules are told.

PIPED_GRAPHS sets how many graphs are tried; 20,000 take a few minutes.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from piped.pipelines.graph import Graph
from piped.pipelines.handovers import handovers
from piped.pipelines.processor import Processor
from piped.runtime.running import Outcome, Pipeline, Walk, current_failure

GRAPHS = int(os.environ.get("PIPED_GRAPHS", "240"))
MOST_CALLS = 300
WAYS = (
    "a new baton",
    "the same baton",
    "a fired Deferred",
    "a failed Deferred",
    "a Failure",
    "a Deferred",
    "async def",
    "async def around a Deferred",
    "async def around asyncio",
    "an object with __await__",
)


class Boom(Exception):
    pass


class Later:
    """Deferreds that fire when the test says so, in random order."""

    def __init__(self) -> None:
        self.rng, self.waiting = random.Random(1), list[tuple[Deferred[Any], Any]]()

    def wait(self, value: Any) -> Deferred[Any]:
        deferred: Deferred[Any] = Deferred()
        self.waiting.append((deferred, value))
        return deferred

    def fire(self) -> None:
        deferred, value = self.waiting.pop(self.rng.randrange(len(self.waiting)))
        deferred.callback(value)


class Awaitable:
    def __init__(self, deferred: Deferred[Any]) -> None:
        self.deferred = deferred

    def __await__(self) -> Any:
        return (yield from self.deferred.__await__())


class Step(Processor):
    """Behaves at random, depending only on its own seed and on how often it was called."""

    def __init__(self, number: int, seed: float, world: World) -> None:
        super().__init__(f"s{number}")
        self.number, self.world, self.seed = number, world, seed

    def reset(self) -> None:
        self.rng = random.Random(self.seed)

    def process(self, baton: Any) -> Any:
        world, rng = self.world, self.rng
        cause = world.cause_now()
        world.calls.append((self.number, baton, repr(cause)))
        way = rng.choice(WAYS)
        fails = rng.random() < world.failing or (way in ("a failed Deferred", "a Failure") and rng.random() < 0.5)
        value = baton if way == "the same baton" else (*baton[-6:], self.number)
        if len(world.calls) > MOST_CALLS:
            value, fails = baton, False
        return self.made(way, value, Boom(self.number, len(world.calls)) if fails else None)

    def made(self, way: str, value: Any, error: Boom | None) -> Any:
        later = self.world.later
        match way:
            case "a failed Deferred" if error:
                failed: Deferred[Any] = Deferred()
                failed.errback(error)
                return failed
            case "a Failure" if error:
                return Failure(error)
            case "a fired Deferred" if not error:
                return succeed(value)
            case "a Deferred":
                return later.wait(Failure(error) if error else value)
            case "async def":
                return self.coroutine(None, value, error)
            case "async def around a Deferred":
                return self.coroutine(later.wait(1), value, error)
            case "async def around asyncio":
                return self.coroutine(asyncio.sleep(0) if self.world.has_loop else succeed(1), value, error)
            case "an object with __await__":
                return Awaitable(later.wait(Failure(error) if error else value))
        if error:
            raise error
        return value

    async def coroutine(self, awaitable: Any, value: Any, error: Boom | None) -> Any:
        before = self.world.cause_now(plain=False)
        if awaitable is not None:
            await awaitable
        assert self.world.cause_now(plain=False) is before
        if error:
            raise error
        return value


class Decider(Step):
    def get_consumers(self, baton: Any) -> Sequence[Processor]:
        if self.rng.random() < self.world.failing / 2:
            raise Boom("decider", self.number)
        if len(self.world.calls) > MOST_CALLS:
            return []
        chosen = [step for step in self.consumers if self.rng.random() < 0.6]
        if self.rng.random() < 0.05:
            chosen.append(self.rng.choice(self.world.steps))  # any step of the graph, also from the middle of a run
        return chosen


class ErrorDecider(Step):
    def get_error_consumers(self, baton: Any) -> Sequence[Processor]:
        if self.rng.random() < 0.1:
            raise Boom("error decider", self.number)
        return [step for step in self.error_consumers if self.rng.random() < 0.6]


class Both(Decider, ErrorDecider):
    pass


class World:
    """A random graph, and what happens while one evaluator walks over it."""

    def __init__(self, seed: int, has_loop: bool) -> None:
        rng = random.Random(seed)
        self.has_loop = has_loop
        self.failing = rng.choice([0, 0.05, 0.2, 0.5])
        kinds = rng.choices([Step, Decider, ErrorDecider, Both], [6, 3, 1, 1], k=rng.randint(1, 12))
        self.steps = [kind(number, rng.random(), self) for number, kind in enumerate(kinds)]
        for number, step in enumerate(self.steps):
            self.connect(step, self.steps[: number + 1], self.steps[number + 1 :], rng)
        self.sources: list[Processor] = [self.steps[0]]
        if rng.random() < 0.3:
            self.sources.append(rng.choice(self.steps))

    def connect(self, step: Step, earlier: list[Step], later: list[Step], rng: random.Random) -> None:
        for _ in range(rng.choices([0, 1, 2, 3], [1, 6, 2, 1])[0]):
            if later:
                step.consumers.append(later[0] if rng.random() < 0.6 else rng.choice(later))
        for _ in range(rng.choices([0, 1, 2], [6, 2, 1])[0]):
            if later:
                step.error_consumers.append(rng.choice(later))
        # Loops only from steps that choose, or over error edges: the count of calls ends them.
        if isinstance(step, Decider) and rng.random() < 0.5:
            step.consumers.insert(rng.randint(0, len(step.consumers)), rng.choice(earlier))
        if rng.random() < 0.1:
            step.error_consumers.append(rng.choice(earlier))

    def prepare(self, is_reference: bool) -> None:
        self.is_reference = is_reference
        self.cause: BaseException | None = None
        self.calls: list[tuple[int, Any, str]] = []
        self.later = Later()
        for step in self.steps:
            step.reset()

    def cause_now(self, plain: bool = True) -> BaseException | None:
        if self.is_reference:
            return self.cause
        failure = current_failure()
        if failure is None:
            return None
        assert not plain or sys.exc_info()[1] is failure.value
        return failure.value


async def reference(world: World, baton: Any) -> list[Any]:
    """The rules of evaluation, word by word."""
    results: list[Any] = []

    async def node(step: Processor, baton: Any) -> None:
        before = world.cause
        try:
            out = step.process(baton)
            while hasattr(out, "__await__") or isinstance(out, Failure):
                if isinstance(out, Failure):
                    raise out.value
                out = await out
            consumers = step.get_consumers(out)
            for consumer in consumers:
                await node(consumer, out)
            if not consumers:
                results.append(out)
        except Exception as error:
            world.cause = before
            handlers = step.get_error_consumers(baton)
            if not handlers:
                raise
            for handler in handlers:
                world.cause = error
                try:
                    await node(handler, baton)
                finally:
                    world.cause = before

    for source in world.sources:
        await node(source, baton)
    return results


class InTask:
    """Awaits a coroutine in an asyncio task, with futures for the Deferreds that it awaits."""

    def __init__(self, coroutine: Any) -> None:
        self.coroutine = coroutine

    def __await__(self) -> Any:
        while True:
            try:
                yielded = self.coroutine.send(None)
            except StopIteration as end:
                return end.value
            if isinstance(yielded, Deferred):
                future = asyncio.get_running_loop().create_future()
                yielded.addBoth(lambda result, future=future: future.set_result(None) or result)
                yield from future
            else:
                yield yielded


async def in_task(coroutine: Any, told: Deferred[Any]) -> None:
    try:
        result = await InTask(coroutine)
    except Exception:
        told.errback(Failure())
    else:
        told.callback(result)


async def outcome_of(world: World, deferred: Deferred[Any]) -> Any:
    """Results or error, while the pending Deferreds of the world are fired in random order."""
    got: list[Any] = []
    deferred.addBoth(got.append)
    for _ in range(5000):
        if got:
            break
        if world.later.waiting:
            world.later.fire()
        elif world.has_loop:
            await asyncio.sleep(0)
    assert got, "the walk hangs"
    return repr(got[0].value) if isinstance(got[0], Failure) else got[0]


async def by_reference(world: World, baton: Any) -> Any:
    world.prepare(is_reference=True)
    if not world.has_loop:
        return await outcome_of(world, Deferred.fromCoroutine(reference(world, baton)))
    told: Deferred[Any] = Deferred()
    task = asyncio.ensure_future(in_task(reference(world, baton), told))
    try:
        return await outcome_of(world, told)
    finally:
        await task


async def by_pipeline(world: World, pipeline: Pipeline, baton: Any, is_traced: bool) -> Any:
    world.prepare(is_reference=False)
    if not is_traced:
        return await outcome_of(world, pipeline(baton))
    outcome, trace = pipeline.trace(baton)
    if isinstance(outcome, Walk):
        outcome = Outcome(outcome)
    elif isinstance(outcome, list):
        outcome = succeed(outcome)
    else:
        outcome = Deferred.fromCoroutine(raising(outcome))
    told = await outcome_of(world, outcome)
    tells_the_same(world, trace)
    return told


async def raising(failure: Failure) -> None:
    raise failure.value


def tells_the_same(world: World, trace: Any) -> None:
    """The hand-overs of a trace enter the same steps in the same order."""
    assert [visit.step.number for visit in trace.visits] == [number for number, _, _ in world.calls]
    told = [step for step in handovers(trace) if step["failure"] is None or step["is_error_consumer"]]
    assert [step["destination"] for step in told if step["destination"]] == [visit.step for visit in trace.visits]


async def compare(seeds: range, has_loop: bool) -> None:
    for seed in seeds:
        world = World(seed, has_loop)
        expected, calls = await by_reference(world, (-1,)), world.calls
        pipeline = Pipeline(Graph("random", world.sources))
        for is_traced in (False, True, False):
            got = await by_pipeline(world, pipeline, (-1,), is_traced)
            assert got == expected, (seed, is_traced)
            assert world.calls == calls, (seed, is_traced)
        assert (pipeline.succeeded + pipeline.failed, pipeline.waiting) == (3, 0), seed


def test_with_an_asyncio_loop() -> None:
    """Every step gets the same baton and cause in the same order, and the results are the same."""
    asyncio.run(compare(range(GRAPHS // 2), has_loop=True))


def test_without_a_loop() -> None:
    """The same holds under a reactor that is not asyncio's, where steps await Deferreds only."""
    with pytest.raises(StopIteration):
        compare(range(10**6, 10**6 + GRAPHS // 2), has_loop=False).send(None)
