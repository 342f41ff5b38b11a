"""SIGHUP: files are opened anew where they were moved away, and a process ends with its terminal."""

import fcntl
import os
import pty
import signal
import subprocess
import termios

import pytest
from commands import PIPED, Running, piped, wait_until

#: Counts, and writes each number into a file.
COUNTING = """\
contexts: {state: {n: 0}}
ticks: {interval: {often: {interval: 0.002, processor: count}}}
pipelines:
  count:
    - fetch-context: {context: state}
    - increment-counter: {counter_path: state.n}
    - append-to-file: {file_path: numbers, input_path: state.n}
"""


def numbers_in(file):
    return [int(line) for line in file.read_text().splitlines()]


def test_no_line_is_lost_when_a_file_is_moved_away(tmp_path):
    """After the move and SIGHUP a new file is there; with the moved ones it has each line once, in order."""
    (tmp_path / "site.yaml").write_text(COUNTING)
    file = tmp_path / "numbers"
    with Running("site.yaml", cwd=tmp_path) as running:
        moved = [tmp_path / f"numbers.{number}" for number in range(3)]
        for aside in moved:
            wait_until(lambda: file.exists() and len(numbers_in(file)) >= 20)
            file.rename(aside)
            length = len(numbers_in(aside))
            wait_until(lambda aside=aside, length=length: len(numbers_in(aside)) > length)
            running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: file.exists() and numbers_in(file))
        assert running.stop() == 0
    running.wait_for("SIGHUP: opening the files anew")
    numbers = [number for part in (*moved, file) for number in numbers_in(part)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_file_that_cannot_be_opened_is_told_before_anything_starts(tmp_path):
    """run tells the file and the place of the step, with exit code 78; check opens nothing."""
    (tmp_path / "site.yaml").write_text(COUNTING.replace("file_path: numbers", "file_path: gone/numbers"))
    run = piped("run", "site.yaml", cwd=tmp_path)
    assert run.returncode == 78
    assert f"site.yaml:7:7: {tmp_path}/gone/numbers cannot be written: No such file or directory" in run.stderr
    assert "Traceback" not in run.stderr
    assert piped("check", "site.yaml", cwd=tmp_path).returncode == 0


@pytest.fixture
def terminal():
    """Both ends of one."""
    master, slave = pty.openpty()
    ends = {master, slave}
    yield master, slave, ends
    for end in ends:
        os.close(end)


def test_a_process_ends_with_its_terminal(tmp_path, terminal):
    """When the terminal is closed on which it was started, the process stops as with SIGTERM."""
    (tmp_path / "site.yaml").write_text(COUNTING)
    master, slave, ends = terminal
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            [PIPED, "run", "site.yaml"],
            cwd=tmp_path,
            stdin=slave,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
    try:
        wait_until(lambda: "ready" in (tmp_path / "log").read_text())
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "SIGHUP: opening the files anew" in (tmp_path / "log").read_text())
        assert process.poll() is None, "while there is a terminal, SIGHUP is for files"
        for end in (slave, master):
            os.close(end)
            ends.remove(end)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    log = (tmp_path / "log").read_text()
    assert "SIGHUP: stopping" in log
    assert log.rstrip().endswith("stopped")
