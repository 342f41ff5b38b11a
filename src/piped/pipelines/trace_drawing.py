"""Draws a trace as dot for Graphviz: the way of one baton, numbered, through the pipelines that it walked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from colorsys import hls_to_rgb
from typing import Any, Literal

from piped.ground.dot import quoted
from piped.pipelines.graph import Graph
from piped.pipelines.handovers import Handover
from piped.pipelines.processor import Processor

Kind = Literal["consumer", "error_consumer", "failure", "result"]

#: Numbered edges of one drawing: with more, nobody can read it, and Graphviz needs many seconds.
MOST_NUMBERED = 300
_FONT = 'fontname="Helvetica,Arial,sans-serif", fontsize=11'
_LOOK = (
    f"graph [style=rounded, labeljust=l, {_FONT}];",  # edges come in at the middle
    # With room for the fonts of other machines.
    f'node [shape=box, style=rounded, margin="0.2,0.08", {_FONT}];',
    f"edge [{_FONT}];",
)


def dot(trace: Sequence[Handover], graphs: Mapping[str, Graph], show_unused: bool = True) -> str:
    """The hand-overs of a trace as numbered edges, in a cluster for each pipeline.

    An edge has the id `baton_<index>`; its colour goes with the time spent in the step before it, from green over
    yellow, which is the mean, to red. It is dashed red when it leads to an error consumer and dashed pink where a
    failure climbs; the step that has failed is marked. Results are diamonds.

    Args:
        graphs: the pipelines by name: what of them was not used is dotted.
        show_unused: off, what was not used is left out.
    """
    visited = {step["destination"]: None for step in trace if kind_of(step) in ("consumer", "error_consumer")}
    pipelines = list(dict.fromkeys(step.pipeline_name for step in visited if isinstance(step, Processor)))
    lines = [f"    {line}" for line in _LOOK]
    if len(trace) > MOST_NUMBERED:
        lines.append(f'    label="Only the first {MOST_NUMBERED} of {len(trace):,} steps are numbered.";')
    failed = {name_of(trace[index]["source"]) for index in origins(trace)}
    for number, name in enumerate(pipelines):
        unused = [step for step in graphs[name] if step not in visited] if show_unused and name in graphs else []
        lines += [f"    subgraph cluster_{number} {{", f"        label={quoted(name)};"]
        lines += [f"        {line}" for line in _nodes(name, trace, visited, unused, failed)]
        lines.append("    }")
    outside = {name_of(end): end for step in trace for end in ends_of(step) if not _is_inside(end, pipelines)}
    lines += [f"    {quoted(name)} [label={quoted(label_of(end))}];" for name, end in outside.items()]
    lines += [f"    {line}" for line in _edges(trace)]
    if show_unused:
        lines += [
            f"    {line}" for line in _unused_edges(trace, [graphs[name] for name in pipelines if name in graphs])
        ]
    return "\n".join(["digraph trace {", *lines, "}"]) + "\n"


def kind_of(step: Handover) -> Kind:
    """What a hand-over is: to a consumer, to an error consumer, a failure that climbs, or a result.

    Example:
        >>> kind_of({"destination": None, "is_error_consumer": False, "failure": None})
        'result'
    """
    if step["is_error_consumer"]:
        return "error_consumer"
    if step["failure"] is not None:
        return "failure"
    return "result" if step["destination"] is None else "consumer"


def origins(trace: Sequence[Handover]) -> set[int]:
    """The indexes of the steps with which failures begin; those of failures that only climb on are not among them."""
    begun, climbed = set(), set()
    for index, step in enumerate(trace):
        if step["failure"] is not None:
            told = repr(step["failure"])
            if (name_of(step["source"]), told) not in climbed:
                begun.add(index)
            if kind_of(step) == "failure":
                climbed.add((target_of(step), told))
    return begun


def name_of(end: Any) -> str:
    """The name of an end of a hand-over, which a drawing has as the title of its node."""
    return f"{end.pipeline_name}/{end.id}" if isinstance(end, Processor) else f"outside/{label_of(end)}"


def target_of(step: Handover) -> str:
    """The name of the node that a hand-over leads to; a result's stands behind the step that gave it."""
    return f"{name_of(step['source'])}/result" if kind_of(step) == "result" else name_of(step["destination"])


def label_of(end: Any) -> str:
    """What people call an end of a hand-over."""
    if isinstance(end, Processor):
        return end.label
    return "outside" if end is None else end if isinstance(end, str) else type(end).__name__


def ends_of(step: Handover) -> list[Any]:
    """From whom and to whom the baton goes; a result goes to nobody."""
    return [step["source"]] if kind_of(step) == "result" else [step["source"], step["destination"]]


def _is_inside(end: Any, pipelines: Sequence[str]) -> bool:
    return isinstance(end, Processor) and end.pipeline_name in pipelines


def _nodes(
    pipeline: str,
    trace: Sequence[Handover],
    visited: Iterable[Any],
    unused: Iterable[Processor],
    failed: Collection[str],
) -> Iterator[str]:
    for step in visited:
        if _is_inside(step, [pipeline]):
            if name_of(step) in failed:
                yield f'{quoted(name_of(step))} [label={quoted(f"✗ {step.label}")}, color=red, class="failed"];'
            else:
                yield f"{quoted(name_of(step))} [label={quoted(step.label)}];"
    given = [step for step in trace if kind_of(step) == "result" and _is_inside(step["source"], [pipeline])]
    for name in dict.fromkeys(map(target_of, given)):
        yield f'{quoted(name)} [label="", shape=diamond, style="", width=0.25, height=0.25, class="result"];'
    for step in unused:
        attributes = 'style="rounded,dotted", color=gray, fontcolor=gray, class="unused"'
        yield f"{quoted(name_of(step))} [label={quoted(step.label)}, {attributes}];"


def _edges(trace: Sequence[Handover]) -> Iterator[str]:
    """An edge for each step; for those that find no number any more, one for each way that has none yet."""
    times = [step["time_spent"] for step in trace if step["time_spent"] is not None]
    mean = sum(times) / len(times) if times else 0.0
    drawn = set()
    for index, step in enumerate(trace):
        ends = f"{quoted(name_of(step['source']))} -> {quoted(target_of(step))}"
        way = (ends, kind_of(step))
        if index < MOST_NUMBERED:
            numbered = f'id="baton_{index}", label="  {index + 1}  ", tooltip={quoted(_tooltip(step))}, '
            yield f"{ends} [{numbered}{_look(step, mean)}];"
        elif way not in drawn:
            yield f"{ends} [{_look({**step, 'time_spent': None}, mean)}];"
        drawn.add(way)


def _look(step: Handover, mean: float) -> str:
    kind = kind_of(step)
    if kind == "error_consumer":
        return 'class="error_consumer", style=dashed, color=red'
    if kind == "failure":  # it climbs against the order of the steps, which it must not turn around
        return 'class="failure", style=dashed, color=pink, constraint=false'
    time = step["time_spent"]
    return f'class="{kind}", color="{"black" if time is None else _color(time, mean)}"'


def _color(time: float, mean: float) -> str:
    """`#rrggbb`: green for little of the time, yellow for the mean, red for twice that or more."""
    heat = min(time / mean, 2.0) / 2 if mean else 0.0
    return "#" + "".join(f"{round(255 * part):02x}" for part in hls_to_rgb((1 - heat) / 3, 0.3, 1.0))


def _tooltip(step: Handover) -> str:
    if step["failure"] is not None:
        return str(step["failure"]["type"])
    return "" if step["time_spent"] is None else f"{1000 * step['time_spent']:.2f} ms"


def _unused_edges(trace: Sequence[Handover], graphs: Iterable[Graph]) -> Iterator[str]:
    walked = {(name_of(step["source"]), target_of(step), step["is_error_consumer"]) for step in trace}
    for graph in graphs:
        for source in graph:
            for consumers, is_error, color in (
                (source.consumers, False, "gray"),
                (source.error_consumers, True, "pink"),
            ):
                for consumer in consumers:
                    start, end = name_of(source), name_of(consumer)
                    if (start, end, is_error) not in walked:
                        yield f'{quoted(start)} -> {quoted(end)} [class="unused", style=dotted, color={color}];'
