"""Draws graphs: as dot for Graphviz, as Mermaid for documents, as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from piped.ground.dot import quoted
from piped.pipelines.graph import Graph
from piped.pipelines.processor import Processor

#: Said wherever times are shown.
NOTE = "time_spent counts traced and sampled walks only"
#: What Mermaid or HTML would read as its own.
_MEANT = "#&<>\"'`\\[]{}"


def dot(graphs: Graph | Iterable[Graph]) -> str:
    """One graph, or several of them as labelled clusters, in the language of Graphviz.

    Edges to error consumers are red; borders go from green over yellow, which is the mean of the times spent, to red.
    """
    many = [graphs] if isinstance(graphs, Graph) else list(graphs)
    title = graphs.name if isinstance(graphs, Graph) else "pipelines"
    lines = [f"digraph {quoted(title)} {{", f"    tooltip={quoted(NOTE)};", "    node [shape=box];"]
    for number, graph in enumerate(many):
        body = [*_dot_nodes(graph), *_dot_edges(graph)]
        if isinstance(graphs, Graph):
            lines += [f"    {line}" for line in body]
        else:
            lines += [f"    subgraph cluster_{number} {{", f"        label={quoted(graph.name)};"]
            lines += [*(f"        {line}" for line in body), "    }"]
    return "\n".join([*lines, "}"]) + "\n"


def _dot_nodes(graph: Graph) -> Iterator[str]:
    colors = _colors(graph)
    for step, lines in _labels(graph).items():
        label, color = quoted("\n".join(lines)), quoted(colors[step])
        yield f"{_dot_id(graph, step)} [label={label}, color={color}];"


def _dot_edges(graph: Graph) -> Iterator[str]:
    for step in graph:
        for consumer in step.consumers:
            yield f'{_dot_id(graph, step)} -> {_dot_id(graph, consumer)} [class="consumer"];'
        for consumer in step.error_consumers:
            yield f'{_dot_id(graph, step)} -> {_dot_id(graph, consumer)} [class="error_consumer", color="red"];'


def _dot_id(graph: Graph, step: Processor) -> str:
    return quoted(f"{graph.name}/{step.id}")


def mermaid(graphs: Graph | Iterable[Graph]) -> str:
    """One graph or several in the language of Mermaid, which many documents and issue trackers draw."""
    many = [graphs] if isinstance(graphs, Graph) else list(graphs)
    lines = ["flowchart TD", f"    %% {NOTE}"]
    red: list[int] = []
    edges = 0
    for number, graph in enumerate(many):
        ids = {step: f"p{number}_{position}" for position, step in enumerate(graph)}
        lines.append(f'    subgraph p{number}["{_entities(graph.name)}"]')
        for step, label in _labels(graph).items():
            lines.append(f'        {ids[step]}["{"<br/>".join(map(_entities, label))}"]')
        for step, id in ids.items():
            lines += [f"        {id} --> {ids[consumer]}" for consumer in step.consumers]
            lines += [f"        {id} -.-> {ids[consumer]}" for consumer in step.error_consumers]
            edges += len(step.consumers) + len(step.error_consumers)
            red += range(edges - len(step.error_consumers), edges)
        lines.append("    end")
    if red:
        lines.append(f"    linkStyle {','.join(map(str, red))} stroke:red")
    return "\n".join(lines) + "\n"


def _entities(text: str) -> str:
    """A text in which nothing means anything to Mermaid or to HTML."""
    return "".join(f"#{ord(sign)};" if sign in _MEANT or not sign.isprintable() else sign for sign in text)


def text(graph: Graph) -> str:
    """One graph for a terminal: a chain goes straight down, branches are indented.

    `!` stands before error consumers, `→` before a step that is drawn elsewhere already.
    """
    lines = [graph.name]
    labels = _labels(graph)
    seen: set[Processor] = set()
    todo = list(reversed(_branches([("─", source) for source in graph.sources], "")))
    while todo:
        step, lead, indent = todo.pop()
        words = ", ".join(labels[step])
        if step in seen:
            lines.append(f"{lead}→ {words}" + (f" ({step.id})" if step.id != step.label else ""))
            continue
        seen.add(step)
        lines.append(lead + words)
        todo += reversed(_below(step, indent))
    if any(step.time_spent for step in graph):
        lines.append(f"({NOTE})")
    return "\n".join(lines) + "\n"


_Line = tuple[Processor, str, str]


def _below(step: Processor, indent: str) -> list[_Line]:
    """What is drawn below a step: its only consumer stands right under it, several ones are branches."""
    errors = [("!", consumer) for consumer in step.error_consumers]
    if len(step.consumers) == 1:
        return [*_branches(errors, indent, is_last=False), (step.consumers[0], indent, indent)]
    return _branches(errors + [("─", consumer) for consumer in step.consumers], indent)


def _branches(marked: Sequence[tuple[str, Processor]], indent: str, is_last: bool = True) -> list[_Line]:
    """Each step with what stands before its own line, and before those below it."""
    lines = []
    for position, (mark, step) in enumerate(marked):
        ends = is_last and position == len(marked) - 1
        lines.append((step, f"{indent}{'└' if ends else '├'}{mark} ", indent + ("   " if ends else "│  ")))
    return lines


def _labels(graph: Graph) -> dict[Processor, list[str]]:
    """The lines of each step's label: its name, the pipelines it runs, and its share of the time."""
    total = sum(step.time_spent for step in graph)
    labels = {}
    for step in graph:
        labels[step] = [*step.label.splitlines(), *step.calls]
        if step.time_spent:
            labels[step].append(f"{step.time_spent:.2f} s, {100 * step.time_spent / total:.2f} %")
    return labels


def _colors(graph: Graph) -> Mapping[Processor, str]:
    """For each step `#rrggbb`: green for none or little of the time, yellow for the mean, red for twice that."""
    mean = sum(step.time_spent for step in graph) / max(len(graph), 1)
    colors = {}
    for step in graph:
        heat = min(step.time_spent / mean, 2.0) if mean else 0.0
        red, green = min(heat, 1.0), min(2.0 - heat, 1.0)
        colors[step] = f"#{round(200 * red):02x}{round(200 * green):02x}00"
    return colors
