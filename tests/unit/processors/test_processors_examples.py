"""Tests of what the documentation of the processors shows."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from processors_stage import Site

from piped.catalog.discovery import discover
from piped.spec.spec import Spec

CATALOG, _ = discover(None, None, (), built_in=["piped.processors"])
EXAMPLES = [(name, example) for name, entry in CATALOG.processors.items() for example in entry.spec.examples]

#: What the examples refer to.
SURROUNDINGS = """
contexts: {users: [Ada]}
pipelines:
  square: [eval-lambda: {lambda: 'n: n ** 2'}]
  main:
"""


class Interval:
    """What an interval of ticks can do."""

    def start_ticking(self) -> None:
        pass

    def stop_ticking(self) -> None:
        pass


@pytest.mark.parametrize("name", sorted(CATALOG.processors))
def test_every_processor_says_what_it_does(name: str) -> None:
    """Each processor has a summary, a text for each option of its own, and an example."""
    spec: Spec = CATALOG.processors[name].spec
    assert spec.summary
    assert spec.examples
    assert not [parameter.name for parameter in spec.parameters if not parameter.text]


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
@pytest.mark.usefixtures("capsys")  # no terminal is in sight, so that nothing stops to ask a person
def test_every_example_runs(name: str, example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the documentation shows can be copied into a pipeline, and a baton goes through it."""
    monkeypatch.chdir(tmp_path)  # where files are made
    file = tmp_path / "site.yml"
    file.write_text(SURROUNDINGS + textwrap.indent(example, "    "))
    site = Site(file, {"persisted_context.state": {}, "ticks.interval.reaper": Interval()})
    running = site.start({})
    site.clock.advance(10)
    failures: list[object] = []
    running.addErrback(failures.append)
    assert running.called
    assert not failures
