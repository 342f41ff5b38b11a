"""Steps that let a pipeline run in one process of many only."""

from __future__ import annotations

from typing import Any

from piped import Path, Processor, ResourcePath, RuntimeEnvironment
from piped_zookeeper.candidacy import Held
from piped_zookeeper.options import LeaderName, LockName


class Requiring(Processor):
    """A step that is ready while this process holds something.

    Args:
        output_path: where to put the token, a number that is higher for each later holder: hand it on with what is
            written elsewhere, and refuse there what comes with a lower one than before.
    """

    def __init__(self, held: ResourcePath, output_path: Path | None = None, node_name: str | None = None) -> None:
        super().__init__(node_name)
        self._path, self.output_path = held, output_path

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        self._dependency = runtime_environment.dependency_manager.add_dependency(self, self._path)

    def process(self, baton: Any) -> Any:
        held: Held = self._dependency.get_resource()
        held.check()
        return self.get_resulting_baton(baton, self.output_path, held.token)


class RequireLeadership(Requiring):
    """Go on only while this process leads; and let the pipeline be ready only then.

    Whatever feeds the pipeline, such as a tick or a queue, works in one process of many then. A baton that is on its
    way when the leadership is lost fails at the next such step: put another one before what must not be done twice.

    Args:
        leader: the name of a leader in the section `zookeeper.leaders`.

    Example:
        - require-leadership:
            leader: reports
            output_path: token
    """

    name = "require-leadership"

    def __init__(self, leader: LeaderName, output_path: Path | None = None, node_name: str | None = None) -> None:
        super().__init__(leader, output_path, node_name)


class RequireLock(Requiring):
    """Go on only while this process has a lock; and let the pipeline be ready only then.

    Args:
        lock: the name of a lock in the section `zookeeper.locks`.

    Example:
        - require-lock:
            lock: printer
    """

    name = "require-lock"

    def __init__(self, lock: LockName, output_path: Path | None = None, node_name: str | None = None) -> None:
        super().__init__(lock, output_path, node_name)
