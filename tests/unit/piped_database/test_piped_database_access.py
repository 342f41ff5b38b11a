"""Tests of transactions as steps and Python code use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from piped_database.access import Access
from piped_database.making import make_engine


def ended(coroutine: Any) -> Any:
    """What a coroutine gives that waits for nothing."""
    outcomes: list[Any] = []
    Deferred.fromCoroutine(coroutine).addCallback(outcomes.append)
    [outcome] = outcomes
    return outcome


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_an_end_that_is_cancelled_while_it_waits(tmp_path: Path, end: str) -> None:
    """Cancelled while another branch has the connection, a transaction is rolled back, and its connection is free."""
    access = Access("main", make_engine({"url": f"sqlite:///{tmp_path}/a.db"}), Clock())
    ended(access.run(lambda connection: connection.execute(text("CREATE TABLE t (n INTEGER)"))))
    outer = ended(access.begin())
    ended(outer.run(lambda connection: connection.execute(text("INSERT INTO t VALUES (1)"))))
    inner = ended(outer.nested())
    ending = Deferred.fromCoroutine(getattr(outer, end)())
    failures: list[Any] = []
    ending.addErrback(lambda failure: failures.append(failure.type))
    ending.cancel()
    ended(inner.rollback())
    assert failures == ([CancelledError] if end == "commit" else [])
    assert access.slots.taken == 0
    assert ended(access.run(lambda connection: connection.execute(text("SELECT count(*) FROM t")).scalar())) == 0
