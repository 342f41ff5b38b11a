"""Live tests: the status tests of a configuration, run once in the service that it describes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from piped.app.process import Process
from piped.app.verdicts import Kind, Verdict
from piped.pipelines.graph import Graph
from piped.runtime.assembly import Assembly

#: The section of suites, which is the beginning of their resource paths too.
SECTION = "status_tests"
#: The step that every configuration of Piped 0.7 with status tests has.
_REPORTER = "create-statustest-reporter"
#: Seconds to wait for a suite to be ready.
PATIENCE = 10.0
#: Seconds between two looks at tests that a configuration runs itself.
LOOK = 0.1


def suites_of(assembly: Assembly) -> list[str]:
    """The names of the suites that a configuration defines."""
    section = assembly.document.node(SECTION)
    return list(section.value) if section is not None and section.is_mapping else []


def runs_its_own(assembly: Assembly) -> bool:
    """Whether pipelines of a configuration run status tests, as in Piped 0.7: they end with a step `shutdown`."""
    return any(map(_reports, assembly.graphs.values()))


class LiveProcess(Process):
    """A process in a reactor that goes on without it: who asks for its stop fires `asked`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.asked: Deferred[None] = Deferred()
        super().__init__(*arguments, **options)

    def ask_for_stop(self) -> None:
        """Let whoever runs it know, after who asks has gone on."""
        self.reactor.callLater(0, lambda: None if self.asked.called else self.asked.callback(None))


async def run_live(process: LiveProcess, suites: Sequence[str], tell: Callable[[Verdict], None]) -> None:
    """Start a service, run suites or let it run its own tests until it asks for its stop; stops it, tells verdicts."""
    try:
        await process.start()
        if not process.exit_code:
            await _until_asked(process, suites, tell)
    finally:
        await process.stop()
    # Those that were asked for are told, and others run at the start all the same.
    defined = suites_of(process.assembly)
    for report in process.environment.reports:
        if report.name not in defined:
            for verdict in _verdicts(report):
                tell(verdict)


async def _until_asked(process: LiveProcess, suites: Sequence[str], tell: Callable[[Verdict], None]) -> None:
    running = Deferred.fromCoroutine(_run(process, suites, tell))
    process.asked.addCallback(lambda _: running.cancel())
    try:
        await running
    except CancelledError:
        if not process.asked.called:  # a signal
            raise
        if suites:
            tell(Verdict(SECTION, "all suites", "failed", 0, "the service has stopped before its tests had ended"))


async def _run(process: LiveProcess, suites: Sequence[str], tell: Callable[[Verdict], None]) -> None:
    environment = process.environment
    for name in suites:
        wanted = environment.dependency_manager.as_dependency(f"{SECTION}.{name}")
        environment.dependency_manager.add_dependency(wanted)
        environment.dependency_manager.resolve_initial_states()
        suite = await wanted.wait_for_resource(PATIENCE)
        for verdict in _verdicts(await suite.run()):
            tell(verdict)
    if not suites:
        tell(await _failure_of_its_own(process))


async def _failure_of_its_own(process: LiveProcess) -> Verdict:
    """What is told of a pipeline that failed before it came to its step `shutdown`; else waits, to be cancelled."""
    manager = process.environment.dependency_manager
    graphs = process.assembly.graphs
    wanted = [manager.as_dependency(f"pipeline.{name}") for name in graphs if _reports(graphs[name])]
    for dependency in wanted:
        manager.add_dependency(dependency)
    manager.resolve_initial_states()
    while True:
        for pipeline in (dependency.get_resource() for dependency in wanted if dependency.is_ready):
            if pipeline.failed and not pipeline.waiting:
                what = f"it failed and so did not shut the process down: {pipeline.last_failures[-1].what}"
                return Verdict(SECTION, f"pipeline {pipeline.name}", "failed", 0, what)
        await deferLater(process.reactor, LOOK)


def _reports(graph: Graph) -> bool:
    return any(step.name == _REPORTER for step in graph)


def _verdicts(report: Any) -> Iterator[Verdict]:
    """What a report of status tests says."""
    for result in report.results:
        outcome: Kind = "failed" if result.is_bad else "skipped" if result.status == "skipped" else "passed"
        is_plain = result.status in ("success", "failure", "error")
        name = result.test if is_plain else f"{result.test} ({result.status.replace('_', ' ')})"
        yield Verdict(report.name, name, outcome, result.seconds, result.failure or result.reason)
