"""Where a baton waits: coroutines, Deferreds and asyncio futures, started at once and woken by one Task-like object.

The only module that knows asyncio. It needs no running loop: under another reactor, or a Clock, coroutines that await
nothing but Deferreds run all the same.
"""

from __future__ import annotations

import asyncio
from asyncio import _get_running_loop
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from inspect import isawaitable
from types import CoroutineType, GeneratorType
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from piped.pipelines.runs import PLAIN

try:  # Python 3.12 and later
    from asyncio.tasks import _swap_current_task  # type: ignore[attr-defined, unused-ignore]
except ImportError:
    from asyncio.tasks import _current_tasks  # type: ignore[attr-defined, unused-ignore]

    def _swap_current_task(loop: asyncio.AbstractEventLoop, task: Any) -> Any:
        previous = _current_tasks.get(loop)
        if task is None:
            del _current_tasks[loop]
        else:
            _current_tasks[loop] = task
        return previous


log = Logger()

MOST_PLAIN_CLASSES = 4096  # a program that makes classes for ever must not fill the memory

#: What `BatonTask.settle` gives for something that is not there yet.
WAITING = object()


class BatonTask:
    """Runs what one baton awaits, one thing after another; asyncio's current task while it does.

    A coroutine starts at once, so one that never really waits never meets the event loop. `asyncio.Task` can do that
    from Python 3.12 on only, and without a current task `asyncio.timeout` and `TaskGroup` refuse to work: hence an own
    class with the part of Task's interface that they use. Deferreds are waited for directly, without a future between.

    A subclass says what happens then: `settled(value)` or `failed(error)`, called in the baton's own context.
    """

    __slots__ = (
        "__weakref__",
        "_asyncio_future_blocking",
        "_callbacks",
        "_cancels",
        "_context",
        "_coroutine",
        "_error",
        "_is_done",
        "_result",
        "_throw",
        "_unheard",
        "_waits_for",
        "stopped",
    )

    # Set when they come into being; a walk that waits for nothing is made twice as fast:
    _result: Any
    _error: BaseException | None
    _unheard: _Unheard | None

    def __init__(self, context: Context) -> None:
        self._context = context
        self.stopped = self._is_done = self._asyncio_future_blocking = False
        self._callbacks: tuple[Callable[[Any], None], ...] = ()
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        self._waits_for: Any = None
        #: To be raised inside the coroutine as soon as it runs again.
        self._throw: Any = None
        self._cancels = 0

    def settled(self, value: Any) -> None:
        raise NotImplementedError

    def failed(self, error: BaseException) -> None:
        raise NotImplementedError

    # Waiting:

    def settle(self, produced: Any) -> Any:
        """The plain value of what a step returned, or WAITING; raises what it failed with."""
        while (kind := type(produced)) not in PLAIN and produced is not WAITING:
            if kind is CoroutineType:
                produced = self._drive(produced)
            elif isinstance(produced, BatonTask):
                produced = self._join(produced)
            elif isinstance(produced, Deferred):
                produced = self._unwrap(produced)
            elif isinstance(produced, Failure):
                produced.raiseException()
            elif isawaitable(produced):
                produced = self._drive(_awaiting(produced))
            else:
                # Some generators are awaitable and others not, so that class is never remembered.
                if kind is not GeneratorType and len(PLAIN) < MOST_PLAIN_CLASSES:
                    PLAIN.add(kind)
                return produced
        return produced

    def _unwrap(self, deferred: Deferred[Any]) -> Any:
        if self._throw is not None:  # stopped by what it was running itself
            deferred.cancel()
        if deferred.called and not deferred.paused:
            result = deferred.result
            if isinstance(result, Failure):
                deferred.addErrback(lambda failure: None)  # it is seen: no "Unhandled error in Deferred"
            return result
        self._waits_for = deferred
        deferred.addBoth(self._fired)
        return WAITING

    def _join(self, inner: BatonTask) -> Any:
        if self._throw is not None:
            inner.stop()
        if inner.done():
            return inner.result()
        self._waits_for = inner
        inner.when_ended(self._joined)
        return WAITING

    def _drive(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine until it ends or has to wait."""
        loop = _get_running_loop()
        outer = None if loop is None else _swap_current_task(loop, self)
        try:
            while True:
                error, self._throw = self._throw, None
                yielded = coroutine.send(None) if error is None else coroutine.throw(error)
                if self._park(yielded, loop):
                    self._coroutine = coroutine
                    return WAITING
        except StopIteration as end:
            self._coroutine = None
            return end.value
        except BaseException:
            self._coroutine = None
            raise
        finally:
            error = None  # the traceback keeps this frame, which must not keep the error in turn
            if loop is not None:
                _swap_current_task(loop, outer)

    def _park(self, yielded: Any, loop: asyncio.AbstractEventLoop | None) -> bool:
        """Arrange to be woken; False if the coroutine can go on at once."""
        if yielded is None:  # asyncio.sleep(0): let others have a turn
            if loop is not None:
                loop.call_soon(self._woken, context=self._context)
            return loop is not None
        if isinstance(yielded, BatonTask):
            yielded._asyncio_future_blocking = False
            yielded.when_ended(self._joined)
            if self._throw is not None:
                yielded.stop()
        elif getattr(yielded, "_asyncio_future_blocking", None) is True:
            yielded._asyncio_future_blocking = False
            yielded.add_done_callback(self._woken, context=self._context)
            if self._throw is not None:
                yielded.cancel()
        elif isinstance(yielded, Deferred):
            if self._throw is not None:
                yielded.cancel()
                yielded.addErrback(lambda failure: None)  # it would be raised, were there not another error to raise
            if yielded.called and not yielded.paused:
                return False
            yielded.addBoth(self._fired)
        else:
            self._throw = RuntimeError(f"a step awaited {yielded!r}, which neither Twisted nor asyncio knows")
            return False
        self._waits_for = yielded
        return True

    def _fired(self, result: Any) -> None:
        self._context.run(self._woken, result)

    def _joined(self, inner: BatonTask) -> None:
        self._context.run(self._woken, inner)

    def _woken(self, result: Any = None) -> None:
        self._waits_for = None
        try:
            if self._coroutine is not None:
                # It fetches a result itself; but inside its own callbacks a Deferred refuses to raise a failure.
                if isinstance(result, Failure) and self._throw is None:
                    assert result.value is not None
                    self._throw = result.value.with_traceback(result.tb)
                result = self._drive(self._coroutine)
            value = result if type(result) in PLAIN else self.settle(result)
        except BaseException as error:
            self.failed(error)
        else:
            if value is not WAITING:
                self.settled(value)

    # Ending; in place of a Deferred, which most would never need:

    def end(self, result: Any, error: BaseException | None = None) -> None:
        """Tell everybody who listens; an error that nobody asks for is logged once this is forgotten."""
        self._result, self._error, self._is_done = result, error, True
        callbacks, self._callbacks = self._callbacks, ()
        self._unheard = _Unheard(error) if error is not None and not callbacks and not self.stopped else None
        if callbacks:
            _ends.tell(self, callbacks)

    def when_ended(self, callback: Callable[[Any], None]) -> None:
        """Call `callback(self)` at the end, at once and in the context of whoever ends it."""
        if self._is_done:
            self._must_be_done()
            callback(self)
        else:
            self._callbacks = (*self._callbacks, callback)

    def done(self) -> bool:
        """Whether it has ended."""
        return self._is_done

    def cancelled(self) -> bool:
        """Whether it has ended because it was stopped."""
        return self._is_done and self.stopped

    def exception(self) -> BaseException | None:
        """What it failed with; None if it did not."""
        self._must_be_done()
        return self._error

    def result(self) -> Any:
        """What it ended with; raises what it failed with."""
        self._must_be_done()
        if self._error is not None:
            raise self._error
        return self._result

    def _must_be_done(self) -> None:
        if not self._is_done:
            raise asyncio.InvalidStateError("it has not ended yet")
        if self._unheard is not None:
            self._unheard.error = None
            self._unheard = None

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self._is_done:
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    # Stopping:

    def stop(self) -> None:
        """Cancel what is awaited, in its own manner: a Deferred fails with Twisted's error, a future with asyncio's."""
        task = self
        while not task._is_done:
            task.stopped = True
            awaited = task._waits_for
            if awaited is None:  # inside asyncio.sleep(0), or running just now
                task._throw = asyncio.CancelledError()
            # One may wait for another, that for a third, and so on, deeper than Python's stack is.
            elif isinstance(awaited, BatonTask) and type(awaited).stop is BatonTask.stop:
                task = awaited
                continue
            task._cancel_awaited(awaited)
            return

    def _cancel_awaited(self, awaited: Any) -> None:
        if awaited is None or awaited is not self._waits_for:
            return
        if isinstance(awaited, BatonTask):
            awaited.stop()
        else:
            awaited.cancel()

    # What asyncio.Task asks of a future, and what asyncio.timeout, TaskGroup and friends ask of the current task:

    def add_done_callback(self, callback: Callable[[Any], Any], *, context: Context | None = None) -> None:
        loop = self.get_loop()

        def call_soon(task: Any) -> None:
            loop.call_soon(callback, task, context=context)

        self.when_ended(call_soon)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def get_coro(self) -> Coroutine[Any, Any, Any] | None:
        return self._coroutine

    def get_name(self) -> str:
        return repr(self)

    def cancel(self, msg: object = None) -> bool:
        """Raise `asyncio.CancelledError` where the coroutine waits, also when it waits for a Deferred; never at once.

        A Deferred fires while it is cancelled, but `asyncio.timeout` is only ready for the error after this returns.
        """
        if self._is_done:
            return False
        self._cancels += 1
        self._throw = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self.get_loop().call_soon(self._cancel_awaited, self._waits_for)
        return True

    def cancelling(self) -> int:
        return self._cancels

    def uncancel(self) -> int:
        self._cancels = max(0, self._cancels - 1)
        if self._cancels == 0 and not self.stopped:
            self._throw = None  # it came too late to be raised
        return self._cancels


class _Ends:
    """Tells of ends, each within the one that it follows from, but not deeper than Python's stack is.

    A pipeline that waits for a pipeline that waits for a third ends with that one: some ten frames for each.
    """

    DEEPEST = 20

    def __init__(self) -> None:
        self._depth = 0
        #: What is told when the stack has come back.
        self._late: deque[tuple[Context, BatonTask, tuple[Callable[[Any], None], ...]]] = deque()

    def tell(self, task: BatonTask, callbacks: tuple[Callable[[Any], None], ...]) -> None:
        if self._depth == self.DEEPEST:
            self._late.append((copy_context(), task, callbacks))
            return
        self._depth += 1
        try:
            for callback in callbacks:
                try:
                    callback(task)
                except Exception:
                    log.failure("what was told of the end of {task!r} has failed", task=task)
        finally:
            self._depth -= 1
        while self._late and self._depth == 0:
            context, task, callbacks = self._late.popleft()
            context.run(self.tell, task, callbacks)


_ends = _Ends()


class _Unheard:
    """Logs an error when it is forgotten, unless it was taken away before; only a task that failed unheard has one."""

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException | None = error

    def __del__(self) -> None:
        if self.error is not None:
            log.failure("a walk has failed, and nobody asked how it ended", failure_of(self.error))


def is_cancellation(error: BaseException) -> bool:
    """Whether an error tells of being cancelled, in Twisted's manner or in asyncio's."""
    return isinstance(error, asyncio.CancelledError | CancelledError)


def failure_of(error: BaseException) -> Failure:
    """The error as a Failure with its own traceback, wherever it is asked for."""
    return Failure(error, type(error), error.__traceback__)


async def _awaiting(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
