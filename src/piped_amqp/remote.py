"""Pipelines of other processes, called over queues: the step that calls, and what is said on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from pika.spec import BasicProperties
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.reflect import safe_str

from piped import (
    Bytes,
    ConfigurationError,
    InputOutputProcessor,
    Path,
    PipedError,
    Rejected,
    ResourcePath,
    RuntimeEnvironment,
    Seconds,
    TimeoutError,  # noqa: A004 - Piped's own
    get_path,
)
from piped.pipelines.processor import Baton
from piped_amqp.deadlines import Deadlines
from piped_amqp.errors import RemoteError
from piped_amqp.messages import json_of
from piped_amqp.naming import ConnectionName, connection_for
from piped_amqp.processors import JSON
from piped_amqp.rpc import RPCClientBase, offer
from piped_amqp.rpc_options import ReplyConsumer, direct

#: What stands before the name of a pipeline in that of its queue.
QUEUE: Final = "piped.pipeline."
#: The header of a request that asks for one result, with that value, or else for all.
RESULTS, LAST = "x-piped-results", "last"
MAX_BODY: Final[Bytes] = 1024 * 1024
_LONGEST_TEXT: Final = 16 * 1024
_CALLER: Final = "amqp.remote_caller."
#: Failures that are the same on both sides.
KINDS: Final[dict[str, type[PipedError]]] = {"rejected": Rejected, "timeout": TimeoutError}


class RPCClientName(ResourcePath):
    """The name of a client in `amqp.rpc_clients`."""

    prefix = "amqp.rpc_client."


class RunPipelineRemotely(InputOutputProcessor):
    """Send the input into a pipeline of another process, which answers over a queue; the output is its last result.

    The other process offers the pipeline in its section `amqp.remote_pipelines`. All processes that do share the work.
    The request goes to the queue `piped.pipeline.<name>`; it and the results are JSON, so that a tuple comes back as a
    list, and every key as text.

    What fails there fails here: with a piped_amqp.errors.RemoteError that has the text and the `remote_type`; a
    Rejected and a TimeoutError stay what they are. Where nobody offers the pipeline, that is an UnroutableError at
    once. A request is done at least once: again, when a process is lost before it has replied.

    Args:
        pipeline: its name, there.
        pipeline_path: where that name lies in the baton, instead of `pipeline`.
        connection: the name of the connection; left out, the only one there is.
        rpc_client: the name of a client to call with, instead of one that all such steps of a connection share.
        queue: the name of the queue, if it is another one; the other side says so, too.
        only_last_result: if off, the output is the list of all results.
        timeout: how long to wait for the connection and the reply together; null for any time. A request that nobody
            has taken by then is dropped by the broker.
        max_body: how long a request, or a reply, may be.

    Example:
        - set-value: {path: n, value: 5}
        - run-pipeline-remotely:
            pipeline: square
            input_path: n
            output_path: n_squared
    """

    name = "run-pipeline-remotely"

    def __init__(
        self,
        pipeline: str | None = None,
        pipeline_path: Path | None = None,
        connection: ConnectionName | None = None,
        rpc_client: RPCClientName | None = None,
        queue: str | None = None,
        only_last_result: bool = True,
        timeout: Seconds | None = 30,
        max_body: Bytes = MAX_BODY,
        **io: Any,
    ) -> None:
        super().__init__(**io)
        if (pipeline is None) == (pipeline_path is None):
            raise ConfigurationError(f"{self.name} needs either pipeline or pipeline_path", hint="write one of the two")
        if connection is not None and rpc_client is not None:
            raise ConfigurationError("connection and rpc_client exclude each other", hint="the client has a connection")
        if queue is not None and pipeline_path is not None:
            raise ConfigurationError("queue and pipeline_path exclude each other", hint="each pipeline has a queue")
        self._pipeline, self._pipeline_path, self._queue = pipeline, pipeline_path, queue
        self._connection, self._client = connection, rpc_client
        self._only_last_result, self._timeout, self._max_body = only_last_result, timeout, max_body
        self._what = f"what lies at {self.input_path!r}" if self.input_path else "the baton"
        #: Of every request; nobody changes it.
        self._properties = BasicProperties(
            content_type=JSON,
            delivery_mode=1,
            expiration=None if timeout is None else str(max(1, int(timeout * 1000))),
            headers={RESULTS: LAST} if only_last_result else None,
        )

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        path = self._client or caller_for(runtime_environment, self._connection, self.name)
        self._dependency = runtime_environment.dependency_manager.add_dependency(self, path)
        too_late = f"no reply to {self._pipeline or 'a pipeline'} within {self._timeout} s"
        self._deadlines = Deadlines(runtime_environment.reactor, self._timeout, lambda: too_late)

    def process_input(self, input: Any, baton: Baton) -> Deferred[Any]:
        name = self._pipeline or self._named_by(baton)
        body = json_of(input, self._what)
        if len(body) > self._max_body:
            raise PipedError(f"{self._what} is too long for a request: {len(body)} bytes, max_body is {self._max_body}")
        answer = ensureDeferred(self._called(name, body))
        return self._deadlines.watch(answer).addCallback(partial(self._output_of, name))

    async def _called(self, pipeline: str, body: bytes) -> bytes:
        ready = self._dependency.is_ready
        client = self._dependency.get_resource() if ready else await self._dependency.wait_for_resource()
        queue = self._queue or f"{QUEUE}{pipeline}"
        response = await client.call(queue, body, timeout=None, properties=self._properties)
        return response.body  # type: ignore[no-any-return] # a client of the user's own may be untyped

    def _named_by(self, baton: Baton) -> str:
        name = get_path(baton, self._pipeline_path or "", None)
        if not isinstance(name, str) or not name:
            raise PipedError(f"what lies at {self._pipeline_path!r} is no name of a pipeline: {name!r}")
        return name

    def _output_of(self, pipeline: str, body: bytes) -> Any:
        if len(body) > self._max_body:
            raise PipedError(f"the reply of {pipeline} is too long: {len(body)} bytes, max_body is {self._max_body}")
        try:
            reply = json.loads(body)
        except (ValueError, RecursionError):
            reply = None
        match reply:
            case {"failure": dict(failure)}:
                raise failure_from(failure)
            case {"result": result} if self._only_last_result:
                return result
            case {"results": list(results)}:
                return results[-1] if self._only_last_result and results else results
        raise PipedError(f"the reply to {pipeline} is none of a remote pipeline: {body[:60]!r}")


def failure_to(error: BaseException, traceback: str = "") -> dict[str, str]:
    """What is said of a failure."""
    kind = next((kind for kind, known in KINDS.items() if isinstance(error, known)), "")
    text = (error.msg if isinstance(error, PipedError) else safe_str(error))[:_LONGEST_TEXT]
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    said = {"type": name, "message": text, "kind": kind, "traceback": traceback}
    return {key: value for key, value in said.items() if value}


def failure_from(said: Mapping[str, Any]) -> PipedError:
    """The error that stands for a failure on the other side."""
    text, remote_type, trace, known = (str(said.get(key, "")) for key in ("message", "type", "traceback", "kind"))
    kind = KINDS.get(known)
    return RemoteError(text, remote_type, trace) if kind is None else kind(text)


def caller_for(environment: RuntimeEnvironment, connection: ConnectionName | None, owner: str) -> ResourcePath:
    """The resource of the client that all steps of a connection share; the first one brings it into being."""
    name = connection_for(environment, connection, owner)
    path = ResourcePath(f"{_CALLER}{name}", name.where)
    if path not in environment.resource_manager:
        client = RPCClientBase(str(name), name, consumer=ReplyConsumer(queue=direct()), timeout=None)
        client.setName(str(path))
        client.configure(environment)
        client.setServiceParent(environment.application)
        offer(environment, str(path), client)
    return path
