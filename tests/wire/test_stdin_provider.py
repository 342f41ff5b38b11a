"""The standard input as a person uses it: piped, from a file, from nowhere, from a terminal."""

import os
import pty
import select
import signal
import subprocess
import textwrap
import threading

import pytest
from commands import PIPED, Running

#: Prints each line, and stops at the end.
PRINT = """
    stdin: {processor: main}
    pipelines:
      main:
        - eval-lambda: {lambda: "line: print(repr(line), flush=True) or line", input_path: line}
        - stop-at-end
"""
STEPS = '''
"""Steps of the tests."""
from piped import Processor


class StopAtEnd(Processor):
    """Ask for the stop when there is no line."""

    name = "stop-at-end"

    def configure(self, runtime_environment):
        self.environment = runtime_environment

    def process(self, baton):
        if baton["line"] is None:
            self.environment.ask_for_stop()
        return baton
'''


@pytest.fixture
def site(tmp_path):
    """Writes a configuration with the steps of this file; gives it."""
    (tmp_path / "line_steps.py").write_text(STEPS)

    def write(text):
        file = tmp_path / "site.yaml"
        file.write_text("plugins: {bundles: {mine: [line_steps]}}\n" + textwrap.dedent(text))
        return file

    return write


def run(file, *arguments, **options):
    command = [PIPED, "run", file, *arguments]
    return subprocess.run(command, cwd=file.parent, capture_output=True, text=True, timeout=60, **options)


class Typing(Running):
    """`piped run` with something to type into."""

    def __init__(self, file, stdin, *arguments):
        """As Running; `stdin` is a descriptor."""
        self.process = subprocess.Popen(
            [PIPED, "run", file, *arguments],
            cwd=file.parent,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines, self._changed = [], threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_for("ready")


@pytest.mark.parametrize("reactor", ["uvloop", "asyncio", "epoll", "select"])
def test_what_is_piped_in_comes_line_by_line(site, reactor):
    """Each line, the last without its newline too, and then null; under every reactor."""
    done = run(site(PRINT), "--reactor", reactor, input="a\n\nsmör\nb")
    assert done.stdout.splitlines() == ["'a'", "''", "'smör'", "'b'", "None"]
    assert done.returncode == 0


@pytest.mark.parametrize("reactor", ["uvloop", "epoll"])
def test_a_file_and_nothing_can_be_read(site, reactor):
    """Which a reactor cannot watch."""
    file = site(PRINT)
    for content in ("a\nb\n", ""):
        (file.parent / "input").write_text(content)
        with open(file.parent / "input") as opened:
            done = run(file, "--reactor", reactor, stdin=opened)
        assert done.stdout.splitlines() == [repr(line) for line in content.split()] + ["None"]
    assert run(file, "--reactor", reactor, stdin=subprocess.DEVNULL).stdout == "None\n"


def test_a_closed_input_has_no_lines(site):
    """Where the standard input was closed before, whatever has its number now is left alone."""
    file = site(PRINT)
    done = subprocess.run(
        ["sh", "-c", f"exec {PIPED} run {file} <&-"], cwd=file.parent, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "None\n")
    assert "the standard input was closed" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_does_not_wait_for_a_line(site, number):
    """While nobody types, a signal stops the process as ever."""
    out, into = os.pipe()
    with Typing(site(PRINT), out) as running:
        assert running.stop(number) == 0
        assert "stopped" in running.log
    os.close(out)
    os.close(into)


def test_a_slow_pipeline_reads_no_further_ahead_than_it_must(site):
    """Who writes faster than lines are processed waits; at a stop it is told how many lines were read for nothing."""
    file = site(
        """
        stdin: {processor: main}
        pipelines:
          main:
            - log: {message: it is begun}
            - wait: {delay: 600}
        """
    )
    out, into = os.pipe()
    with Typing(file, out, "--drain", "0.2") as running:
        written = 0
        # As much as is taken within a second.
        while select.select([], [into], [], 1)[1]:
            written += os.write(into, b"x" * 999 + b"\n")
        # What a pipe holds, and one piece that was read.
        assert written <= 3 * 65536
        assert running.stop() == 1
        assert "lines were not processed any more" in running.log
        assert running.log.count("it is begun") == 1
    os.close(out)
    os.close(into)


def test_a_trace_leaves_the_input_to_others(site):
    """`piped trace` runs one baton that it is given; what is piped in is still there after it."""
    file = site(PRINT)
    trace = f"""{PIPED} trace {file} main --baton '{{"line": "mine"}}'; cat"""
    done = subprocess.run(
        ["sh", "-c", trace], cwd=file.parent, input="theirs", capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("'mine'\n")
    assert done.stdout.endswith("theirs")


def test_a_terminal_stays_as_it_is(site):
    """Lines come as they are typed, ctrl-D is the end, and the terminal blocks as before: who shares it needs that."""
    ours, theirs = pty.openpty()
    with Typing(site(PRINT), theirs) as running:
        os.write(ours, b"typed\n")
        assert running.process.stdout.readline() == "'typed'\n"
        assert os.get_blocking(theirs)
        os.write(ours, b"\x04")
        assert running.process.stdout.readline() == "None\n"
        assert running.ended() == 0
    assert os.get_blocking(theirs)
    os.close(ours)
    os.close(theirs)
