"""Tests of locks on a server that does what a test says."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from piped_database.locks import LockLost, Locks, lock_id


class Server:
    """One connection to a server on which others may hold locks."""

    def __init__(self) -> None:
        self.is_free = True
        self.tries = 0
        self.unlocked: list[int] = []

    async def command(self, statement: str, values: dict[str, Any]) -> list[Any]:
        if "try" not in statement:
            self.unlocked.append(values["id"])
            return [[True]]
        self.tries += 1
        return [[100 + self.tries if self.is_free else None]]


def failure_of(deferred: Deferred[Any]) -> Any:
    failures: list[Any] = []
    deferred.addErrback(lambda failure: failures.append(failure.value))
    return failures[0] if failures else None


def test_ids_have_64_bits() -> None:
    """Names have ids all over the range of bigint, so that two of them hardly ever meet; always the same ones."""
    ids = {lock_id(f"name {number}") for number in range(1000)}
    assert len(ids) == 1000
    assert min(ids) < -(2**61)
    assert max(ids) > 2**61
    assert all(-(2**63) <= each < 2**63 for each in ids)


def test_a_lock_that_somebody_holds_is_tried_again() -> None:
    """Every interval, more or less, until it is free; then all who wait share it."""
    server, clock = Server(), Clock()
    locks = Locks(server.command, 4, clock)
    server.is_free = False
    first, second = locks.wait_for("a"), locks.wait_for("a")
    clock.pump([5, 5])
    assert (server.tries, first.called) == (3, False)
    server.is_free = True
    clock.advance(5)
    assert first.called
    assert second.called
    assert locks.wait_for("a").called


def test_a_lock_is_let_go_of_as_often_as_it_was_taken() -> None:
    """The last one who lets go unlocks it."""
    server = Server()
    locks = Locks(server.command, 4, Clock())
    locks.wait_for("a")
    locks.wait_for("a")
    told = [Deferred.fromCoroutine(locks.release("a")).result for _ in range(3)]
    assert told == [True, True, False]
    assert server.unlocked == [lock_id("a")]


def test_nobody_waits_in_vain() -> None:
    """When the connection is lost all who wait hear so, and so does whoever comes later."""
    server, clock = Server(), Clock()
    locks = Locks(server.command, 4, clock)
    server.is_free = False
    waiting = locks.wait_for("a")
    locks.lose()
    assert isinstance(failure_of(waiting), LockLost)
    assert isinstance(failure_of(locks.wait_for("a")), LockLost)
    assert clock.getDelayedCalls() == []


def test_whoever_is_cancelled_gets_nothing() -> None:
    """Nobody tries for a lock any more that nobody waits for."""
    server, clock = Server(), Clock()
    locks = Locks(server.command, 4, clock)
    server.is_free = False
    waiting = locks.wait_for("a")
    waiting.cancel()
    failure_of(waiting)
    server.is_free = True
    clock.pump([5, 5])
    assert server.tries == 1
