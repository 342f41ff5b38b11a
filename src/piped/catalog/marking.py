"""The marks that make something a processor or a provider: importing registers nothing, discovery looks for marks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Marked = TypeVar("Marked", bound=Callable[..., Any])
_MARK = "__piped_mark__"


@dataclass(frozen=True, slots=True)
class ProcessorMark:
    """Tags a function or class as the processor of that name."""

    name: str


@dataclass(frozen=True, slots=True)
class ProviderMark:
    """Tags a class as the provider that reads the section at that dotted path; `shape` types what stands there."""

    section: str
    shape: Any


def processor(name: str) -> Callable[[Marked], Marked]:
    """Make a function, or a subclass of Processor, the processor of that name.

    A function takes the baton and gives the baton for what follows; None means the one it was given. It may be
    `async def` or return a Deferred. Its keyword-only parameters are the options, their types and texts what is
    checked and shown.

    Example:
        >>> @processor("shout")
        ... def shout(baton, *, path: str = "text"):
        ...     '''Make a text loud.
        ...
        ...     Args:
        ...         path: where the text lies in the baton.
        ...     '''
        ...     baton[path] = baton[path].upper()
    """

    def mark(target: Marked) -> Marked:
        setattr(target, _MARK, ProcessorMark(name))
        return target

    return mark


def provider(section: str, shape: Any = Any) -> Callable[[Marked], Marked]:
    """Make a class the provider that reads a section of the configuration.

    The class takes no arguments, and has `configure(runtime_environment)`, which is called once before anything
    starts. `runtime_environment.get_options(self)` gives what stands in the section, checked and converted to
    `shape`: any type, where a dataclass (or a class inside `Arguments[...]`) stands for a mapping of its parameters.

    One that also says what it will offer lets `piped check` tell a misspelt resource: a static method
    `offers(options)` gives the paths for a checked section, `prefixes` are those under which nobody else offers any.

    Args:
        section: dotted path in the configuration, such as "ticks" or "amqp.connections".
        shape: the type of the section, such as `dict[str, Site]`.
    """

    def mark(target: Marked) -> Marked:
        setattr(target, _MARK, ProviderMark(section, shape))
        return target

    return mark


def mark_of(target: object) -> ProcessorMark | ProviderMark | None:
    """The mark of a function or class; marks are not inherited."""
    mark = getattr(target, "__dict__", {}).get(_MARK)
    return mark if isinstance(mark, ProcessorMark | ProviderMark) else None
