"""Tests of what is given to kazoo."""

from __future__ import annotations

from typing import Any

import pytest
from kazoo.security import ACL, Id

from piped import PipedError
from piped_zookeeper.sessions import MOST_BYTES, Kazoo


@pytest.mark.parametrize(
    ("method", "args", "why"),
    [
        ("get", ("/\ud800",), "GetData cannot be sent: .*surrogates"),
        ("set", ("/a", b"", 1 << 40), "SetData cannot be sent: .*2147483647"),
        ("create", ("/a", b"x" * MOST_BYTES), f"Create cannot be sent: it has .* at most {MOST_BYTES}"),
        ("exists", ("/" + "x" * MOST_BYTES,), "Exists cannot be sent: it has"),
        ("create", ("/a", b"", [ACL("all", Id("world", "anyone"))]), "Create cannot be sent"),
    ],
)
def test_what_cannot_be_sent_fails_alone(method: str, args: tuple[Any, ...], why: str) -> None:
    """It never comes to kazoo's thread, which would end with it, and the session would be lost for everybody."""
    kazoo = Kazoo("127.0.0.1:1", 1)
    try:
        with pytest.raises(PipedError, match=why):
            getattr(kazoo, f"{method}_async")(*args).get()
        assert not kazoo._queue
    finally:
        kazoo.close()


def test_a_transaction_is_bounded_as_a_whole() -> None:
    """Many small things may be too much together."""
    kazoo = Kazoo("127.0.0.1:1", 1)
    try:
        transaction = kazoo.transaction()
        for number in range(3):
            transaction.create(f"/{number}", b"x" * (MOST_BYTES // 2))
        with pytest.raises(PipedError, match="Transaction cannot be sent"):
            transaction.commit_async()
    finally:
        kazoo.close()
