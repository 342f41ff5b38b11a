"""House: what a package says about itself so that it need not be imported before somebody uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True, slots=True)
class House:
    """Declared as `HOUSE` in the `__init__` of a package that an entry point of the group `piped` names.

    That `__init__` is imported at every start, so it imports nothing else of the package.

    Args:
        extra: the extra of its distribution that installs what it needs: "amqp" of `piped[amqp]`.
        sections: the top-level sections of a configuration that its providers read.
        needs: the modules without which it cannot be used.

    Example:
        >>> HOUSE = House(extra="amqp", sections=("amqp",), needs=("pika",))
    """

    extra: str = ""
    sections: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    def missing(self) -> tuple[str, ...]:
        """The modules it needs that are not installed."""
        return tuple(module for module in self.needs if not _is_installed(module))


@dataclass(frozen=True, slots=True)
class Closed:
    """A house that cannot be used; `needs` are the modules it lacks, `reason` what else is wrong."""

    name: str
    sections: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    install: str = ""
    reason: str = ""

    @property
    def why(self) -> str:
        """What is the matter, in words that fit behind its name."""
        return f"needs {', '.join(self.needs)}" if self.needs else self.reason

    def __str__(self) -> str:
        return f"{self.name} is closed: {self.why}" + (f" ({self.install})" if self.install else "")


@dataclass(frozen=True, slots=True)
class Unopened:
    """A house whose modules have not been searched yet; `open` does it."""

    name: str
    sections: tuple[str, ...]
    open: Callable[[], None]


def install_command(distribution: str, house: House, missing: Iterable[str]) -> str:
    """What to type so that a house opens.

    Example:
        >>> install_command("piped", House("amqp"), ["pika"])
        "pip install 'piped[amqp]'"
    """
    return f"pip install '{distribution}[{house.extra}]'" if house.extra else f"pip install {' '.join(missing)}"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # what it lies in is missing
        return False
