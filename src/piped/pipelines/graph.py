"""Graph: the processors of one pipeline and where a baton enters; it never changes once compiled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from piped.ground.errors import Mark
from piped.pipelines.processor import Processor


class Graph:
    """A pipeline's processors, linked by their `consumers` and `error_consumers`.

    Iterating and indexing give the processors in their order: each, then what its consumers lead to, then its error
    consumers.
    """

    def __init__(self, name: str, sources: Sequence[Processor], where: Mark | None = None) -> None:
        self.name, self.sources, self.where = name, tuple(sources), where
        self.processors = tuple(_in_order(self.sources))

    @property
    def sinks(self) -> tuple[Processor, ...]:
        """The processors without normal consumers; which of them give results is decided while a baton walks."""
        return tuple(step for step in self.processors if not step.consumers)

    def __iter__(self) -> Iterator[Processor]:
        return iter(self.processors)

    def __getitem__(self, index: int) -> Processor:
        return self.processors[index]

    def __len__(self) -> int:
        return len(self.processors)

    def __repr__(self) -> str:
        return f"<Graph {self.name}: {len(self)} processors>"


def _in_order(sources: Sequence[Processor]) -> list[Processor]:
    """Depth first without recursion: a pipeline may be longer than Python's stack."""
    found: dict[Processor, None] = {}
    todo = list(reversed(sources))
    while todo:
        step = todo.pop()
        if step not in found:
            found[step] = None
            todo += reversed([*step.consumers, *step.error_consumers])
    return list(found)
