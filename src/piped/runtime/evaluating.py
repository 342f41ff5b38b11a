"""Evaluation: statements that run in a namespace as at Python's prompt, may await, and whose output is caught."""

from __future__ import annotations

import ast
import linecache
import sys
import traceback
import warnings
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from inspect import CO_COROUTINE
from types import CodeType
from typing import Any

from piped.runtime.awaiting import WAITING, BatonTask, is_cancellation
from piped.runtime.logs import traceback_of

#: How many sources an evaluator remembers, so that tracebacks can show their lines.
REMEMBERED = 1000
#: The evaluation to which what is printed belongs.
_evaluation: ContextVar[Evaluation | None] = ContextVar("piped_evaluation", default=None)


class Evaluator:
    """Evaluates sources in one namespace, which they may change; `_` in it is the last result.

    The namespace is the module that the sources are written in: functions that are defined there see it as globals.

    Args:
        namespace: the names, used as it is and not copied.
        name: how tracebacks call the sources, with a number behind it.

    Example:
        >>> evaluator = Evaluator({"a": 20})
        >>> evaluation = evaluator.evaluate("b = a + 1; b * 2", print)
        42
        <BLANKLINE>
        >>> evaluator.namespace["b"], evaluator.namespace["_"]
        (21, 42)
    """

    def __init__(self, namespace: dict[str, Any], name: str = "prompt") -> None:
        self.namespace, self._name = namespace, name
        self._count = 0
        #: The evaluation that began last.
        self.latest: Evaluation | None = None
        self._sources: OrderedDict[str, list[str]] = OrderedDict()

    @classmethod
    def in_frame(cls, local: Mapping[str, Any], outer: Mapping[str, Any], name: str = "prompt") -> Evaluator:
        """One that sees what a frame sees: a local name hides a global one. What it changes are copies of both."""
        return cls({**outer, **local}, name)

    def evaluate(self, source: str, write: Callable[[str], object]) -> Evaluation:
        """Run statements; those that wait for nothing have ended when this returns.

        The value of an expression that stands alone is shown, as Python's prompt does, and so are warnings of the
        compiler.

        Args:
            write: is given what is printed meanwhile. Threads that are started may call it too.
        """
        self._count += 1
        file = f"<{self._name} {self._count}>"
        self._sources[file] = source.splitlines(keepends=True)
        if len(self._sources) > REMEMBERED:
            self._sources.popitem(last=False)
        return self._begin(lambda: ast.parse(source, file), file, write)

    def run(self, tree: ast.Module, file: str, write: Callable[[str], object]) -> Evaluation:
        """As `evaluate`, for statements of a file that were parsed already."""
        return self._begin(lambda: tree, file, write)

    def _begin(self, parse: Callable[[], ast.Module], file: str, write: Callable[[str], object]) -> Evaluation:
        self.latest = Evaluation(self, write)
        self.latest.begin(parse, file)
        return self.latest

    @contextmanager
    def showing_sources(self) -> Iterator[None]:
        """Meanwhile tracebacks show the lines of what was evaluated.

        Not always: others, such as the log, are never to see what somebody has typed.
        """
        linecache.cache.update(
            {file: (sum(map(len, lines)), None, lines, file) for file, lines in self._sources.items()}
        )
        try:
            yield
        finally:
            for file in self._sources:
                linecache.cache.pop(file, None)


class Evaluation(BatonTask):
    """Statements that run one after the other: one thing to wait for, or to `stop`, however many they are.

    Its result is None, or the error that ended the statements: also a SystemExit, which is for the caller to judge.
    Waiting for it never raises that error, so that nothing logs what somebody has typed.
    """

    __slots__ = ("_evaluator", "_has_begun", "_statements", "_write")

    def __init__(self, evaluator: Evaluator, write: Callable[[str], object]) -> None:
        super().__init__(copy_context())
        self._evaluator, self._write = evaluator, write
        self._has_begun = False
        self._statements: Coroutine[Any, Any, None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether its code is on the stack just now, rather than waiting or ended; to be asked in a signal handler."""
        return self._statements is not None and bool(getattr(self._statements, "cr_running", False))

    @property
    def report(self) -> str:
        """How it ended, as a prompt tells it: "" or the traceback, from the statements on; once it has ended."""
        error = self.result()
        if error is None:
            return ""
        if self.stopped and is_cancellation(error):
            return "cancelled\n"
        if not self._has_begun:  # it is no Python, for which nobody called anything
            return "".join(traceback.format_exception_only(error))
        with self._evaluator.showing_sources():
            return f"{traceback_of(error)}\n"

    def begin(self, parse: Callable[[], ast.Module], file: str) -> None:
        """Run until the first thing that has to be waited for. Called once."""
        _route_output()
        self._context.run(_evaluation.set, self)
        self._statements = self._run(parse, file)
        try:
            value = self._context.run(self.settle, self._statements)
        except BaseException as error:  # also SystemExit and KeyboardInterrupt: whoever asks is told
            self.failed(error)
        else:
            if value is not WAITING:
                self.settled(value)

    async def _run(self, parse: Callable[[], ast.Module], file: str) -> None:
        namespace = self._evaluator.namespace
        statements = self._compiled(parse, file)
        self._has_begun = True
        for code, is_expression in statements:
            value = eval(code, namespace)
            if code.co_flags & CO_COROUTINE:
                value = await value
            if is_expression and value is not None:
                self.write(f"{value!r}\n")
                namespace["_"] = value

    def _compiled(self, parse: Callable[[], ast.Module], file: str) -> list[tuple[CodeType, bool]]:
        # Elsewhere warnings are logged with the line that they are about, which somebody has typed.
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("default")
            statements = [_compiled(statement, file) for statement in parse().body]
        for warning in told:
            self.write(f"{warning.category.__name__}: {warning.message}\n")
        return statements

    def write(self, text: str) -> None:
        """Give what is printed to whoever wants it, who may print it himself."""
        token = _evaluation.set(None)
        try:
            self._write(text)
        finally:
            _evaluation.reset(token)

    def settled(self, value: Any) -> None:
        self.end(None)

    def failed(self, error: BaseException) -> None:
        self.end(error)


def _compiled(statement: ast.stmt, file: str) -> tuple[CodeType, bool]:
    """The code of one statement, and whether it is an expression, whose value evaluating the code then gives."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    if isinstance(statement, ast.Expr):
        return compile(ast.Expression(statement.value), file, "eval", flags, dont_inherit=True), True
    return compile(ast.Module([statement], []), file, "exec", flags, dont_inherit=True), False


class _Output:
    """Stands for `sys.stdout`: what an evaluation prints goes to it, and everything else where it went before.

    Told apart by context: other batons, tasks and threads that print at the same time are not caught, nor what is
    printed after the evaluation has ended by what it has left behind.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        evaluation = _evaluation.get()
        if evaluation is None or evaluation.done():
            written: int = self._stream.write(text)
            return written
        evaluation.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        """Not within an evaluation: `help()` would start a pager there, and wait for it."""
        evaluation = _evaluation.get()
        return (evaluation is None or evaluation.done()) and bool(self._stream.isatty())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _route_output() -> None:
    """Put an _Output before `sys.stdout`, where it stays; again when somebody has put his own stream there since."""
    if not isinstance(sys.stdout, _Output):
        sys.stdout = _Output(sys.stdout)
