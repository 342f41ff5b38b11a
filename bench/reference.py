"""What the engine is measured against: hand-written loops, a recursive evaluator, and one of nested inlineCallbacks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks

from piped.pipelines.processor import Processor

Run = Callable[[Any], Any]


def hand_written(steps: Sequence[Processor]) -> Run:
    """What a person would write who needs no framework."""

    def run(baton: Any) -> Any:
        for step in steps:
            baton = step.process(baton)
        return baton

    return run


def recursive(sources: Sequence[Processor]) -> Run:
    """Nested calls, the shortest way to write the rules; Deferreds must have fired."""

    def node(step: Processor, baton: Any, results: list[Any]) -> None:
        try:
            out = step.process(baton)
            if isinstance(out, Deferred):
                out = out.result
            consumers = step.get_consumers(out)
            for consumer in consumers:
                node(consumer, out, results)
            if not consumers:
                results.append(out)
        except Exception:
            handlers = step.get_error_consumers(baton)
            if not handlers:
                raise
            for handler in handlers:
                node(handler, baton, results)

    def run(baton: Any) -> list[Any]:
        results: list[Any] = []
        for source in sources:
            node(source, baton, results)
        return results

    return run


def inline_callbacks(sources: Sequence[Processor]) -> Run:
    """A generator, a Deferred and two looks at the clock for every step: how such evaluators used to be written."""

    @inlineCallbacks
    def node(step: Processor, baton: Any, results: list[Any]) -> Any:
        try:
            started = time.time()
            out = yield step.process(baton)
            step.time_spent += time.time() - started
            consumers = step.get_consumers(out)
            for consumer in consumers:
                yield node(consumer, out, results)
            if not consumers:
                results.append(out)
        except Exception:
            handlers = step.get_error_consumers(baton)
            if not handlers:
                raise
            for handler in handlers:
                yield node(handler, baton, results)

    @inlineCallbacks
    def run(baton: Any) -> Any:
        results: list[Any] = []
        for source in sources:
            yield node(source, baton, results)
        return results

    return run
