"""What a step costs, beside the plain Python statement that does the same; every bar is printed, none is asserted.

Times are CPU time in microseconds: medians of rounds in which step and statement take turns.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import uvloop
from engine import line, verdict
from twisted.internet import asyncioreactor

from piped import RuntimeEnvironment
from piped.config.gathering import gather_text
from piped.runtime.assembly import check, configure
from piped.testing import Stage

ROUNDS, TIMES = 2000, 101

#: For each step: its options, the same as a statement over `baton`, and a baton.
STEPS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("remap", "{mapping: {x: y}}", "baton['y'] = baton['x']", {"x": 1}),
    ("remap", "{mapping: [user.name: name]}", "baton['name'] = baton['user']['name']", {"user": {"name": "Ada"}}),
    (
        "remap",
        "{mapping: [a: to.a, b: to.b, from.c: to.c]}",
        "to = baton.setdefault('to', {}); to['a'] = baton['a']; to['b'] = baton['b']; to['c'] = baton['from']['c']",
        {"a": 1, "b": 2, "from": {"c": 3}},
    ),
    ("set-value", "{path: y, value: 1}", "baton['y'] = 1", {}),
    ("set-value", "{path: user.name, value: Ada}", "baton['user']['name'] = 'Ada'", {"user": {}}),
    ("set-value", "{path: y, value: {a: 1, b: [1, 2]}}", "baton['y'] = {'a': 1, 'b': [1, 2]}", {}),
    ("eval-lambda", "{lambda: 'n: n + 1', input_path: n, output_path: m}", "baton['m'] = f(baton['n'])", {"n": 1}),
    (
        "eval-lambda",
        "{lambda: 'baton: baton[\"n\"] + 1', output_path: m}",
        "baton['m'] = g(baton)",
        {"n": 1},
    ),
    (
        "format-string",
        "{input_path: user, output_path: text, format: 'Hello {name}, you are {age}'}",
        "baton['text'] = 'Hello {name}, you are {age}'.format(**baton['user'])",
        {"user": {"name": "Ada", "age": 36}},
    ),
    (
        "format-string",
        "{input_path: n, output_path: text, format: 'n: {0}'}",
        "baton['text'] = 'n: {0}'.format(baton['n'])",
        {"n": 7},
    ),
    (
        "decode-json",
        "{input_path: json, output_path: data}",
        "baton['data'] = json.loads(baton['json'])",
        {"json": '{"n": [1, 2, 3], "name": "Ada"}'},
    ),
    (
        "encode-json",
        "{input_path: data, output_path: json}",
        "baton['json'] = json.dumps(baton['data'])",
        {"data": {"n": [1, 2, 3], "name": "Ada"}},
    ),
]


def loop_of(statement: str, **names: Any) -> Callable[[dict[str, Any], range], float]:
    """A function that gives the CPU seconds of a statement that is run once for each number."""
    namespace = {"clock": time.process_time, "json": json, "f": lambda n: n + 1, "g": lambda baton: baton["n"] + 1}
    namespace |= names
    body = f"started = clock()\n    for _ in numbers:\n        {statement}\n    return clock() - started"
    exec(f"def loop(baton, numbers):\n    {body}", namespace)
    made: Callable[[dict[str, Any], range], float] = namespace["loop"]
    return made


def steps() -> None:
    for name, options, statement, baton in STEPS:
        stage = Stage(f"pipelines: {{main: [{{{name}: {options}}}]}}")
        [step] = stage.get("pipeline.main")
        ways = {"step": loop_of("process(baton)", process=step.process), "plain": loop_of(statement)}
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(TIMES):
            for way, loop in ways.items():
                times[way].append(loop(dict(baton), range(ROUNDS)) / ROUNDS * 1e6)
        plain, found = median(times["plain"]), median(times["step"])
        line(f"{name}: {statement}"[:63], f"{found:.2f}", f"plain {plain:.2f}; {verdict(found, 2 * plain + 0.3)}")


def for_each() -> None:
    """A step that does next to nothing, for 100,000 elements."""
    stage = Stage(
        """
        pipelines:
          one: [set-value: {path: done, value: true}]
          all: [for-each: {pipeline: one}]
        """
    )
    run, walk = stage.get("pipeline.one").run, stage.get("pipeline.all").run
    times: dict[str, list[float]] = {"for-each": [], "loop": []}
    for _ in range(11):
        for way in times:
            elements: list[Any] = [{} for _ in range(100_000)]
            gc.collect()
            started = time.process_time()
            if way == "loop":
                _ = [run(element)[-1] for element in elements]
            else:
                walk(elements)  # on a clock that stands still nobody else wants a turn
            times[way].append((time.process_time() - started) * 1e3)
    hand, found = median(times["loop"]), median(times["for-each"])
    line("for-each over 100,000 elements, in ms", f"{found:.0f}", f"by hand {hand:.0f}; {verdict(found, 1.5 * hand)}")


async def in_parallel() -> None:
    """Elements that each wait 10 ms, 100 at a time: a second if nothing else took time."""
    reactor = asyncioreactor.AsyncioSelectorReactor(asyncio.get_running_loop())
    text = """
        pipelines:
          one: [wait: {delay: 0.01}]
          all: [for-each: {pipeline: one, parallel: 100}]
        """
    assembly = check(gather_text(text, "bench", environ={}), {})
    environment = RuntimeEnvironment(assembly.document, reactor=reactor)
    configure(assembly, environment)
    wanted = environment.add_processor(in_parallel, "pipeline.all")
    environment.dependency_manager.resolve_initial_states()
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    cpu, started = time.process_time(), time.perf_counter()
    wanted.get_resource()([{} for _ in range(10_000)]).addBoth(lambda _: ended.set_result(None))
    await ended
    found, cpu = time.perf_counter() - started, time.process_time() - cpu
    line("for-each, parallel: 100, 10,000 x 10 ms, in s", f"{found:.2f}", f"{cpu:.2f} s of CPU; {verdict(found, 1.5)}")


def main() -> None:
    print(f"Python {sys.version.split()[0]}, medians of {TIMES} in us of CPU time")
    gc.disable()
    steps()
    for_each()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(in_parallel())


if __name__ == "__main__":
    main()
