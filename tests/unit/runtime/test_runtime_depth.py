"""Pipelines that wait for pipelines, deeper than Python's stack is."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError

from piped.testing import Stage

DEPTH = 1500
DOWN = """
pipelines:
  down:
    - wait: {delay: 0}
    - eval-lambda: {lambda: 'n: n - 1', input_path: n}
    - eval-lambda: {output_path: where, lambda: "baton: 'down' if baton['n'] else 'bottom'"}
    - run-pipeline: {pipeline_path: where}
  bottom:
    - wait: {delay: 5}
    - exec-code:
        code: |
          if baton['fails']:
              raise KeyError('at the bottom')
          return baton
"""


def at_the_bottom(fails: bool = False) -> tuple[Stage, Any]:
    """A baton that waits at the bottom, and all the pipelines above for it."""
    stage = Stage(DOWN)
    outcome = stage.start("down", {"n": DEPTH, "fails": fails})
    stage.clock.pump([0] * (DEPTH + 1))
    assert not outcome.called
    return stage, outcome


def test_a_result_comes_up_from_any_depth() -> None:
    """However many pipelines wait for each other, the first one ends when the last one does."""
    stage, outcome = at_the_bottom()
    stage.clock.advance(5)
    assert outcome.result == [{"n": 0, "fails": False, "where": "bottom"}]


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_failure_comes_up_from_any_depth(is_cancelled: bool) -> None:
    """So do a failure, and the end of what was cancelled."""
    stage, outcome = at_the_bottom(fails=True)
    if is_cancelled:
        outcome.cancel()
    stage.clock.advance(5)
    failures: list[Any] = []
    outcome.addErrback(failures.append)
    assert failures[0].type is (CancelledError if is_cancelled else KeyError)
    assert not stage.clock.getDelayedCalls()
