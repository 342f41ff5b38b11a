"""The prompt as a person sees it: a real process on a real pseudo-terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

import pytest
from commands import EXAMPLES, PIPED, Running, piped

#: What a terminal is told besides text: colours, movements of the cursor, modes.
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>]|\][^\x07]*\x07)")
CTRL_C, CTRL_D, UP = "\x03", "\x04", "\x1b[A"

#: Says so once what stands behind it is waited for.
SOON = "_ = runtime_environment.reactor.callLater(0.1, print, 'be' 'gun'); "

SITE = """\
repl:
  dependencies: {store: context.store}
contexts:
  store: {answer: 42}
pipelines:
  double:
    - eval-lambda: {input_path: n, output_path: n, lambda: "n: 2 * n"}
"""


class Terminal:
    """`piped run` on a pseudo-terminal; as a context it is killed at the end if it still runs."""

    def __init__(self, *arguments, cwd, log=None):
        self.ours, self.theirs = pty.openpty()
        termios.tcsetwinsize(self.theirs, (24, 200))
        self.before = termios.tcgetattr(self.theirs)
        environ = os.environ | {
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",  # nobody answers where the cursor is
            "XDG_STATE_HOME": str(cwd / "state"),
        }
        self.process = subprocess.Popen(
            [PIPED, "run", *map(str, arguments)],
            cwd=cwd,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs if log is None else log,
            env=environ,
            start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # it becomes the controlling terminal
        )
        self.screen = ""
        self._written = b""
        self._seen = 0

    def type(self, text):
        os.write(self.ours, text.encode())

    def enter(self, text):
        """Type a line, once the prompt is there."""
        self.wait_for(">>>")
        self.type(text + "\r")

    def wait_for(self, text, timeout=30):
        """Read until a text stands on the screen, behind what was waited for last."""
        deadline = time.monotonic() + timeout
        while (found := self.screen.find(text, self._seen)) < 0:
            if not self.read(0.5) and (self.process.poll() is not None or time.monotonic() > deadline):
                raise AssertionError(f"{text!r} never came:\n{self.screen[-5000:]}")
        self._seen = found + len(text)

    def read(self, seconds):
        """Read what is written within some seconds, or return False."""
        if not select.select([self.ours], [], [], max(seconds, 0))[0]:
            return False
        self._written += os.read(self.ours, 65536)
        self.screen = ESCAPES.sub("", self._written.decode(errors="replace"))
        return True

    def ended(self, timeout=30):
        """The exit code; reads what is written until then."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.1)
        return self.process.wait(0)

    @property
    def is_as_before(self):
        """Whether the terminal is in the state in which the process has found it."""
        return termios.tcgetattr(self.theirs) == self.before and os.get_blocking(self.theirs)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def terminal(tmp_path):
    (tmp_path / "site.yaml").write_text(SITE)
    with Terminal("--repl", "site.yaml", cwd=tmp_path) as terminal:
        yield terminal


def test_python_is_typed_and_answered(terminal):
    """What is typed is evaluated in the process, with its resources and pipelines at hand; exit() stops it."""
    terminal.enter("d.store['answer'] + 1")
    terminal.wait_for("43")
    terminal.enter("await pipelines['double']({'n': _})")
    terminal.wait_for("[{'n': 86}]")
    terminal.enter("exit()")
    assert terminal.ended() == 0
    assert terminal.is_as_before


def test_ctrl_c_at_the_prompt_clears_the_line_and_ctrl_d_stops(terminal):
    """A line that was typed in error is thrown away; only ctrl-D on an empty one stops the process."""
    terminal.wait_for(">>>")
    terminal.type("raise SystemExit" + CTRL_C)
    terminal.enter("6 * 7")
    terminal.wait_for("42")
    terminal.wait_for(">>>")
    terminal.type(CTRL_D)
    assert terminal.ended() == 0
    assert terminal.is_as_before


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (SOON + "await __import__('asyncio').sleep(1000)", "cancelled"),
        (SOON + "await __import__('twisted.internet.defer').internet.defer.Deferred()", "cancelled"),
        ("print('be' 'gun') or all(1 for _ in iter(int, 1))", "KeyboardInterrupt"),
    ],
    ids=["asyncio", "Deferred", "busy"],
)
def test_ctrl_c_ends_a_statement(terminal, statement, told):
    """What takes too long is ended, whether it waits or computes, and the process goes on."""
    terminal.enter(statement)
    terminal.wait_for("begun")
    terminal.type(CTRL_C)
    terminal.wait_for(told)
    terminal.enter("6 * 7")
    terminal.wait_for("42")
    assert terminal.process.poll() is None


def test_ctrl_c_never_stops_a_process_that_has_its_prompt(terminal):
    """However often it is pressed, or comes from elsewhere, and whether a line is being read just then or not."""
    terminal.wait_for(">>>")
    for _ in range(20):
        terminal.process.send_signal(signal.SIGINT)
        terminal.type(CTRL_C)
        terminal.read(0.01)
    terminal.enter("6 * 7")
    terminal.wait_for("42")


def test_a_stop_from_outside_gives_the_terminal_back(terminal):
    """SIGTERM while somebody types stops the process as ever, and the terminal is usable."""
    terminal.enter("6 * 7")
    terminal.wait_for("42")
    terminal.wait_for(">>>")
    terminal.type("half a li")
    terminal.process.send_signal(signal.SIGTERM)
    terminal.wait_for("stopped")
    assert terminal.ended() == 0
    assert terminal.is_as_before


def test_a_second_signal_gives_the_terminal_back_too(terminal):
    """A process that hangs while the prompt is shown, and is ended at once, leaves a usable terminal."""
    # What is printed would have to wait for the loop.
    terminal.enter("hang = lambda: __import__('os').write(1, b'it ' b'hangs') and all(1 for _ in iter(int, 1))")
    terminal.enter("_ = runtime_environment.reactor.callLater(0.2, hang)")
    terminal.wait_for("it hangs")
    deadline = time.monotonic() + 30
    while terminal.process.poll() is None and time.monotonic() < deadline:
        terminal.process.send_signal(signal.SIGTERM)  # signals that follow each other too closely are one
        terminal.read(0.1)
    terminal.wait_for("ending at once")
    assert terminal.ended() == 1
    assert terminal.is_as_before


def test_the_prompt_does_not_outlast_the_beginning_of_a_stop(tmp_path):
    """While batons have their time to end the terminal is back already, so that ctrl-C can cut that short."""
    (tmp_path / "site.yaml").write_text(
        "repl: {}\nsystem-events: {startup: {wait: wait}}\npipelines: {wait: [{wait: {delay: 1000}}]}"
    )
    with Terminal("--repl", "--drain", "1000", "site.yaml", cwd=tmp_path) as terminal:
        terminal.enter("def stop(): print('st' 'ops'), runtime_environment.ask_for_stop()\r")
        terminal.enter("_ = runtime_environment.reactor.callLater(0.1, stop)")
        terminal.wait_for("stops")
        deadline = time.monotonic() + 30
        while terminal.process.poll() is None and time.monotonic() < deadline:
            terminal.type(CTRL_C)  # at the prompt it would clear the line, again and again
            terminal.read(0.1)
        assert terminal.ended() == 1
        assert terminal.is_as_before


def test_log_lines_leave_what_is_being_typed_alone(terminal):
    """A line that is logged while somebody types stands above the prompt, and the typing goes on."""
    terminal.wait_for(">>>")
    terminal.type("'on' 'e")
    terminal.wait_for("'e")
    terminal.process.send_signal(signal.SIGHUP)
    terminal.wait_for("SIGHUP: opening the files anew")
    terminal.wait_for(">>> 'on' 'e")
    terminal.type(" li' 'ne'\r")
    terminal.wait_for("'one line'")


def test_a_failure_of_the_service_is_logged_as_ever(terminal):
    """What goes wrong behind the prompt is no affair of who types: nothing waits for a key."""
    terminal.enter("_ = __import__('asyncio').get_running_loop().call_later(0.1, lambda: 1 / 0)")
    terminal.wait_for("ZeroDivisionError: division by zero")
    terminal.enter("6 * 7")
    terminal.wait_for("42")


def test_long_output_is_not_cut_off(terminal):
    """The terminal stays in blocking mode, which uvloop would change, also after lines were written above."""
    ask = "f'blocking: {__import__(\"os\").get_blocking(1)}'"
    terminal.enter(ask)
    terminal.wait_for("blocking: True")
    terminal.wait_for(">>>")
    terminal.process.send_signal(signal.SIGHUP)
    terminal.wait_for("SIGHUP: opening the files anew")
    terminal.enter(ask)
    terminal.wait_for("blocking: True")
    terminal.enter("print('x' * 500_000 + 'e' 'nd')")
    terminal.wait_for("xend")


def test_the_mode_of_the_terminal_can_be_left_to_the_loop(tmp_path):
    """With `force_blocking_stdout: false` nothing is done about it; at the end it is as before all the same."""
    (tmp_path / "site.yaml").write_text(SITE)
    with Terminal("--repl", "site.yaml", "-O", "repl.force_blocking_stdout:false", cwd=tmp_path) as terminal:
        terminal.enter("f'blocking: {__import__(\"os\").get_blocking(1)}'")
        terminal.wait_for("blocking: False")
        terminal.enter("exit()")
        assert terminal.ended() == 0
        assert terminal.is_as_before


def test_blocks_are_typed_line_by_line_and_pasted_at_once(terminal):
    """A block goes on until an empty line; one that is pasted runs when Enter is pressed."""
    terminal.enter("def twice(n):")
    terminal.wait_for("...")
    terminal.type("return 2 * n\r")  # the indentation is there already
    terminal.wait_for("...")
    terminal.type("\r")
    terminal.wait_for(">>>")
    terminal.type("\x1b[200~for each in range(3):\n    if each:\n        print(twice(each) * 'ab')\n\x1b[201~")
    terminal.type("\r")
    terminal.wait_for("abab")
    terminal.wait_for("abababab")


def test_a_line_goes_on_where_the_one_above_began(terminal):
    """Whoever types a block within a block indents each of them once."""
    terminal.enter("for each in range(2):")
    terminal.wait_for("...")
    terminal.type("if each:\r")
    terminal.wait_for("...")
    terminal.type("print('first ' * each)\r")
    terminal.wait_for("...")
    terminal.type("print('sec' 'ond')\r")
    terminal.wait_for("...")
    terminal.type("\r")
    terminal.wait_for("first \r\nsecond")


def test_what_is_printed_without_an_end_of_line_stays_there(terminal):
    """The next prompt begins a line of its own."""
    terminal.enter("print('with' 'out', end='')")
    terminal.wait_for("without\r\n")
    terminal.wait_for(">>>")


def test_names_are_completed(terminal):
    """Tab completes names, and members of what stands before a dot."""
    terminal.wait_for(">>>")
    terminal.type("d.sto\t")
    terminal.wait_for("d.store")
    terminal.type("['ans' 'wer']\r")
    terminal.wait_for("42")


def test_the_history_is_kept_and_nobody_else_reads_it(terminal, tmp_path):
    """What was typed is there the next time, in a file for its owner only."""
    terminal.enter("6 * 7")
    terminal.wait_for("42")
    terminal.wait_for(">>>")
    terminal.type(CTRL_D)
    assert terminal.ended() == 0
    history = tmp_path / "state" / "piped" / "history"
    assert history.stat().st_mode & 0o777 == 0o600
    with Terminal("--repl", "site.yaml", cwd=tmp_path) as again:
        again.wait_for(">>>")
        deadline = time.monotonic() + 30
        while "6 * 7" not in again.screen and time.monotonic() < deadline:
            again.type(UP)  # the file is read while the first prompt is shown already
            again.read(0.2)
        again.type("\r")
        again.wait_for("42")


def test_what_is_typed_is_never_logged(tmp_path):
    """Mistakes at the prompt are told there and only there."""
    (tmp_path / "site.yaml").write_text(SITE)
    with open(tmp_path / "log", "w") as log, Terminal("--repl", "site.yaml", cwd=tmp_path, log=log) as terminal:
        for statement, told in [
            ("secret = 1 +", "SyntaxError"),
            ("secret = 1 is 2", "SyntaxWarning"),
            ("raise KeyError('secret')", "KeyError"),
            ("import warnings; warnings.warn('told')  # secret", ">>>"),
        ]:
            terminal.enter(statement)
            terminal.wait_for(told)
        terminal.type("secret()" + CTRL_C)
        terminal.enter("exit()")
        assert terminal.ended() == 0
        logged = (tmp_path / "log").read_text()
    assert "told" in logged  # the warning came, and without the line that has caused it
    assert "stopped" in logged
    assert "secret" not in logged


def test_a_mistake_in_the_bootstrap_is_logged_and_the_prompt_comes(tmp_path):
    """The log names the file and the line; what was defined before is there."""
    (tmp_path / "boot.py").write_text("first = 6\nawait d.wait_for_resource('store')\nsecond = 1 / 0\n")
    (tmp_path / "site.yaml").write_text(SITE + "x-nothing: 1\n")
    with Terminal("--repl", "site.yaml", "-O", "repl.bootstrap:!filepath boot.py", cwd=tmp_path) as terminal:
        terminal.wait_for("repl.bootstrap")
        terminal.wait_for("ZeroDivisionError")
        terminal.wait_for('boot.py", line 3')
        terminal.enter("first * 7")
        terminal.wait_for("42")


def test_without_a_terminal_the_process_runs_on(tmp_path):
    """A service that is started with --repl in a script says that there is no prompt, and serves."""
    (tmp_path / "site.yaml").write_text(SITE)
    with Running("--repl", "site.yaml", cwd=tmp_path) as running:
        running.wait_for("there is no prompt: standard input and output are no terminal")
        assert running.stop() == 0


def test_a_reactor_without_asyncio_is_refused(tmp_path):
    """The reason is told with the option to use instead."""
    (tmp_path / "site.yaml").write_text(SITE)
    done = piped("run", "--repl", "-r", "epoll", "site.yaml", cwd=tmp_path)
    assert done.returncode == 78
    assert "the prompt does not work on EPollReactor" in done.stderr
    assert "run with -r asyncio" in done.stderr


def test_a_prompt_is_nothing_for_the_background(tmp_path):
    """--repl and --daemon are told to exclude each other."""
    done = piped("run", "--repl", "--daemon", "site.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "--repl and --daemon exclude each other" in done.stderr


def test_the_example_works(tmp_path):
    """The example says what to type."""
    with Terminal("--repl", EXAMPLES / "repl.yaml", cwd=tmp_path) as terminal:
        terminal.enter("await greet('you')")
        terminal.wait_for("'Hello, you. You are number 1.'")
        terminal.enter("d.visitors")
        terminal.wait_for("{'count': 1}")


def test_a_terminal_that_goes_away_stops_the_process(terminal):
    """Whoever closes the window of a process that has its prompt there does not leave it behind."""
    terminal.wait_for(">>>")
    os.close(terminal.ours)
    terminal.ours = os.open(os.devnull, os.O_RDONLY)
    assert terminal.process.wait(30) == 0
