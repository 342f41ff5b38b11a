"""Bootstrap: Python that runs before the first prompt, from the configuration or from a file of its own."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from twisted.python.filepath import FilePath

from piped import Mark, Problem

if TYPE_CHECKING:
    from piped.config.nodes import Node
    from piped.spec.checking import Checker


class Bootstrap:
    """Python source, or the file that holds it: `!filepath bootstrap.py`.

    Args:
        source: what is written, or the file.
        where: the place at which the written text begins.
    """

    __shape__ = str

    def __init__(self, source: str | FilePath[str], where: Mark) -> None:
        self.source, self.where = source, where

    @classmethod
    def __check__(cls, checker: Checker, node: Node) -> Bootstrap | None:
        # `${NAME}` is not filled in: it may be part of the code.
        value: Any = node.value if type(node.value) is str else checker.filled(node)
        if isinstance(value, FilePath):
            return cls(value, node.where)
        if type(value) is not str:
            checker.refuse("option 'bootstrap' of repl", "Python source or a !filepath", node)
            return None
        where = node.text_where or node.where
        if not node.is_unquoted and where == node.where:
            where = Mark(where.file, where.line, where.column + 1)  # behind the quote
        made = cls(value, where)
        try:
            made.parse()
        except SyntaxError as error:
            where = Mark(made.where.file, error.lineno or made.where.line, error.offset or made.where.column)
            checker.problems.append(Problem(f"option 'bootstrap' of repl is no Python: {error.msg}", where))
            return None
        return made

    @property
    def file(self) -> str:
        """Where it is written."""
        return self.source.path if isinstance(self.source, FilePath) else self.where.file

    def parse(self) -> ast.Module:
        """The statements, at their places in the file.

        Raises:
            OSError: the file cannot be read.
            SyntaxError: it is no Python.
        """
        if isinstance(self.source, FilePath):
            return ast.parse(self.source.getContent(), self.file)
        down, right = self.where.line - 1, self.where.column - 1
        try:
            tree = ast.parse("\n" * down + self.source, self.file)
        except SyntaxError as error:
            error.offset = (error.offset or 1) + right
            raise
        for node in ast.walk(tree):
            if isinstance(node, ast.stmt | ast.expr):
                node.col_offset += right
                node.end_col_offset = (node.end_col_offset or 0) + right
        return tree
