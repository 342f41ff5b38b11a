"""`piped draw` and `piped trace`: how pipelines look, and the way that one baton takes."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Coroutine, Iterator
from typing import Any

import click
from twisted.internet.defer import CancelledError, maybeDeferred
from twisted.python.failure import Failure

from piped.app import garbage, reactors
from piped.app.errands import run_errand
from piped.app.loading import CANNOT_RUN, Settings, checked, enter, load, settings_options, start_logging
from piped.app.process import environment_of
from piped.ground.errors import PipedError, did_you_mean
from piped.pipelines import drawing
from piped.pipelines.graph import Graph
from piped.pipelines.names import find_pipeline
from piped.pipelines.tracing import Trace, Visit
from piped.runtime.assembly import Assembly, configure
from piped.runtime.environment import RuntimeEnvironment
from piped.runtime.logs import told, traceback_of

logger = logging.getLogger("piped")


def _names(ctx: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """What a shell completes: the pipelines of the file that is named before."""
    if not ctx.params.get("file"):
        return []
    assembly = checked(ctx.params["file"], Settings())
    return [name for name in assembly.graphs if name.startswith(begun)]


@click.command()
@click.argument("file", type=click.Path())
@click.argument("pipelines", nargs=-1, shell_complete=_names)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "dot", "mermaid"]),
    default="text",
    help="dot is for Graphviz, mermaid for documents.  [default: text]",
)
@settings_options
def draw(settings: Settings, file: str, pipelines: tuple[str, ...], form: str) -> None:
    """Draw the pipelines of a configuration, or those that are named.

    \b
    Example:
        piped draw site.yaml web.hello
        piped draw site.yaml --format dot | dot -Tsvg > site.svg
    """
    enter(settings)
    assembly = load(file, settings)
    graphs = [_graph(assembly, name) for name in pipelines] or list(assembly.graphs.values())
    if form == "text":
        click.echo("\n".join(drawing.text(graph) for graph in graphs), nl=False)
    else:
        click.echo((drawing.dot if form == "dot" else drawing.mermaid)(graphs), nl=False)


def _graph(assembly: Assembly, name: str) -> Graph:
    known = find_pipeline(name, assembly.graphs)
    if known is None:
        advice = did_you_mean(name, assembly.graphs)
        raise click.UsageError(f"there is no pipeline {name!r} – {advice}".rstrip(" –"))
    return assembly.graphs[known]


class JSONText(click.ParamType[Any]):
    """A value written as JSON; `-` reads it from the standard input."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return json.loads(sys.stdin.read() if value == "-" else value)
        except ValueError as error:
            self.fail(f"this is no JSON: {error}", param, ctx)


@click.command()
@click.argument("file", type=click.Path())
@click.argument("pipeline", shell_complete=_names)
@click.option(
    "--baton",
    default="{}",
    type=JSONText(),
    metavar="JSON",
    help="The baton, or - for the standard input.  [default: {}]",
)
@click.option(
    "--wait",
    default=10.0,
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for resources.  [default: 10]",
)
@settings_options
def trace(settings: Settings, file: str, pipeline: str, baton: Any, wait: float) -> None:
    """Send one baton through a pipeline and show its way.

    Each step is shown with the time that it took. What the pipeline needs is started; no source of batons is, and
    no port is opened. Exits with 1 if the pipeline fails.

    \b
    Example:
        piped trace site.yaml web.hello --baton '{"name": "Ada"}'
    """
    start_logging(settings, enter(settings))
    # Before anything is loaded: a module that imports the reactor would install another one.
    reactor = reactors.install(settings.reactor)
    assembly = load(file, settings)
    name = _graph(assembly, pipeline).name
    environment = environment_of(assembly, reactor, settings.is_debugging)
    garbage.resume()
    try:
        code = run_errand(reactor, lambda: _started(_trace(assembly, environment, name, baton, wait), environment))
    except CancelledError:
        click.echo("stopped before its end", err=True)
        code = 1
    sys.exit(code)


async def _started(tracing: Coroutine[Any, Any, int], environment: RuntimeEnvironment) -> int:
    """The exit code of a trace, whose failure is told; what it has started is stopped."""
    try:
        return await tracing
    except CancelledError:
        raise
    except PipedError as error:
        click.echo(told(error), err=True)
    except Exception as error:
        logger.critical("the start failed: %s", told(error), exc_info=error)
    finally:
        await maybeDeferred(environment.application.stopService)
    return 1


async def _trace(assembly: Assembly, environment: RuntimeEnvironment, name: str, baton: Any, wait: float) -> int:
    """Prints the trace and what came out; gives the exit code."""
    if problems := configure(assembly, environment):
        for problem in problems:
            logger.critical("%s", problem)
        return CANNOT_RUN
    for source in environment.sources:
        source.pause()
    wanted = environment.add_processor(_trace, f"pipeline.{name}")
    environment.dependency_manager.resolve_initial_states()
    await maybeDeferred(environment.application.startService)
    pipeline = await wanted.wait_for_resource(wait)
    results, way = await pipeline.traced(baton)
    for line in _way(way):
        click.echo(line)
    if isinstance(results, Failure):
        error = results.value
        click.echo(f"failed: {told(error)}")
        if error and not isinstance(error, PipedError):  # which says it all
            click.echo(traceback_of(error), err=True)
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
        failure = f"  {click.style(_failure_of(visit), fg='red')}" if visit.failure else ""
        yield f"{indent}  {visit.step.label}{_time(visit)}{where}{handling}{failure}"
        for walk in visit.walks:
            yield from _way(walk, indent + "    ")
    if trace.is_cut and not indent:
        yield "(only the first steps are shown)"


def _failure_of(visit: Visit) -> str:
    """How a step failed, where it was not in a pipeline that it ran, which tells it itself."""
    if any(walk.failure is visit.failure for walk in visit.walks):
        return "failed"
    return told(visit.failure, with_notes=False)


def _time(spent: Trace | Visit) -> str:
    return f"  {(spent.ended - spent.started) * 1000:.2f} ms" if spent.ended is not None else "  did not end"
