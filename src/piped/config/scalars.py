"""What an unquoted text of YAML means: nothing, a truth value, a number, a date, or the text itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import ScalarNode
from yaml.resolver import Resolver

from piped.ground.errors import Mark, Problem

_TAG = "tag:yaml.org,2002:"
#: The standard tags that make a plain value.
STANDARD_TAGS = frozenset(f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "timestamp", "binary", "str"))
_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_SWITCHES = {"yes": "true", "on": "true", "no": "false", "off": "false"}

_resolver: Any = Resolver()
_constructor: Any = SafeConstructor()


@dataclass(frozen=True, slots=True)
class Scalar:
    """What a text means; `what` and `fix` tell of a meaning that people are surprised by, or of one that fails."""

    value: Any
    what: str = ""
    fix: str = ""
    is_wrong: bool = False

    def problem(self, where: Mark) -> Problem:
        """The surprise or mistake, at its place."""
        return Problem(self.what, where, self.fix, is_warning=not self.is_wrong)


def read_scalar(text: str) -> Scalar:
    """The meaning of an unquoted text.

    Source: YAML 1.1, https://yaml.org/type/, as PyYAML reads it; what is none of these types is text.

    Example:
        >>> read_scalar("8080").value, read_scalar("012").what
        (8080, "'012' is read as the octal number 10")
    """
    tag = _resolver.resolve(ScalarNode, text, (True, False))
    if tag not in STANDARD_TAGS:  # `=` and `<<` have types of their own, which nobody means
        return Scalar(text)
    read = read_tagged(tag, text)
    return read if read.is_wrong else _warned(text, tag.removeprefix(_TAG), read.value)


def read_tagged(tag: str, text: str) -> Scalar:
    """The meaning of a text with one of the STANDARD_TAGS, whether written or found by its looks."""
    try:
        return Scalar(SafeConstructor.yaml_constructors[tag](_constructor, ScalarNode(tag, text)))
    except (ValueError, LookupError, OverflowError, yaml.YAMLError):
        kind = {"timestamp": "date", "int": "whole number", "float": "number"}.get(name := tag.removeprefix(_TAG), name)
        fix = "correct it, or write it in quotes (and without a tag) if it is a text"
        return Scalar(text, f"{text!r} is no valid {kind}", fix, is_wrong=True)


def _warned(text: str, kind: str, value: Any) -> Scalar:
    """The value, with a warning where YAML 1.1 reads a text as something else than it looks like."""
    meant = value
    if kind == "bool" and text.lower() in _SWITCHES:
        what = meant = _SWITCHES[text.lower()]
    elif kind in ("int", "float") and ":" in text:
        what = f"the number {value} (base 60)"
    elif kind == "int" and _OCTAL.fullmatch(text):
        what = f"the octal number {value}"
    elif kind == "timestamp":
        what = "a date"
    else:
        return Scalar(value)
    alternative = "" if kind == "timestamp" else f"{meant} if that is meant, or "
    fix = f"write {alternative}{text!r}, with the quotes, if it is a text"
    return Scalar(value, f"{text!r} is read as {what}", fix)
