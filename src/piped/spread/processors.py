"""The steps of Perspective Broker: calls of a remote object."""

from __future__ import annotations

import reprlib
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from piped import Path, Processor, ResourcePath, RuntimeEnvironment, Seconds, TimeoutError, get_path  # noqa: A004 - Piped's own
from piped.pipelines.processor import Baton


class PBClientName(ResourcePath):
    """The name of a client."""

    prefix = "pb.client."


class PBCallRemote(Processor):
    """Call a method of the root object of a Perspective Broker server, and put what it answers in the baton.

    It waits until the client is connected. A failure on the other side is raised as a RemoteError, whose `remoteType`
    is its full name there; a lost connection is a LinkLost at once.

    Args:
        client: the name of the client in `pb.clients`.
        name: the name of the remote method.
        args_path: where a list of the positional arguments lies in the baton; none if there is nothing.
        kwargs_path: where a mapping of the arguments by name lies in the baton; none if there is nothing.
        output_path: where to put the answer; '' makes it the baton.
        timeout: how long to wait for the client and the answer together.

    Example:
        - set-value: {path: words, value: [Hello, world]}
        - pb-call-remote: {client: greeter, name: join, args_path: words, output_path: greeting}
    """

    name = "pb-call-remote"

    def __init__(
        self,
        client: PBClientName,
        name: str,
        args_path: Path | None = None,
        kwargs_path: Path | None = None,
        output_path: Path = "result",
        timeout: Seconds | None = None,
    ) -> None:
        super().__init__()
        self._client, self._method, self._timeout = client, name, timeout
        self._args_path, self._kwargs_path, self._output_path = args_path, kwargs_path, output_path

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._clock = runtime_environment.reactor
        path = f"{PBClientName.prefix}{self._client}.root_object"
        where = getattr(self._client, "where", None)
        add = runtime_environment.dependency_manager.add_dependency
        self._dependency = add(self, ResourcePath(path, where))

    async def process(self, baton: Baton) -> Baton:
        answer = ensureDeferred(self._called(self._args(baton), self._kwargs(baton)))
        if self._timeout is not None:
            answer.addTimeout(self._timeout, self._clock, self._timed_out)
        return self.get_resulting_baton(baton, self._output_path, await answer)

    async def _called(self, args: list[Any], kwargs: dict[str, Any]) -> Any:
        root = await self._dependency.wait_for_resource()
        answer = root.callRemote(self._method, *args, **kwargs)
        return await answer if isinstance(answer, Deferred) else answer

    def _timed_out(self, _: Failure, timeout: Seconds) -> Any:
        raise TimeoutError(f"pb.client.{self._client} has not answered {self._method!r} within {timeout:g} s")

    def _args(self, baton: Baton) -> list[Any]:
        args = None if self._args_path is None else get_path(baton, self._args_path)
        if args is None:
            return []
        if not isinstance(args, list | tuple):
            raise TypeError(f"what lies at {self._args_path!r} is no list of arguments but {reprlib.repr(args)}")
        return list(args)

    def _kwargs(self, baton: Baton) -> dict[str, Any]:
        kwargs = None if self._kwargs_path is None else get_path(baton, self._kwargs_path)
        if kwargs is None:
            return {}
        if not isinstance(kwargs, dict) or not all(isinstance(key, str) for key in kwargs):
            raise TypeError(
                f"what lies at {self._kwargs_path!r} is no mapping of arguments but {type(kwargs).__name__}"
            )
        return kwargs
