"""Spec: what may be written for a function or class; its signature, annotations and docstring are the schema."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from types import FunctionType, SimpleNamespace
from typing import Any, Final

from piped.spec.docstrings import read_docstring

#: The default of a parameter that has none.
NOTHING: Final = inspect.Parameter.empty
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One option: `name` is what a configuration says, `argument` what Python says (`from` and `from_`)."""

    name: str
    annotation: Any = Any
    default: Any = NOTHING
    text: str = ""
    argument: str = ""

    @property
    def required(self) -> bool:
        return self.default is NOTHING


@dataclass(frozen=True, eq=False)
class Spec:
    """What may be written for a callable; `takes_any` when it takes options that nobody has declared."""

    name: str
    summary: str = ""
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    takes_any: bool = False
    examples: tuple[str, ...] = ()
    source: str = ""

    @staticmethod
    def of(made: Callable[..., Any]) -> Spec:
        """The Spec of a function or class, the same object whenever it is asked for.

        A class that takes `**kwargs` takes the options of the next class in its method resolution order too. The
        first positional parameter of a function is what the function is about, such as the baton, and no option.
        An annotation whose names exist for the type checker only is read as Any.
        """
        return _spec_of(made)

    @cached_property
    def by_name(self) -> Mapping[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters}

    @cached_property
    def required(self) -> tuple[Parameter, ...]:
        return tuple(parameter for parameter in self.parameters if parameter.required)

    def without(self, *names: str) -> Spec:
        """The same without some options."""
        left = tuple(parameter for parameter in self.parameters if parameter.name not in names)
        return dataclasses.replace(self, parameters=left)


@cache
def _spec_of(made: Callable[..., Any]) -> Spec:
    if isinstance(made, type):
        parameters, takes_any = _parameters_of_class(made)
        about = read_docstring(_doc_of(made))
    else:
        parameters, takes_any = _parameters_of_function(made)
        about = read_docstring(made.__doc__)
    return Spec(
        getattr(made, "__name__", type(made).__name__),
        about.summary,
        about.description,
        tuple(parameters.values()),
        takes_any,
        tuple(about.examples),
        about.source,
    )


def _parameters_of_function(function: Callable[..., Any]) -> tuple[dict[str, Parameter], bool]:
    signature = inspect.signature(function)
    texts = read_docstring(function.__doc__).parameters
    hints = _hints_of(function, getattr(inspect.unwrap(function), "__globals__", {}))
    taken = list(signature.parameters.values())
    if taken and taken[0].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
        del taken[0]
    return _options(taken, hints, texts), _takes_keywords(signature)


def _parameters_of_class(cls: type) -> tuple[dict[str, Parameter], bool]:
    """The options of the nearest constructor, then of those that its `**kwargs` go up to."""
    texts = _texts_of(cls)
    found: dict[str, Parameter] = {}
    takes_any = False
    for owner in cls.__mro__[:-1]:
        init = vars(owner).get("__init__")
        if init is None:
            continue
        if not isinstance(init, FunctionType):  # written in C: nobody knows what it takes
            return found, True
        signature = inspect.signature(init)
        hints = _hints_of(init, inspect.unwrap(init).__globals__) | _hints_of_fields(owner)
        options = _options(list(signature.parameters.values())[1:], hints, texts, owner)
        found |= {name: option for name, option in options.items() if name not in found}
        takes_any = _takes_keywords(signature)
        if not takes_any:
            break
    return found, takes_any


def _options(
    taken: list[inspect.Parameter], hints: Mapping[str, Any], texts: Mapping[str, str], owner: type | None = None
) -> dict[str, Parameter]:
    found = {}
    for parameter in taken:
        argument = parameter.name
        if parameter.kind in _NAMED and argument != "baton":
            name = argument[:-1] if argument.endswith("_") else argument
            hint = hints.get(argument, Any)
            found[name] = Parameter(name, hint, _default_of(parameter, owner), texts.get(argument, ""), argument)
    return found


def _default_of(parameter: inspect.Parameter, owner: type | None = None) -> Any:
    """The default; of a dataclass's field that is made anew each time, one of those."""
    declared = vars(owner).get("__dataclass_fields__", {}).get(parameter.name) if owner else None
    if declared is None or declared.default_factory is dataclasses.MISSING:
        return parameter.default
    return declared.default_factory()


def _takes_keywords(signature: inspect.Signature) -> bool:
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in signature.parameters.values())


def _texts_of(cls: type) -> dict[str, str]:
    """The texts of the parameters, from the docstrings of the class and its bases; the nearest text wins."""
    texts: dict[str, str] = {}
    for owner in cls.__mro__[:-1]:
        init = vars(owner).get("__init__")
        texts = read_docstring(getattr(init, "__doc__", None)).parameters | texts
        texts = read_docstring(_own_doc(owner)).parameters | texts
    return texts


def _doc_of(cls: type) -> str | None:
    """The nearest docstring; a subclass without one is about what its base is about."""
    return next(filter(None, map(_own_doc, cls.__mro__[:-1])), None)


def _own_doc(cls: type) -> str | None:
    """The docstring that somebody has written: a dataclass without one repeats its signature there."""
    doc: str | None = vars(cls).get("__doc__")
    is_made_up = doc is not None and "__dataclass_fields__" in vars(cls) and doc.startswith(f"{cls.__name__}(")
    return None if is_made_up else doc


def _hints_of_fields(cls: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields, each read where its class was written; else nothing."""
    hints: dict[str, Any] = {}
    if "__dataclass_fields__" in vars(cls):
        for owner in reversed(cls.__mro__):
            names = getattr(inspect.getmodule(owner), "__dict__", {})
            hints |= _hints_of(SimpleNamespace(__annotations__=vars(owner).get("__annotations__", {})), names)
    return hints


def _hints_of(annotated: Any, names: dict[str, Any]) -> dict[str, Any]:
    """The annotations as objects; Any for each that cannot be read now, as its names are not imported."""
    try:
        return typing.get_type_hints(annotated, names, include_extras=True)
    except (NameError, AttributeError, TypeError):
        return {
            name: _hint_alone(name, annotation, names)
            for name, annotation in getattr(annotated, "__annotations__", {}).items()
        }


def _hint_alone(name: str, annotation: Any, names: dict[str, Any]) -> Any:
    alone = SimpleNamespace(__annotations__={name: annotation})
    try:
        return typing.get_type_hints(alone, names, include_extras=True)[name]
    except (NameError, AttributeError, TypeError):
        return Any
