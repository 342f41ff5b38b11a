"""Tests of the steps that run status tests, wait for their results, and tell them."""
# ruff: noqa: PT009 - these are the assertions that users write

from __future__ import annotations

import io
import json
import textwrap
from typing import Any

import pytest
import status_cases
from status_stage import ended
from twisted.internet.defer import CancelledError, Deferred

from piped import ConfigurationError, PipedError, processor
from piped.catalog.discovery import discover
from piped.plugins.status_testing import processors, reporters, statustest
from piped.testing import Stage

CATALOG, _ = discover(None, None, (), built_in=["piped_status_testing"])
NAMES = ("create-statustest-reporter", "report-status-tests", "wait-for-statustest-reporter")


class Quiet(reporters.Reporter):
    """A reporter of a user: it takes arguments of its own, and notes when it is done."""

    def __init__(self, processor: Any, greeting: str, a: Any = None) -> None:
        super().__init__(processor)
        self.greeting, self.a, self.is_done = greeting, a, False

    def done(self) -> None:
        self.is_done = True


class Old(processors.StatusTestProcessor):
    """Written as for Piped 0.7: configure() calls no base, the namespace is a map of dependencies."""

    name = "test-old"

    def configure(self, runtime_environment: Any) -> None:
        manager = runtime_environment.dependency_manager
        self.dependencies = manager.create_dependency_map(self, square="pipeline.square")

    class Pipelines(statustest.StatusTestCase):
        """Asks a pipeline."""

        timeout = 2

        def setUp(self, square: Any) -> None:
            self.square = square

        async def statustest_squares(self) -> None:
            self.assertEqual(await self.square({"n": 3}), [{"n": 9}])

        async def statustest_fails(self) -> None:
            self.assertEqual(await self.square({"n": 3}), [{"n": 10}])

        def statustest_waits(self) -> Deferred[None]:
            return Deferred()

    def get_namespace(self, baton: Any) -> Any:
        return self.dependencies


PIPELINES = """
pipelines:
  square: [{eval-lambda: {input_path: n, output_path: n, lambda: "n: n ** 2"}}]
  results: [note]
  main:
"""

#: A step that makes a reporter which shows nothing.
QUIETLY = f"create-statustest-reporter: {{reporter: {__name__}.Quiet, arguments: {{greeting: hello}}}}"


def start(steps: str, baton: Any, *plugins: Any) -> tuple[Stage, Deferred[Any]]:
    """A pipeline that has been sent a baton, a turn of the reactor later."""
    stage = Stage(PIPELINES + textwrap.indent(textwrap.dedent(steps), "    "), Old, noting([]), *plugins)
    started = stage.start("main", baton)
    stage.clock.advance(0)
    return stage, started


def noting(batons: list[Any]) -> Any:
    @processor("note")
    def note(baton: Any) -> None:
        batons.append(baton)

    return note


def test_status_tests_of_piped_0_7_run() -> None:
    """A reporter is made, tests run in the live reactor, the summary is shown, and the process knows the report."""
    steps = """
        - create-statustest-reporter: {arguments: {stream_path: stream}}
        - test-old
        - wait-for-statustest-reporter: {done: true}
    """
    stage, started = start(steps, {"stream": io.StringIO()})
    assert not started.called
    stage.clock.advance(2)
    stage.clock.advance(0)
    [baton] = ended(started)
    [report] = stage.environment.reports
    assert [result.status for result in report.results] == ["success", "failure", "error"]
    assert (report.name, report.finished) == ("main", 2)
    assert baton["reporter"].report is report
    assert baton["stream"].getvalue().endswith(f"\nFAILED: {report.summary}\n")


def test_the_report_is_known_while_tests_run() -> None:
    """A pipeline that never says that it is done has failed all the same; each step keeps its last report only."""
    stage, _ = start(f"[{QUIETLY}, test-old]", {})
    [report] = stage.environment.reports
    assert not report.is_successful
    stage.start("main", {})
    stage.clock.advance(0)
    assert len(stage.environment.reports) == 1
    assert stage.environment.reports != [report]


def test_tests_begin_when_ports_are_open() -> None:
    """They are opened in the turn in which the pipeline of a start begins: the reporter comes in the next one."""
    stage = Stage(f"pipelines: {{main: [{QUIETLY}]}}")
    started = stage.start("main", {})
    assert not started.called
    stage.clock.advance(0)
    assert len(ended(started)) == 1


def test_a_step_limits_the_time_of_its_tests() -> None:
    """By `timeout`, where a case has none of its own."""

    class Slow(processors.StatusTestProcessor):
        """One test that waits."""

        name = "test-slow"
        Waiting = status_cases.Waiting

    stage, started = start(f"[{QUIETLY}, test-slow: {{timeout: 3}}]", {}, Slow)
    stage.clock.pump([2.9, 0])
    assert not started.called
    stage.clock.pump([0.1, 0])
    assert ended(started)[0]["reporter"].report.counts == {"error": 1}


def test_tests_are_cancelled_with_their_pipeline() -> None:
    """Whoever cancels the pipeline cancels the test that is running."""
    stage, started = start(f"[{QUIETLY}, test-old]", {})
    assert not started.called
    started.cancel()
    stage.clock.advance(0)
    with pytest.raises(CancelledError):
        ended(started)
    [report] = stage.environment.reports
    assert [result.status for result in report.results] == ["success", "failure"]


@pytest.mark.parametrize("name", ["greeting", "a"])
def test_an_argument_may_be_a_path(name: str) -> None:
    """`<name>_path` is looked up in the baton, however long the name is."""
    given = {"greeting": "hello", "a": "x"}
    given[f"{name}_path"] = "some.where"
    del given[name]
    step = {"reporter": f"{__name__}.Quiet", "arguments": given, "output_path": "mine"}
    _, started = start(json.dumps([{"create-statustest-reporter": step}]), {"some": {"where": "found"}})
    [baton] = ended(started)
    assert isinstance(baton["mine"], Quiet)
    assert getattr(baton["mine"], name) == "found"


def test_a_path_without_anything_is_told() -> None:
    """The error names the path and what is there instead."""
    _, started = start("[create-statustest-reporter: {arguments: {stream_path: nowhere}}]", {"else": 1})
    with pytest.raises(PipedError, match="there is nothing at 'nowhere' for the reporter"):
        ended(started)


def test_a_reporter_may_be_the_baton() -> None:
    """With '' as its path, for the steps that follow as well."""
    step = {"reporter": f"{__name__}.Quiet", "arguments": {"greeting": "x"}, "output_path": ""}
    wait = {"reporter_path": "", "done": True}
    steps = [{"create-statustest-reporter": step}, {"wait-for-statustest-reporter": wait}]
    [baton] = ended(start(json.dumps(steps), {})[1])
    assert baton.is_done


def test_results_are_waited_for() -> None:
    """wait-for-statustest-reporter goes on when the processor has had each result; without done nothing is shown."""
    taken: list[Deferred[Any]] = []

    @processor("slow")
    def slow(baton: Any) -> Deferred[Any]:
        taken.append(Deferred())
        return taken[-1]

    class One(processors.StatusTestProcessor):
        """One test."""

        name = "test-one"
        Passing = status_cases.Passing

    step = {"reporter": f"{__name__}.Quiet", "arguments": {"greeting": "x"}, "processor": "slowly"}
    steps = json.dumps([{"create-statustest-reporter": step}, "test-one", "wait-for-statustest-reporter"])
    stage = Stage(f"pipelines: {{main: {steps}, slowly: [slow]}}", slow, One)
    started = stage.start("main", {})
    stage.clock.advance(0)
    assert len(taken) == 1
    assert [source.name for source in stage.environment.sources] == ["create-statustest-reporter"]
    assert not started.called
    taken[0].callback(None)
    [baton] = ended(started)
    assert not baton["reporter"].is_done


@pytest.mark.parametrize("step", ["wait-for-statustest-reporter", "test-old"])
def test_a_missing_reporter_is_told(step: str) -> None:
    """The error names the path, what is there, and what is to be done."""
    for baton, there in (({}, "None"), ({"reporter": "me"}, "'me'")):
        with pytest.raises(PipedError) as raised:
            ended(start(f"[{step}]", baton)[1])
        assert raised.value.msg == f"there is no reporter at 'reporter', but {there}"
        assert "create-statustest-reporter" in raised.value.hint


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("reporter: json.JSONEncoder", "json.JSONEncoder is no reporter"),
        ("arguments: {strem_path: x}", "got an unexpected keyword argument 'strem'"),
        ("arguments: {stream: 1, stream_path: x}", "stream and stream_path exclude each other – remove one of them"),
        ("arguments: {stream_path: 1}", "stream_path must be a path in the baton, not 1"),
        (f"reporter: {__name__}.Quiet", "missing a required argument: 'greeting'"),
        ("processor: pipelin.x", "pipelin.x"),
    ],
)
def test_mistakes_are_told_before_the_start(options: str, told: str) -> None:
    """A class that is no reporter, and arguments that it does not take, are Problems with their place."""
    with pytest.raises(ConfigurationError) as raised:
        start(f"[create-statustest-reporter: {{{options}}}]", {})
    [problem] = raised.value.problems
    assert told in str(problem)
    assert problem.where is not None


SUITE = """
status_tests: {smoke: {cases: [status_cases.Passing, status_cases.Failing], at: never}}
pipelines:
  tell: [report-status-tests: {suite: smoke}]
  run: [report-status-tests: {suite: smoke, run: true, output_path: ''}]
"""


def test_a_report_is_put_into_the_baton() -> None:
    """The last one; before the first run one that is no success; `run` runs the tests first."""
    stage = Stage(SUITE)
    [before] = stage.run("tell", {})
    assert (before["report"]["name"], before["report"]["is_successful"]) == ("smoke", False)
    assert (before["report"]["finished"], before["report"]["results"]) == (None, [])
    stage.clock.advance(5)
    [now] = stage.run("run", {})
    assert (now["is_successful"], now["finished"], now["counts"]["failure"]) == (False, 5, 1)
    assert json.loads(json.dumps(now)) == now
    assert stage.run("tell", {}) == [{"report": now}]


def test_a_suite_that_is_not_there_is_told() -> None:
    """With the one that was meant."""
    with pytest.raises(ConfigurationError) as raised:
        Stage(SUITE.replace("suite: smoke}", "suite: smook}"))
    [problem] = raised.value.problems
    assert "there is no 'status_tests.smook' – did you mean 'smoke'?" in str(problem)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_documentation_shows_runs(name: str) -> None:
    """Each step has a summary, a text for each option, and an example that runs."""
    spec = CATALOG.processors[name].spec
    assert spec.summary
    assert not [parameter.name for parameter in spec.parameters if not parameter.text]
    [example] = spec.examples
    stage = Stage(SUITE + "  main:\n" + textwrap.indent(example, "    "))
    started = stage.start("main", {})
    stage.clock.advance(0)
    assert len(ended(started)) == 1
