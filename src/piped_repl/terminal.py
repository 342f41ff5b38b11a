"""Terminal: reads what is typed, and keeps what the process writes meanwhile above it."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import stat
import sys
import termios
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.patch_stdout import StdoutProxy

from piped_repl.console import Console

logger = logging.getLogger("piped_repl")

#: Seconds for which lines are gathered that are written above the prompt.
GATHERED = 0.05
INDENTATION = "    "


class Terminal:
    """The terminal that standard input and output are, while the context is open; it is left as it was found.

    Args:
        console: says whether a text is complete and how it can be completed.
        history: the name of the file that keeps what was typed.
        interrupt: called by SIGINT, in the main thread and at once.
        stays_blocking: whether the terminal is kept in blocking mode, which the shell and programs expect of it.
    """

    def __init__(
        self, console: Console, history: str, interrupt: Callable[[], object], stays_blocking: bool = True
    ) -> None:
        self._console, self._history, self._stays_blocking = console, history, stays_blocking
        self._interrupt = interrupt
        self._stdout = sys.stdout
        self._is_line_begun = False
        self._contexts = ExitStack()

    def __enter__(self) -> Terminal:
        with ExitStack() as contexts:
            self._session: PromptSession[str] = self._new_session()
            above = contexts.enter_context(closing(_Above()))
            contexts.enter_context(_restored(sys.stdin.fileno(), above.release))
            contexts.enter_context(_interrupted_by_sigint(self._interrupt))
            self._contexts = contexts.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._contexts.close()

    async def read(self) -> str:
        """What is typed next, of one line or several.

        Raises:
            KeyboardInterrupt: ctrl-C was pressed.
            EOFError: ctrl-D was pressed, or the terminal is gone.
        """
        if self._is_line_begun:  # the prompt is drawn from the left edge, over whatever stands there
            self.write("\n")
        # The loop's handler of exceptions and the signals are those of the whole process: they are left alone.
        return await self._session.prompt_async(set_exception_handler=False, handle_sigint=False)

    def write(self, text: str) -> None:
        """Write while nothing is being read."""
        self._stdout.write(text)
        self._stdout.flush()
        if text:
            self._is_line_begun = not text.endswith("\n")

    def _new_session(self) -> PromptSession[str]:
        return PromptSession(
            ">>> ",
            multiline=True,
            prompt_continuation="... ",
            input=_BlockingInput(sys.stdin) if self._stays_blocking else None,
            history=open_history(self._history),
            completer=_Completer(self._console),
            complete_while_typing=False,
            enable_history_search=True,
            key_bindings=_key_bindings(self._console),
        )


def open_history(file: str) -> History:
    """The history in a file that only its owner can read; one that is forgotten where that is not possible."""
    try:
        os.makedirs(os.path.dirname(os.path.abspath(file)), mode=0o700, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        logger.warning("the prompt keeps no history: %s: %s", file, error.strerror)
        return InMemoryHistory()
    return FileHistory(file)


class _BlockingInput(Vt100Input):
    """A terminal as input that stays in blocking mode.

    uvloop makes whatever it watches non-blocking, and the terminal is one thing: what is written to it would fail
    when it is slow, and the shell would find it so afterwards. Nothing is read before there is something to read.
    """

    @contextmanager
    def attach(self, input_ready_callback: Callable[[], None]) -> Iterator[None]:
        with super().attach(input_ready_callback):
            os.set_blocking(self.fileno(), True)
            yield

    @contextmanager
    def detach(self) -> Iterator[None]:
        with super().detach():
            yield
        os.set_blocking(self.fileno(), True)


class _Completer(Completer):
    def __init__(self, console: Console) -> None:
        self._console = console

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        typed = len(self._console.typed_name(text))
        return (Completion(name, -typed) for name in self._console.completions(text))


def _key_bindings(console: Console) -> KeyBindings:
    bindings = KeyBindings()
    at_the_prompt = has_focus(DEFAULT_BUFFER)  # rather than searching the history

    @bindings.add("enter", filter=at_the_prompt)
    def enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if not buffer.document.on_last_line or console.needs_more(buffer.text):
            line = buffer.document.current_line_before_cursor
            margin = line[: len(line) - len(line.lstrip())]
            buffer.insert_text(f"\n{margin}{INDENTATION if line.rstrip().endswith(':') else ''}")
        else:
            buffer.validate_and_handle()

    @Condition
    def is_before_the_line() -> bool:
        line = get_app().current_buffer.document.current_line_before_cursor
        return not line.strip()

    @bindings.add("tab", filter=at_the_prompt & is_before_the_line)
    def indent(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text(INDENTATION)

    return bindings


@contextmanager
def _restored(terminal: int, release: Callable[[], object]) -> Iterator[None]:
    """Leave a terminal as it is now, however the process ends: also by a second signal, which runs no `finally`.

    Args:
        release: called before a second signal ends the process, as what that logs cannot wait for the loop.
    """
    attributes = termios.tcgetattr(terminal)
    is_blocking = os.get_blocking(terminal)
    heard: list[int] = []

    def restore() -> None:
        try:
            termios.tcsetattr(terminal, termios.TCSANOW, attributes)
            os.set_blocking(terminal, is_blocking)
        except (OSError, termios.error):  # it is gone: there is nothing to restore
            return

    def hear(number: int, frame: Any) -> None:
        restore()
        if heard:
            release()
        heard.append(number)
        if callable(previous):
            previous(number, frame)

    previous = signal.signal(signal.SIGTERM, hear)
    atexit.register(restore)
    try:
        yield
    finally:
        atexit.unregister(restore)
        signal.signal(signal.SIGTERM, previous)
        restore()


@contextmanager
def _interrupted_by_sigint(interrupt: Callable[[], object]) -> Iterator[None]:
    """Have SIGINT call something, and not ask for the stop of the process.

    All the while: ctrl-C is a key only where a line is being read, and it may come just before or after that, or when
    a line is written above.
    """
    previous = signal.signal(signal.SIGINT, lambda _number, _frame: interrupt())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


class _Above:
    """Has what is written and logged on the terminal stand above the prompt, until it is released."""

    def __init__(self) -> None:
        self._streams: dict[str, TextIO] = {
            name: stream for name in ("stdout", "stderr") if (stream := getattr(sys, name)).isatty()
        }
        self._handlers = {
            handler: handler.stream
            for handler in _handlers()
            if any(handler.stream is stream for stream in self._streams.values())
        }
        self._proxy: Any = StdoutProxy(sleep_between_writes=GATHERED, raw=True)
        for name in self._streams:
            setattr(sys, name, self._proxy)
        for handler in self._handlers:
            handler.setStream(self._proxy)

    def release(self) -> None:
        """Let everybody write where he wrote before."""
        for handler, stream in self._handlers.items():
            handler.setStream(stream)
        for name, stream in self._streams.items():
            setattr(sys, name, stream)

    def close(self) -> None:
        self.release()
        self._proxy.close()


def _handlers() -> Iterator[logging.StreamHandler[Any]]:
    """Every handler of a log that writes to a stream."""
    loggers = [logging.getLogger(), *logging.getLogger().manager.loggerDict.values()]
    for each in loggers:
        for handler in each.handlers if isinstance(each, logging.Logger) else ():
            if isinstance(handler, logging.StreamHandler):
                yield handler
