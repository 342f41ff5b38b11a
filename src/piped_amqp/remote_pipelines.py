"""Pipelines that other processes may call: the section `amqp.remote_pipelines`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pika.spec import BasicProperties
from twisted.application.service import MultiService
from twisted.python.failure import Failure

from piped import (
    Bytes,
    ConfigurationError,
    Mark,
    PipedError,
    Pipeline,
    PipelineName,
    Problem,
    ProcessorPath,
    Rejected,
    RuntimeEnvironment,
    provider,
    told,
)
from piped.pipelines.input_output import is_awaitable
from piped.resources.dependency import InstanceDependency
from piped.runtime.awaiting import is_cancellation
from piped_amqp.consumer import AMQPConsumer
from piped_amqp.consumer_options import ConsumerOptions, Qos, Queue, QueueOptions
from piped_amqp.errors import UnroutableError
from piped_amqp.messages import json_of
from piped_amqp.naming import ConnectionName, connection_for
from piped_amqp.processors import JSON
from piped_amqp.remote import LAST, MAX_BODY, QUEUE, RESULTS, failure_to
from piped_amqp.replying import reply

_log = logging.getLogger("piped.amqp")
_PREFIX: Final = "amqp.remote_pipeline."
#: Of every reply; nobody changes it.
_REPLY: Final = BasicProperties(content_type=JSON, delivery_mode=1)
_MOST_OF_A_TRACEBACK: Final = 16 * 1024


@dataclass(frozen=True, kw_only=True)
class RemotePipelineOptions:
    """A pipeline that other processes may call.

    Args:
        pipeline: its name here, if it is not the one that it is offered by.
        connection: the name of the connection; left out, the only one there is.
        queue: where requests come to; left out, the durable queue `piped.pipeline.<name>`. The name of a queue that
            exists, or a mapping by which it is declared.
        qos: how many requests a process may have at a time; the fewer, the more evenly several share the work.
        max_body: how long a request, or a reply, may be.
        traceback: tell callers where a failure has happened.
    """

    pipeline: PipelineName | None = None
    connection: ConnectionName | None = None
    queue: Queue = field(default_factory=Queue)
    qos: Qos = field(default_factory=lambda: Qos(prefetch_count=20))
    max_body: Bytes = MAX_BODY
    traceback: bool = False


class RemotePipeline:
    """Runs the requests for one pipeline, and replies with what became of them.

    It is what a consumer processes its messages with: a request is acknowledged when the broker has the reply, also if
    that tells of a failure. One without `reply_to` is run all the same; what fails then is given back to the broker.
    """

    def __init__(self, name: str, options: RemotePipelineOptions) -> None:
        self.name, self._options = f"{_PREFIX}{name}", options
        self.called = name

    def configure(self, runtime_environment: RuntimeEnvironment, where: Mark | None) -> None:
        """Find the pipeline."""
        manager = runtime_environment.dependency_manager
        self.own_dependency = manager.add_dependency(InstanceDependency(self, self.name))
        written = self._options.pipeline
        path = ProcessorPath(f"pipeline.{written or self.called}", getattr(written, "where", None) or where)
        self._pipeline = runtime_environment.add_processor(self.own_dependency, path)

    async def __call__(self, delivery: Mapping[str, Any]) -> None:
        """Run a request; ends when the broker has the reply."""
        asked: BasicProperties = delivery["properties"]
        try:
            body = await self._results(delivery["body"], (asked.headers or {}).get(RESULTS) == LAST)
        except BaseException as error:
            # What is cancelled, as the process stops, is done by another one.
            if not isinstance(error, Exception) or is_cancellation(error) or not asked.reply_to:
                raise
            body = self._failure(error)
        if asked.reply_to:
            try:
                await reply(delivery, body, _REPLY)
            except UnroutableError:
                _log.info("%s: the caller is gone before its reply", self.name)

    async def _results(self, body: bytes, is_last_wanted: bool) -> bytes:
        most = self._options.max_body
        if len(body) > most:
            raise Rejected(f"the request is too long: {len(body)} bytes, max_body is {most}")
        try:
            baton = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Rejected(f"the request is not JSON: {error}") from error
        pipeline = self._pipeline.get_resource()
        outcome: Any = pipeline.run(baton) if isinstance(pipeline, Pipeline) else pipeline(baton)
        results: Any = await outcome if is_awaitable(outcome) else outcome
        said = results[-1] if is_last_wanted and results else results
        written = b'{"%s":%s}' % (b"result" if is_last_wanted else b"results", json_of(said, "the result"))
        if len(written) > most:
            raise PipedError(f"the result is too long: {len(written)} bytes, max_body is {most}")
        return written

    def _failure(self, error: Exception) -> bytes:
        trace = Failure(error).getTraceback()[-_MOST_OF_A_TRACEBACK:] if self._options.traceback else ""
        if not isinstance(error, Rejected):
            _log.warning("%s has failed: %s", self.name, told(error))
        return json.dumps({"failure": failure_to(error, trace)}).encode()


@provider("amqp.remote_pipelines", dict[str, RemotePipelineOptions])
class RemotePipelineProvider(MultiService):
    """Pipelines that other processes may call with `run-pipeline-remotely`; all that offer one share the work.

    Requests wait in the durable queue `piped.pipeline.<name>`. A request is acknowledged when the broker has its reply:
    when a process is lost, another one does what it had not replied to.

    Example:
        amqp:
            connections:
                main:
                    servers: tcp:localhost:5672
            remote_pipelines:
                square:
        pipelines:
            square:
                - eval-lambda:
                    lambda: "n: n ** 2"
    """

    prefixes = (_PREFIX,)

    def __init__(self) -> None:
        super().__init__()
        self._pipelines: dict[str, RemotePipeline] = {}

    @staticmethod
    def offers(options: dict[str, RemotePipelineOptions]) -> Iterable[str]:
        return (f"{_PREFIX}{name}" for name in options)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self.setName("amqp.remote_pipelines")
        self.setServiceParent(runtime_environment.application)
        self._manager = runtime_environment.dependency_manager
        section = runtime_environment.configuration_manager.node("amqp.remote_pipelines")
        problems: list[Problem] = []
        for name, options in (runtime_environment.get_options(self) or {}).items():
            node = section.at((name,)) if section is not None else None
            where = node.named_at if node is not None else None
            try:
                self._serve(name, options, runtime_environment, where)
            except ConfigurationError as error:
                problems += error.problems or [Problem(error.msg, where, error.hint)]
        if problems:
            raise ConfigurationError(problems=problems)

    def _serve(
        self, name: str, options: RemotePipelineOptions, environment: RuntimeEnvironment, where: Mark | None
    ) -> None:
        connection = connection_for(environment, options.connection, f"{_PREFIX}{name}")
        pipeline = self._pipelines[f"{_PREFIX}{name}"] = RemotePipeline(name, options)
        pipeline.configure(environment, where)
        environment.resource_manager.register(pipeline.name, self)
        queue = (
            options.queue if options.queue.name else Queue(QueueOptions(queue=f"{QUEUE}{name}", durable=True), where)
        )
        consuming = ConsumerOptions(processor=ProcessorPath(pipeline.name, where), queue=queue, qos=options.qos)
        consumer = AMQPConsumer.of(f"remote_pipeline.{name}", str(connection), consuming)
        consumer.configure(environment)
        consumer.setServiceParent(self)

    def add_consumer(self, dependency: Any) -> None:
        pipeline = self._pipelines[dependency.provider]
        self._manager.add_dependency(dependency, pipeline.own_dependency)
        dependency.on_resource_ready(pipeline)
