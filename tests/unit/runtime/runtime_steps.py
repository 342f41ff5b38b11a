"""Steps and pipelines that tests of the engine are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from piped.ground.errors import Mark
from piped.pipelines.graph import Graph
from piped.pipelines.processor import Processor
from piped.runtime.running import Pipeline


class Step(Processor):
    """Adds its name to the baton, or does what it is given to do."""

    def __init__(self, name: str, function: Callable[[Any], Any] | None = None) -> None:
        super().__init__(name)
        self.where = Mark("site.yml", 3, 5)
        if function is not None:
            self.process = function  # type: ignore[method-assign]

    def process(self, baton: Any) -> Any:
        return baton + self.label


def fails(baton: Any) -> Any:
    raise ValueError(baton)


def same(baton: Any) -> Any:
    return baton


def chain(*chained: Processor) -> Processor:
    for number, step in enumerate(chained[1:]):
        chained[number].consumers.append(step)
    return chained[0]


def guarded(step: Processor, *error_consumers: Processor) -> Processor:
    step.error_consumers += error_consumers
    return step


def pipeline(*sources: Processor, name: str = "p", **options: Any) -> Pipeline:
    return Pipeline(Graph(name, sources), **options)


def outcome_of(deferred: Deferred[Any]) -> Any:
    """What a Deferred has fired with; None if it has not."""
    got: list[Any] = [None]
    deferred.addBoth(got.append)
    return got[-1]
