"""Child processes as an operator sees them: real commands, signals, and what is left behind."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from commands import EXAMPLES, Running, piped, wait_until

from piped.children.group import Group

#: Every kind of reactor notices children in its own way.
REACTORS = ["uvloop", "asyncio", "epoll", "select"]
#: Waits, after it has said that it has begun, for a signal.
WAIT = "echo begun; exec sleep 600"


def site_of(folder, text):
    file = folder / "site.yaml"
    file.write_text(textwrap.dedent(text))
    return file


def is_alive(pid):
    """Whether a process runs; one whose parent only has not asked how it ended does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [int(child) for child in children.read().split()]


def numbers_in(file):
    return [int(line) for line in file.read_text().split()] if file.exists() else []


@pytest.mark.parametrize("reactor", REACTORS)
def test_lines_come_and_the_end_is_told(tmp_path, reactor):
    """Each line of both streams, the last without its newline; then how it ended."""
    site = site_of(
        tmp_path,
        r"""
        processes:
          talk:
            executable: sh
            args: [-c, "printf 'one\ntwo\nlast'; echo oops >&2; exit 3"]
            stdout: {processor: tell}
            stderr: {processor: tell}
        pipelines:
          tell:
            - eval-lambda: {lambda: "line: __import__('logging').warning('got %s', line)", input_path: line}
        """,
    )
    with Running(site, "--reactor", reactor, cwd=tmp_path) as running:
        for word in ("one", "two", "last", "oops"):
            running.wait_for(f"got {word}")
        assert "ended with code 3" in running.wait_for("process.talk ended")
        assert running.stop() == 0


@pytest.mark.parametrize("reactor", REACTORS)
def test_what_is_written_to_it_comes_back(tmp_path, reactor):
    """More than a pipe holds goes through `cat`, in order; who writes waits for room."""
    site = site_of(
        tmp_path,
        """
        processes:
          lines: {executable: seq, args: [1, 60000], stdout: {processor: pass-on}}
          cat: {executable: cat, stdout: {processor: count}}
        contexts: {seen: []}
        pipelines:
          pass-on:
            - eval-lambda:
                input_path: line
                output_path: null
                dependencies: {cat: process.cat.stdin}
                lambda: "line: self.dependencies.cat.write(line + chr(10))"
          count:
            - exec-code:
                dependencies: {seen: context.seen}
                code: |
                  seen = self.dependencies.seen
                  seen.append(int(input['line']))
                  if len(seen) == 60000:
                      logger.info('all came in order: %s', seen == list(range(1, 60001)))
        """,
    )
    with Running(site, "--reactor", reactor, cwd=tmp_path) as running:
        assert "True" in running.wait_for("all came in order", timeout=60)
        assert running.stop() == 0


def test_a_slow_pipeline_lets_the_command_wait(tmp_path):
    """A command that never stops writing is held up by its pipe: it does not get far ahead of what is processed."""
    site = site_of(
        tmp_path,
        f"""
        processes:
          talk:
            executable: {sys.executable}
            args: [-u, counting.py]
            stdout: {{processor: slow}}
        pipelines:
          slow:
            - log: {{message: a line}}
            - wait: {{delay: 0.01}}
        """,
    )
    # Lines of 1000 bytes, and a byte to a file for each that was written.
    (tmp_path / "counting.py").write_text(
        "done = open('written', 'ab', 0)\nwhile True:\n    print('x' * 999)\n    done.write(b'.')\n"
    )
    with Running(site, cwd=tmp_path) as running:
        wait_until(lambda: running.log.count("a line") >= 50)
        written, processed = (tmp_path / "written").stat().st_size, running.log.count("a line")
        # 64 KiB in the pipe and as much read ahead are 131 lines; the log may be late by some.
        assert written <= processed + 200
        assert running.stop() == 0
    assert "were not processed any more" in running.log


def test_it_is_killed_when_it_does_not_listen(tmp_path):
    """A command that ignores SIGTERM gets `kill_after` seconds, and its children are not left behind either."""
    site = site_of(
        tmp_path,
        """
        processes:
          deaf:
            executable: sh
            args: [-c, "trap '' TERM; sleep 600 & echo $! $$ > pids; echo begun; while true; do sleep 1; done"]
            kill_after: 0.3
            stdout: {processor: tell}
        pipelines:
          tell: [log: {message: it has begun}]
        """,
    )
    with Running(site, cwd=tmp_path, ready="it has begun") as running:
        pids = numbers_in(tmp_path / "pids")
        assert [is_alive(pid) for pid in pids] == [True, True]
        assert running.stop() == 0
        assert "process.deaf did not end within 0.3 s of SIGTERM: killing it" in running.log
        assert "process.deaf was killed by SIGKILL when it was asked to end" in running.log
    assert [is_alive(pid) for pid in pids] == [False, False]


def test_whom_a_command_leaves_behind_is_ended_too(tmp_path):
    """What a command has started ends with it, and what it has said in the end is processed."""
    site = site_of(
        tmp_path,
        """
        processes:
          parent:
            executable: sh
            args: [-c, "sleep 600 & echo $! > pids; echo its last words"]
            stdout: {processor: tell}
        pipelines:
          tell:
            - eval-lambda: {lambda: "line: __import__('logging').warning('got %s', line)", input_path: line}
        """,
    )
    with Running(site, cwd=tmp_path) as running:
        running.wait_for("got its last words")
        running.wait_for("process.parent ended with code 0")
        [pid] = numbers_in(tmp_path / "pids")
        wait_until(lambda: not is_alive(pid))
        assert running.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_nobody_survives_us(tmp_path, number):
    """When Piped dies without a stop no child goes on, nor a child of one; whoever else was signalled before."""
    site = site_of(
        tmp_path,
        """
        processes:
          parent:
            executable: sh
            args: [-c, "sleep 600 & echo $! $$ > pids; echo begun; sleep 600"]
            stdout: {processor: tell}
        pipelines:
          tell: [log: {message: it has begun}]
        """,
    )
    with Running(site, cwd=tmp_path, ready="it has begun") as running:
        pids = numbers_in(tmp_path / "pids")
        assert [is_alive(pid) for pid in pids] == [True, True]
        [guard] = [pid for pid in children_of(running.process.pid) if pid not in pids]
        os.kill(guard, signal.SIGTERM)
        running.stop(number)
    wait_until(lambda: not any(map(is_alive, pids)))


def test_a_guard_that_was_killed_is_replaced(tmp_path):
    """The next child that comes is told to a new one, and so are those that run: they end when Piped is killed."""
    site = site_of(
        tmp_path,
        f"""
        processes:
          first: {{executable: sh, args: [-c, "echo $$ >> pids; {WAIT}"], stdout: {{processor: tell}}}}
          second: {{executable: sh, args: [-c, "echo $$ >> pids; sleep 600"], spawn: false}}
        pipelines:
          tell:
            - exec-code:
                dependencies: {{second: process.second}}
                code: |
                  import os, signal
                  [guard] = [int(pid) for pid in open(f'/proc/self/task/{{os.getpid()}}/children').read().split()
                             if 'after_death' in open(f'/proc/{{pid}}/cmdline').read()]
                  os.kill(guard, signal.SIGKILL)
                  os.waitid(os.P_PID, guard, os.WEXITED | os.WNOWAIT)
                  self.dependencies.second.spawn()
        """,
    )
    with Running(site, cwd=tmp_path, ready="process.second was started") as running:
        running.wait_for("the guard of the child processes was killed: starting another one")
        wait_until(lambda: len(numbers_in(tmp_path / "pids")) == 2)
        running.stop(signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, numbers_in(tmp_path / "pids"))))


def test_what_cannot_be_started_is_told_and_tried_again(tmp_path):
    """No such program, no such folder, nothing to execute: each in one line, without a traceback."""
    (tmp_path / "no-program").write_text("text")
    site = site_of(
        tmp_path,
        """
        processes:
          none: {executable: /no/such/program, restart: true, restart_wait: 0.05}
          folder: {executable: "true", path: nowhere}
          text: {executable: ./no-program}
        """,
    )
    with Running(site, cwd=tmp_path) as running:
        running.wait_for("process.none cannot be started: No such file or directory: /no/such/program")
        assert "nowhere" in running.wait_for("process.folder cannot be started: No such file or directory")
        running.wait_for("process.text cannot be started: Permission denied: ./no-program")
        running.wait_for("process.none is started again in 0.")
        assert running.stop() == 0
    assert "Traceback" not in running.log


def test_it_is_started_again_after_it_was_killed(tmp_path):
    """Whoever kills it gets another one; the log says which signal it was."""
    site = site_of(
        tmp_path,
        f"""
        processes:
          worker:
            executable: sh
            args: [-c, "echo $$ >> pids; {WAIT}"]
            restart: true
            restart_wait: 0.05
        """,
    )
    pids = tmp_path / "pids"
    with Running(site, cwd=tmp_path) as running:
        wait_until(lambda: len(numbers_in(pids)) == 1)
        os.kill(numbers_in(pids)[0], signal.SIGKILL)
        running.wait_for("process.worker was killed by SIGKILL after")
        wait_until(lambda: len(numbers_in(pids)) == 2)
        assert running.stop() == 0
    assert not any(map(is_alive, numbers_in(pids)))


def test_a_stop_while_the_last_lines_wait(tmp_path):
    """A command that has ended before its lines were processed holds up no stop, and is no failure."""
    site = site_of(
        tmp_path,
        """
        processes:
          talk: {executable: seq, args: [1, 20000], restart: true, stdout: {processor: slow}}
        pipelines:
          slow: [log: {message: begun}, wait: {delay: 600}]
        """,
    )
    with Running(site, "--drain", "0.2", cwd=tmp_path) as running:
        running.wait_for("process.talk ended with code 0")
        running.wait_for("begun")
        assert running.stop() == 1
    assert "cut short at the deadline: process.talk.stdout" in running.log
    assert "did not end in time" not in running.log
    assert "run of" not in running.log
    assert "lines were not processed any more" in running.log


def test_errors_go_where_the_output_goes(tmp_path):
    """With RedirectToStdout the lines of both come in the order in which they were written."""
    site = site_of(
        tmp_path,
        """
        processes:
          talk:
            executable: sh
            args: [-c, "echo 1; echo 2 >&2; echo 3; echo 4 >&2"]
            stdout: {processor: tell}
            stderr: {protocol: piped.providers.process_streams.RedirectToStdout}
        pipelines:
          tell:
            - eval-lambda: {lambda: "line: __import__('logging').warning('got %s', line)", input_path: line}
        """,
    )
    with Running(site, cwd=tmp_path) as running:
        running.wait_for("got 4")
        assert running.stop() == 0
    assert [line[-1] for line in running.lines if "got " in line] == ["1", "2", "3", "4"]


def test_those_that_only_wait_to_be_fetched_are_not_waited_for():
    """Where nobody fetches orphans that have ended, as in a container, a stop takes no longer for that."""
    with subprocess.Popen(["true"], start_new_session=True) as ended:
        group = Group("ended", ended.pid)
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert (group.send(0), group.is_left()) == (True, False)
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as running:
        assert Group("running", running.pid).is_left()
        running.kill()
    assert not Group("running", running.pid).send(0)


def test_the_example_runs(tmp_path):
    """examples/processes.yaml is accepted, shows lines, and leaves nothing behind."""
    example = EXAMPLES / "processes.yaml"
    assert piped("check", "--strict", example, cwd=tmp_path).returncode == 0
    with Running(example, cwd=tmp_path) as running:
        line = running.process.stdout.readline()
        assert line == line.upper() != ""
        assert running.stop() == 0
