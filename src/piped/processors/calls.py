"""Steps that call: a function by its full name, a resource, a Deferred that somebody waits for."""

from __future__ import annotations

import reprlib
from typing import Any, Final

from twisted.internet.defer import AlreadyCalledError, Deferred

from piped import (
    BatonPath,
    ConfigurationError,
    DottedName,
    OrPath,
    Path,
    Processor,
    ResourcePath,
    RuntimeEnvironment,
    get_path,
    load_name,
    processor,
)
from piped.pipelines.input_output import Words, is_awaitable
from piped.pipelines.processor import Baton
from piped.processors.values import fresh

_NOTHING: Final = object()


NO_ARGUMENT: Final[Any] = Words("no argument")
FROM_THE_BATON: Final[Any] = Words("what lies at result_path")


def filled(baton: Baton, written: Any) -> Any:
    """What an option stands for, at any depth: the baton's value for each `!path`, a copy of everything else.

    Raises:
        LookupError: the baton has nothing at a path.
    """
    if isinstance(written, BatonPath):
        value = get_path(baton, written, _NOTHING)
        if value is _NOTHING:
            raise LookupError(f"the baton has nothing at {str(written)!r}")
        return value
    if type(written) is dict:
        return {key: filled(baton, member) for key, member in written.items()}
    if type(written) is list:
        return [filled(baton, member) for member in written]
    return fresh(written)


class CallDependency(Processor):
    """Call a resource, or a method of it, and put what that returns in the baton.

    It waits until the resource is ready. What the call returns is awaited.

    Args:
        dependency: the path of the resource.
        method: the name of the method; left out, the resource itself is called. A name that the baton gives must not
            begin with an underscore.
        arguments: what to call it with: one argument. A `!path` in a list or mapping stands for a value of the baton
            too.
        unpack_arguments: take a list as the positional arguments, a mapping as arguments by their names.
        output_path: where to put the result; '' makes it the baton, null discards it.

    Example:
        - set-value: {path: name, value: Ada}
        - call-dependency:
            dependency: context.users
            method: index
            arguments: [!path name, 0]
            unpack_arguments: true
            output_path: position
    """

    name = "call-dependency"

    def __init__(
        self,
        dependency: ResourcePath,
        method: OrPath[str] = "__call__",
        arguments: OrPath[Any] = NO_ARGUMENT,
        unpack_arguments: bool = False,
        output_path: Path | None = None,
    ) -> None:
        super().__init__()
        self._resource, self._method, self._arguments = dependency, method, arguments
        self._unpack_arguments, self._output_path = unpack_arguments, output_path

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._dependency = runtime_environment.dependency_manager.add_dependency(self, self._resource)

    async def process(self, baton: Baton) -> Baton:
        resource = await self._dependency.wait_for_resource()
        method = getattr(resource, self._method_for(baton))
        args, kwargs = self._arguments_for(baton)
        result = method(*args, **kwargs)
        if is_awaitable(result):
            result = await result
        return self.get_resulting_baton(baton, self._output_path, result)

    def _method_for(self, baton: Baton) -> str:
        method = filled(baton, self._method)
        if not isinstance(self._method, BatonPath):
            return str(method)
        if not isinstance(method, str) or method.startswith("_"):  # a baton may come from anywhere
            raise ValueError(f"what lies at {str(self._method)!r} is no name of a method: {reprlib.repr(method)}")
        return method

    def _arguments_for(self, baton: Baton) -> tuple[list[Any], dict[str, Any]]:
        if self._arguments is NO_ARGUMENT:
            return [], {}
        arguments = filled(baton, self._arguments)
        if not self._unpack_arguments:
            return [arguments], {}
        if isinstance(arguments, dict):
            return [], arguments
        if isinstance(arguments, list | tuple):
            return list(arguments), {}
        raise TypeError(f"only a list or a mapping can be unpacked as arguments, not {reprlib.repr(arguments)}")


class CallNamedAny(Processor):
    """Call a function by its full name, and put what it returns in the baton.

    What it returns is awaited.

    Args:
        name: the full name of the function.
        output_path: where to put the result; '' makes it the baton.
        args: the positional arguments; a `!path` among them stands for a value of the baton.
        kwargs: the arguments by their names; the same holds for them.

    Example:
        - call-named-any:
            name: datetime.datetime.fromtimestamp
            args: [0]
            output_path: epoch
    """

    name = "call-named-any"

    def __init__(
        self,
        name: DottedName,
        output_path: Path = "result",
        args: list[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._function = load_name(name)
        if not callable(self._function):
            raise ConfigurationError(f"{name} cannot be called", hint="write the full name of a function")
        self._output_path = output_path
        self._args, self._kwargs = args or [], kwargs or {}

    async def process(self, baton: Baton) -> Baton:
        # Each call gets arguments of its own: what it does to them must not reach the next baton.
        result = self._function(*filled(baton, self._args), **filled(baton, self._kwargs))
        if is_awaitable(result):
            result = await result
        return self.get_resulting_baton(baton, self._output_path, result)


@processor("callback-deferred")
def callback_deferred(
    baton: Baton, *, deferred_path: Path = "deferred", result: Any = FROM_THE_BATON, result_path: Path = "result"
) -> None:
    """Fire a Deferred that lies in the baton, for somebody who waits for it.

    Args:
        deferred_path: where the Deferred lies.
        result: what to fire it with; null is a result too.
        result_path: where the result lies in the baton, if `result` is left out; what is missing counts as null, and
            a Twisted Failure makes the Deferred fail.

    Example:
        - exec-code:
            output_path: null
            code: |
                baton["waiting"] = defer.Deferred()
                baton["waiting"].addCallback(logger.info)
        - callback-deferred:
            deferred_path: waiting
            result: done
    """
    deferred = get_path(baton, deferred_path, _NOTHING)
    if not isinstance(deferred, Deferred):
        there = "nothing" if deferred is _NOTHING else reprlib.repr(deferred)
        raise TypeError(f"there is no Deferred at {deferred_path!r} to be fired, but {there}")
    try:
        deferred.callback(get_path(baton, result_path) if result is FROM_THE_BATON else fresh(result))
    except AlreadyCalledError as error:
        there = reprlib.repr(deferred.result)
        raise AlreadyCalledError(f"the Deferred at {deferred_path!r} has fired already; it holds {there}") from error
