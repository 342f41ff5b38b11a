"""What can be measured of a process: its use of the machine, and its sources of batons."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import psutil

from piped import RuntimeEnvironment, told

logger = logging.getLogger(__name__)

Gauges = dict[str, float]


def _memory(process: psutil.Process) -> Gauges:
    memory = process.memory_info()
    return {"memory.rss": memory.rss, "memory.vms": memory.vms}


#: How each value of the process is read.
PROCESS: Final[Mapping[str, Callable[[psutil.Process], Gauges]]] = {
    "connections": lambda process: {"connections": len(process.net_connections())},
    "open_files": lambda process: {"open_files": len(process.open_files())},
    "memory": _memory,
    "cpu_percent": lambda process: {"cpu_percent": process.cpu_percent()},
    "threads": lambda process: {"threads": process.num_threads()},
}
#: How each value of a source is read.
SOURCES: Final[Mapping[str, Callable[[Any], float]]] = {
    "running": lambda source: source.running,
    "open": lambda source: int(source.is_open),
}


class ProcessReporter:
    """The connections, open files, memory, share of a processor and threads of a process, by default of this one."""

    def __init__(
        self, values: Sequence[str], environment: RuntimeEnvironment, process: psutil.Process | None = None
    ) -> None:
        self.values, self._environment = values or [*PROCESS], environment
        self._process = process or psutil.Process()
        self._process.cpu_percent()  # it tells about the time since the former call
        self._failing: set[str] = set()

    async def read(self) -> Gauges:
        """Each value as gauges; one that cannot be read is left out, and the log says so once."""
        gauges: Gauges = await self._environment.in_thread(self._read)
        return gauges

    def _read(self) -> Gauges:
        gauges: Gauges = {}
        for value in self.values:
            try:
                gauges |= PROCESS[value](self._process)
                self._failing.discard(value)
            except (psutil.Error, OSError) as error:
                if value not in self._failing:
                    logger.error("metrics: %s cannot be measured: %s", value, told(error))
                self._failing.add(value)
        return gauges


class SourcesReporter:
    """Of each source of batons how many it has running, and whether it is open for more: 1 or 0."""

    def __init__(self, values: Sequence[str], environment: RuntimeEnvironment) -> None:
        self.values, self._environment = values or [*SOURCES], environment

    async def read(self) -> Gauges:
        """Each value of each source as a gauge, such as `sources.web.site.running`."""
        sources = self._environment.sources
        return {f"sources.{source.name}.{value}": SOURCES[value](source) for source in sources for value in self.values}
