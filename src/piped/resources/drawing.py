"""Draws who needs whom as a graph in the dot language."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from piped.ground.dot import quoted
from piped.resources.readiness import Name, Readiness


def dot(
    names: Iterable[Name],
    readiness: Readiness[Name],
    resolved: Container[Name],
    label: Callable[[Name], str] = str,
) -> str:
    """A drawing from the bottom to the top: from what is needed to who needs it.

    What is ready is green, else red; a double circle is not resolved yet; a dotted edge leads from what is missing.
    """
    ids = {name: f"n{number}" for number, name in enumerate(names)}
    lines = ["digraph dependencies {", "    rankdir=BT;"]
    for name, node in ids.items():
        shape = "ellipse" if name in resolved else "doublecircle"
        colour = "green" if readiness.is_ready(name) else "red"
        lines.append(f"    {node} [label={quoted(label(name))}, shape={shape}, color={colour}];")
    for name, node in ids.items():
        style = "color=green, style=solid" if readiness.is_ready(name) else "color=red, style=dotted"
        lines += [f"    {node} -> {ids[consumer]} [{style}];" for consumer in readiness.consumers(name)]
    return "\n".join([*lines, "}", ""])
