"""Texts of a configuration that are Python: lambdas, blocks of code, dotted names and namespaces."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

from twisted.python.reflect import namedAny

from piped.ground.units import Located

#: Modules that went away with Python 2, where configurations still name them.
_MOVED = {"exceptions": "builtins", "StringIO": "io", "cStringIO": "io", "urllib2": "urllib.request", "Queue": "queue"}


class Lambda(Located):
    """The text behind the word `lambda`: "request: request.path".

    Example:
        >>> Lambda("a, b: a + b").bind({})(1, 2)
        3
    """

    def compile(self) -> CodeType:
        """The compiled expression; its lines are those of the configuration, so that tracebacks show them.

        Raises:
            SyntaxError: the text is no lambda; its line number is that of the configuration.
        """
        return _compile(f"(lambda {self}\n)", self, "eval")

    def bind(self, namespace: Mapping[str, Any]) -> Callable[..., Any]:
        """The function, with `namespace` as its globals."""
        function: Callable[..., Any] = eval(self.compile(), dict(namespace))
        return function


class Code(Located):
    """A block of Python, as it stands in a configuration."""


def _compile(source: str, text: Located, mode: str) -> CodeType:
    file, line = (text.where.file, text.where.line) if text.where else ("<configuration>", 1)
    return compile("\n" * (line - 1) + source, file, mode, dont_inherit=True)


class DottedName(Located):
    """The full name of something importable, such as `datetime.datetime.utcnow`."""

    def load(self) -> Any:
        """What the name stands for; see `load_name`."""
        return load_name(self)


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
        return namedAny(moved)  # type: ignore[no-untyped-call]
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
