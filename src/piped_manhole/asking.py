"""Asking: what a running process can tell about itself at the prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from piped import RuntimeEnvironment
from piped.resources.dependency_map import DependencyMap


class Help:
    """`h()`: what can be asked at the prompt, and how things stand.

    Args:
        pipelines: the provider of the pipelines: iterating gives the names, indexing the pipelines.
        dependencies: of the prompt, and
        declared: their names.
        names: all that there is at the prompt from the beginning.
    """

    def __init__(
        self,
        environment: RuntimeEnvironment,
        pipelines: Any,
        dependencies: DependencyMap,
        declared: Iterable[str],
        names: Iterable[str],
    ) -> None:
        self._environment, self._pipelines, self._dependencies = environment, pipelines, dependencies
        self._declared, self._names = list(declared), list(names)

    def __call__(self) -> None:
        print("\n".join(self._lines()))

    def __repr__(self) -> str:
        return "h() lists what can be asked"

    def _lines(self) -> Iterator[str]:
        yield f"names: {', '.join(self._names)}; dir() has all of them"
        yield from _table('pipelines, as in `await pipelines["name"]({"key": "value"})`:', self._of_pipelines())
        yield from _table("dependencies, as in `dependencies.name`:", self._of_dependencies())
        yield from _table("waiting for something:", self._waiting())
        yield from _table("running now:", self._running())

    def _of_pipelines(self) -> Iterator[tuple[str, str]]:
        for name in self._pipelines:
            pipeline = self._pipelines[name]
            counts = f"{pipeline.succeeded} succeeded, {pipeline.failed} failed, {pipeline.waiting} waiting"
            yield name, counts

    def _of_dependencies(self) -> Iterator[tuple[str, str]]:
        for name in self._declared:
            dependency = self._dependencies.get_dependency(name)
            yield name, f"{dependency.name}: {'ready' if dependency.is_ready else self._why_not(dependency)}"

    def _why_not(self, dependency: Any) -> str:
        causes = [cause for cause in self._environment.dependency_manager.missing(dependency) if cause]
        return f"waits for {', '.join(causes)}" if causes else "not ready"

    def _waiting(self) -> Iterator[tuple[str, str]]:
        for name, causes in self._environment.dependency_manager.waiting():
            yield name, ", ".join(causes)

    def _running(self) -> Iterator[tuple[str, str]]:
        for source in self._environment.sources:
            if source.running or not source.is_open:
                yield source.name, f"{source.running} batons{'' if source.is_open else ', takes no more'}"


def _table(title: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A title with indented rows below it; nothing where there are no rows."""
    listed = list(rows)
    if listed:
        widest = max(len(name) for name, _ in listed)
        yield title
        yield from (f"  {name.ljust(widest)}  {said}" for name, said in listed)
