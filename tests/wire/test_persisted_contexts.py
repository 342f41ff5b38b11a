"""Persisted contexts as an operator knows them: the process dies at any moment, the data does not."""

import json
import signal
import time

from commands import Running

#: A file of some size, so that to write it takes a while.
COUNTING = """\
persisted_contexts:
  numbers:
    interval: 0.05
    initial_data: {count: 0}
ticks:
  interval:
    steady: {interval: 0.01, processor: count}
pipelines:
  count:
    - fetch-persisted-context: {context: numbers}
    - exec-code:
        output_path: null
        code: |
          numbers = baton['numbers']
          numbers['count'] += 1
          numbers['filler'] = 'x' * 8_000_000
          numbers['last'] = numbers['count']
"""


def stamp(file):
    return (file.stat().st_ino, file.stat().st_size, file.stat().st_mtime_ns) if file.exists() else None


def wait_for_change(file):
    """Come back as soon as something happens to a file: without a pause, to be there while it is being written."""
    before, deadline = stamp(file), time.monotonic() + 30
    while stamp(file) == before:
        assert time.monotonic() < deadline, "it was never written"


def test_a_killed_process_leaves_its_last_complete_data(tmp_path):
    """Killed while it writes, again and again, a process goes on from a whole file each time."""
    (tmp_path / "site.yaml").write_text(COUNTING)
    file, count = tmp_path / "numbers.json", 0
    for _ in range(4):
        with Running("site.yaml", cwd=tmp_path) as running:
            for _ in range(3):
                wait_for_change(file)
            running.stop(signal.SIGKILL)
        kept = json.loads(file.read_text())
        assert kept["count"] == kept["last"] > count
        count = kept["count"]
    assert not list(tmp_path.glob("*.broken-*"))
