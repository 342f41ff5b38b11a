"""Event: callbacks that can be joined and left, called in order."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from piped.ground import errors
from piped.resources.events import AsynchronousEvent, Event


@pytest.fixture
def clock() -> Clock:
    return Clock()


def outcome(deferred: Deferred[Any]) -> Any:
    """What a Deferred has fired with by now, as [value]; [] if it has not."""
    fired: list[Any] = []
    deferred.addBoth(fired.append)
    return fired


def test_handlers_are_called_in_the_order_of_joining() -> None:
    """Whoever joined first hears first, with all arguments."""
    told: list[Any] = []
    event: Event[Any] = Event()
    event += lambda *args, **kwargs: told.append(("first", args, kwargs))
    event += lambda *args, **kwargs: told.append(("second", args, kwargs))
    event(1, two=2)
    assert told == [("first", (1,), {"two": 2}), ("second", (1,), {"two": 2})]


def test_membership_and_length() -> None:
    """One can ask who is in, and how many."""
    event: Event[Any] = Event()
    event += print
    assert print in event
    assert len(event) == 1
    event -= print
    assert print not in event
    assert len(event) == 0
    assert event


def test_leaving_without_having_joined_is_an_error() -> None:
    """Removing an unknown handler is a ValueError."""
    event: Event[Any] = Event()
    with pytest.raises(ValueError, match="no handler"):
        event -= print


def test_a_handler_may_leave_while_it_is_called() -> None:
    """A handler that leaves, or lets others join, disturbs no one in the call that is under way."""
    told: list[str] = []
    event: Event[[]] = Event()

    def once() -> None:
        nonlocal event
        told.append("once")
        event -= once
        event += lambda: told.append("new")

    event += once
    event += lambda: told.append("always")
    event()
    assert told == ["once", "always"]
    event()
    assert told == ["once", "always", "always", "new"]


def test_a_failing_handler_is_logged_and_stops_nobody() -> None:
    """One listener's error reaches the log, and every other listener still hears."""
    told: list[str] = []
    event: Event[[]] = Event()
    event += lambda: 1 // 0
    event += lambda: told.append("heard")
    with capturedLogs() as logged:
        event()
    assert told == ["heard"]
    assert [entry["log_failure"].type for entry in logged] == [ZeroDivisionError]


def test_an_event_can_be_a_handler() -> None:
    """Events can be chained, as providers do with the events of their connections."""
    told: list[int] = []
    first: Event[[int]] = Event()
    second: Event[[int]] = Event()
    first += second
    second += told.append
    first(3)
    assert told == [3]


def test_waiting_gives_the_arguments_of_the_next_call(clock: Clock) -> None:
    """One can wait for the next call; the timer ends with it."""
    event: Event[Any] = Event()
    fired = outcome(event.wait_until_fired(timeout=5, clock=clock))
    assert fired == []
    event(1, two=2)
    event(3)
    assert fired == [((1,), {"two": 2})]
    assert clock.getDelayedCalls() == []
    assert len(event) == 0


def test_waiting_times_out(clock: Clock) -> None:
    """Whoever waits too long gets Piped's TimeoutError, and waits no more."""
    event: Event[Any] = Event()
    fired = outcome(event.wait_until_fired(timeout=5, clock=clock))
    clock.advance(4.9)
    assert fired == []
    clock.advance(0.1)
    assert isinstance(fired[0].value, errors.TimeoutError)
    event(1)
    assert len(event) == 0


def test_waiting_can_be_cancelled(clock: Clock) -> None:
    """A cancelled wait leaves neither a handler nor a timer behind."""
    event: Event[Any] = Event()
    waiting = event.wait_until_fired(timeout=5, clock=clock)
    fired = outcome(waiting)
    waiting.cancel()
    assert isinstance(fired[0].value, CancelledError)
    assert clock.getDelayedCalls() == []
    assert len(event) == 0


def test_a_wait_cancelled_by_another_handler_of_the_same_call_is_over() -> None:
    """Whoever was cancelled a moment before is not called back."""
    event: Event[[]] = Event()
    waiting: list[Deferred[Any]] = []
    event += lambda: waiting[0].cancel()
    waiting.append(event.wait_until_fired())
    fired = outcome(waiting[0])
    with capturedLogs() as logged:
        event()
    assert isinstance(fired[0].value, CancelledError)
    assert logged == []


def test_a_timeout_needs_a_clock() -> None:
    """Nobody waits for ever by accident."""
    event: Event[Any] = Event()
    with pytest.raises(ValueError, match="clock"):
        event.wait_until_fired(timeout=5)


def test_an_asynchronous_event_gives_the_results_of_all() -> None:
    """Whoever fires can wait for all handlers; failures are among the results."""
    later: Deferred[str] = Deferred()

    async def coroutine() -> str:
        return "from a coroutine"

    event: AsynchronousEvent[[]] = AsynchronousEvent()
    event += lambda: "at once"
    event += lambda: succeed("a Deferred")
    event += coroutine
    event += lambda: later
    event += lambda: fail(ValueError("no"))
    event += lambda: 1 // 0
    fired = outcome(event())
    assert fired == []
    later.callback("later")
    ((*good, value_error, division_error),) = fired
    assert good == [(True, "at once"), (True, "a Deferred"), (True, "from a coroutine"), (True, "later")]
    assert (value_error[0], value_error[1].type) == (False, ValueError)
    assert (division_error[0], division_error[1].type) == (False, ZeroDivisionError)
