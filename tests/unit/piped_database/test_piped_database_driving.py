"""Tests of where work on connections runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import text
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from piped_database.driving import InThreads
from piped_database.making import make_engine


class Later:
    """Threads in which nothing happens until a test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[[], Any], Callable[[Any], object]]] = []

    def call(self, function: Callable[[], Any], done: Callable[[Any], object]) -> None:
        self.calls.append((function, done))

    def go(self) -> None:
        function, done = self.calls.pop()
        try:
            outcome = function()
        except BaseException:
            outcome = Failure()
        done(outcome)


def test_work_that_is_stopped_is_not_committed(tmp_path: Path) -> None:
    """Work that has to stop before its end, and hears of it too late to be interrupted, is rolled back."""
    engine, threads = make_engine({"url": f"sqlite:///{tmp_path}/a.db"}), Later()
    driving = InThreads(engine, threads, Clock())  # type: ignore[arg-type]  # it has what is used of them
    outcomes: list[Any] = []

    def make(connection: Any) -> None:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))

    def insert(connection: Any) -> None:
        connection.execute(text("INSERT INTO t VALUES (1)"))
        job.interrupt = lambda: None
        job.cancel()

    driving.once(make, writes=True)
    threads.go()
    job = driving.once(insert, writes=True)
    job.addErrback(lambda failure: outcomes.append(failure.value))
    threads.go()
    assert isinstance(outcomes[0], CancelledError)
    count = driving.once(lambda connection: connection.execute(text("SELECT count(*) FROM t")).scalar(), writes=False)
    threads.go()
    assert count.result == 0


def test_work_that_is_cancelled_before_its_turn(tmp_path: Path) -> None:
    """It is never begun."""
    threads, begun = Later(), []
    driving = InThreads(make_engine({"url": f"sqlite:///{tmp_path}/a.db"}), threads, Clock())  # type: ignore[arg-type]
    job = driving.once(begun.append, writes=False)
    outcomes: list[Any] = []
    job.addErrback(lambda failure: outcomes.append(failure.value))
    job.cancel()
    threads.go()
    assert isinstance(outcomes[0], CancelledError)
    assert begun == []
