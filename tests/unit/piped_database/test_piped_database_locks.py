"""Tests of locks on a server that does what a test says."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
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


def test_a_try_that_fails_holds_nothing() -> None:
    """A server that gives the lock and then fails is told that nobody has it; whoever waits hears of the failure."""
    server, clock = Server(), Clock()

    async def failing(statement: str, values: dict[str, Any]) -> list[Any]:
        await server.command(statement, values)
        if "try" in statement:
            raise ValueError("cannot execute txid_current() during recovery")
        return []

    locks = Locks(failing, 4, clock)
    assert isinstance(failure_of(locks.wait_for("a")), ValueError)
    assert server.unlocked == [lock_id("a")]
    assert not locks.are_wanted


def test_whoever_is_cancelled_while_letting_go_has_let_go() -> None:
    """The lock is unlocked all the same when its holder is stopped while the server is slow."""
    server, turn = Server(), Deferred[None]()

    async def slow(statement: str, values: dict[str, Any]) -> list[Any]:
        if "try" not in statement:
            await turn
        return await server.command(statement, values)

    locks = Locks(slow, 4, Clock())
    locks.wait_for("a")
    releasing = Deferred.fromCoroutine(locks.release("a"))
    releasing.cancel()
    assert isinstance(failure_of(releasing), CancelledError)
    turn.callback(None)
    assert server.unlocked == [lock_id("a")]


def test_one_try_at_a_time() -> None:
    """However many wait and are cancelled, the server is asked once each interval; and nothing of them is kept."""
    server, clock = Server(), Clock()
    locks = Locks(server.command, 4, clock)
    server.is_free = False
    for _ in range(5):
        waiting = locks.wait_for("a")
        waiting.cancel()
        failure_of(waiting)
    assert server.tries == 1
    clock.advance(5)
    assert not locks.are_wanted


def test_a_connection_that_is_lost_in_the_middle_of_a_try() -> None:
    """Whoever waits hears that it was lost, and nothing else fails."""

    async def losing(statement: str, values: dict[str, Any]) -> list[Any]:
        await turn
        locks.lose()
        raise LockLost("the connection was lost")

    turn: Deferred[None] = Deferred()
    locks = Locks(losing, 4, Clock())
    waiting = locks.wait_for("a")
    turn.callback(None)
    assert isinstance(failure_of(waiting), LockLost)
