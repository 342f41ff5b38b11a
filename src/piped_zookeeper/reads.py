"""Reads: what was read is kept until ZooKeeper says that it has changed, and is asked for once at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from piped_zookeeper.paths import parent_of

#: The name of a call, and the path.
Key: TypeAlias = tuple[str, str]
#: Makes a call with a watch, or with None for none.
Fetch: TypeAlias = Callable[[str, str, Callable[[Any], None] | None], Deferred[Any]]


class Reads:
    """What was read, each with a watch of ZooKeeper.

    Nothing is thrown out to make room, for its watch would stay: when it is full, what is not in it is read without
    being kept.

    Args:
        fetch: how to read.
        most: how many answers are kept.
    """

    def __init__(self, fetch: Fetch, most: int) -> None:
        self._fetch, self._most = fetch, most
        self._entries: dict[Key, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def read(self, method: str, path: str) -> Deferred[Any]:
        """What a call gives, or gave when it was last made."""
        key = (method, path)
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= self._most:
                return self._fetch(method, path, None)
            entry = self._entries[key] = _Entry()
            fetched = self._fetch(method, path, _Forget(self, key))
            answer = entry.wait()
            fetched.addBoth(self._arrived, key, entry)
            return answer
        return entry.wait()

    def forget(self, key: Key) -> None:
        """Read that anew next time."""
        self._entries.pop(key, None)

    def wrote(self, path: str) -> None:
        """Read anew what may have changed with a node that was written, made or deleted here.

        Its watch says so too, and perhaps a moment later than the answer comes.
        """
        for method in ("get", "exists", "get_children"):
            self.forget((method, path))
        self.forget(("get_children", parent_of(path)))

    def clear(self) -> None:
        """Forget everything: without a connection nobody tells what changes."""
        self._entries.clear()

    def _arrived(self, result: Any, key: Key, entry: _Entry) -> None:
        if isinstance(result, Failure) and self._entries.get(key) is entry:
            del self._entries[key]
        entry.answer(result)


class _Entry:
    """One answer, or who waits for it."""

    def __init__(self) -> None:
        self._waiters: list[Deferred[Any]] = []
        self._answer: list[Any] = []

    def wait(self) -> Deferred[Any]:
        """A Deferred of the answer, which may be cancelled: the others get theirs."""
        if self._answer:
            return succeed(_own(self._answer[0]))
        waiter: Deferred[Any] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def answer(self, result: Any) -> None:
        if not isinstance(result, Failure):
            self._answer.append(result)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(_own(result))  # a Failure goes the way of failures


class _Forget:
    """What a watch does; equal to another one for the same, as a node must not collect watches."""

    __slots__ = ("_key", "_reads")

    def __init__(self, reads: Reads, key: Key) -> None:
        self._reads, self._key = reads, key

    def __call__(self, event: object) -> None:
        self._reads.forget(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Forget) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> Hashable:
        return id(self._reads), self._key


def _own(result: Any) -> Any:
    """A value that nobody else changes."""
    return list(result) if isinstance(result, list) else result
