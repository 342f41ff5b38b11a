"""Metrics: what a program says about itself, in the words of statsd."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from twisted.internet.defer import Deferred

from piped_statsd.wire import Kind

P = ParamSpec("P")
T = TypeVar("T")


class Metrics(ABC):
    """The calls of a statsd client; none of them waits for anything.

    `tags` are texts such as "shop:oslo", which DogStatsD and its like understand. With a `sample_rate` below 1 only
    that part of the calls is sent, and the server reckons with it.
    """

    def increment(self, name: str, value: float = 1, tags: Sequence[str] = (), sample_rate: float = 1) -> None:
        """Add to a counter."""
        self.send(name, value, "c", tags, sample_rate)

    def decrement(self, name: str, value: float = 1, tags: Sequence[str] = (), sample_rate: float = 1) -> None:
        """Take off a counter."""
        self.send(name, -value, "c", tags, sample_rate)

    def gauge(self, name: str, value: float, tags: Sequence[str] = (), sample_rate: float = 1) -> None:
        """Say what something is now."""
        self.send(name, value, "g", tags, sample_rate)

    def histogram(self, name: str, value: float, tags: Sequence[str] = (), sample_rate: float = 1) -> None:
        """Add a value of which the distribution is of interest; not every server knows these."""
        self.send(name, value, "h", tags, sample_rate)

    def set(self, name: str, value: float | str, tags: Sequence[str] = (), sample_rate: float = 1) -> None:
        """Add a value to those of which the different ones are counted."""
        self.send(name, value, "s", tags, sample_rate)

    def timing(self, name: str, milliseconds: float, tags: Sequence[str] = (), sample_rate: float = 1) -> None:
        """Say how long something took."""
        self.send(name, milliseconds, "ms", tags, sample_rate)

    def timed(self, name: str, tags: Sequence[str] = (), sample_rate: float = 1) -> Timed:
        """Say how long a block or a function takes, also when it fails; of a function, until its result is there.

        Example:
            with metrics.timed("orders.read"):
                ...

            @metrics.timed("orders.store")
            async def store(order):
                ...
        """
        return Timed(self, name, tags, sample_rate)

    def timer(self, name: str, deferred: Deferred[T], tags: Sequence[str] = (), sample_rate: float = 1) -> Deferred[T]:
        """Say how long it takes from now until a Deferred fires, also with a failure; gives the Deferred back."""
        timed = self.timed(name, tags, sample_rate).__enter__()
        return deferred.addBoth(timed.ended)

    @abstractmethod
    def send(self, name: str, value: float | str, kind: Kind, tags: Sequence[str], sample_rate: float) -> None:
        """Send one metric, some time soon."""

    @abstractmethod
    def now(self) -> float:
        """Seconds of a clock."""


class Timed:
    """Measures a block in a `with` statement; as a decorator, each call of a function."""

    def __init__(self, metrics: Metrics, name: str, tags: Sequence[str], sample_rate: float) -> None:
        self._metrics, self._about = metrics, (name, tags, sample_rate)
        self._began = 0.0

    def __enter__(self) -> Timed:
        self._began = self._metrics.now()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended(None)

    def ended(self, result: T) -> T:
        """What was measured has ended; gives back its result."""
        name, tags, sample_rate = self._about
        self._metrics.timing(name, round(1000 * (self._metrics.now() - self._began), 3), tags, sample_rate)
        return result

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        def measured(*args: P.args, **kwargs: P.kwargs) -> T:
            timed = Timed(self._metrics, *self._about).__enter__()  # one of its own, as calls may overlap
            try:
                result = function(*args, **kwargs)
            except BaseException:
                timed.ended(None)
                raise
            return cast(T, result.addBoth(timed.ended)) if isinstance(result, Deferred) else timed.ended(result)

        async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
            with Timed(self._metrics, *self._about):
                return await cast(Any, function(*args, **kwargs))

        chosen: Any = awaited if inspect.iscoroutinefunction(function) else measured
        return cast(Callable[P, T], wraps(function)(chosen))
