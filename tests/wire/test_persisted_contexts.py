"""Persisted contexts as an operator knows them: the process dies at any moment, the data does not."""

import json
import signal
import time

import pytest
from commands import Running

COUNTING = """\
persisted_contexts:
  numbers:
    interval: 0.005
    initial_data: {count: 0, all: []}
ticks:
  interval:
    steady: {interval: 0, processor: count}
pipelines:
  count:
    - fetch-persisted-context: {context: numbers}
    - exec-code:
        output_path: null
        code: |
          numbers = baton['numbers']
          numbers['count'] += 1
          numbers['all'] = (numbers['all'] + [numbers['count']])[-20000:]
"""


def changed(file, before, timeout=30):
    """What a file holds as soon as it is something else."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if file.exists() and (content := file.read_text()) != before:
            return content
    pytest.fail("it was never written")


def test_a_killed_process_leaves_its_last_complete_data(tmp_path):
    """Killed in the middle of its work, again and again, a process goes on from a whole file each time."""
    (tmp_path / "site.yaml").write_text(COUNTING)
    file, count = tmp_path / "numbers.json", 0
    for _ in range(4):
        with Running("site.yaml", cwd=tmp_path) as running:
            content = changed(file, file.read_text() if file.exists() else None)
            for _ in range(20):  # somewhere among many writes
                content = changed(file, content)
            running.stop(signal.SIGKILL)
        kept = json.loads(file.read_text())
        assert kept["count"] > count
        assert kept["all"][-1] == kept["count"]
        count = kept["count"]
    assert not list(tmp_path.glob("*.broken-*"))
