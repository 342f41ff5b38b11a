"""Console: what leaving the prompt of a process means."""

from __future__ import annotations

import io

from piped_repl.console import Console


def test_exit_without_brackets_says_that_it_stops_the_process() -> None:
    """Whoever only wants to know what it does is told."""
    output = io.StringIO()
    Console({}).evaluate("exit", output.write)
    assert output.getvalue() == "exit() or ctrl-D stops the process\n"
