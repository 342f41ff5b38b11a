"""Steps that run Python written in the configuration: lambdas and blocks of code."""

from __future__ import annotations

import builtins
import collections
import copy
import logging
import pdb
import pprint
import sys
import tempfile
from collections.abc import Callable, Mapping
from inspect import isasyncgenfunction
from typing import Any

from twisted.application import service
from twisted.internet import defer
from twisted.python import failure, reflect

from piped import (
    Code,
    ConfigurationError,
    InputOutputProcessor,
    Lambda,
    Mark,
    Namespace,
    Problem,
    Processor,
    ResourcePath,
    RuntimeEnvironment,
    load_namespace,
)
from piped.pipelines.processor import Baton

logger = logging.getLogger(__name__)


def names_for(step: Processor, namespace: Mapping[str, Any] | None) -> dict[str, Any]:
    """The names that the code of a step sees: its namespace, and the step as `self`.

    Raises:
        ConfigurationError: a name of the namespace cannot be imported.
    """
    try:
        return {"self": step, **load_namespace(namespace or {})}
    except ImportError as error:
        raise ConfigurationError(
            f"in the namespace of {step.label}: {error}", hint="texts of a namespace are full names of things to import"
        ) from error


def bind(step: Processor, text: Lambda, namespace: Mapping[str, Any] | None = None) -> Callable[..., Any]:
    """The function that a lambda of a step's options stands for.

    Raises:
        ConfigurationError: the text is no lambda, or a name of the namespace cannot be imported.
    """
    try:
        return (text if isinstance(text, Lambda) else Lambda(text)).bind(names_for(step, namespace))
    except SyntaxError as error:
        raise _unreadable(step, "lambda", error) from error


def depend(step: Any, runtime_environment: RuntimeEnvironment, dependencies: Mapping[str, Any] | None) -> None:
    """Give a step its `dependencies`, if it names any."""
    if dependencies:
        step.dependencies = runtime_environment.create_dependency_map(step, **dependencies)


def _unreadable(step: Processor, kind: str, error: SyntaxError) -> ConfigurationError:
    where = Mark(error.filename, error.lineno, error.offset or 1) if error.filename and error.lineno else step.where
    return ConfigurationError(problems=[Problem(f"the {kind} of {step.label} is no Python: {error.msg}", where)])


class EvalLambda(InputOutputProcessor):
    """Put the result of a lambda in place of its input.

    Args:
        lambda_: what to compute, without the word lambda: `value: value + 1`. It is called with the input, and sees
            the step as `self`.
        namespace: names for the lambda: texts are imported as full names, other values are taken as they are.
        dependencies: resources by the name that the lambda finds them under, as `self.dependencies.<name>`.

    Example:
        - eval-lambda:
            input_path: words
            output_path: sentence
            lambda: "words: ' '.join(words) + '.'"
    """

    name = "eval-lambda"

    def __init__(
        self,
        lambda_: Lambda,
        namespace: Namespace | None = None,
        dependencies: dict[str, ResourcePath] | None = None,
        **io: Any,
    ) -> None:
        super().__init__(**io)
        self._text, self._namespace, self._dependencies = lambda_, namespace, dependencies

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        depend(self, runtime_environment, self._dependencies)
        self._function = bind(self, self._text, self._namespace)

    def process_input(self, input: Any, baton: Baton) -> Any:
        return self._function(input)


class _Gone:
    """Stands for a module that code found in its globals in Piped 0.7: touching it says what to use instead."""

    def __init__(self, name: str, replacement: str) -> None:
        self._name, self._replacement = name, replacement

    def __getattr__(self, attribute: str) -> Any:
        raise AttributeError(f"{self._name}.{attribute} is not offered any more: {self._replacement}")


#: What code may use without importing it, besides its namespace.
_GLOBALS: dict[str, Any] = {
    "exceptions": builtins,
    "defer": defer,
    "reflect": reflect,
    "failure": failure,
    "service": service,
    "logger": logger,
    "collections": collections,
    "copy": copy,
    "logging": logging,
    "pdb": pdb,
    "pprint": pprint,
    "sys": sys,
    "tempfile": tempfile,
    "util": _Gone("util", "import piped; it has get_path, set_path and remove_path"),
    "processing": _Gone("processing", "import piped; it has Processor, Pipeline and current_failure"),
    "base": _Gone("base", "import piped; it has InputOutputProcessor and MappingProcessor"),
}


class ExecCode(InputOutputProcessor):
    """Run a block of Python as the body of a function of `self`, `input` and `baton`; what it returns is the output.

    With the default paths that replaces the baton: end with `return baton`, or say `output_path: null`.

    The code may `await`. It finds `defer`, `reactor`, `reflect`, `failure`, `service`, `logger`, `exceptions`,
    `collections`, `copy`, `logging`, `pdb`, `pprint`, `sys` and `tempfile` without importing them.

    Args:
        code: the block; tracebacks show its lines.
        inline_callbacks: the code waits for Deferreds with `yield`, as in `twisted.internet.defer.inlineCallbacks`.
        use_file: understood for configurations of Piped 0.7, where tracebacks needed it; changes nothing.
        namespace: names for the code: texts are imported as full names, other values are taken as they are.
        dependencies: resources by the name that the code finds them under, as `self.dependencies.<name>`.

    Example:
        - exec-code:
            input_path: n
            output_path: squares
            code: |
                squares = []
                for number in range(input):
                    squares.append(number ** 2)
                return squares
    """

    name = "exec-code"

    def __init__(
        self,
        code: Code,
        inline_callbacks: bool = False,
        use_file: bool = True,
        namespace: Namespace | None = None,
        dependencies: dict[str, ResourcePath] | None = None,
        **io: Any,
    ) -> None:
        super().__init__(**io)
        self._code = code if isinstance(code, Code) else Code(code)
        self._inline_callbacks = inline_callbacks
        self._namespace, self._dependencies = namespace, dependencies

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        depend(self, runtime_environment, self._dependencies)
        names = {**_GLOBALS, "reactor": runtime_environment.reactor, **names_for(self, self._namespace)}
        try:
            self._function: Callable[..., Any] = self._code.bind("self, input, baton", names, self._inline_callbacks)
        except SyntaxError as error:
            raise _unreadable(self, "code", error) from error
        if isasyncgenfunction(self._function):
            what = f"the code of {self.label} awaits and yields"
            raise ConfigurationError(problems=[Problem(what, self.where, "wait with await alone")])

    def process_input(self, input: Any, baton: Baton) -> Any:
        return self._function(self, input, baton)
