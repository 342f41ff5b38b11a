"""Conversations without a terminal: one expression that a client names, and statements that it pipes in."""

from __future__ import annotations

import codecs
import re
from typing import Protocol

from piped.runtime.console import Console
from piped.runtime.evaluating import Evaluation

#: What begins a line that goes on with the block above it.
_GOES_ON = re.compile(r"(else|elif|except|finally)\b")
#: Characters of one statement.
MOST_TYPED = 1_000_000


class Listener(Protocol):
    """The side of the client, as a conversation sees it."""

    def tell(self, text: str) -> None:
        """Show something."""

    def tell_error(self, text: str) -> None:
        """Show what has gone wrong."""

    def leave(self, status: int) -> None:
        """End the session, once all that was told has been sent."""

    def take_more(self) -> None:
        """Let the client send what was held back."""


class Conversation:
    """Evaluates what a client says, one text after another.

    A subclass says what to do with input (`received`, `input_ended`), with the end of an evaluation that was waited for
    (`go_on`), and what it means that one has failed.
    """

    def __init__(self, console: Console, listener: Listener) -> None:
        self._console, self._listener = console, listener
        self._evaluation: Evaluation | None = None
        self.is_over = False

    @property
    def is_busy(self) -> bool:
        """Whether something is being waited for."""
        return self._evaluation is not None

    @property
    def takes_more(self) -> bool:
        """Whether the client may go on to send; otherwise it waits once a little has come."""
        return True

    def begin(self) -> None:
        """Called once, before any input."""

    def received(self, data: bytes) -> None:
        """Input came."""

    def input_ended(self) -> None:
        """No more input will come; what came is done, and then the session ends."""

    def go_on(self) -> None:
        """Called when nothing is being waited for any more."""

    def interrupt(self) -> None:
        """Cancel what is being waited for."""
        if self._evaluation is not None:
            self._evaluation.stop()

    def hang_up(self) -> None:
        """The client has gone: nothing goes on."""
        self.is_over = True
        self.interrupt()

    def evaluate(self, text: str) -> None:
        """Evaluate a text; it may have ended when this returns."""
        evaluation = self._console.evaluate(text, self.tell)
        if evaluation.done():
            self._tell_end(evaluation)
        else:
            self._evaluation = evaluation
            evaluation.when_ended(self._waited)

    def tell(self, text: str) -> None:
        """Show what is printed, and the values of expressions."""
        self._listener.tell(text)

    def _waited(self, evaluation: Evaluation) -> None:
        self._evaluation = None
        if not self.is_over:
            self._tell_end(evaluation)
            self.go_on()
            self._listener.take_more()

    def _tell_end(self, evaluation: Evaluation) -> None:
        error = evaluation.result()
        if isinstance(error, SystemExit):
            self.leave(self._status(error))
        elif error is not None:
            self.failed(evaluation.report)

    def _status(self, end: SystemExit) -> int:
        """The exit status that `exit()` was given; a text is told, as Python does."""
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        self._listener.tell_error(f"{end.code}\n")
        return 1

    def failed(self, report: str) -> None:
        """An evaluation has failed: the session ends, and its exit status says so."""
        self._listener.tell_error(report)
        self.leave(1)

    def leave(self, status: int) -> None:
        """End the session."""
        self.is_over = True
        self._listener.leave(status)


class Command(Conversation):
    """`ssh host 'expression'`: what it gives is printed, and the exit status says whether it has failed.

    Args:
        text: statements, or one expression.
    """

    def __init__(self, console: Console, listener: Listener, text: str) -> None:
        super().__init__(console, listener)
        self._text = text

    def begin(self) -> None:
        self.evaluate(self._text)
        self.go_on()

    def go_on(self) -> None:
        if not self.is_over and not self.is_busy:
            self.leave(0)


class Script(Conversation):
    """`ssh host < script.py`: each statement runs as soon as it is complete; the first that fails ends the session."""

    def __init__(self, console: Console, listener: Listener) -> None:
        super().__init__(console, listener)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = self._statement = ""
        self._has_ended = False

    @property
    def takes_more(self) -> bool:
        return not self.is_busy  # a script may be of any length

    def received(self, data: bytes) -> None:
        self._rest += self._decoder.decode(data)
        if len(self._rest) + len(self._statement) > MOST_TYPED:
            self.failed("what is piped in is too long for one statement\n")
        self.go_on()

    def input_ended(self) -> None:
        self._has_ended = True
        self.go_on()

    def go_on(self) -> None:
        while not self.is_over and not self.is_busy:
            statement = self._next()
            if statement is not None:
                self.evaluate(statement)
            elif self._has_ended and not self._rest:
                self.leave(0)
            else:
                return

    def _next(self) -> str | None:
        """The next statement that is complete; None if more lines have to come."""
        while self._rest:
            line, newline, rest = self._rest.partition("\n")
            if not newline and not self._has_ended:
                return None
            if self._is_ended_by(line):  # it stays for the next statement
                return self._taken()
            is_within = self._statement != "" and line[:1].isspace()
            self._rest, self._statement = rest, f"{self._statement}{line.rstrip(chr(13))}\n"
            if is_within or not line.strip() or line.startswith("#"):  # in a file these end no block
                continue
            if not self._console.needs_more(self._statement.removesuffix("\n")):
                return self._taken()
        return self._taken() if self._has_ended and self._statement else None

    def _is_ended_by(self, line: str) -> bool:
        """Whether a line is no part of the block above it any more; at a prompt an empty line would say so."""
        if not self._statement or not line.strip() or line[0].isspace() or _GOES_ON.match(line):
            return False
        return not self._console.needs_more(self._statement)

    def _taken(self) -> str:
        statement, self._statement = self._statement, ""
        return statement
