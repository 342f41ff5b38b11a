"""Problems and exceptions as a person reads them."""

import pickle

import pytest

from piped.ground.errors import ConfigurationError, Mark, PipedError, Problem, did_you_mean, in_order


def test_a_problem_says_where_what_and_what_to_do():
    """A Problem is one line: file:line:column, what is wrong, what to do."""
    problem = Problem("unknown key 'porta'", Mark("site.yml", 3, 5), "did you mean 'port'?")
    assert str(problem) == "site.yml:3:5: unknown key 'porta' – did you mean 'port'?"
    assert str(Problem("all is odd", is_warning=True)) == "warning: all is odd"


def test_problems_are_told_once_and_by_place():
    """A mistake that is found twice is told once; the order is that of the files."""
    first, second = Problem("b", Mark("a.yml", 9, 1)), Problem("a", Mark("a.yml", 10, 1))
    nowhere = Problem("c")
    assert in_order([second, first, second, nowhere]) == [nowhere, first, second]


def test_a_close_name_is_offered_else_what_there_is():
    """A slip gets the name that was meant; a foreign name gets the few there are."""
    assert did_you_mean("retires", ["retries", "host"]) == "did you mean 'retries'?"
    assert did_you_mean("xyzzy", ["retries", "host"]) == "there is: host, retries"
    assert did_you_mean("xyzzy", []) == did_you_mean("xyzzy", map(str, range(99))) == ""


def test_a_configuration_error_carries_every_problem():
    """An error that holds Problems tells all of them in its message."""
    error = ConfigurationError(problems=[Problem("b", Mark("x", 2, 1)), Problem("a", Mark("x", 1, 1))])
    assert error.msg == "x:1:1: a\nx:2:1: b"
    assert [problem.what for problem in error.problems] == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PipedError("m"), "\nERROR: m"),
        (PipedError("m", "d", "h"), "\nERROR: m\nDETAIL: d\nHINT: h"),
    ],
)
def test_an_error_reads_as_in_piped_0_7(error, text):
    """Text, repr and arguments of errors are those that code for Piped 0.7 expects."""
    assert str(error) == text
    assert repr(error) == "PipedError: m"
    assert error.args == (error.msg, error.detail, error.hint)
    assert pickle.loads(pickle.dumps(error)).args == error.args
