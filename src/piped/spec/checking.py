"""Checker: what is written against what may be written: values in Python's types, or Problems in the user's words."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from functools import cache
from typing import Any, Final

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from piped.config.environment import Unset, fill
from piped.config.nodes import Node
from piped.ground.batons import BatonPath
from piped.ground.errors import Mark, Problem, did_you_mean
from piped.ground.units import Located
from piped.spec.readers import WRONG, Misfit, Reader, read_anything, reader_of
from piped.spec.shapes import Arguments as Arguments  # a shape that only the Checker gives a meaning
from piped.spec.shapes import words_of, written
from piped.spec.spec import Parameter, Spec

#: Options whose values nobody shall read in a message.
_SECRET: Final = re.compile(r"password|secret|token|private_key|passphrase")
#: An address with a login in it.
_LOGIN: Final = re.compile(r"://[^/\s]*@")


class Checker:
    """Checks what is written and collects every mistake; see `options` and `value`.

    Text counts as a number where it is one ("8080"), true and false never do; a number is no text.

    Args:
        environ: where `${NAME}` is looked up.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[Problem] = []
        #: Every path of a resource and name of a pipeline that was met.
        self.references: list[Located] = []

    def options(
        self, spec: Spec, node: Node | None, *, owner: str, where: Mark, ignore: Container[str] = ()
    ) -> dict[str, Any] | None:
        """The arguments that the options of a mapping stand for, by their names in Python; None for a Problem.

        Args:
            node: the mapping; None and null are an empty one.
            owner: what the options belong to, as messages call it.
            where: the owner's name: an option that is missing is missed there.
            ignore: keys that are no options.
        """
        options: dict[str, Node] = {}
        if node is not None and node.value is not None:
            if not node.is_mapping:
                self.refuse(f"the options of {owner}", "a mapping", node)
                return None
            options = node.value
        before = len(self.problems)
        arguments: dict[str, Any] = {}
        readers = _readers_of(spec)
        for name, member in options.items():
            if name in ignore:
                continue
            if (known := readers.get(name)) is not None:
                parameter, read = known
                if member.value is None and parameter.default is None:
                    arguments[parameter.argument] = None
                else:
                    arguments[parameter.argument] = read(self, member, owner, name)
            elif spec.takes_any:
                arguments[name] = read_anything(self, member, owner, name)
            else:
                advice = did_you_mean(name, readers) or ("" if readers else f"{owner} has no options")
                self.problems.append(Problem(f"{owner} has no option {name!r}", member.named_at, advice))
        for parameter in spec.required:
            if parameter.name not in options:
                text = parameter.text or words_of(parameter.annotation)
                self.problems.append(Problem(f"{owner} needs the option {parameter.name!r}", where, f"add it: {text}"))
        return arguments if len(self.problems) == before else None

    def value(self, shape: Any, node: Node, *, owner: str) -> Any:
        """What a node stands for as that shape, freshly made; None for a Problem."""
        value = reader_of(shape)(self, node, owner, None)
        return None if value is WRONG else value

    def filled(self, node: Node) -> Any:
        """The value of a scalar with every `${NAME}` filled in; WRONG for a Problem."""
        try:
            return fill(node, self.environ)
        except Unset as unset:
            self.problems.append(unset.problem)
            return WRONG

    def fitted(self, shape: Any, value: Any) -> Any:
        """A plain value converted to a shape that is no text with a place, mapping or list.

        Raises:
            Misfit: it does not fit.
        """
        try:
            # True and false would pass for 1 and 0.
            return _adapter(shape).validate_python(value, strict=True if type(value) is bool else None)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
            # A check that somebody wrote for his own type says in his words what is wrong.
            raise Misfit([(fault["loc"], str(fault.get("ctx", {}).get("error", ""))) for fault in faults]) from None

    def refuse(self, subject: str, must_be: str, node: Node, fix: str = "") -> Any:
        """Add the Problem that something has to be something else; gives WRONG."""
        value = node.value
        if isinstance(value, dict):
            not_this = "a mapping"
        elif isinstance(value, list):
            not_this = f"a list of {len(value)}"
        elif type(value) is str and "${" in value:  # what it stands for may be a secret
            not_this = f"what {value!r} stands for"
        elif _SECRET.search(subject) or (type(value) is str and _LOGIN.search(value)):
            not_this = "what is written there"
        else:
            not_this = written(value)
        if type(value) is BatonPath:
            fix = "write it without !path"
        self.problems.append(Problem(f"{subject} must be {must_be}, not {not_this}", node.where, fix))
        return WRONG


@cache
def _readers_of(spec: Spec) -> dict[str, tuple[Parameter, Reader]]:
    return {name: (parameter, reader_of(parameter.annotation)) for name, parameter in spec.by_name.items()}


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(shape, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # a type that brings its own configuration
        return TypeAdapter(shape)
