"""Tests of the calls that every statsd client has."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped_statsd.metrics import Metrics


class Noted(Metrics):
    """Notes what is sent, by a clock that stands still."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def send(self, name: str, value: float | str, kind: str, tags: Sequence[str], sample_rate: float) -> None:
        self.sent.append((name, value, kind, [*tags], sample_rate))


def test_each_call_is_a_metric_of_its_kind():
    """With its tags and its rate."""
    metrics = Noted()
    metrics.increment("a")
    metrics.decrement("a", 2)
    metrics.gauge("b", 5.5, ["x"])
    metrics.histogram("c", 6, sample_rate=0.5)
    metrics.set("d", "ada")
    metrics.timing("e", 320)
    assert metrics.sent == [
        ("a", 1, "c", [], 1),
        ("a", -2, "c", [], 1),
        ("b", 5.5, "g", ["x"], 1),
        ("c", 6, "h", [], 0.5),
        ("d", "ada", "s", [], 1),
        ("e", 320, "ms", [], 1),
    ]


def test_a_block_is_timed():
    """In milliseconds, also one that fails."""
    metrics = Noted()
    with metrics.timed("block", ["x"], 0.5):
        metrics.seconds += 0.25
    with suppress(ValueError), metrics.timed("block"):
        metrics.seconds += 1
        raise ValueError("it fails")
    assert metrics.sent == [("block", 250, "ms", ["x"], 0.5), ("block", 1000, "ms", [], 1)]


def test_a_function_is_timed():
    """Each call for itself, also one within another and one that fails; the result is what it was."""
    metrics = Noted()

    @metrics.timed("calls")
    def countdown(n: int) -> str:
        """Counts."""
        metrics.seconds += 1
        return countdown(n - 1) if n else "done"

    @metrics.timed("failing")
    def fails() -> None:
        metrics.seconds += 1
        raise ValueError("it fails")

    assert countdown(1) == "done"
    with pytest.raises(ValueError, match="fails"):
        fails()
    assert [(name, value) for name, value, *_ in metrics.sent] == [("calls", 1000), ("calls", 2000), ("failing", 1000)]
    assert (countdown.__name__, countdown.__doc__) == ("countdown", "Counts.")


def test_a_coroutine_is_timed_until_it_has_ended():
    """And not until it has been made."""
    metrics = Noted()
    waiting: Deferred[str] = Deferred()

    @metrics.timed("calls")
    async def wait() -> str:
        return await waiting

    ended = Deferred.fromCoroutine(wait())
    metrics.seconds += 2
    assert metrics.sent == []
    waiting.callback("done")
    assert ended.result == "done"
    assert metrics.sent == [("calls", 2000, "ms", [], 1)]


def test_a_function_that_returns_a_deferred_is_timed_until_it_fires():
    """Also with `timer`, which takes a Deferred; with a result or a failure, and that goes on."""
    metrics = Noted()
    first: Deferred[str] = Deferred()
    second: Deferred[str] = Deferred()
    assert metrics.timed("calls")(lambda: first)() is first
    assert metrics.timer("timer", second, ["x"]) is second
    metrics.seconds += 1
    assert metrics.sent == []
    first.callback("done")
    metrics.seconds += 1
    second.errback(ValueError("it fails"))
    assert first.result == "done"
    assert isinstance(second.result, Failure)
    second.addErrback(lambda _: None)
    assert metrics.sent == [("calls", 1000, "ms", [], 1), ("timer", 2000, "ms", ["x"], 1)]
