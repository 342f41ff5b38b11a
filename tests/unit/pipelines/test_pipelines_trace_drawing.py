"""Drawings of traces show the way of a baton in the order that it went."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import accumulate, pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from piped.pipelines.graph import Graph
from piped.pipelines.handovers import Handover, handovers
from piped.pipelines.processor import Processor
from piped.pipelines.trace_drawing import MOST_NUMBERED, dot, kind_of, name_of, origins, target_of
from piped.runtime.running import Pipeline


class Step(Processor):
    """Passes on the baton, or does what it is given to do."""

    def __init__(self, id: str, pipeline: str = "p", function: Callable[[Any], Any] = lambda baton: baton) -> None:
        super().__init__()
        self.id, self.pipeline_name, self._function = id, pipeline, function

    def process(self, baton: Any) -> Any:
        return self._function(baton)


def fails(baton: Any) -> Any:
    raise ValueError("no")


def walked(graph: Graph, *times: float, outside: Any = "caller") -> list[Handover]:
    """The hand-overs of a walk whose steps take these times, in seconds, one after the other."""
    # The clock is asked when the walk begins, then before and after each step.
    ticks = accumulate([0.0, *(passed for spent in times for passed in (0.0, spent))])
    return handovers(Pipeline(graph, sampled=None, now=lambda: next(ticks, 0.0)).trace(0)[1], outside)


def drawn(graph: Graph, *times: float, **options: Any) -> str:
    return dot(walked(graph, *times), {graph.name: graph}, **options)


def edges(drawing: str) -> list[str]:
    return re.findall(r'"([^"]+)" -> "([^"]+)" \[(.*)\]', drawing)


def look(drawing: str, start: str, end: str) -> str:
    [found] = [attributes for first, second, attributes in edges(drawing) if (first, second) == (start, end)]
    return found


def test_the_steps_are_numbered_edges() -> None:
    """Each hand-over is an edge with its number and an id, from outside to the result, which is a diamond."""
    a, b = Step("a"), Step("b")
    a.consumers = [b]
    drawing = drawn(Graph("p", [a]))
    assert [
        (start, end, re.findall(r'id="(\w+)", label="  (\d+)  "', attributes))
        for start, end, attributes in edges(drawing)
    ] == [
        ("outside/caller", "p/a", [("baton_0", "1")]),
        ("p/a", "p/b", [("baton_1", "2")]),
        ("p/b", "p/b/result", [("baton_2", "3")]),
    ]
    assert '"p/b/result" [label="", shape=diamond' in drawing
    assert '    "outside/caller" [label="caller"];' in drawing.splitlines()


def test_each_pipeline_has_its_frame() -> None:
    """The steps of a pipeline stand in one frame with its name, those of one that it runs in another."""
    inner = Graph("inner", [Step("i", "inner")])
    call = Step("call", "outer", lambda baton: Pipeline(inner).run(baton))
    outer = Graph("outer", [call])
    drawing = dot(walked(outer), {"outer": outer, "inner": inner})
    [first, second] = re.findall(r'subgraph cluster_\d \{\n\s+label="(\w+)";\n((?:\s+".*\n)+)', drawing)
    assert (first[0], "outer/call" in first[1], "inner/i" in first[1]) == ("outer", True, False)
    assert (second[0], "outer/call" in second[1], "inner/i" in second[1]) == ("inner", False, True)


def test_times_are_colours() -> None:
    """Little time is green, the mean yellow, much red; a step without a time is black; the tooltip has milliseconds."""
    steps = [Step(name) for name in "abcd"]
    for step, consumer in pairwise(steps):
        step.consumers = [consumer]
    drawing = drawn(Graph("p", steps[:1]), 0.0, 0.02, 0.04, 0.02)
    assert 'color="black"' in look(drawing, "outside/caller", "p/a")
    assert 'tooltip="0.00 ms", class="consumer", color="#009900"' in look(drawing, "p/a", "p/b")
    assert 'tooltip="20.00 ms", class="consumer", color="#999900"' in look(drawing, "p/b", "p/c")
    assert 'tooltip="40.00 ms", class="consumer", color="#990000"' in look(drawing, "p/c", "p/d")
    assert 'class="result"' in look(drawing, "p/d", "p/d/result")


def test_failures_are_dashed() -> None:
    """A failure is red where it is handed to an error consumer, and pink where it climbs, which bends no layout."""
    a, b, c, e = Step("a"), Step("b"), Step("c", function=fails), Step("e")
    a.consumers, b.consumers, a.error_consumers = [b], [c], [e]
    drawing = drawn(Graph("p", [a]))
    assert look(drawing, "p/a", "p/e").endswith(
        'tooltip="builtins.ValueError", class="error_consumer", style=dashed, color=red'
    )
    assert look(drawing, "p/c", "p/b").endswith('class="failure", style=dashed, color=pink, constraint=false')
    assert 'label="  5  "' in look(drawing, "p/b", "p/a")


def test_who_has_failed_is_marked() -> None:
    """With a sign as well as a colour; those past whom the failure climbs are not."""
    a, b, c, d, e, f = (Step(name, function=fails if name in "ce" else lambda baton: baton) for name in "abcdef")
    a.consumers, b.consumers, a.error_consumers, e.error_consumers = [b], [c], [d, e], [f]
    trace = walked(graph := Graph("p", [a]))
    marked = re.findall(r'"p/(\w)" \[label="✗ \1", color=red, class="failed"\]', dot(trace, {"p": graph}))
    assert marked == ["c", "e"]
    assert [name_of(trace[index]["source"]) for index in sorted(origins(trace))] == ["p/c", "p/e"]


def test_what_was_not_used_is_dotted_or_left_out() -> None:
    """Unused steps and their edges are gray and dotted, unused error edges pink; they can be left out."""
    a, b, c, e = map(Step, "abce")
    a.consumers, a.error_consumers = [b, c], [e]
    a.get_consumers = lambda baton: [b]  # type: ignore[method-assign] # a step that decides
    graph = Graph("p", [a])
    drawing = drawn(graph)
    assert '"p/c" [label="c", style="rounded,dotted", color=gray' in drawing
    assert look(drawing, "p/a", "p/c") == 'class="unused", style=dotted, color=gray'
    assert look(drawing, "p/a", "p/e") == 'class="unused", style=dotted, color=pink'
    assert 'id="baton_1"' in look(drawing, "p/a", "p/b")
    used = drawn(graph, show_unused=False)
    assert "unused" not in used
    assert '"p/c"' not in used


def test_a_long_trace_is_drawn_in_part() -> None:
    """Only so many steps get numbers, and the drawing says so; ways that come later are still drawn, once."""
    a, z = Step("a", function=lambda baton: baton + 1), Step("z")
    a.consumers = [a, z]
    a.get_consumers = lambda baton: [a] if baton < 1000 else [z]  # type: ignore[method-assign] # a loop
    drawing = drawn(Graph("p", [a]))
    assert f'"Only the first {MOST_NUMBERED} of 1,002 steps are numbered."' in drawing
    assert drawing.count('id="baton_') == MOST_NUMBERED
    assert len(edges(drawing)) == MOST_NUMBERED + 2
    assert look(drawing, "p/a", "p/z") == 'class="consumer", color="black"'


def test_the_outside_may_be_anything() -> None:
    """A processor that stands in no walked pipeline, any other object and None are nodes of their own."""
    graph = Graph("p", [Step("a", function=fails)])
    graphs: Mapping[str, Graph] = {"p": graph}
    for outside, name, label in [
        (Step("run", "other"), "other/run", "run"),
        (None, "outside/outside", "outside"),
        (object(), "outside/object", "object"),
    ]:
        drawing = dot(walked(graph, outside=outside), graphs)
        assert f'    "{name}" [label="{label}"];' in drawing.splitlines()
        assert 'class="failure"' in look(drawing, "p/a", name)


def test_a_trace_without_steps_is_a_drawing_without_edges() -> None:
    """What never began is drawn too."""
    assert dot([], {}).startswith("digraph trace {")
    assert edges(dot([], {})) == []


@settings(max_examples=50)
@given(st.text() | st.text('\\"\n\r'), st.text())
def test_no_name_breaks_the_drawing(name: str, pipeline: str) -> None:
    """Whatever a step and a pipeline are called stays between its quotes, on one line."""
    graph = Graph(pipeline, [Step(name, pipeline)])
    unquoted = re.sub(r'"(?:[^"\\\n]|\\.)*"', "T", dot(walked(graph), {pipeline: graph}))
    assert '"' not in unquoted
    assert "T -> T [id=T, label=T, tooltip=T, class=T, color=T];" in unquoted


def test_a_result_leads_to_its_own_diamond() -> None:
    """The target of a result stands behind the step that gave it."""
    *_, last = walked(Graph("p", [Step("a")]))
    assert (kind_of(last), target_of(last)) == ("result", "p/a/result")
