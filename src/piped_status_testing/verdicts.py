"""Verdicts: what the outcome of a test means, with what its author said beforehand."""

from __future__ import annotations

import unittest
from typing import Any

from piped_status_testing.reports import Status
from piped_status_testing.statustest import StatusTestCase


def marked(test: StatusTestCase, name: str) -> Any:
    """What a test, or else its class, says by an attribute; None if neither does."""
    method = getattr(test, test.method_name)
    return getattr(method, name, None) or getattr(test, name, None)


def skip_reason(test: StatusTestCase) -> str | None:
    """Why a test is not to be run at all; None if it is."""
    if reason := marked(test, "skip"):
        return str(reason)
    if marked(test, "__unittest_skip__"):
        return str(marked(test, "__unittest_skip_why__") or "")
    return None


def todo_of(test: StatusTestCase) -> tuple[tuple[type[BaseException], ...], str] | None:
    """How and why a test is expected to fail, by its `todo`."""
    todo = marked(test, "todo")
    if not todo:
        return None
    if not isinstance(todo, tuple):
        return (BaseException,), str(todo)
    errors, reason = todo
    return (errors if isinstance(errors, tuple) else (errors,)), reason


def verdict(test: StatusTestCase, error: BaseException | None) -> Status:
    """What it means that a test failed with an error, or with none."""
    todo = todo_of(test)
    is_failing = bool(marked(test, "__unittest_expecting_failure__"))
    if error is None:
        if todo:
            return "todone"
        return "unexpected_success" if is_failing else "success"
    if isinstance(error, unittest.SkipTest):
        return "skipped"
    if is_failing or (todo and isinstance(error, todo[0])):
        return "expected_failure"
    return "failure" if isinstance(error, test.failureException) else "error"
