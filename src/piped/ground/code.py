"""Texts of a configuration that are Python: lambdas, blocks of code, dotted names and namespaces."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Mapping
from inspect import isgeneratorfunction
from types import CodeType
from typing import Any

from twisted.internet.defer import inlineCallbacks
from twisted.python.reflect import namedAny

from piped.ground.units import Located

#: Modules that went away with Python 2, where configurations still name them.
_MOVED = {"exceptions": "builtins", "StringIO": "io", "cStringIO": "io", "urllib2": "urllib.request", "Queue": "queue"}
#: What tracebacks call a function that is made of a block.
_NAME = "_body"
_LEADING_BLANKS = re.compile(r"^[ \t]+")


class Lambda(Located):
    """The text behind the word `lambda`: "request: request.path".

    Example:
        >>> Lambda("a, b: a + b").bind({})(1, 2)
        3
    """

    _code: CodeType | None = None

    def compile(self) -> CodeType:
        """The compiled expression; its lines are those of the configuration, so that tracebacks show them.

        Raises:
            SyntaxError: the text is no lambda; its line and column are those of the configuration.
        """
        if self._code is None:
            file, line, column = _place_of(self)
            # Blanks put the text into its own column; they stand inside the bracket, where they mean nothing.
            before = "(" + " " * (column - 1 - len("(lambda ")) + "lambda "
            try:
                code = compile(f"{before}{self}\n)", file, "eval", dont_inherit=True)
            except SyntaxError as error:
                raise _in_configuration(error, self, column - 1 - len(before), line - 1) from None
            self._code = _further_down(code, line - 1)
        return self._code

    def bind(self, namespace: Mapping[str, Any]) -> Callable[..., Any]:
        """The function, with a copy of `namespace` as its globals."""
        function: Callable[..., Any] = eval(self.compile(), dict(namespace))
        return function


class Code(Located):
    """A block of Python, the body of a function: it may `return`, `yield` or `await`.

    Indentation that all lines share is taken off; if that leaves no Python, what all lines but the first share, as
    with docstrings.

    Example:
        >>> Code("total = a + b\\nreturn total").bind("a, b", {})(1, 2)
        3
    """

    def compile(self, parameters: str = "") -> CodeType:
        """The compiled definition of a function with these parameters and this body, `async` if it awaits.

        Raises:
            SyntaxError: the text is no body of a function; its line and column are those of the configuration.
        """
        file, line, column = _place_of(self)
        try:
            body = _body_of(self, line - 1, column - 1)
        except SyntaxError as error:
            raise _in_configuration(error, self, column - 1) from None
        define = "async def" if any(map(_awaits, body)) else "def"
        module = ast.parse("\n" * (line - 1) + f"{define} {_NAME}({parameters}): pass")
        module.body[0].body = body or module.body[0].body  # type: ignore[attr-defined]  # it is the definition
        return compile(module, file, "exec", dont_inherit=True)

    def bind(self, parameters: str, namespace: Mapping[str, Any], inline_callbacks: bool = False) -> Callable[..., Any]:
        """The function, with a copy of `namespace` as its globals.

        Args:
            parameters: as they stand in a `def`: "self, input, baton".
            inline_callbacks: what the body yields is waited for, as with `twisted.internet.defer.inlineCallbacks`.
        """
        names = dict(namespace)
        exec(self.compile(parameters), names)
        function: Callable[..., Any] = names.pop(_NAME)
        return inlineCallbacks(function) if inline_callbacks and isgeneratorfunction(function) else function


def _place_of(text: Located) -> tuple[str, int, int]:
    return (text.where.file, text.where.line, text.where.column) if text.where else ("<configuration>", 1, 1)


def _in_configuration(error: SyntaxError, text: Located, right: int, down: int = 0) -> SyntaxError:
    """The same error at its place in the configuration, which is further right and further down."""
    file, line, column = _place_of(text)
    lines = text.split("\n")
    row = (error.lineno or 1) + down - line
    if row < len(lines):
        offset = max((error.offset or 1) + right, column)
    else:  # found out at the bracket that closes ours: the text ends too early
        row, offset = len(lines) - 1, column + len(lines[-1])
    return SyntaxError(error.msg, (file, line + row, offset, lines[row]))


def _further_down(code: CodeType, lines: int) -> CodeType:
    """The same code some lines further down, as if that many empty lines had stood before it, which costs more."""
    constants = tuple(_further_down(inner, lines) if isinstance(inner, CodeType) else inner for inner in code.co_consts)
    return code.replace(co_firstlineno=code.co_firstlineno + lines, co_consts=constants)


def _body_of(text: str, down: int, right: int) -> list[ast.stmt]:
    """The statements of a block, placed where they stand in the configuration."""
    lines = [_LEADING_BLANKS.sub(lambda blanks: blanks[0].expandtabs(), line) for line in text.split("\n")]
    above = [""] * down
    margin = _margin(lines)
    try:
        tree = _parsed([*above, *(line[margin:] for line in lines)], margin)
    except IndentationError:
        margin = _margin(lines[1:])
        if margin == 0:
            raise
        tree = _parsed([*above, lines[0].lstrip(), *(line[margin:] for line in lines[1:])], margin)
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt | ast.expr):
            node.col_offset += right + margin
            node.end_col_offset = (node.end_col_offset or 0) + right + margin
    return tree.body


def _parsed(lines: list[str], margin: int) -> ast.Module:
    """The tree of lines that `margin` columns were cut off, which the columns of an error count again."""
    try:
        return ast.parse("\n".join(lines))
    except SyntaxError as error:
        error.offset = (error.offset or 1) + margin
        raise


def _margin(lines: list[str]) -> int:
    return min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)


def _awaits(node: ast.AST) -> bool:
    """Whether something is awaited here, and not only in a function that is defined here."""
    if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) or getattr(node, "is_async", False):
        return True
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
        return False
    return any(map(_awaits, ast.iter_child_nodes(node)))


class DottedName(Located):
    """The full name of something importable, such as `datetime.datetime.utcnow`."""

    def load(self) -> Any:
        """What the name stands for; see `load_name`."""
        return load_name(self)


class NamespaceValue:
    """The full name of something to import, or any value that is no text."""

    @classmethod
    def __check__(cls, checker: Any, node: Any) -> Any:
        value = checker.value(Any, node, owner="the namespace")
        return checker.value(DottedName, node, owner="the namespace") if isinstance(value, str) else value


#: The names that code of a configuration sees; `load_namespace` gives what they stand for.
Namespace = dict[str, NamespaceValue]


def load_name(name: str) -> Any:
    """What a fully qualified name stands for; a bare name is a built-in one.

    Names of modules that moved with Python 3 are understood (`exceptions.ValueError`, `StringIO.StringIO`).

    Raises:
        ImportError: there is no such thing; the text says which part of the name is missing.
    """
    head, _, rest = name.partition(".")
    if not rest and hasattr(builtins, name):
        return getattr(builtins, name)
    moved = f"{_MOVED[head]}.{rest}" if head in _MOVED and rest else name
    try:
        return namedAny(moved)
    except (AttributeError, ValueError) as error:
        raise ImportError(f"cannot find {name!r}: {error}") from error
    except ImportError as error:
        raise ImportError(f"cannot import {name!r}: {error}") from error


def load_namespace(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The names that code of a configuration sees: texts are imported by their full name, the rest is used as it is.

    Raises:
        ImportError: as `load_name`.
    """
    return {name: load_name(value) if isinstance(value, str) else value for name, value in namespace.items()}
