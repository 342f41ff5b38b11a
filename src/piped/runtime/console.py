"""Console: what may be typed at the prompt: whether a text is complete, how it is completed, what it gives."""

from __future__ import annotations

import ast
import builtins
import codeop
import inspect
import keyword
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any

from piped.resources.dependency_map import DependencyMap
from piped.runtime.evaluating import Evaluation, Evaluator

#: What stands before the cursor: names with dots between, the last of which is to be completed.
_NAMES = re.compile(r"(?<![\w.)\]'\"])((?:[^\W\d]\w*\.)*)([^\W\d]\w*)?$")
_NOTHING = object()


class Console:
    """A Python prompt without a terminal.

    Args:
        namespace: the names that can be used at the prompt; whatever is assigned there is added.

    Example:
        >>> console = Console({"answer": 42})
        >>> console.needs_more("for each in range(3):")
        True
        >>> console.completions("print(ans")
        ['answer']
    """

    #: What `exit()` does, as it says of itself when it is not called.
    leaving = "ends the session"

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        leave = _Exit(self.leaving)
        self.namespace: dict[str, Any] = {"__name__": "__console__", "exit": leave, "quit": leave, **namespace}
        self._evaluator = Evaluator(self.namespace)
        self._compiler = codeop.CommandCompiler()
        self._compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    @property
    def latest(self) -> Evaluation | None:
        """The evaluation that began last."""
        return self._evaluator.latest

    def needs_more(self, text: str) -> bool:
        """Whether another line has to follow, or may: a block ends with an empty line, as at Python's prompt."""
        text = textwrap.dedent(text)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they come when it is evaluated
                if self._compiler(text, symbol="exec") is None:
                    return True
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
            return False  # more lines will not mend it, and evaluating it tells why
        return text.rsplit("\n", 1)[-1][:1].isspace()  # dedent() has emptied a line of blanks

    def evaluate(self, text: str, write: Callable[[str], object]) -> Evaluation:
        """Run what was typed or pasted, which may be indented as a whole.

        Args:
            write: is given what is printed, and the values of expressions.
        """
        return self._evaluator.evaluate(textwrap.dedent(text), write)

    def run(self, tree: ast.Module, file: str, write: Callable[[str], object]) -> Evaluation:
        """Run the statements of a file, to the same effect as if they had been typed."""
        return self._evaluator.run(tree, file, write)

    def completions(self, text: str) -> list[str]:
        """What the last name of a text may become, sorted; names that begin with `_` only when that is typed.

        Looking for it runs no property, and no other code of the objects but `__dir__`.
        """
        match = _NAMES.search(text)
        if match is None or not (match[1] or match[2]):
            return []
        path, typed = match[1], match[2] or ""
        names = self._members(path.split(".")[:-1]) if path else {*self.namespace, *dir(builtins), *keyword.kwlist}
        return sorted(name for name in names if name.startswith(typed) and (typed or not name.startswith("_")))

    @staticmethod
    def typed_name(text: str) -> str:
        """The part of a text that `completions` completes."""
        match = _NAMES.search(text)
        return (match[2] or "") if match else ""

    def _members(self, path: list[str]) -> Iterable[str]:
        first, *rest = path
        value = self.namespace.get(first, getattr(builtins, first, _NOTHING))
        for name in rest:
            value = _member(value, name)
        if value is _NOTHING:
            return ()
        try:
            return [*dir(value), *(value.keys() if isinstance(value, DependencyMap) else ())]
        except Exception:  # somebody's `__dir__`, which may raise anything: there is nothing to offer
            return ()


def _member(value: Any, name: str) -> Any:
    """An attribute that is simply there; _NOTHING for one that code would have to be run for."""
    if isinstance(value, DependencyMap) and value.is_available(name):
        return value[name]
    if isinstance(value, ModuleType):
        return vars(value).get(name, _NOTHING)
    found = inspect.getattr_static(value, name, _NOTHING)
    if isinstance(found, MemberDescriptorType | GetSetDescriptorType):  # of `__slots__`, or of C: no Python code
        return getattr(value, name, _NOTHING)
    return _NOTHING if hasattr(type(found), "__get__") and not inspect.isfunction(found) else found


class _Exit:
    """What `exit` and `quit` are: called, they raise SystemExit, and without brackets they say what that means."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __call__(self, code: object = None) -> None:
        raise SystemExit(code)

    def __repr__(self) -> str:
        return f"exit() or ctrl-D {self._what}"
