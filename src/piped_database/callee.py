"""Callee: a pipeline that a step runs within a transaction."""

from __future__ import annotations

from contextvars import copy_context
from typing import Any

from piped.pipelines.input_output import is_awaitable
from piped.resources.dependency import Dependency
from piped_database.access import Transaction


class Callee:
    """A pipeline, as a step calls it that is ready only while the pipeline is.

    Args:
        dependency: stands for it: a Pipeline, or anything that can be called with a baton.
    """

    def __init__(self, dependency: Dependency) -> None:
        self._dependency = dependency

    async def run_in(self, transaction: Transaction, baton: Any) -> Any:
        """The last result; what the steps do on that engine is done in the transaction."""
        target = self._dependency.get_resource()
        variable, value = transaction.context()
        # A context of its own: what comes after this step is not in the transaction.
        context = copy_context()
        context.run(variable.set, value)
        outcome = context.run(target, baton)
        results = await outcome if is_awaitable(outcome) else outcome
        return results[-1] if isinstance(results, list | tuple) and results else results
