"""Readiness: a ready-made test case that asks whether the process has all that it needs."""

from __future__ import annotations

from piped_status_testing.statustest import StatusTestCase


class Readiness(StatusTestCase):
    """Fails while a pipeline or a provider waits for something, and says for what."""

    def statustest_nothing_is_being_waited_for(self) -> None:
        waiting = self.runtime_environment.dependency_manager.waiting()
        if waiting:
            self.fail("; ".join(f"{name} waits for {', '.join(causes)}" for name, causes in waiting))
