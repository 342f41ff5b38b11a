"""Drawings show every step and edge of a pipeline, and can be read by what they are made for."""

import re
from textwrap import dedent

from hypothesis import given, settings
from hypothesis import strategies as st

from piped.pipelines.drawing import NOTE, dot, mermaid, text
from piped.pipelines.graph import Graph
from piped.pipelines.processor import Processor


def graph(edges: str, name: str = "web.hello", **spent: float) -> Graph:
    """A graph of steps a, b, …: 'a>b c!d' has the consumer b of a, and the error consumer d of c; a is the source."""
    steps: dict[str, Processor] = {}
    for start, kind, end in re.findall(r"(\w+)(?:([>!])(\w+))?", edges):
        for one in filter(None, (start, end)):
            if one not in steps:
                steps[one] = Processor()
                steps[one].id, steps[one].time_spent = one, spent.get(one, 0.0)
        if kind:
            first = steps[start]
            (first.consumers if kind == ">" else first.error_consumers).append(steps[end])
    return Graph(name, [next(iter(steps.values()))])


def shown(drawn: str, expected: str) -> bool:
    return drawn == dedent(expected).lstrip("\n")


def test_text_of_a_chain():
    """A chain goes straight down."""
    assert shown(
        text(graph("a>b b>c")),
        """
        web.hello
        └─ a
           b
           c
        """,
    )


def test_text_of_branches():
    """Branches are indented, error consumers marked, and what is drawn elsewhere is named only."""
    assert shown(
        text(graph("a>b a!e e>f b>c b>d b!g c>h d>h h>a g>f")),
        """
        web.hello
        └─ a
           ├! e
           │  f
           b
           ├! g
           │  → f
           ├─ c
           │  h
           │  → a
           └─ d
              → h
        """,
    )


def test_text_of_several_sources():
    """Each source stands on its own, and a pipeline without steps is only a name."""
    first, second = graph("a!b"), graph("c")
    assert shown(
        text(Graph("p", [*first.sources, *second.sources])),
        """
        p
        ├─ a
        │  └! b
        └─ c
        """,
    )
    assert text(Graph("p", [])) == "p\n"


def test_text_names_what_a_label_hides():
    """A step that is drawn elsewhere is told by its id where its label is another, and a label stays on its line."""
    steps = graph("a>b b>a")
    steps[0].node_name = "the\nfirst"
    steps[1].calls = ("web.other",)
    assert shown(
        text(steps),
        """
        web.hello
        └─ the, first
           b, web.other
           → the, first (a)
        """,
    )


def test_times_are_shown_with_what_they_mean():
    """Where time was spent, seconds and share are shown, and that only some walks are counted."""
    steps = graph("a>b b>c", a=1.5, b=0.5)
    assert text(steps).splitlines()[1:] == ["└─ a, 1.50 s, 75.00 %", "   b, 0.50 s, 25.00 %", "   c", f"({NOTE})"]
    assert '[label="a\\n1.50 s, 75.00 %", ' in dot(steps)
    assert NOTE in dot(steps)
    assert NOTE in mermaid(steps)


def test_dot_of_one_pipeline():
    """Nodes have ids of their own, edges their class, and error edges are red."""
    steps = graph("a>b a!c")
    steps[1].calls = ("web.other",)
    assert shown(
        dot(steps),
        f"""
        digraph "web.hello" {{
            tooltip="{NOTE}";
            node [shape=box];
            "web.hello/a" [label="a", color="#00c800"];
            "web.hello/b" [label="b\\nweb.other", color="#00c800"];
            "web.hello/c" [label="c", color="#00c800"];
            "web.hello/a" -> "web.hello/b" [class="consumer"];
            "web.hello/a" -> "web.hello/c" [class="error_consumer", color="red"];
        }}
        """,
    )


def test_dot_of_many_pipelines():
    """Several pipelines are labelled clusters, whose steps are told apart even where their ids are the same."""
    drawn = dot(iter([graph("a", "p"), graph("a", "q")]))
    assert 'subgraph cluster_0 {\n        label="p";\n        "p/a" [' in drawn
    assert 'subgraph cluster_1 {\n        label="q";\n        "q/a" [' in drawn
    assert drawn.count("{") == drawn.count("}") == 3


def test_borders_are_as_hot_as_the_time_spent():
    """Green for none of the time, yellow for the mean, red from twice the mean on."""
    drawn = dot(graph("a>b b>c c>d d>e", a=0.0, b=1.0, c=2.0, d=2.0, e=5.0))
    colors = re.findall(r'color="(#......)"', drawn)
    assert colors == ["#00c800", "#64c800", "#c8c800", "#c8c800", "#c80000"]


ESCAPED = re.compile(r'"((?:[^"\\\n]|\\[\\"n])*)"')


@settings(max_examples=40, deadline=None)
@given(st.text(st.sampled_from('"\\\n<>[]{}#;&aß ')))
def test_any_label_can_be_drawn(label: str):
    """Whatever a step or pipeline is called, a drawing stays whole and shows it."""
    steps = graph("a", label)
    steps[0].node_name = label
    drawn = dot(steps)
    names = [re.sub(r"\\(.)", lambda sign: {"n": "\n"}.get(sign[1], sign[1]), text) for text in ESCAPED.findall(drawn)]
    assert names[0] == label
    assert names[2] == f"{label}/a"
    assert ESCAPED.sub("", drawn).splitlines()[3] == "     [label=, color=];"
    for line in mermaid(steps).splitlines()[2:4]:
        assert re.fullmatch(r"\s+\w+( \w+)?\[\"(#\d+;|<br/>|[^\"#<>&\[\]{}])*\"\]", line)
    assert len(text(graph("a", "p")).splitlines()) == 2


def test_mermaid():
    """Each pipeline is a box; error edges are dotted and red, wherever their numbers lie."""
    assert shown(
        mermaid([graph("a>b a!c b!c", "p"), graph("a!b", 'q "x"')]),
        f"""
        flowchart TD
            %% {NOTE}
            subgraph p0["p"]
                p0_0["a"]
                p0_1["b"]
                p0_2["c"]
                p0_0 --> p0_1
                p0_0 -.-> p0_2
                p0_1 -.-> p0_2
            end
            subgraph p1["q #34;x#34;"]
                p1_0["a"]
                p1_1["b"]
                p1_0 -.-> p1_1
            end
            linkStyle 1,2,3 stroke:red
        """,
    )


def test_long_chains_can_be_drawn():
    """A pipeline may be longer than Python's stack."""
    steps = [Processor() for _ in range(3000)]
    for number, step in enumerate(steps):
        step.id, step.time_spent, step.consumers = f"s{number}", 1.0, steps[number + 1 : number + 2]
    long = Graph("long", steps[:1])
    assert len(text(long).splitlines()) == 3002
    assert dot(long).count("->") == 2999
    assert mermaid(long).count("-->") == 2999
