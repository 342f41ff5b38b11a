"""Tests of how status tests are run: order, waiting, limits of time, cancelling."""
# ruff: noqa: PT009 - these are the assertions that users write

from __future__ import annotations

import asyncio
import contextlib
import unittest
from collections.abc import Iterator
from contextvars import ContextVar, copy_context
from typing import Any, ClassVar

import pytest
from status_stage import Running, the_result
from twisted.internet.defer import CancelledError, Deferred, fail, inlineCallbacks
from twisted.internet.task import Clock, deferLater

from piped import RuntimeEnvironment
from piped.resources.dependency import InstanceDependency
from piped_status_testing.running import Call
from piped_status_testing.statustest import StatusTestCase

seen: ContextVar[str] = ContextVar("seen", default="nothing")


class Kinds(StatusTestCase):
    """A test of each kind."""

    def statustest_passes(self) -> None:
        self.assertEqual(1, 1)

    def statustest_fails(self) -> None:
        self.assertEqual(1, 2)

    def statustest_errs(self) -> None:
        raise ValueError("no")

    def statustest_skips(self) -> None:
        self.skipTest("not today")

    @unittest.skip("never")
    def statustest_skipped(self) -> None:
        raise AssertionError("it is skipped")

    def statustest_todo(self) -> None:
        raise ValueError("no")

    statustest_todo.todo = "soon"  # type: ignore[attr-defined] # as with trial

    def statustest_todone(self) -> None:
        pass

    statustest_todone.todo = "soon"  # type: ignore[attr-defined]

    @unittest.expectedFailure
    def statustest_expected(self) -> None:
        self.fail("it does")

    @unittest.expectedFailure
    def statustest_unexpected(self) -> None:
        pass

    def check_of_another_kind(self) -> None:
        raise AssertionError("its name does not begin with statustest")


def test_each_outcome_has_its_status() -> None:
    """All methods that begin with `statustest` are run, and nothing else; each result says what it means."""
    running = Running(Kinds)
    assert running.statuses == {
        "passes": "success",
        "fails": "failure",
        "errs": "error",
        "skips": "skipped",
        "skipped": "skipped",
        "todo": "expected_failure",
        "todone": "todone",
        "expected": "expected_failure",
        "unexpected": "unexpected_success",
    }
    told = {result.test.rpartition("_")[2] for result in running.results if result.failure}
    assert told == {"fails", "errs", "todo", "expected"}
    reasons = {result.test.rpartition("_")[2]: result.reason for result in running.results if result.reason}
    assert reasons == {"skips": "not today", "skipped": "never", "todo": "soon", "todone": "soon"}


class Ordered(StatusTestCase):
    """Notes what is called; `failing` says where it fails."""

    calls: ClassVar[list[str]] = []
    failing: ClassVar[tuple[str, ...]] = ()

    def note(self, call: str) -> None:
        self.calls.append(call)
        if call in self.failing:
            raise ValueError(f"{call} fails")

    def setUp(self) -> None:
        self.addCleanup(self.note, "cleanup 1")
        self.addCleanup(self.note, call="cleanup 2")
        self.note("setUp")

    def tearDown(self) -> None:
        self.note("tearDown")

    def statustest_it(self) -> None:
        self.note("test")


@pytest.mark.parametrize(
    ("failing", "calls", "status"),
    [
        ((), "setUp test tearDown", "success"),
        (("test",), "setUp test tearDown", "error"),
        (("setUp",), "setUp", "error"),
        (("tearDown",), "setUp test tearDown", "error"),
        (("cleanup 2",), "setUp test tearDown", "error"),
    ],
)
def test_a_test_is_set_up_and_torn_down(failing: tuple[str, ...], calls: str, status: str) -> None:
    """tearDown follows a setUp that succeeded; cleanups always come, the last one first, also when one fails."""
    case = type("Case", (Ordered,), {"calls": [], "failing": failing})
    result = the_result(case)
    assert (result.status, result.failure.count("Traceback")) == (status, len(failing))
    assert case.calls == [*calls.split(), "cleanup 2", "cleanup 1"]


def test_whatever_fails_after_a_test_is_told_with_it() -> None:
    """A test that fails and cannot be torn down either says both."""
    case = type("Case", (Ordered,), {"calls": [], "failing": ("test", "tearDown", "cleanup 1")})
    result = the_result(case)
    assert [call in result.failure for call in ("test fails", "tearDown fails", "cleanup 1 fails")] == [True] * 3


def test_a_test_waits_for_deferreds() -> None:
    """Tests and what surrounds them may return Deferreds or be async; the next test begins when one has ended."""

    class Case(StatusTestCase):
        calls: ClassVar[list[str]] = []

        async def setUp(self) -> None:
            await deferLater(self.runtime_environment.reactor, 1)
            self.calls.append("set up")

        def tearDown(self) -> Deferred[None]:
            return deferLater(self.runtime_environment.reactor, 1, self.calls.append, "torn down")

        @inlineCallbacks
        def statustest_1(self) -> Iterator[Any]:
            self.calls.append((yield deferLater(self.runtime_environment.reactor, 1, lambda: "1")))

        def statustest_2(self) -> Deferred[Any]:
            return fail(AssertionError("2"))

    running = Running(Case)
    for seconds, count in [(1, 1), (1, 2), (0.9, 2), (0.1, 3), (1, 4), (1, 5)]:
        running.clock.advance(seconds)
        assert len(Case.calls) == count
    running.call.result()
    assert Case.calls == ["set up", "1", "torn down", "set up", "torn down"]
    assert [(result.status, result.seconds) for result in running.results] == [("success", 3), ("failure", 2)]


def test_a_test_waits_for_asyncio() -> None:
    """What asyncio offers can be awaited, beside Deferreds."""

    class Case(StatusTestCase):
        async def statustest_it(self) -> None:
            await asyncio.sleep(0.001)
            async with asyncio.timeout(5):
                await asyncio.gather(asyncio.sleep(0.001), asyncio.sleep(0.001))

    async def main() -> Running:
        running = Running(Case)
        await running.call
        return running

    assert asyncio.run(main()).statuses == {"it": "success"}


class Slow(StatusTestCase):
    """Tests that wait for ever."""

    def statustest_1(self) -> Deferred[None]:
        return Deferred()

    async def statustest_2(self) -> None:
        await Deferred()

    statustest_2.timeout = 3  # type: ignore[attr-defined]


def test_a_test_has_a_limit_of_time() -> None:
    """One that takes longer is cancelled and says where it was waiting; a test may have a limit of its own."""
    running = Running(Slow, timeout=5)
    running.clock.advance(4.9)
    assert running.results == []
    running.clock.advance(0.1)
    running.clock.advance(2.9)
    assert len(running.results) == 1
    running.clock.advance(0.1)
    running.clock.advance(0)
    assert [result.status for result in running.results] == ["error", "error"]
    assert [result.failure.split(": ", 1)[1].split("\n")[0] for result in running.results] == [
        "TimeoutError: it took longer than 5 s",
        "TimeoutError: it took longer than 3 s",
    ]
    assert "await Deferred()" in running.results[1].failure
    assert "CancelledError" not in running.results[1].failure
    running.call.result()


def test_a_case_has_a_limit_of_time() -> None:
    """`timeout` of the class counts for its tests, and before that of the suite."""

    class Case(Slow):
        timeout = 2

    running = Running(Case, timeout=60)
    running.clock.advance(2)
    running.clock.advance(0)
    assert len(running.results) == 1


def test_a_test_that_cannot_be_cancelled_is_left_behind() -> None:
    """It gets a second for ending; then it is reported, and the next test begins. What it does later is nothing."""
    stubborn: list[Deferred[None]] = []

    class Case(StatusTestCase):
        async def statustest_1(self) -> None:
            while True:
                stubborn.append(Deferred())
                try:
                    await stubborn[-1]
                    return
                except CancelledError:
                    pass

        def statustest_2(self) -> None:
            pass

    running = Running(Case, timeout=5)
    running.clock.advance(5)
    running.clock.advance(0.9)
    assert running.results == []
    running.clock.advance(0.1)
    assert running.statuses == {"1": "error", "2": "success"}
    stubborn[-1].callback(None)
    assert len(running.results) == 2


def test_what_was_given_up_stays_as_it_was_told() -> None:
    """A call that ends after nobody waited any longer changes nothing."""
    last: list[Deferred[None]] = []

    async def stubborn() -> None:
        while len(last) < 2:
            last.append(Deferred())
            with contextlib.suppress(CancelledError):
                await last[-1]

    clock = Clock()
    call = Call(stubborn, copy_context(), clock, limit=5)
    call.begin()
    clock.pump([5, 1])
    error = call.exception()
    assert isinstance(error, TimeoutError)
    last[-1].callback(None)
    assert call.exception() is error


def test_no_timer_is_left() -> None:
    """What has ended in time leaves nothing behind in the reactor."""
    running = Running(Kinds)
    assert running.clock.getDelayedCalls() == []


def test_a_run_can_be_cancelled() -> None:
    """The test that is running is cancelled and torn down, no other begins, and nothing is reported of it."""
    calls: list[str] = []

    class Case(StatusTestCase):
        def setUp(self) -> None:
            self.addCleanup(calls.append, "cleaned up")

        def tearDown(self) -> None:
            calls.append("torn down")

        @classmethod
        def tearDownClass(cls) -> None:
            calls.append("class torn down")

        async def statustest_1(self) -> None:
            await Deferred()

        def statustest_2(self) -> None:
            calls.append("2")

    running = Running(Case, Case)
    running.call.stop()
    running.clock.pump([0, 0, 0])
    assert calls == ["torn down", "cleaned up", "class torn down"]
    assert running.results == []
    assert isinstance(running.call.exception(), CancelledError)


@pytest.mark.parametrize("cancelled_in", ["setUpClass", "setUp", "statustest_1", "tearDown"])
def test_a_run_that_is_cancelled_ends_though_its_tests_take_no_notice(cancelled_in: str) -> None:
    """A test, or what surrounds it, that goes on when it is cancelled does not keep the process from stopping."""
    calls: list[str] = []

    async def stubborn(name: str) -> None:
        calls.append(name)
        if name == cancelled_in:
            with contextlib.suppress(CancelledError):
                await Deferred()

    class Case(StatusTestCase):
        @classmethod
        async def setUpClass(cls) -> None:
            await stubborn("setUpClass")

        async def setUp(self) -> None:
            await stubborn("setUp")

        async def tearDown(self) -> None:
            await stubborn("tearDown")

        async def statustest_1(self) -> None:
            await stubborn("statustest_1")

        async def statustest_2(self) -> None:
            await stubborn("statustest_2")

    running = Running(Case, Case)
    running.call.stop()
    running.clock.pump([0, 0, 0])
    way = ["setUpClass", "setUp", "statustest_1", "tearDown"]
    after = [] if cancelled_in in ("setUpClass", "tearDown") else ["tearDown"]
    assert calls == [*way[: way.index(cancelled_in) + 1], *after]
    assert running.results == []
    assert isinstance(running.call.exception(), CancelledError)


def test_a_run_that_is_cancelled_after_a_limit_of_time_ends() -> None:
    """Also in the second that a test gets for ending."""
    began: list[int] = []

    class Case(StatusTestCase):
        async def statustest_1(self) -> None:
            while True:
                with contextlib.suppress(CancelledError):
                    await Deferred()

        def statustest_2(self) -> None:
            began.append(2)

    running = Running(Case, timeout=5)
    running.clock.advance(5)
    running.call.stop()
    running.clock.pump([1, 0])
    assert began == []
    assert isinstance(running.call.exception(), CancelledError)


@pytest.mark.parametrize("limit", ["5", -1, float("nan")])
def test_a_limit_of_time_that_makes_no_sense_is_told(limit: Any) -> None:
    """By the test that has it; the others run."""

    class Case(StatusTestCase):
        def statustest_1(self) -> None: ...

        def statustest_2(self) -> None: ...

    Case.statustest_1.timeout = limit
    running = Running(Case)
    assert running.statuses == {"1": "error", "2": "success"}
    assert f"timeout must be a number of seconds above 0, not {limit!r}" in running.results[0].failure


def test_setup_gets_what_it_names() -> None:
    """Of the values of the namespace, each setUp gets its parameters; one with ** gets all."""
    found: list[Any] = []

    class Some(StatusTestCase):
        def setUp(self, b: int, c: int = 3) -> None:
            found.append((b, c))

        def statustest_it(self) -> None:
            pass

    class Every(Some):
        def setUp(self, **everything: int) -> None:  # type: ignore[override]
            found.append(everything)

    running = Running(Some, Every, namespace={"a": 1, "b": 2})
    assert found == [(2, 3), {"a": 1, "b": 2}]
    assert [result.status for result in running.results] == ["success", "success"]
    assert "missing 1 required positional argument: 'b'" in the_result(Some).failure


def test_a_map_of_dependencies_is_a_namespace() -> None:
    """What is ready is given to setUp; what is not fails the test, in words that say what is missing."""
    environment = RuntimeEnvironment()
    database = object()
    needs = environment.create_dependency_map(object(), database=InstanceDependency(database))

    class Case(StatusTestCase):
        def setUp(self, database: Any) -> None:
            self.database = database

        def statustest_it(self) -> None:
            assert self.database is database

    assert "database is not available" in the_result(Case, namespace=needs).failure
    environment.dependency_manager.resolve_initial_states()
    assert the_result(Case, namespace=needs).status == "success"


def test_a_generator_is_no_test() -> None:
    """A forgotten inlineCallbacks is an error, no success."""

    class Case(StatusTestCase):
        def statustest_it(self) -> Iterator[None]:
            yield None

    assert "would never run: decorate it with inlineCallbacks" in the_result(Case).failure


class Prepared(StatusTestCase):
    """Notes what its class goes through."""

    calls: ClassVar[list[str]] = []

    @classmethod
    def setUpClass(cls) -> Any:
        cls.calls.append("setUpClass")

    @classmethod
    def tearDownClass(cls) -> Any:
        cls.calls.append("tearDownClass")

    def statustest_1(self) -> None:
        self.calls.append("1")

    def statustest_2(self) -> None:
        self.calls.append("2")


def test_a_class_is_prepared_once() -> None:
    """setUpClass comes before the tests, tearDownClass after them."""
    case = type("Case", (Prepared,), {"calls": []})
    Running(case).call.result()
    assert case.calls == ["setUpClass", "1", "2", "tearDownClass"]


def test_a_class_that_cannot_be_prepared_fails_every_test() -> None:
    """No test is run, each says why."""

    class Case(Prepared):
        calls: ClassVar[list[str]] = []

        @classmethod
        def setUpClass(cls) -> Any:
            return fail(ValueError("no database"))

    running = Running(Case)
    assert running.statuses == {"1": "error", "2": "error"}
    assert "no database" in running.results[1].failure
    assert Case.calls == []


def test_a_class_that_is_skipped_is_not_prepared() -> None:
    """`skip`, and the decorator of unittest, count for every test of a class."""
    mine = type("Mine", (Prepared,), {"calls": [], "skip": "no time"})
    theirs = unittest.skip("no wish")(type("Theirs", (Prepared,), {"calls": []}))
    running = Running(mine, theirs)
    assert [(each.status, each.reason) for each in running.results] == [
        *[("skipped", "no time")] * 2,
        *[("skipped", "no wish")] * 2,
    ]
    assert mine.calls == theirs.calls == []


def test_a_class_that_cannot_be_torn_down_is_an_error() -> None:
    """It gets a result of its own."""

    class Case(Prepared):
        calls: ClassVar[list[str]] = []

        @classmethod
        def tearDownClass(cls) -> Any:
            raise ValueError("still open")

    running = Running(Case)
    assert [result.status for result in running.results] == ["success", "success", "error"]
    assert running.results[-1].test.endswith("Case.tearDownClass")


def test_context_variables_live_as_long_as_the_test() -> None:
    """What setUp sets is there in the test, and not in the next one."""
    found: list[str] = []

    class Case(StatusTestCase):
        async def setUp(self) -> None:
            found.append(seen.get())
            await deferLater(self.runtime_environment.reactor, 1)
            seen.set("mine")

        def statustest_1(self) -> None:
            found.append(seen.get())

        def statustest_2(self) -> None:
            pass

    running = Running(Case)
    running.clock.pump([1, 1])
    running.call.result()
    assert found == ["nothing", "mine", "nothing"]


def test_failures_do_not_mix() -> None:
    """A test that fails after another one has failed tells only of itself."""

    class Case(StatusTestCase):
        async def statustest_1(self) -> None:
            await deferLater(self.runtime_environment.reactor, 1)
            raise ValueError("the first")

        def statustest_2(self) -> None:
            raise ValueError("the second")

    running = Running(Case)
    running.clock.pump([1, 0])
    assert "the second" in running.results[1].failure
    assert "the first" not in running.results[1].failure
