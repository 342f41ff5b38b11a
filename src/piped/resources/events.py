"""Event: callbacks that can be joined and left, called in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, ParamSpec, Protocol

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger

from piped.ground import errors

P = ParamSpec("P")
log = Logger()


class Clock(Protocol):
    """What measures timeouts: the part that is used of Twisted's IReactorTime."""

    def callLater(self, delay: float, callable: Callable[..., Any], /) -> Any:
        """Call something in so many seconds; what comes back has `active()` and `cancel()`."""


class Event(Generic[P]):
    """Calls every handler that joined, in order of joining.

    Each call goes to those who were in when it began, so a handler may leave, or let others join, meanwhile. A handler
    that fails is logged and keeps nobody else from being called: whoever fires cannot mend a listener's error.

    Example:
        >>> told = []
        >>> on_change = Event()
        >>> on_change += told.append
        >>> on_change("new")
        >>> told, len(on_change), told.append in on_change
        (['new'], 1, True)
    """

    __slots__ = ("_handlers",)

    def __init__(self) -> None:
        #: Replaced, never changed in place: a call that is under way keeps its own.
        self._handlers: tuple[Callable[P, Any], ...] = ()

    def __iadd__(self, handler: Callable[P, Any]) -> Event[P]:
        self._handlers = (*self._handlers, handler)
        return self

    def __isub__(self, handler: Callable[P, Any]) -> Event[P]:
        """Let a handler leave.

        Raises:
            ValueError: it never joined.
        """
        handlers = list(self._handlers)
        try:
            handlers.remove(handler)
        except ValueError:
            raise ValueError(f"{handler!r} is no handler of this event") from None
        self._handlers = tuple(handlers)
        return self

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        for handler in self._handlers:
            try:
                handler(*args, **kwargs)
            except Exception:
                log.failure("{handler!r} failed to handle an event", handler=handler)

    def __contains__(self, handler: object) -> bool:
        return handler in self._handlers

    def __iter__(self) -> Iterator[Callable[P, Any]]:
        return iter(self._handlers)

    def __len__(self) -> int:
        return len(self._handlers)

    def __bool__(self) -> bool:
        return True  # an event that nobody listens to is still an event

    def wait_until_fired(
        self, timeout: float | None = None, clock: Clock | None = None
    ) -> Deferred[tuple[tuple[Any, ...], dict[str, Any]]]:
        """A Deferred of the (args, kwargs) of the next call.

        It fails with Piped's TimeoutError when nothing came within `timeout` seconds of the clock.

        Raises:
            ValueError: a timeout without a clock.
        """
        if timeout is not None and clock is None:
            raise ValueError("a timeout needs a clock")

        def leave(_: object = None) -> None:
            self.__isub__(fired)
            if timer is not None and timer.active():
                timer.cancel()

        def fired(*args: Any, **kwargs: Any) -> None:
            if fired in self._handlers:  # not cancelled by a handler before it in the same call
                leave()
                waiter.callback((args, kwargs))

        def expire() -> None:
            leave()
            waiter.errback(errors.TimeoutError(f"nothing happened within {timeout} s"))

        waiter: Deferred[tuple[tuple[Any, ...], dict[str, Any]]] = Deferred(leave)
        timer = None if timeout is None or clock is None else clock.callLater(timeout, expire)
        self.__iadd__(fired)
        return waiter


class AsynchronousEvent(Event[P]):
    """An event whose handlers may return something to wait for; calling it gives a Deferred.

    The Deferred never fails: it gives (success, result or Failure) of every handler, in order of joining.
    """

    __slots__ = ()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Deferred[list[tuple[bool, Any]]]:
        called = [maybeDeferred(handler, *args, **kwargs) for handler in self._handlers]
        return DeferredList(called, consumeErrors=True)
