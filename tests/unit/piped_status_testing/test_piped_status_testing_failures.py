"""Tests of what a failed test says."""
# ruff: noqa: PT009 - these are the assertions that users write

from __future__ import annotations

import json
import linecache
from collections.abc import Callable
from typing import Any

from status_stage import the_result
from twisted.internet.defer import Deferred, fail

from piped import NotReadyError, RuntimeEnvironment
from piped.testing import Stage
from piped_status_testing.failures import told_failure, without_framework
from piped_status_testing.statustest import StatusTestCase

FRAMEWORK = ("/twisted/", "/unittest/", "/asyncio/", "/src/piped", "/piped_status_testing/r")


def failure_of(test: Callable[[StatusTestCase], Any]) -> str:
    """What a test says when it fails."""
    return the_result(type("Case", (StatusTestCase,), {"statustest_it": test})).failure


def place_in(failure: str) -> str:
    """The line that the place of a failure names."""
    file, line, _ = failure.split(":", 2)
    assert file == __file__
    return linecache.getline(file, int(line)).strip()


def test_the_place_and_the_words_come_first() -> None:
    """The first line is file:line and what the assertion says; then the traceback, of the test's own lines."""

    def test(self: StatusTestCase) -> None:
        self.assertEqual(1, 2, "so\nmany lines")

    failure = failure_of(test)
    assert place_in(failure).startswith("self.assertEqual(1, 2")
    assert failure.split("\n")[0].endswith(": AssertionError: 1 != 2 : so")
    assert failure.endswith("many lines")
    assert failure.count("many lines") == 2  # in the line of the test, and in the words of the error
    assert not [one for one in FRAMEWORK if one in failure]


def test_the_place_is_in_the_file_of_the_test() -> None:
    """What fails in a library is told at the line that called it; the library's lines are in the traceback."""

    def test(self: StatusTestCase) -> None:
        json.loads("{")

    failure = failure_of(test)
    assert place_in(failure) == 'json.loads("{")'
    assert "json/decoder.py" in failure


def test_an_error_without_a_traceback_is_told_where_the_test_begins() -> None:
    """There is no better place; nothing is said twice."""

    def test(self: StatusTestCase) -> Any:
        return fail(ValueError("no"))

    failure = failure_of(test)
    assert place_in(failure) == "def test(self: StatusTestCase) -> Any:"
    assert failure.endswith(": ValueError: no")
    assert "\n" not in failure


def test_causes_are_told() -> None:
    """What led to the failure is in the traceback, without the framework's lines as well."""

    def test(self: StatusTestCase) -> None:
        try:
            self.assertTrue(False)
        except AssertionError as error:
            raise ValueError("because of it") from error

    failure = failure_of(test)
    assert "False is not true" in failure
    assert "direct cause" in failure
    assert not [one for one in FRAMEWORK if one in failure]

    def clumsy(self: StatusTestCase) -> None:
        try:
            self.assertTrue(False)
        except AssertionError:
            raise ValueError("instead of it")  # noqa: B904 - that is what is tested

    failure = failure_of(clumsy)
    assert "False is not true" in failure
    assert not [one for one in FRAMEWORK if one in failure]


def test_the_cause_is_told_where_the_failure_has_no_lines() -> None:
    """A Deferred that fails with the wrong error is told with the lines of that error."""

    async def test(self: StatusTestCase) -> None:
        async def fails() -> None:
            raise ValueError("the wrong one")

        await self.assertFailure(Deferred.fromCoroutine(fails()), KeyError)

    failure = failure_of(test)
    assert "AssertionError: expected KeyError, got ValueError('the wrong one')" in failure.split("\n")[0]
    assert 'raise ValueError("the wrong one")' in failure

    def returned(self: StatusTestCase) -> Any:
        try:
            raise ValueError("the wrong one")
        except ValueError as error:
            return self.assertFailure(fail(error), KeyError)

    assert 'raise ValueError("the wrong one")' in failure_of(returned)


def test_a_failing_pipeline_tells_its_step() -> None:
    """A test that asks a pipeline gets the lines of the failing step, and the notes that say where it stands."""
    stage = Stage("pipelines: {main: [{eval-lambda: {lambda: 'baton: baton.broken', output_path: null}}]}")

    async def test(self: StatusTestCase) -> None:
        await stage.get("pipeline.main")({})

    failure = failure_of(test)
    assert place_in(failure) == 'await stage.get("pipeline.main")({})'
    assert 'File "<test>", line 1, in <lambda>' in failure
    assert failure.count("in pipeline main, step eval-lambda") == 1
    assert not [one for one in FRAMEWORK if one in failure]


def test_groups_are_told() -> None:
    """Every error of a group is there, without the framework's lines."""

    async def test(self: StatusTestCase) -> None:
        errors: list[Exception] = []
        for value in (1, 2):
            try:
                self.assertEqual(value, 0)
            except AssertionError as error:
                errors.append(error)
        raise ExceptionGroup("both", errors)

    failure = failure_of(test)
    assert "1 != 0" in failure
    assert "2 != 0" in failure
    assert not [one for one in FRAMEWORK if one in failure]


def test_a_traceback_without_the_framework_keeps_its_order() -> None:
    """The frames that are left come in the order of the calls."""

    def outer() -> None:
        RuntimeEnvironment().sources.add = inner  # type: ignore[assignment, method-assign]
        inner()

    def inner() -> None:
        StatusTestCase().fail("here")

    try:
        outer()
    except AssertionError as error:
        caught = error
    names, way = [], without_framework(caught.__traceback__)
    while way is not None:
        names.append(way.tb_frame.f_code.co_name)
        way = way.tb_next
    assert names == ["test_a_traceback_without_the_framework_keeps_its_order", "outer", "inner"]
    assert without_framework(None) is None


def test_an_error_of_piped_is_told_in_its_words() -> None:
    """A failure is told in one line, what to do included."""

    class Case(StatusTestCase):
        def statustest_it(self) -> None:
            pass

    error = NotReadyError("it is not ready", "needed by me", "wait")
    told = told_failure(Case("statustest_it"), error).split(": ", 1)[1]
    assert told == "NotReadyError: it is not ready: needed by me – wait"
