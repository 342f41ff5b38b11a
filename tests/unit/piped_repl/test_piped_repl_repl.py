"""REPL: where the history is kept; its loop is seen on a real terminal, in tests/wire."""

from __future__ import annotations

from pathlib import Path

import pytest

from piped_repl.repl import default_history


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_STATE_HOME": "/state"}, "/state/piped/history"),
        ({"XDG_STATE_HOME": "relative"}, f"{Path.home()}/.local/state/piped/history"),
        ({"XDG_STATE_HOME": ""}, f"{Path.home()}/.local/state/piped/history"),
        ({}, f"{Path.home()}/.local/state/piped/history"),
    ],
)
def test_the_history_is_kept_among_the_state_of_the_user(environ: dict[str, str], expected: str) -> None:
    """Not in the run directory, which is the service's; XDG_STATE_HOME is honoured as its standard says."""
    assert default_history(environ).path == expected
