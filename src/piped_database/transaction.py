"""The step that runs a pipeline in a transaction."""

from __future__ import annotations

from typing import Any, Final, Literal

from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from piped import InputOutputProcessor, PipelineName, ProcessorPath, RuntimeEnvironment, Seconds, TimeoutError  # noqa: A004
from piped.pipelines.names import absolute
from piped_database.access import Access
from piped_database.callee import Callee
from piped_database.options import EngineName

_LONGEST: Final[Seconds] = 300
Isolation = Literal["READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


class InTransaction(InputOutputProcessor):
    """Send the input into a pipeline all of whose SQL is one transaction; the output is its last result.

    It is committed when the pipeline has ended, and rolled back if that fails or is cancelled. All steps that use the
    same engine are a part of it, also in the pipelines that this one runs; they use one connection, one after another.
    A transaction within another one is a savepoint: if it fails, and somebody handles that, the outer one goes on.

    Args:
        engine: the name of the engine in the section `database.engines`.
        pipeline: the name of the pipeline; `.sibling` is relative to this one.
        isolation_level: what it sees of other transactions, if not what the engine says.
        timeout: how long it may take in all; then it is rolled back. 0 for any time.

    Example:
        - transaction:
            engine: main
            pipeline: .square
            input_path: n
    """

    name = "transaction"

    def __init__(
        self,
        engine: EngineName,
        pipeline: PipelineName,
        isolation_level: Isolation | None = None,
        timeout: Seconds = _LONGEST,
        **io: Any,
    ) -> None:
        super().__init__(**io)
        self._engine, self._pipeline = engine, pipeline
        self._isolation_level, self._timeout = isolation_level, timeout

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._reactor = runtime_environment.reactor
        self._access = runtime_environment.dependency_manager.add_dependency(self, self._engine)
        path = f"pipeline.{absolute(self._pipeline, self.pipeline_name)}"
        target = ProcessorPath(path, getattr(self._pipeline, "where", None))
        self._callee = Callee(runtime_environment.add_processor(self, target))

    async def process_input(self, input: Any, baton: Any) -> Any:
        access: Access = self._access.get_resource()
        transaction = await access.begin(self._isolation_level)
        try:
            running: Deferred[Any] = Deferred.fromCoroutine(self._callee.run_in(transaction, input))
            if self._timeout:
                running.addTimeout(self._timeout, self._reactor, self._too_late)
            result = await running
        except BaseException:
            await transaction.rollback()
            raise
        try:
            await transaction.commit()
        except DBAPIError as error:
            error.add_note(f"at the commit of a transaction in {access.called}")
            raise
        return result

    def _too_late(self, result: Any, seconds: Seconds) -> Any:
        if isinstance(result, Failure):
            raise TimeoutError(f"the transaction has not ended within {seconds:g} s, and is rolled back")
        return result
