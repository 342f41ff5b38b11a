"""Fill `${NAME}` and `${NAME:-default}` in the values of a configuration from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from piped.config.nodes import Node
from piped.config.paths import WrittenPath, make_path
from piped.config.scalars import read_scalar
from piped.ground.batons import BatonPath
from piped.ground.errors import ConfigurationError, Problem

_MARKED = re.compile(r"(?P<literal>\$\$\{)|\$\{(?:(?P<name>[A-Za-z_]\w*)(?::-(?P<default>(?:(?!\$\{)[^}])*))?\})?")


class Unset(ConfigurationError):
    """A value asks for an environment variable that is not set; `problem` says where."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problems=[problem])
        self.problem = problem


def fill(node: Node, environ: Mapping[str, str]) -> Any:
    """The value of a scalar node, with what it takes from the environment filled in; `$${` is a literal `${`.

    A text without quotes is read once more when it is filled, so that `port: ${PORT}` can be a number. What would
    surprise then (`012` as octal, `12:30` as base 60, a date) stays text: nobody can put quotes around it.

    Raises:
        Unset: a variable is not set and there is no default for it, or `${` begins something else.
    """
    value = node.value
    if isinstance(value, str):
        if "${" not in value:
            return value
        text = _filled(value, node, environ)
        if isinstance(value, BatonPath):
            return BatonPath(text)
        return _read_again(text) if node.is_unquoted else text
    if isinstance(value, WrittenPath) and "${" in value.text:
        return make_path(value.tag, _filled(value.text, node, environ), environ)
    return value


def _read_again(text: str) -> Any:
    scalar = read_scalar(text)
    return text if scalar.what and not isinstance(scalar.value, bool) else scalar.value


def _filled(text: str, node: Node, environ: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match["literal"]:
            return "${"
        name, default = match["name"], match["default"]
        if name is None:
            begun = text[match.start() : match.start() + 20]
            fix = "write ${NAME} or ${NAME:-default}, or $${ for the text '${'"
            raise Unset(Problem(f"{begun!r} names no environment variable", node.where, fix))
        if name in environ:
            return environ[name]
        if default is None:
            what = f"the environment variable {name} is not set"
            raise Unset(Problem(what, node.where, f"set it, or give a default: ${{{name}:-default}}"))
        return default

    return _MARKED.sub(replace, text)
