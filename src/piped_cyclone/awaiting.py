"""The bridge between Tornado and Twisted: what Tornado runs may await Deferreds, or return one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from types import CoroutineType, coroutine
from typing import Any

from tornado.gen import convert_yielded
from twisted.internet.defer import Deferred


@coroutine
def awaiting_both(inner: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run a coroutine in a task of asyncio's, which knows futures only; Deferreds are waited for by one."""
    step, argument = inner.send, None
    while True:
        try:
            yielded = step(argument)
        except StopIteration as end:
            return end.value
        try:
            if isinstance(yielded, Deferred):
                yield from _until_fired(yielded)
            else:
                yield yielded
        except BaseException as error:  # the coroutine decides, also on a cancellation
            step, argument = inner.throw, error
        else:
            step, argument = inner.send, None


def _until_fired(deferred: Deferred[Any]) -> Generator[Any, Any, None]:
    """Wait until a Deferred has fired, and leave its result to whoever awaits it; a cancellation cancels it."""
    fired = asyncio.get_running_loop().create_future()

    def tell(result: Any) -> Any:
        if not fired.done():
            fired.set_result(None)
        return result

    deferred.addBoth(tell)
    try:
        yield from fired
    except asyncio.CancelledError:
        deferred.cancel()
        deferred.addErrback(lambda failure: None)  # nobody asks for it any more
        raise


async def _in_task(inner: Coroutine[Any, Any, Any]) -> Any:
    return await awaiting_both(inner)


def _of_coroutine(inner: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
    return asyncio.ensure_future(_in_task(inner))


def _of_deferred(deferred: Deferred[Any]) -> asyncio.Future[Any]:
    return deferred.asFuture(asyncio.get_running_loop())


# Tornado's own way to be taught what can be waited for: `convert_yielded` begins everything that it runs.
_kinds: Any = convert_yielded
_kinds.register(CoroutineType, _of_coroutine)
_kinds.register(Deferred, _of_deferred)
