"""What Piped counts the messages with, and who calls."""

from __future__ import annotations

import os
from typing import Any

from measuring import CALLS, Work
from twisted.internet.defer import ensureDeferred, gatherResults

from piped import PipedDependencyService, RuntimeEnvironment, processor

job = Work(os.environ["SCENARIO"], int(os.environ["PORT"]), int(os.environ["COUNT"]))


@processor("count-message")
def count_message(baton: Any) -> None:
    """Counts a message; the last one is told."""
    job.one()


class Caller(PipedDependencyService):
    """Calls as often as it is told, with as many calls under way as the others have."""

    def is_enabled(self) -> bool:
        return job.scenario == "call"

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        super().configure(runtime_environment)
        if self.is_enabled():
            self.dependencies = runtime_environment.create_dependency_map(self, client="amqp.rpc_client.echo")

    async def run_with_dependencies(self) -> None:
        async def caller() -> None:
            for _ in range(job.count // CALLS):
                await self.dependencies.client.call("echo", job.body)
                job.one()

        await gatherResults([ensureDeferred(caller()) for _ in range(CALLS)])
