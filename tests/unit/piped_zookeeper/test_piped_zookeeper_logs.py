"""Tests of what comes of kazoo's log lines."""

from __future__ import annotations

import logging

import pytest
from kazoo.protocol.serialization import Auth

from piped_zookeeper.logs import ONCE_IN, Discretion, kazoo_log


def record(level: int, text: str, *args: object, at: float = 0) -> logging.LogRecord:
    made = logging.LogRecord("kazoo", level, "", 0, text, args, None)
    made.created = at
    return made


def test_no_password_is_told():
    """Neither a login nor what is needed to take over a session comes into a log, at whatever level."""
    discretion = Discretion()
    assert not discretion.filter(record(logging.DEBUG, "Sending request(xid=%s): %s", 1, Auth(0, "digest", "a:b")))
    assert not discretion.filter(record(5, "session_passwd: %s", b"x"))
    assert discretion.filter(record(logging.DEBUG, "Sending request(xid=%s): %s", 1, "Sync"))


def test_why_there_is_no_connection_is_told_once_in_a_while():
    """A reason is told when it comes up, and again after a while, but not at every try; errors are told each time."""
    discretion = Discretion()
    seen = [
        discretion.filter(record(logging.WARNING, "Connection dropped: %s", why, at=at))
        for why, at in [("refused", 0), ("refused", 1), ("broken", 2), ("refused", ONCE_IN - 1), ("refused", ONCE_IN)]
    ]
    assert seen == [True, False, True, False, True]
    assert not discretion.filter(record(logging.WARNING, "Transition to CONNECTING"))
    for number in range(1000):
        assert discretion.filter(record(logging.WARNING, "Connection dropped: %s", number))
    assert len(discretion._told) <= 100
    assert all(discretion.filter(record(logging.ERROR, "broken")) for _ in range(2))


@pytest.mark.parametrize("is_told", [True, False])
def test_the_log_stream_can_be_switched_off(caplog, is_told):
    """With `install_log_stream: false` nothing of it comes into the log."""
    log = kazoo_log(is_told)
    try:
        log.error("something")
        assert ("something" in caplog.text) is is_told
    finally:
        kazoo_log(True)
