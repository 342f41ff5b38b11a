"""Tests of the steps that draw what runs here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SiteOf = Callable[[str], Any]


def test_all_pipelines_are_drawn(site: SiteOf) -> None:
    """The text for Graphviz names every pipeline and every step."""
    running = site("""
        pipelines:
          main: [diagram-pipelines]
          other: [set-value: {path: a, value: 1, node_name: remember}]
    """)
    [baton] = running.run({})
    for text in ("digraph", "main", "diagram-pipelines", "other", "remember"):
        assert text in baton["dot"]


def test_the_dependencies_are_drawn(site: SiteOf) -> None:
    """The text for Graphviz names resources and who needs them."""
    running = site("""
        contexts: {users: 5}
        pipelines: {main: [fetch-context: {context: users}, diagram-dependencies: {output_path: ''}]}
    """)
    [dot] = running.run({})
    assert dot.startswith("digraph")
    assert "context.users" in dot


TRACED = """
    pipelines:
      main:
        - run-pipeline: {pipeline: inner, trace_path: trace}
        - diagram-trace: OPTIONS
      inner: [lambda-decider: {lambda: 'baton: 0', consumers: [passthrough, log: {message: unused}]}]
"""


def test_a_trace_is_drawn(site: SiteOf) -> None:
    """What run-pipeline has traced becomes a drawing, with what the baton did not come to."""
    [baton] = site(TRACED.replace("OPTIONS", "{}")).run({})
    assert baton["dot"].startswith("digraph trace")
    assert '"inner/lambda-decider-1" -> "inner/passthrough-1" [id="baton_1"' in baton["dot"]
    assert '"inner/log-1" [label="log-1", style="rounded,dotted"' in baton["dot"]


def test_a_trace_is_drawn_without_what_was_not_used(site: SiteOf) -> None:
    """`show_unused_processors: false` leaves out what the baton did not come to; paths can be chosen."""
    running = site(TRACED.replace("OPTIONS", "{show_unused_processors: false, output_path: ''}"))
    [drawing] = running.run({})
    assert "passthrough-1" in drawing
    assert "log-1" not in drawing
