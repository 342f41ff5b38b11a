"""Steps that run status tests in a pipeline, keep what becomes of them, and tell it."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Mapping
from typing import Any, Final

from twisted.internet.task import deferLater

from piped import (
    ConfigurationError,
    DottedName,
    Path,
    PipedError,
    Processor,
    ProcessorPath,
    RuntimeEnvironment,
    Seconds,
    Source,
    get_path,
    set_path,
)
from piped.pipelines.processor import Baton
from piped_status_testing.reporters import Reporter
from piped_status_testing.reports import Report
from piped_status_testing.running import TIMEOUT, Runner
from piped_status_testing.statustest import cases_of
from piped_status_testing.suites import Suite, SuiteName, replace_report

_MISSING: Final = object()
_PATH: Final = "_path"
_TREE: Final = DottedName("piped_status_testing.reporters.TreeReporter")


class StatusTestProcessor(Processor):
    """The base of steps that run status tests: the test cases are classes inside a subclass.

    Args:
        reporter_path: where the reporter is in the baton; `create-statustest-reporter` puts one there.
        timeout: what each test may take, and each method around it, unless it says so itself.
    """

    def __init__(self, reporter_path: Path = "reporter", timeout: Seconds = TIMEOUT) -> None:
        super().__init__()
        self.reporter_path, self.timeout = reporter_path, timeout

    def get_namespace(self, baton: Baton) -> Mapping[str, Any]:
        """Values for the `setUp` of the test cases, by name: a mapping, or a map of dependencies."""
        return {}

    async def process(self, baton: Baton) -> Baton:
        reporter = _reporter_in(baton, self.reporter_path)
        # Not from configure(), which subclasses override without calling it.
        environment = reporter.runtime_environment
        await Runner(reporter, environment, timeout=self.timeout, namespace=self.get_namespace(baton)).run(
            cases_of(self)
        )
        return baton


class CreateStatusTestReporter(Processor):
    """Put a new reporter into the baton, which keeps and shows what becomes of status tests.

    Args:
        reporter: the full name of a class derived from `piped_status_testing.reporters.Reporter`.
        processor: what gets a baton for each result.
        arguments: for the class, by name; one that is called `x_path` is looked up in the baton and passed as `x`.
        output_path: where to put the reporter; '' makes it the baton.

    Example:
        - create-statustest-reporter:
            arguments: {capture_vars: true}
        - wait-for-statustest-reporter: {done: true}
    """

    name = "create-statustest-reporter"

    def __init__(
        self,
        reporter: DottedName = _TREE,
        processor: ProcessorPath | None = None,
        arguments: Mapping[str, Any] | None = None,
        output_path: Path = "reporter",
    ) -> None:
        super().__init__()
        self._kind = _reporter_class(reporter)
        self._paths, self._arguments = _sorted_out(arguments or {})
        self._processor, self._output_path = processor, output_path
        self._last_report: Report | None = None
        try:
            inspect.signature(self._kind).bind(None, **self._arguments, **self._paths)
        except TypeError as error:
            raise ConfigurationError(f"{reporter} cannot be made: {error}", hint="see its arguments") from error

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._environment = runtime_environment
        self._source: Source | None = None
        if self._processor is not None:
            dependency = runtime_environment.add_processor(self, self._processor)
            self._source = runtime_environment.sources.add(Source(self.name, dependency, max_running=None))

    async def process(self, baton: Baton) -> Baton:
        # Ports are opened in the turn of the reactor in which `system-events` tells of the start: tests need them.
        await deferLater(self._environment.reactor, 0)
        found = {name: self._found(baton, path) for name, path in self._paths.items()}
        reporter: Reporter = self._kind(self._source, **self._arguments, **found)
        reporter.runtime_environment = self._environment
        reporter.report.name = reporter.report.name or self.pipeline_name
        # Not when it is done, which a pipeline that fails never says.
        replace_report(self._environment, self._last_report, reporter.report)
        self._last_report = reporter.report
        if self._output_path == "":
            return reporter
        set_path(baton, self._output_path, reporter)
        return baton

    def _found(self, baton: Baton, path: str) -> Any:
        value = get_path(baton, path, _MISSING)
        if value is _MISSING:
            raise PipedError(f"there is nothing at {path!r} for the reporter", f"the baton is {reprlib.repr(baton)}")
        return value


class WaitForStatusTestReporter(Processor):
    """Wait until the processor of a reporter has had every result.

    Args:
        reporter_path: where the reporter is in the baton.
        done: no test is to follow: show the summary.

    Example:
        - create-statustest-reporter
        - wait-for-statustest-reporter:
            done: true
    """

    name = "wait-for-statustest-reporter"

    def __init__(self, reporter_path: Path = "reporter", done: bool = False) -> None:
        super().__init__()
        self._reporter_path, self._done = reporter_path, done

    async def process(self, baton: Baton) -> Baton:
        reporter = _reporter_in(baton, self._reporter_path)
        await reporter.wait()
        if self._done:
            reporter.report.finished = reporter.runtime_environment.wall_clock()
            reporter.done()
        return baton


class ReportStatusTests(Processor):
    """Put the last report of a suite into the baton, as mappings and lists that JSON can say.

    `is_successful` is whether nothing failed, `counts` the number of tests by their status, `finished` when, in
    seconds since 1970; `results` has `test`, `status`, `seconds`, `failure` and `reason` of each. Before the first run
    has ended, `is_successful` is false and `finished` null.

    Args:
        suite: the name of the suite.
        output_path: where to put the report; '' makes it the baton.
        run: run the tests first; while they run already, wait for that run.

    Example:
        - report-status-tests:
            suite: smoke
            run: true
        - eval-lambda:
            input_path: report
            output_path: response_code
            lambda: "report: 200 if report['is_successful'] else 503"
    """

    name = "report-status-tests"

    def __init__(self, suite: SuiteName, output_path: Path = "report", run: bool = False) -> None:
        super().__init__()
        self._suite, self._output_path, self._run = suite, output_path, run

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._dependency = runtime_environment.dependency_manager.add_dependency(self, self._suite)

    async def process(self, baton: Baton) -> Baton:
        suite: Suite = self._dependency.get_resource()
        report = await suite.run() if self._run else suite.last_report or Report(self._suite)
        return self.get_resulting_baton(baton, self._output_path, report.as_mapping())


def _sorted_out(arguments: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """The paths of those arguments that are looked up in the baton, and the other arguments."""
    paths = {name.removesuffix(_PATH): path for name, path in arguments.items() if name.endswith(_PATH)}
    others = {name: value for name, value in arguments.items() if not name.endswith(_PATH)}
    for name, path in paths.items():
        if not isinstance(path, str):
            raise ConfigurationError(f"{name}{_PATH} must be a path in the baton, not {path!r}")
        if name in others:
            raise ConfigurationError(f"{name} and {name}{_PATH} exclude each other", hint="remove one of them")
    return paths, others


def _reporter_class(name: DottedName) -> type[Reporter]:
    kind = name.load()
    if isinstance(kind, type) and issubclass(kind, Reporter):
        return kind
    raise ConfigurationError(f"{name} is no reporter", hint=f"derive it from {Reporter.__module__}.Reporter")


def _reporter_in(baton: Baton, path: Path) -> Reporter:
    reporter = get_path(baton, path)
    if isinstance(reporter, Reporter):
        return reporter
    raise PipedError(
        f"there is no reporter at {path!r}, but {reprlib.repr(reporter)}",
        hint="put create-statustest-reporter before this step",
    )
