"""InputOutputProcessor: the base of steps that read one value of a baton and write one back."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from piped.ground.batons import get_path
from piped.ground.units import Path
from piped.pipelines.processor import Baton, Processor
from piped.pipelines.runs import PLAIN


class Words(str):
    """A default that no value can be mistaken for; its text, which says what is done, is what the reference shows."""


#: The default of `output_path`: what was read is replaced. Its text is what the reference shows.
SAME_AS_INPUT: Final[Path] = Words("the input path")

_MISSING: Final = object()


def is_awaitable(value: object) -> bool:
    """Whether a step has to wait for a value: a Deferred, a coroutine, a future or a walk.

    Example:
        >>> from twisted.internet.defer import Deferred
        >>> is_awaitable({}), is_awaitable(Deferred())
        (False, True)
    """
    # isinstance(value, Awaitable) costs ten times as much; the set spares a lookup that fails, the dearest one.
    return type(value) not in PLAIN and hasattr(type(value), "__await__")


class InputOutputProcessor(Processor):
    """A step that makes one value of a baton from another: a subclass says how in `process_input`.

    Args:
        input_path: where to read in the baton; '' is the whole baton.
        output_path: where to write; '' makes the result the baton, null discards it.
        skip_if_nonexistent: pass on a baton that has nothing at `input_path`, untouched.
        input_fallback: what to take instead, when such a baton is not skipped.
    """

    def __init__(
        self,
        input_path: Path = "",
        output_path: Path | None = SAME_AS_INPUT,
        skip_if_nonexistent: bool = True,
        input_fallback: Any = None,
        node_name: str | None = None,
    ) -> None:
        super().__init__(node_name)
        self.input_path = input_path
        self.output_path = input_path if output_path is SAME_AS_INPUT else output_path
        self.skip_if_nonexistent = skip_if_nonexistent
        self.input_fallback = input_fallback

    def process_input(self, input: Any, baton: Baton) -> Any:
        """The result for an input; it may have to be awaited. What is missing is not asked for, None is."""
        raise NotImplementedError(f"{type(self).__name__} has no process_input()")

    def process(self, baton: Baton) -> Any:
        value, path = baton, self.input_path
        if path:
            if type(baton) is dict and "." not in path:  # nearly always, at the price of the call that it spares
                value = baton.get(path, _MISSING)
            else:
                value = get_path(baton, path, _MISSING)
            if value is _MISSING:
                if self.skip_if_nonexistent:
                    return baton
                value = self.input_fallback
        produced = self.process_input(value, baton)
        if type(produced) not in PLAIN and is_awaitable(produced):
            return self._once_known(produced, baton)
        if self.output_path == "":
            return produced
        return self.get_resulting_baton(baton, self.output_path, produced)

    async def _once_known(self, produced: Awaitable[Any], baton: Baton) -> Baton:
        return self.get_resulting_baton(baton, self.output_path, await produced)
