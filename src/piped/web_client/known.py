"""What is written for an option, with what the baton has in place of each `!path`."""

from __future__ import annotations

from typing import Any, Final

from piped import BatonPath, PipedError, get_path
from piped.pipelines.input_output import is_awaitable

_MISSING: Final = object()


async def known(baton: Any, option: Any) -> Any:
    """What an option stands for: the baton's value for a `!path`, what a function gives, what a Deferred has.

    Raises:
        PipedError: the baton has nothing at a path.
    """
    if isinstance(option, BatonPath):
        value = get_path(baton, option, _MISSING)
        if value is _MISSING:
            raise PipedError(f"the baton has nothing at {str(option)!r}")
    elif type(option) is dict:
        return {name: await known(baton, member) for name, member in option.items()}
    elif type(option) is list:
        return [await known(baton, member) for member in option]
    else:
        value = option
    if callable(value):
        value = value()
    return await value if is_awaitable(value) else value


def is_fixed(option: Any) -> bool:
    """Whether an option is the same for every baton.

    Example:
        >>> is_fixed(["a", {"b": 1}]), is_fixed({"a": [BatonPath("b")]})
        (True, False)
    """
    if type(option) is dict:
        return all(map(is_fixed, option.values()))
    if type(option) is list:
        return all(map(is_fixed, option))
    return not isinstance(option, BatonPath)
