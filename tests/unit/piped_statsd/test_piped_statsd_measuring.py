"""Tests of what is measured of a process, on the one that runs them."""

from __future__ import annotations

import socket
from typing import Any

import psutil
import pytest
from twisted.internet.defer import Deferred

from piped import RuntimeEnvironment, Source
from piped_statsd.measuring import ProcessReporter, SourcesReporter


def read(reporter: ProcessReporter | SourcesReporter) -> dict[str, float]:
    """A report; on a clock that stands still nothing waits for a thread."""
    found: Any = Deferred.fromCoroutine(reporter.read()).result
    assert isinstance(found, dict), found
    return found


def test_a_process_is_measured(tmp_path):
    """All its values, unless some are chosen; they are what the system says."""
    reporter = ProcessReporter([], RuntimeEnvironment())
    before = read(reporter)
    assert [*before] == ["connections", "open_files", "memory.rss", "memory.vms", "cpu_percent", "threads"]
    assert before["memory.vms"] > before["memory.rss"] > 1_000_000
    assert before["threads"] == psutil.Process().num_threads()
    assert before["cpu_percent"] >= 0
    with socket.create_server(("127.0.0.1", 0)), open(tmp_path / "file", "w"):
        after = read(reporter)
    assert after["connections"] == before["connections"] + 1
    assert after["open_files"] == before["open_files"] + 1


def test_values_are_chosen():
    """Nothing else is read."""
    assert [*read(ProcessReporter(["threads"], RuntimeEnvironment()))] == ["threads"]


class Guarded(psutil.Process):
    """A process whose connections not everybody may see, not always."""

    may_be_read = (False, False, True, False)

    def net_connections(self, kind: str = "inet") -> list[Any]:
        may_be_read, *self.may_be_read = self.may_be_read
        if not may_be_read:
            raise psutil.AccessDenied(self.pid)
        return []


def test_a_value_that_cannot_be_read_is_left_out_and_told_once(caplog):
    """The others are reported; when it could be read in between, it is told again."""
    reporter = ProcessReporter(["connections", "threads"], RuntimeEnvironment(), Guarded())
    reports = [[*read(reporter)] for _ in range(4)]
    assert reports == [["threads"], ["threads"], ["connections", "threads"], ["threads"]]
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith("metrics: connections cannot be measured: AccessDenied")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {"sources.web.site.running": 0, "sources.web.site.open": 1, "sources.a.running": 0, "sources.a.open": 0}),
        (["open"], {"sources.web.site.open": 1, "sources.a.open": 0}),
    ],
)
def test_sources_are_measured(values, expected):
    """How many batons each has running, and whether it takes more."""
    environment = RuntimeEnvironment()
    environment.sources.add(Source("web.site", max_running=None))
    environment.sources.add(Source("a", max_running=1)).pause()
    assert read(SourcesReporter(values, environment)) == expected
