"""`set-pdb-trace` as a person at a terminal sees it."""

import os
import pty
import select
import signal
import subprocess
import termios
import time
import tty

import pytest
from commands import PIPED

SITE = """\
system-events: {startup: {go: begin}}
pipelines:
  begin:
    - set-value: {path: '', value: {n: 6}}
    - set-pdb-trace
    - eval-lambda: {input_path: n, lambda: "n: 7 * n", output_path: answer}
    - log: {message_path: answer}
"""


class Person:
    """Someone who started `piped run` at a terminal that a prompt has left in a state of its own."""

    def __init__(self, folder):
        (folder / "site.yaml").write_text(SITE)
        self._hand, self._terminal = pty.openpty()
        tty.setraw(self._terminal)
        self._at_first = termios.tcgetattr(self._terminal)
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [PIPED, "run", "-c", "site.yaml"], cwd=folder, stdin=self._terminal, stdout=self._terminal, stderr=log
            )
        self._log = folder / "log"

    def reads(self, text):
        """What was on the screen since it was read last, at least up to a text."""
        return self._wait_for(text, lambda seen, new: seen + new)

    def reads_in_log(self, text):
        """The log, once it has a text."""
        return self._wait_for(text, lambda seen, new: self._log.read_text())

    def types(self, line):
        os.write(self._hand, line.encode() + b"\n")

    @property
    def has_the_terminal_as_it_was(self):
        return termios.tcgetattr(self._terminal) == self._at_first

    def _wait_for(self, text, look):
        deadline, seen = time.monotonic() + 30, ""
        while text not in seen:
            assert time.monotonic() < deadline, f"{text!r} never came: {seen}\n{self._log.read_text()}"
            readable, _, _ = select.select([self._hand], [], [], 0.1)
            seen = look(seen, os.read(self._hand, 4096).decode() if readable else "")
        return seen

    def leave(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._hand)
        os.close(self._terminal)


@pytest.fixture
def person(tmp_path):
    person = Person(tmp_path)
    yield person
    person.leave()


def test_a_person_looks_at_a_baton_and_changes_it(person):
    """The debugger shows what is typed, has the baton, and lets it go on; Ctrl-C then stops the process as ever."""
    person.reads("(Pdb) ")
    person.types("baton['n'] += 1")
    assert "baton['n'] += 1" in person.reads("(Pdb) ")
    person.types("p baton")
    assert "{'n': 7}" in person.reads("(Pdb) ")
    person.types("continue")
    assert " 49\n" in person.reads_in_log("ready")
    assert person.has_the_terminal_as_it_was
    person.process.send_signal(signal.SIGINT)
    assert person.process.wait(30) == 0


def test_a_person_gives_up_a_baton(person):
    """`quit` fails the baton, and nothing but the baton."""
    person.reads("(Pdb) ")
    person.types("quit")
    log = person.reads_in_log("ready")
    assert "BdbQuit (in pipeline begin, step set-pdb-trace-1" in log
    assert person.has_the_terminal_as_it_was
    assert person.process.poll() is None
