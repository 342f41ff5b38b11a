"""Configurations as fixtures: a text becomes a site that runs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from processors_stage import Site

from piped.runtime.environment import RuntimeEnvironment


@pytest.fixture
def environment() -> RuntimeEnvironment:
    """A real environment with nothing in it."""
    return RuntimeEnvironment()


@pytest.fixture
def site(tmp_path: Path) -> Callable[[str], Site]:
    """Assembles the text of a configuration."""

    def assemble(text: str) -> Site:
        file = tmp_path / "site.yml"
        file.write_text(textwrap.dedent(text))
        return Site(file)

    return assemble


@pytest.fixture
def main(site: Callable[[str], Site]) -> Callable[[str], Site]:
    """Assembles a configuration whose one pipeline, `main`, has the steps of a text."""

    def assemble(steps: str) -> Site:
        return site("pipelines:\n  main:\n" + textwrap.indent(textwrap.dedent(steps), "    "))

    return assemble
