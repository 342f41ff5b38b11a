"""`piped draw` and `piped trace`: how pipelines look, and the way that one baton takes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import click
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped.app import reactors
from piped.app.loading import CANNOT_RUN, Settings, load, settings_options, start_logging, tell
from piped.ground.errors import PipedError, did_you_mean
from piped.pipelines import drawing
from piped.pipelines.graph import Graph
from piped.pipelines.tracing import Trace, Visit
from piped.runtime.assembly import Assembly, configure
from piped.runtime.environment import RuntimeEnvironment
from piped.runtime.logs import told


@click.command()
@click.argument("file", type=click.Path())
@click.argument("pipelines", nargs=-1)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "dot", "mermaid"]),
    default="text",
    help="dot is for Graphviz, mermaid for documents.  [default: text]",
)
@settings_options
def draw(settings: Settings, file: str, pipelines: tuple[str, ...], form: str) -> None:
    """Draw the pipelines of a configuration, or only those that are named.

    \b
    Example:
        piped draw site.yaml web.hello
        piped draw site.yaml --format dot | dot -Tsvg > site.svg
    """
    assembly = load(file, settings)
    graphs = [_graph(assembly, name) for name in pipelines] or list(assembly.graphs.values())
    if form == "text":
        click.echo("\n".join(drawing.text(graph) for graph in graphs), nl=False)
    else:
        click.echo((drawing.dot if form == "dot" else drawing.mermaid)(graphs), nl=False)


def _graph(assembly: Assembly, name: str) -> Graph:
    try:
        return assembly.graphs[name]
    except KeyError:
        advice = did_you_mean(name, assembly.graphs)
        raise click.UsageError(f"there is no pipeline {name!r}: {advice}".rstrip(": ")) from None


@click.command()
@click.argument("file", type=click.Path())
@click.argument("pipeline")
@click.option("--baton", default="{}", metavar="JSON", help="The baton; - reads it from the standard input.")
@click.option("--wait", default=10.0, metavar="SECONDS", help="How long to wait for resources.  [default: 10]")
@settings_options
def trace(settings: Settings, file: str, pipeline: str, baton: str, wait: float) -> None:
    """Send one baton through a pipeline and show the way that it took, with times.

    What the pipeline needs is started; no source of batons is, and no port is opened.
    Exits with 1 if the pipeline fails.

    \b
    Example:
        piped trace site.yaml web.hello --baton '{"name": "Ada"}'
    """
    assembly = load(file, settings)
    _graph(assembly, pipeline)
    try:
        content = json.loads(sys.stdin.read() if baton == "-" else baton)
    except ValueError as error:
        raise click.UsageError(f"--baton is not JSON: {error}") from error
    start_logging(settings)
    reactor = reactors.install(settings.reactor)
    environment = RuntimeEnvironment(assembly.document, reactor=reactor)
    exit_codes: list[int] = []

    def run() -> None:
        done: Deferred[Any] = Deferred.fromCoroutine(_trace(assembly, environment, pipeline, content, wait))
        done.addErrback(_failed).addCallback(exit_codes.append)
        done.addBoth(lambda _: environment.application.stopService())
        done.addBoth(lambda _: reactor.stop())

    reactor.callLater(0, run)
    reactor.run()
    sys.exit(exit_codes[0])


def _failed(failure: Failure) -> int:
    error = failure.value
    hint = f" – {error.hint}" if isinstance(error, PipedError) and error.hint else ""
    click.echo(f"{told(error)}{hint}", err=True)
    return 1


async def _trace(assembly: Assembly, environment: RuntimeEnvironment, name: str, baton: Any, wait: float) -> int:
    """Prints the trace and what came out; gives the exit code."""
    problems = configure(assembly, environment)
    if problems:
        tell(problems)
        return CANNOT_RUN
    for source in environment.sources:
        source.pause()
    wanted = environment.add_processor(_trace, f"pipeline.{name}")
    environment.dependency_manager.resolve_initial_states()
    environment.application.startService()
    pipeline = await wanted.wait_for_resource(wait)
    results, way = await pipeline.traced(baton)
    for line in _way(way):
        click.echo(line)
    if isinstance(results, Failure):
        click.echo(f"failed: {told(results.value)}")
        return 1
    for number, result in enumerate(results, 1):
        click.echo(f"result {number}: {json.dumps(result, default=repr, ensure_ascii=False)}")
    return 0


def _way(trace: Trace, indent: str = "") -> Iterator[str]:
    """A line for each step, those of pipelines that it ran below it."""
    failed = " failed" if trace.failure else ""
    yield f"{indent}{trace.name}{_time(trace)}{failed}"
    for visit in trace.visits:
        where = f"  {visit.step.where}" if visit.step.where else ""
        handling = f"  handling {type(visit.cause).__name__}" if visit.cause else ""
        failure = f"  {click.style(told(visit.failure), fg='red')}" if visit.failure else ""
        yield f"{indent}  {visit.step.label}{_time(visit)}{where}{handling}{failure}"
        for walk in visit.walks:
            yield from _way(walk, indent + "    ")
    if trace.is_cut and not indent:
        yield "(only the first steps are shown)"


def _time(spent: Trace | Visit) -> str:
    return f"  {(spent.ended - spent.started) * 1000:.2f} ms" if spent.ended is not None else "  did not end"
