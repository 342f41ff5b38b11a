"""Readiness: who is ready, given what is provided and who needs whom; a pure table that calls nobody."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Notice(Generic[Name]):
    """One change: `name` became ready, or was lost for that reason."""

    name: Name
    is_ready: bool
    reason: object = None


@dataclass(slots=True, eq=False)
class _Row(Generic[Name]):
    """What the table knows about one name."""

    name: Name
    #: The rows it needs. False: that edge does not count yet, see `Readiness.require`.
    needs: dict[_Row[Name], bool] = field(default_factory=dict)
    consumers: dict[_Row[Name], None] = field(default_factory=dict)
    is_added: bool = False
    is_provided: bool = False
    is_ready: bool = False
    #: How many counting needs are not ready.
    unready: int = 0
    reason: object = None


class Readiness(Generic[Name]):
    """One rule: a name is ready when it was added, its own value is provided, and all that it needs is ready.

    Every event gives the Notices of what it changed, each name after what it needs. An event costs what it changes,
    however large the table is.

    Args:
        stays_ready: true for names that, once ready, are not lost with what they need, only by `lose`.

    Example:
        >>> table = Readiness()
        >>> table.add("web", needs=["pipeline"]) + table.add("pipeline") + table.provide("web")
        []
        >>> [notice.name for notice in table.provide("pipeline")]
        ['pipeline', 'web']
    """

    def __init__(self, stays_ready: Callable[[Name], bool] = lambda name: False) -> None:
        self._rows: dict[Name, _Row[Name]] = {}
        self._stays_ready = stays_ready

    # Events

    def add(self, name: Name, needs: Iterable[Name] = ()) -> list[Notice[Name]]:
        """Let a name take part: nothing is ever ready, or lost by others, before it was added."""
        for need in needs:
            self.require(name, need)
        row = self._row(name)
        row.is_added = True
        notices = self._risen(row)
        for consumer, counts in [(consumer, consumer.needs[row]) for consumer in row.consumers]:
            if not counts:
                notices += self._count(consumer, row)
        return notices

    def remove(self, name: Name) -> list[Notice[Name]]:
        """Forget a name and what it needs; whoever still needs it goes without."""
        row = self._rows.get(name)
        if row is None:
            return []
        notices = self.lose(name)
        for need in list(row.needs):
            self.release(name, need.name)
        row.is_added = False
        self._tidy(row)
        return notices

    def require(self, name: Name, need: Name) -> list[Notice[Name]]:
        """Let one name need another.

        A need that was not added yet is missing, but counts for a name that takes part already only from then on.
        """
        row, needed = self._row(name), self._row(need)
        if needed in row.needs:
            return []
        row.needs[needed] = False
        needed.consumers[row] = None
        return self._count(row, needed) if needed.is_added or not row.is_added else []

    def release(self, name: Name, need: Name) -> list[Notice[Name]]:
        """Let one name no longer need another."""
        row, needed = self._row(name), self._row(need)
        counts = row.needs.pop(needed, False)
        needed.consumers.pop(row, None)
        self._tidy(needed)
        if not counts or needed.is_ready:
            return []
        row.unready -= 1
        return self._risen(row)

    def provide(self, name: Name) -> list[Notice[Name]]:
        """Note that a name has its own value."""
        row = self._row(name)
        row.is_provided, row.reason = True, None
        return self._risen(row)

    def lose(self, name: Name, reason: object = None) -> list[Notice[Name]]:
        """Note that a name has no value of its own any more."""
        row = self._row(name)
        row.is_provided, row.reason = False, reason
        return self._fallen(row, reason)

    # Questions

    def is_ready(self, name: Name) -> bool:
        row = self._rows.get(name)
        return row is not None and row.is_ready

    def reason(self, name: Name) -> object:
        """Why its own value was lost, None when it was not."""
        row = self._rows.get(name)
        return row and row.reason

    def needs(self, name: Name) -> list[Name]:
        """What a name needs directly, in the order it was told."""
        row = self._rows.get(name)
        return [need.name for need in row.needs] if row else []

    def consumers(self, name: Name) -> list[Name]:
        """Who needs it directly."""
        row = self._rows.get(name)
        return [consumer.name for consumer in row.consumers] if row else []

    def missing(self, name: Name) -> list[Name]:
        """The first causes why a name is not ready: what lacks nothing but its own value. It may be the name itself."""
        row = self._rows.get(name)
        if row is None or row.is_ready:
            return []
        causes, seen, todo = [], {row}, [row]
        while todo:
            row = todo.pop()
            deeper = [need for need, counts in row.needs.items() if counts and not need.is_ready]
            if not deeper:
                causes.append(row.name)
            todo += [need for need in reversed(deeper) if need not in seen]
            seen.update(deeper)
        return causes

    def circles(self, starts: Iterable[Name] | None = None) -> list[list[Name]]:
        """Circles of needs, each name before the one it needs; with `starts` only those that can be reached from there.

        A new circle has a new edge in it, so it is enough to start at the names that were given new needs.
        """
        found: list[list[Name]] = []
        done: set[_Row[Name]] = set()
        for start in list(self._rows) if starts is None else starts:
            row = self._rows.get(start)
            if row is not None and row not in done:
                found += self._circles_above(row, done)
        return found

    def __iter__(self) -> Iterator[Name]:
        return iter(self._rows)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    # Inner workings

    def _row(self, name: Name) -> _Row[Name]:
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = _Row(name)
        return row

    def _tidy(self, row: _Row[Name]) -> None:
        """Drop a row that says nothing: never added or removed, and nobody needs it."""
        if not (row.is_added or row.is_provided or row.consumers or row.needs):
            self._rows.pop(row.name, None)

    def _count(self, row: _Row[Name], needed: _Row[Name]) -> list[Notice[Name]]:
        """Let an edge count from now on."""
        row.needs[needed] = True
        if needed.is_ready:
            return []
        row.unready += 1
        return [] if self._stays_ready(row.name) else self._fallen(row, needed.reason)

    def _risen(self, first: _Row[Name]) -> list[Notice[Name]]:
        """Make ready what now can be. A consumer is looked at once its last need has risen, thus after all of them."""
        notices = []
        todo = deque([first])
        while todo:
            row = todo.popleft()
            if row.is_ready or row.unready or not (row.is_provided and row.is_added):
                continue
            row.is_ready = True
            notices.append(Notice(row.name, True))
            for consumer in row.consumers:
                if consumer.needs[row]:
                    consumer.unready -= 1
                    if not consumer.unready:
                        todo.append(consumer)
        return notices

    def _fallen(self, first: _Row[Name], reason: object) -> list[Notice[Name]]:
        """Take down a row that is ready, and all that falls with it."""
        if not first.is_ready:
            return []
        notices = []
        for row in self._falling(first):
            row.is_ready = False
            notices.append(Notice(row.name, False, reason))
            for consumer in row.consumers:
                if consumer.needs[row]:
                    consumer.unready += 1
        return notices

    def _falling(self, first: _Row[Name]) -> Iterator[_Row[Name]]:
        """The row and the ready ones above it, each after what it needs: depth first, read backwards."""
        ended: list[_Row[Name]] = []
        seen = {first}
        path = [(first, reversed(first.consumers))]
        while path:
            row, above = path[-1]
            for consumer in above:
                falls = consumer.is_ready and consumer.needs[row] and not self._stays_ready(consumer.name)
                if falls and consumer not in seen:
                    seen.add(consumer)
                    path.append((consumer, reversed(consumer.consumers)))
                    break
            else:
                ended.append(row)
                path.pop()
        return reversed(ended)

    def _circles_above(self, start: _Row[Name], done: set[_Row[Name]]) -> list[list[Name]]:
        """One circle for each edge that leads back to where we came from, going from needs to consumers."""
        found: list[list[Name]] = []
        path = {start: iter(start.consumers)}
        while path:
            row = next(reversed(path))
            for consumer in path[row]:
                if consumer in path:
                    way = [each.name for each in path]
                    found.append(way[way.index(consumer.name) :][::-1])
                elif consumer not in done:
                    path[consumer] = iter(consumer.consumers)
                    break
            else:
                done.add(row)
                del path[row]
        return found
