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
