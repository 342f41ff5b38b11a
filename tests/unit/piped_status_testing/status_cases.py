"""Test cases that configurations of the tests name."""
# ruff: noqa: PT009 - these are the assertions that users write

from __future__ import annotations

from typing import Any, ClassVar

from status_stage import Running as Running
from twisted.internet.defer import Deferred

from piped_status_testing.statustest import StatusTestCase as Imported

#: What the waiting tests wait for, in the order in which they began; a test empties it.
waiting: list[Deferred[Any]] = []


class Passing(Imported):
    """One test that passes."""

    def statustest_passes(self) -> None:
        self.assertTrue(True)


class Failing(Imported):
    """One test that fails."""

    def statustest_fails(self) -> None:
        self.assertEqual(1, 2)


class Waiting(Imported):
    """One test that waits until it is told."""

    def statustest_waits(self) -> Deferred[Any]:
        waiting.append(Deferred())
        return waiting[-1]


class Surrounded(Imported):
    """One test that keeps what it has found around it."""

    found: ClassVar[list[Any]] = []

    def setUp(self, url: str) -> None:
        self.url = url

    def statustest_finds(self) -> None:
        self.found.append((self.url, self.dependencies.database, self.runtime_environment))


class Empty(Imported):
    """No test."""

    def check_of_another_kind(self) -> None:
        raise AssertionError("this is no status test")
