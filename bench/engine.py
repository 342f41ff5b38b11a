"""What a baton costs, beside a hand-written loop and other evaluators; every bar is printed, none is asserted.

Figures are medians in microseconds of functions that take turns, so that a busy neighbour disturbs all of them alike.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from types import FunctionType
from typing import Any

import uvloop
from reference import hand_written, inline_callbacks, recursive
from twisted.internet import task
from twisted.internet.defer import succeed

from piped.pipelines.graph import Graph
from piped.pipelines.processor import Processor
from piped.runtime.running import Pipeline

ROUNDS, TIMES = 400, 151


class Same(Processor):
    """Changes the baton and hands it on."""

    def process(self, baton: Any) -> Any:
        baton["n"] += 1
        return baton


class New(Processor):
    """Makes a new baton."""

    def process(self, baton: Any) -> Any:
        return {"n": baton["n"] + 1}


class Decides(Same):
    def get_consumers(self, baton: Any) -> Sequence[Processor]:
        return self.consumers


class Fails(Processor):
    def process(self, baton: Any) -> Any:
        raise ValueError


class Fired(Processor):
    def process(self, baton: Any) -> Any:
        baton["n"] += 1
        return succeed(baton)


class Coroutine(Processor):
    async def process(self, baton: Any) -> Any:
        baton["n"] += 1
        return baton


class Sleeps(Processor):
    async def process(self, baton: Any) -> Any:
        await asyncio.sleep(0)
        baton["n"] += 1
        return baton


class Loops(Same):
    def get_consumers(self, baton: Any) -> Sequence[Processor]:
        return self.consumers[:1] if baton["n"] < baton["until"] else self.consumers[1:]


class Retries(Processor):
    def process(self, baton: Any) -> Any:
        baton["n"] += 1
        if baton["n"] < baton["until"]:
            raise ValueError(baton["n"])
        return baton


def chain(*steps: Processor) -> Processor:
    for before, after in pairwise(steps):
        before.consumers.append(after)
    return steps[0]


def of_one_class(kind: type[Processor], count: int = 10) -> list[Processor]:
    return [kind() for _ in range(count)]


def of_their_own(kind: type[Processor], count: int = 10) -> list[Processor]:
    """Steps that do the same, each with a class and code of its own, as those of a pipeline usually have."""
    made = []
    for number in range(count):
        process = FunctionType(kind.process.__code__.replace(), globals())
        made.append(type(f"{kind.__name__}{number}", (kind,), {"process": process})())
    return made


def pipeline(*sources: Processor, sampled: int | None = None) -> Pipeline:
    return Pipeline(Graph("bench", sources), sampled=sampled)


def measure(**functions: Callable[[Any], Any]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in functions}
    gc.collect()
    gc.disable()
    for _ in range(TIMES):
        for name, function in functions.items():
            baton = {"n": 0, "until": 0}
            started = time.perf_counter()
            for _ in range(ROUNDS):
                function(baton)
            times[name].append((time.perf_counter() - started) / ROUNDS * 1e6)
        gc.collect(0)  # what batons leave behind must not be found by the next
    gc.enable()
    return {name: median(values) for name, values in times.items()}


def line(what: str, value: str, note: str = "") -> None:
    print(f"| {what:63} | {value:>11} | {note}")


def verdict(found: float, bar: float) -> str:
    return f"bar {bar:.2f}: {'met' if found <= bar else 'MISSED'}"


def chains() -> None:
    for words, make in (("ten classes", of_their_own), ("one class ten times", of_one_class)):
        for result, kind in (("hands on its baton", Same), ("makes a new one", New)):
            steps = make(kind)
            run = pipeline(chain(*steps))
            us = measure(
                hand=hand_written(steps), run=run.run, public=run, watched=pipeline(steps[0], sampled=1000).run
            )
            line(f"10 steps, {words}, each {result}: by hand", f"{us['hand']:.2f}")
            bar = 1.25 * us["hand"] + 0.5
            line(
                "    Pipeline(...), a fired Deferred",
                f"{us['public']:.2f}",
                f"{verdict(us['public'], bar)} (1.25 x by hand + 0.50)",
            )
            line(
                "    Pipeline.run, without the Deferred", f"{us['run']:.2f}", f"{us['run'] / us['hand']:.2f} x by hand"
            )
            more = us["watched"] - us["run"]
            line("    one baton in 1000 watched", f"{us['watched']:.2f}", f"{more:+.2f}; {verdict(more, 0.1)}")


def evaluators() -> None:
    steps = of_their_own(Same)
    run = pipeline(chain(*steps))
    us = measure(run=run.run, traced=run.trace, recursive=recursive(steps[:1]), inline=inline_callbacks(steps[:1]))
    line("10 steps by nested calls", f"{us['recursive']:.2f}", f"{us['recursive'] / us['run']:.1f} x Pipeline.run")
    times = us["inline"] / us["run"]
    line(
        "10 steps by nested inlineCallbacks",
        f"{us['inline']:.2f}",
        f"{times:.0f} x; bar 25 x: {'met' if times >= 25 else 'MISSED'}",
    )
    line("10 steps, traced", f"{us['traced']:.2f}", f"{(us['traced'] - us['run']) / 10:.2f} a step")


def edges() -> None:
    """Eleven steps in a row, and the same with ten of what is to be measured."""

    def extra(what: str, special: Processor, straight: Processor | None = None) -> None:
        straight = straight or chain(*of_one_class(Same, 11))
        us = measure(straight=pipeline(straight).run, special=pipeline(special).run)
        found = (us["special"] - us["straight"]) / 10
        line(what, f"{found:.2f}", verdict(found, 1))

    trunk = of_one_class(Same, 11)
    branching = chain(*trunk)
    for step in trunk[:10]:
        step.consumers.append(Same())
    extra("a branch, with the step it leads to", branching)

    trunk = of_one_class(Same, 11)
    chain(*trunk)
    merging, straight = (Decides(), Decides())
    for entry, chosen in ((merging, trunk[0]), (straight, chain(*of_one_class(Same, 11)))):
        entry.get_consumers = lambda baton, chosen=chosen: [chosen]
    merging.consumers = list(trunk)  # each step has two edges that lead to it, of which one is never taken
    extra("a merge", merging, straight)

    trunk = of_one_class(Same, 11)
    for step in trunk[:10]:
        step.error_consumers.append(Same())
    extra("a guard, no failure", chain(*trunk))
    extra("a dynamic get_consumers", chain(*of_one_class(Decides, 10), Same()))


def failures_and_waits() -> None:
    first, last = Same(), Fails()
    first.error_consumers.append(Same())
    us = measure(two=pipeline(chain(Same(), Same())).run, handled=pipeline(chain(first, last)).run)
    found = us["handled"] - us["two"]
    line("a handled error, with its error consumer", f"{found:.2f}", verdict(found, 2.5))
    for what, kind in (("a step that returns a fired Deferred", Fired), ("an async def that never waits", Coroutine)):
        us = measure(plain=pipeline(Same()).run, special=pipeline(kind()).run)
        found = us["special"] - us["plain"]
        line(f"{what}, over a plain step", f"{found:.2f}", verdict(found, 2) if kind is Coroutine else "")


def loops() -> None:
    def lasting(what: str, source: Processor, rounds: int) -> None:
        """In a child, so that the peak of memory is its own."""
        sys.stdout.flush()
        if child := os.fork():
            os.waitpid(child, 0)
            return
        walked, baton = Pipeline(Graph("loop", [source]), task.Clock()), {"n": 0, "until": rounds}
        gc.collect()
        gc.disable()
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        walked.run(baton)
        spent = time.perf_counter() - started
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        line(
            what,
            f"{spent / rounds * 1e6:.2f}",
            f"a round; {grown} KiB more memory, collector off; bar constant: {'met' if grown < 1024 else 'MISSED'}",
        )
        sys.stdout.flush()
        os._exit(0)

    decider = Loops()
    decider.consumers = [decider, Same()]
    lasting("1,000,000 rounds through a decider", decider, 1_000_000)
    body, decider = Same(), Loops()
    decider.consumers, body.consumers = [body, Same()], [decider]
    lasting("1,000,000 rounds of two steps", decider, 1_000_000)
    retries, again = Retries(), Same()
    retries.error_consumers, again.consumers = [again], [retries]
    lasting("1,000,000 retries over an error edge", retries, 1_000_000)


async def waits(loop_name: str, bar: float) -> None:
    """A step that awaits asyncio.sleep(0), beside a bare task of the running loop."""
    run, bare, loop = pipeline(Sleeps()), Sleeps().process, asyncio.get_running_loop()

    async def many(start: Callable[[Callable[[Any], None]], Any], count: int = 2000) -> float:
        ended, left = loop.create_future(), count

        def done(_: Any) -> None:
            nonlocal left
            left -= 1
            if not left:
                ended.set_result(None)

        started = time.perf_counter()
        for _ in range(count):
            start(done)
        await ended
        return (time.perf_counter() - started) / count * 1e6

    ways: dict[str, Callable[[Any], Any]] = {
        "task": lambda done: asyncio.create_task(bare({"n": 0})).add_done_callback(done),
        "run": lambda done: run.run({"n": 0}).when_ended(done),
        "public": lambda done: run({"n": 0}).addCallback(done),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    gc.disable()
    for _ in range(TIMES // 5):
        for name, start in ways.items():
            found[name].append(await many(start))
            gc.collect()
    gc.enable()
    us = {name: median(values) for name, values in found.items()}
    line(f"await asyncio.sleep(0) on {loop_name}: a bare task", f"{us['task']:.2f}")
    times = us["run"] / us["task"]
    line("    Pipeline.run", f"{us['run']:.2f}", f"{times:.2f} x; {verdict(times, bar)}")
    line("    Pipeline(...)", f"{us['public']:.2f}", f"{us['public'] / us['task']:.2f} x")


def main() -> None:
    print(f"Python {sys.version.split()[0]}, medians of {TIMES} in us")
    chains()
    evaluators()
    edges()
    failures_and_waits()
    loops()
    asyncio.run(waits("asyncio's loop", 1.5))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(waits("uvloop", 2.0))


if __name__ == "__main__":
    main()
