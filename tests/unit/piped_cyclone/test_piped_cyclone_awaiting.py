"""The bridge: coroutines that Tornado runs await futures and Deferreds alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tornado import gen
from twisted.internet.defer import CancelledError, Deferred, fail, succeed

import piped_cyclone.awaiting  # noqa: F401 - what is tested


def run(work: Callable[[], Any]) -> Any:
    """What Tornado gets of something that it begins."""

    async def begin() -> Any:
        return await gen.convert_yielded(work())

    return asyncio.run(begin())


def later(result: Any) -> Deferred[Any]:
    """A Deferred that fires some turns of the loop later, so that it really has to be waited for."""
    deferred: Deferred[Any] = Deferred()
    fire = deferred.errback if isinstance(result, Exception) else deferred.callback
    asyncio.get_running_loop().call_later(0.001, fire, result)
    return deferred


def test_deferreds_and_futures_are_awaited_in_turns() -> None:
    """A coroutine may wait for either kind, fired already or not."""

    async def work() -> list[Any]:
        return [await succeed(1), await asyncio.sleep(0, 2), await later(3), await asyncio.sleep(0.001, 4)]

    assert run(work) == [1, 2, 3, 4]


def test_a_deferred_may_be_returned() -> None:
    """What gives a Deferred instead of a coroutine is waited for too."""
    assert run(lambda: later("fired")) == "fired"


def test_tornados_old_coroutines_yield_deferreds() -> None:
    """`gen.coroutine` knows them as well."""

    @gen.coroutine
    def work() -> Any:
        first = yield later(1)
        return first + 1

    assert run(work) == 2


@pytest.mark.parametrize("failed", [lambda: fail(KeyError("gone")), lambda: later(KeyError("gone"))])
def test_a_failure_is_raised_where_it_is_awaited(failed: Callable[[], Deferred[Any]]) -> None:
    """A coroutine can catch what a Deferred fails with, and go on waiting."""

    async def work() -> str:
        try:
            await failed()
        except KeyError as error:
            return f"caught {error}, {await later('and went on')}"
        return "not raised"

    assert run(work) == "caught 'gone', and went on"


def test_an_uncaught_failure_ends_the_coroutine() -> None:
    """Nobody catches it: whoever has begun the coroutine gets it."""

    async def work() -> None:
        await later(KeyError("gone"))

    with pytest.raises(KeyError):
        run(work)


def test_a_cancellation_reaches_the_deferred() -> None:
    """What is cancelled cancels what it waits for, and may still wait for its own cleaning up."""
    cancelled: list[Any] = []
    seen: list[str] = []

    async def work() -> None:
        waiting: Deferred[Any] = Deferred(cancelled.append)
        try:
            await waiting
        except asyncio.CancelledError:
            seen.append(await later("cleaned up"))
            raise

    async def begin() -> None:
        task = gen.convert_yielded(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(begin())
    assert (len(cancelled), seen) == (1, ["cleaned up"])


def test_a_deferred_that_is_cancelled_by_others_fails_with_twisteds_error() -> None:
    """That is a failure like any other, and no cancellation of the coroutine."""

    async def work() -> str:
        deferred: Deferred[Any] = Deferred()
        asyncio.get_running_loop().call_soon(deferred.cancel)
        try:
            await deferred
        except CancelledError:
            return "caught"
        return "not raised"

    assert run(work) == "caught"


def test_a_timeout_of_asyncio_ends_the_wait_for_a_deferred() -> None:
    """`asyncio.timeout` works around what awaits a Deferred."""

    async def work() -> None:
        async with asyncio.timeout(0.001):
            await Deferred()

    with pytest.raises(TimeoutError):
        run(work)
