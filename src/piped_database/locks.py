"""Advisory locks of PostgreSQL by name, as one connection holds them or waits for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from piped import Backoff, PipedError, Seconds

#: Runs a statement with values; gives rows.
Command = Callable[[str, dict[str, Any]], Awaitable[list[Any]]]
#: The number of a transaction is taken after the lock, so that whoever holds it later has a higher one.
_TRY: Final = "SELECT CASE WHEN pg_try_advisory_lock(%(id)s) THEN txid_current() END"
_UNLOCK: Final = "SELECT pg_advisory_unlock(%(id)s)"


class LockLost(PipedError):
    """The connection was lost, and with it all locks that it held or waited for."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held.

    Args:
        token: a number that is higher for each later holder: what refuses lower ones than it has seen is safe from
            holders who do not know yet that they have lost the lock.
    """

    name: str
    id: int
    token: int


def lock_id(name: str) -> int:
    """The number of 64 bits that PostgreSQL knows a lock by.

    Example:
        >>> lock_id("nightly report")
        -1898891830951415930
    """
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)


class _Wanted:
    """One name: who waits for its lock, or how often it is held."""

    def __init__(self) -> None:
        self.lock: Lock | None = None
        self.holders = 0
        self.is_tried = False
        self.waiting: list[Deferred[Lock]] = []


class Locks:
    """The locks of one connection. Whoever asks on the same connection for one that is held shares it.

    Args:
        interval: how often a lock that somebody else holds is tried.
        clock: the reactor.
    """

    def __init__(self, command: Command, interval: Seconds, clock: Any) -> None:
        self._command, self._interval, self._clock = command, interval, clock
        self._wanted: dict[str, _Wanted] = {}
        self._is_lost = False
        self._tries: set[Deferred[None]] = set()

    @property
    def are_wanted(self) -> bool:
        """Whether one is held or waited for."""
        return bool(self._wanted)

    def wait_for(self, name: str) -> Deferred[Lock]:
        """Fires when the lock is held; fails with LockLost. Cancelled, it does not wait any more."""
        if self._is_lost:
            return fail(LockLost(f"there is no connection for the lock {name!r}"))
        wanted = self._wanted.setdefault(name, _Wanted())
        if wanted.lock is not None:
            wanted.holders += 1
            return succeed(wanted.lock)
        waiting: Deferred[Lock] = Deferred(wanted.waiting.remove)
        wanted.waiting.append(waiting)
        if not wanted.is_tried:
            self._begin(name, wanted)
        return waiting

    async def release(self, name: str) -> bool:
        """Let go of a lock, once for each time that it was waited for; whether it was held."""
        wanted = self._wanted.get(name)
        if wanted is None or wanted.lock is None:
            return False
        wanted.holders -= 1
        if wanted.holders == 0:
            lock, wanted.lock = wanted.lock, None
            del self._wanted[name]
            # Whoever is cancelled while this is under way has let go of it all the same.
            unlocked: Deferred[list[Any]] = Deferred()
            Deferred.fromCoroutine(self._unlock(lock.name)).chainDeferred(unlocked)
            await unlocked
        return True

    def lose(self) -> None:
        """The connection is lost: tell all who wait. Who holds a lock hears of the connection itself."""
        self._is_lost = True
        wanted, self._wanted = self._wanted, {}
        for trying in list(self._tries):
            trying.cancel()
        for name, each in wanted.items():
            waiting, each.waiting = each.waiting, []
            for waiter in waiting:
                waiter.errback(Failure(LockLost(f"the connection was lost while waiting for the lock {name!r}")))

    def _begin(self, name: str, wanted: _Wanted) -> None:
        wanted.is_tried = True
        trying = Deferred.fromCoroutine(self._try(name, wanted))
        self._tries.add(trying)

        def ended(result: Any) -> None:
            self._tries.discard(trying)
            wanted.is_tried = False
            if wanted.lock is None and self._wanted.get(name) is wanted:
                del self._wanted[name]
            if isinstance(result, Failure) and not result.check(CancelledError):
                waiting, wanted.waiting = wanted.waiting, []
                for waiter in waiting:
                    waiter.errback(result)

        trying.addBoth(ended)

    async def _try(self, name: str, wanted: _Wanted) -> None:
        waits = Backoff(self._interval, self._interval)
        while wanted.waiting:
            try:
                [[token]] = await self._command(_TRY, {"id": lock_id(name)})
            except (CancelledError, LockLost):
                raise
            except Exception:
                await self._unlock(name)  # it may be held: a statement that fails later does not let go of it
                raise
            if token is None:
                await deferLater(self._clock, waits.next())
                continue
            waiting, wanted.waiting = wanted.waiting, []
            if not waiting:  # nobody wants it any more
                await self._unlock(name)
                continue
            wanted.lock, wanted.holders = Lock(name, lock_id(name), token), len(waiting)
            for waiter in waiting:
                waiter.callback(wanted.lock)
            return

    async def _unlock(self, name: str) -> list[Any]:
        return list(await self._command(_UNLOCK, {"id": lock_id(name)}))
