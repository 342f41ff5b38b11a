"""Steps that start and stop intervals of ticks."""

from __future__ import annotations

from typing import Any

from piped import Processor, RuntimeEnvironment, TickIntervalName
from piped.pipelines.processor import Baton


class _TickIntervalStep(Processor):
    def __init__(self, interval: TickIntervalName) -> None:
        super().__init__()
        self._interval = TickIntervalName(interval, getattr(interval, "where", None))

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._dependency = runtime_environment.dependency_manager.add_dependency(self, self._interval)

    async def process(self, baton: Baton) -> Baton:
        self.change(await self._dependency.wait_for_resource())
        return baton

    def change(self, interval: Any) -> None:
        raise NotImplementedError


class StartTickInterval(_TickIntervalStep):
    """Let an interval tick; one that does already is left alone.

    Args:
        interval: the name of the interval.

    Example:
        - start-tick-interval: {interval: reaper}
    """

    name = "start-tick-interval"

    def change(self, interval: Any) -> None:
        interval.start_ticking()


class StopTickInterval(_TickIntervalStep):
    """Stop the ticks of an interval, until it is started again.

    Args:
        interval: the name of the interval.

    Example:
        - stop-tick-interval: {interval: reaper}
    """

    name = "stop-tick-interval"

    def change(self, interval: Any) -> None:
        # Not awaited: a pipeline may stop the very interval that waits for it.
        interval.stop_ticking()
