"""Tests of the base of status tests, and of how test cases are found."""

from __future__ import annotations

import status_cases
from status_stage import ended, the_result
from twisted.internet.defer import fail, succeed

from piped import ConfigurationError
from piped.testing import Stage
from piped_status_testing.statustest import StatusTestCase, cases_of, statustests_of


class Base(StatusTestCase):
    """Tests that others inherit."""

    statustest_number = 7

    def statustest_b(self) -> None:
        pass

    def statustest_a(self) -> None:
        pass


class Derived(Base):
    """One more, one less, one anew."""

    def statustest_c(self) -> None:
        pass

    def statustest_a(self) -> None:
        pass

    statustest_b = None  # type: ignore[assignment] # that is how a test is taken away


class Holder:
    """Test cases as classes inside another class."""

    class Second(StatusTestCase):
        """One."""

    class First(StatusTestCase):
        """Another one."""

    Alias = Second
    Other = dict


class More(Holder):
    """Inherits cases."""

    First = None  # type: ignore[assignment]

    class Third(StatusTestCase):
        """One of its own."""


def test_tests_come_in_the_order_of_writing() -> None:
    """Those of the base first; what is replaced keeps its place; what is no method is no test."""
    assert statustests_of(Base) == ["statustest_b", "statustest_a"]
    assert statustests_of(Derived) == ["statustest_a", "statustest_c"]
    assert statustests_of(status_cases.Empty) == []


def test_cases_are_found() -> None:
    """A case is one; a module has those that it defines itself; an object those inside its class and itself, once."""
    assert cases_of(Base) == [Base]
    expected = [status_cases.Passing, status_cases.Failing, status_cases.Waiting, status_cases.Surrounded]
    assert cases_of(status_cases) == [*expected, status_cases.Empty]
    assert cases_of(Holder()) == [Holder.Second, Holder.First]
    more = More()
    more.mine = Base  # type: ignore[attr-defined]
    assert cases_of(more) == [Holder.Second, More.Third, Base]
    assert cases_of(7) == []


def problems(cases: str) -> list[str]:
    """What is wrong with the cases of a suite."""
    try:
        Stage(f"status_tests:\n  smoke:\n    cases: {cases}")
    except ConfigurationError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_cases_are_checked() -> None:
    """What a configuration names must be there, and hold a test: a mistake is told at its place."""
    assert problems("[status_cases, status_cases.Passing]") == []
    [missing] = problems("[status_cases, status_cases.Nothing]")
    assert missing.startswith("<test>:3:27: ")
    assert "status_cases.Nothing" in missing
    [empty] = problems("[status_cases.Empty]")
    assert empty.startswith("<test>:3:13: status_cases.Empty has no test: a method of a StatusTestCase whose name ")
    assert len(problems("[json]")) == len(problems("[{}]")) == 1


def test_an_expected_failure_of_a_deferred() -> None:
    """assertFailure gives the error that is expected; anything else fails the test, and is told."""
    case = StatusTestCase()
    error = ValueError("no")
    assert ended(case.assertFailure(fail(error), KeyError, ValueError)) is error

    class Other(StatusTestCase):
        def statustest_it(self) -> object:
            return self.assertFailure(fail(error), KeyError, TypeError)

    class None_(StatusTestCase):
        def statustest_it(self) -> object:
            return self.assertFailure(succeed(7), KeyError)

    result = the_result(Other)
    assert result.status == "failure"
    assert "expected KeyError or TypeError, got ValueError('no')" in result.failure
    result = the_result(None_)
    assert result.status == "failure"
    assert "expected KeyError, got the result 7" in result.failure
