"""Tests of what the outcome of a test means."""

from __future__ import annotations

import unittest
from typing import Any

import pytest

from piped_status_testing.statustest import StatusTestCase
from piped_status_testing.verdicts import skip_reason, todo_of, verdict


def a_test(on_class: dict[str, Any] | None = None, **on_method: Any) -> StatusTestCase:
    """A test of a class with attributes, and with attributes of its own."""

    def statustest_it(self: StatusTestCase) -> None:
        pass

    for name, value in on_method.items():
        setattr(statustest_it, name, value)
    case = type("Case", (StatusTestCase,), {"statustest_it": statustest_it, **(on_class or {})})
    return case("statustest_it")


@pytest.mark.parametrize(
    ("todo", "error", "status"),
    [
        ("why", None, "todone"),
        ("why", ValueError(), "expected_failure"),
        ("why", AssertionError(), "expected_failure"),
        ((KeyError, "why"), KeyError(), "expected_failure"),
        ((KeyError, "why"), ValueError(), "error"),
        (((KeyError, ValueError), "why"), ValueError(), "expected_failure"),
        ("why", unittest.SkipTest("not now"), "skipped"),
        (None, None, "success"),
        (None, AssertionError(), "failure"),
        (None, ValueError(), "error"),
    ],
)
def test_a_todo_may_fail(todo: Any, error: BaseException | None, status: str) -> None:
    """With a reason, any error is expected; with errors before it, these are. Class and test may say it."""
    assert verdict(a_test(todo=todo), error) == status
    assert verdict(a_test({"todo": todo}), error) == status


def test_the_reason_of_a_todo() -> None:
    """It is the text, alone or behind the errors; a test's own wins."""
    assert todo_of(a_test()) is None
    assert todo_of(a_test({"todo": "of all"}, todo=(KeyError, "of one"))) == ((KeyError,), "of one")
    assert todo_of(a_test({"todo": True})) == ((BaseException,), "True")
    assert todo_of(a_test({"todo": "of all"})) == ((BaseException,), "of all")


def test_the_reason_for_skipping() -> None:
    """By `skip` of the test or the class, or by a decorator of unittest; it may be empty."""
    assert skip_reason(a_test()) is None
    assert skip_reason(a_test(skip="mine")) == "mine"
    assert skip_reason(a_test({"skip": "ours"})) == "ours"
    assert skip_reason(a_test({"skip": "ours"}, skip="mine")) == "mine"
    decorated = unittest.skip("")(type(a_test()))
    assert skip_reason(decorated("statustest_it")) == ""


def test_an_expected_failure_must_fail() -> None:
    """`unittest.expectedFailure` is a promise: to succeed is wrong then."""
    test = a_test(__unittest_expecting_failure__=True)
    assert verdict(test, None) == "unexpected_success"
    assert verdict(test, ValueError()) == "expected_failure"
