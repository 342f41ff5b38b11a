"""What can be wrong: a Problem with its place for what a user wrote, an exception for what happens at run time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file; lines and columns count from 1.

    Example:
        >>> str(Mark("site.yml", 3, 5))
        'site.yml:3:5'
    """

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake of a user: what is wrong in his words, where he wrote it, and what to do about it.

    A warning (`is_warning`) is shown but stops nothing, unless the user asked to be strict.

    Example:
        >>> print(Problem("unknown key 'porta'", Mark("site.yml", 3, 5), "did you mean 'port'?"))
        site.yml:3:5: unknown key 'porta' – did you mean 'port'?
    """

    what: str
    where: Mark | None = None
    fix: str = ""
    is_warning: bool = False

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        kind = "warning: " if self.is_warning else ""
        fix = f" – {self.fix}" if self.fix else ""
        return f"{place}{kind}{self.what}{fix}"


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, sorted by place; those without a place come first."""
    first = Mark("", 0, 0)
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.where or first, problem.what))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Advice about a name that nobody knows: the closest one, or what there is; "" when there is nothing to offer.

    Example:
        >>> did_you_mean("retires", ["retries", "host"])
        "did you mean 'retries'?"
    """
    names = sorted(set(known))
    close = get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    if 0 < len(names) <= 12:
        return f"there is: {', '.join(names)}"
    return ""


class PipedError(Exception):
    """The base of everything that Piped itself raises: a message, and if there is more to say a detail and a hint."""

    def __init__(self, msg: str = "", detail: str = "", hint: str = "") -> None:
        super().__init__(msg, detail, hint)
        self.msg, self.detail, self.hint = msg, detail, hint

    def __str__(self) -> str:
        told = (("ERROR", self.msg), ("DETAIL", self.detail), ("HINT", self.hint))
        return "".join(f"\n{label}: {text}" for label, text in told if text)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.msg}"


class ConfigurationError(PipedError):
    """A configuration that cannot be used; `problems` holds every mistake that was found, sorted by place."""

    def __init__(self, msg: str = "", detail: str = "", hint: str = "", problems: Sequence[Problem] = ()) -> None:
        self.problems = in_order(problems)
        super().__init__(msg or "\n".join(map(str, self.problems)), detail, hint)


class InvalidPipelineError(ConfigurationError):
    """A pipeline was asked for that is not defined, or its definition cannot be used."""


class AllPipelinesFailedError(PipedError):
    """Every pipeline that was tried has failed; `failures` are their Twisted Failures, in order."""

    def __init__(self, msg: str = "", detail: str = "", hint: str = "", failures: Sequence[object] = ()) -> None:
        super().__init__(msg, detail, hint)
        self.failures = list(failures)


class TimeoutError(PipedError):
    """Something did not happen within the time that was given for it."""


class Rejected(PipedError):
    """A pipeline refuses what it was sent, for good: trying again will not help the sender."""


class ResourceError(PipedError):
    """The base of what can be wrong with resources and dependencies."""


class ProviderConflict(ResourceError):
    """Two providers offer the same resource path."""


class UnprovidedResourceError(ResourceError):
    """A resource was asked for that no provider offers, or that is not ready."""


class NotReadyError(UnprovidedResourceError):
    """A resource exists but is not ready; `missing` names the first causes."""

    def __init__(self, msg: str = "", detail: str = "", hint: str = "", missing: Sequence[str] = ()) -> None:
        super().__init__(msg, detail, hint)
        self.missing = list(missing)


class UnsatisfiedDependencyError(ResourceError):
    """A member of a dependency map was read while it is not available."""


class CircularDependencyGraph(ResourceError):
    """Things depend on each other in a circle, so none of them can ever be ready."""


class AlreadyExistingDependency(ResourceError):
    """The same dependency was added to the same consumer twice."""


class KeyAlreadyExists(ResourceError):
    """A dependency map has a member of that name already."""


class InitiallyLost(ResourceError):
    """The reason of a dependency that was not there when it was first looked for."""


class ReplayedLost(ResourceError):
    """The reason of a dependency that had been lost before its consumer came."""
