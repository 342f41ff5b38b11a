"""Groups of processes come to an end."""

from __future__ import annotations

import logging
import signal

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from piped.children.after_death import left_over
from piped.children.child import in_words
from piped.children.group import Group


class Processes(Group):
    """Some processes that end so many seconds after a signal; None for one that has no effect."""

    def __init__(self, ends_after: dict[int, float | None]) -> None:
        super().__init__("worker", 123)
        self.clock, self.signals = Clock(), list[int]()
        self._ends_after = ends_after
        self._is_left = True

    def send(self, number: int) -> bool:
        was_left = self._is_left
        if number and was_left:
            self.signals.append(number)
            seconds = self._ends_after.get(number)
            if seconds is not None:
                self.clock.callLater(seconds, setattr, self, "_is_left", False)
        return was_left

    def is_left(self) -> bool:
        return self._is_left

    def ending(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.end(self.clock, kill_after=5))

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.05] * round(seconds / 0.05))


def test_they_are_asked_first() -> None:
    """What ends by itself is not killed, and is waited for no longer than it takes."""
    processes = Processes({signal.SIGTERM: 2})
    ending = processes.ending()
    processes.pass_time(1.9)
    assert not ending.called
    processes.pass_time(0.5)
    assert (ending.called, processes.signals) == (True, [signal.SIGTERM])


def test_what_does_not_listen_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    """After `kill_after` seconds, once, which is told."""
    processes = Processes({signal.SIGKILL: 1})
    ending = processes.ending()
    processes.pass_time(4.9)
    assert processes.signals == [signal.SIGTERM]
    processes.pass_time(2)
    assert (ending.called, processes.signals) == (True, [signal.SIGTERM, signal.SIGKILL])
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [
        (logging.WARNING, "worker did not end within 5 s of SIGTERM: killing it")
    ]


def test_where_nobody_is_left_nothing_is_waited_for() -> None:
    """The end of a command that has ended by itself takes no time."""
    processes = Processes({})
    processes.send(signal.SIGTERM)
    processes._is_left = False
    assert processes.ending().called


def test_how_it_ended_is_told_in_words() -> None:
    """The code, or the name of the signal; also of one that has no name."""
    assert [in_words(code) for code in (0, 3, -9, -15, -40)] == [
        "ended with code 0",
        "ended with code 3",
        "was killed by SIGKILL",
        "was killed by SIGTERM",
        "was killed by signal 40",
    ]


def test_the_guard_ends_those_that_have_not_ended() -> None:
    """Only groups of which it did not hear that they are gone: their numbers may stand for others by then."""
    assert left_over(["+12\n", "+34\n", "-12\n", "+12\n", "-34\n", "-34\n"]) == {12}
