"""Types of options that carry their unit, their bounds and their meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias, TypeVar

from annotated_types import Ge, Gt, Le

from piped.ground.batons import BatonPath
from piped.ground.errors import Mark


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a number, as a person writes it behind one."""

    name: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a plain value stands for, in words that fit behind "must be"."""

    words: str


Seconds = Annotated[float, Unit("s"), Ge(0)]
Bytes = Annotated[int, Unit("bytes"), Ge(0)]
Port = Annotated[int, Meaning("a TCP port"), Ge(0), Le(65535)]
Count = Annotated[int, Meaning("a number of at least 1"), Gt(0)]
#: A dotted path into the baton; '' is the whole baton.
Path = Annotated[str, Meaning("a path in the baton")]
LevelName = Literal["debug", "info", "warn", "warning", "error", "critical"]

T = TypeVar("T")
#: A value of that type, or the path of one in the baton, written with `!path`.
OrPath: TypeAlias = T | BatonPath


class Located(str):
    """A text of a configuration that knows where it was written; None for one that was made in Python."""

    where: Mark | None

    def __new__(cls, text: str, where: Mark | None = None) -> Located:
        made = super().__new__(cls, text)
        made.where = where
        return made


class ResourcePath(Located):
    """The path of a resource, such as `pipeline.hello` or `context.users`."""

    #: What stands before the name that is written, in the whole path.
    prefix: ClassVar[str] = ""


class ProcessorPath(ResourcePath):
    """The resource that processes batons: usually `pipeline.<name>`; the bare name of a pipeline means it too."""


class ContextName(ResourcePath):
    """The name of a context."""

    prefix = "context."


class PersistedContextName(ResourcePath):
    """The name of a persisted context."""

    prefix = "persisted_context."


class TickIntervalName(ResourcePath):
    """The name of an interval of ticks."""

    prefix = "ticks.interval."


class PipelineName(Located):
    """The name of a pipeline; absolute, or relative to where it is written, with leading dots."""
