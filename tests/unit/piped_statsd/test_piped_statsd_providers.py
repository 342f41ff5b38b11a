"""Tests of the sections `statsd` and `metrics`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from piped import ConfigurationError, RuntimeEnvironment
from piped.config.gathering import gather_text
from piped.runtime.assembly import check, configure
from piped.testing import Stage
from piped_statsd.clients import StatsdClient, client
from piped_statsd.metrics import Metrics
from piped_statsd.providers import MetricsService


class Noted(Metrics):
    """Stands for a client: notes the gauges."""

    def __init__(self) -> None:
        self.gauges: list[tuple[str, float, list[str]]] = []

    def now(self) -> float:
        return 0

    def send(self, name: str, value: Any, kind: str, tags: Sequence[str], sample_rate: float) -> None:
        assert kind == "g"
        self.gauges.append((name, value, [*tags]))


def reporting(options: str, more: str = "") -> tuple[Stage, Noted]:
    """A process that reports to a client, and the client."""
    noted = Noted()
    stage = Stage(f"metrics: {{enabled: true, {options}}}\n{more}", resources={"statsd.default": noted})
    stage.environment.application.startService()
    return stage, noted


def told(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        Stage(text)
    return [re.sub("^<test>:", "", str(problem)) for problem in raised.value.problems]


def test_clients_are_resources_and_found_by_modules():
    """Under their names, which may have dots; without a host they send to this machine."""
    stage = Stage("statsd: {default: , far.away: {host: metrics.example, port: 9125}}")
    default, other = stage.get("statsd.default"), stage.get("statsd.far.away")
    assert (default.host, default.port, other.host, other.port) == ("localhost", 8125, "metrics.example", 9125)
    assert isinstance(default, StatsdClient)
    assert [*stage.environment.application] == [default, other]
    client().increment("a")
    with pytest.raises(ConfigurationError, match=r"no statsd client 'far\.awy'(.|\n)*did you mean 'far\.away'"):
        client("far.awy").increment("a")


def test_servers_that_cannot_be_are_told():
    """A host that no name server could know, and a port that nobody can listen on, each at its place."""
    no_host = "is no name of a host – write its name, or its address"
    assert told("statsd:\n  a: {host: ''}\n  b: {host: a..b}\n  c: {port: 0}\n  d: {host: '::1', port: 65536}") == [
        f"2:3: statsd.a: '' {no_host}",
        f"3:3: statsd.b: 'a..b' {no_host}",
        "4:13: option 'port' of statsd.c must be a UDP port, not 0",
        "5:26: option 'port' of statsd.d must be a UDP port, not 65536",
    ]


def test_pipelines_count_with_a_client():
    """As with any resource; a step does not wait for it."""
    counted = []

    class Counter:
        def increment(self, name: str) -> None:
            counted.append(name)

    pipeline = "[{call-dependency: {dependency: statsd.default, method: increment, arguments: orders}}]"
    stage = Stage(f"pipelines: {{main: {pipeline}}}", resources={"statsd.default": Counter()})
    stage.run("main", {})
    assert counted == ["orders"]


def test_gauges_are_sent_regularly():
    """The first time after an interval; with prefix and tags."""
    stage, noted = reporting("prefix: me, tags: ['host:a'], interval: 10, reporters: [process]")
    stage.clock.advance(9.9)
    assert noted.gauges == []
    stage.clock.advance(0.1)
    first = [name for name, _, _ in noted.gauges]
    assert "me.memory.rss" in first
    assert all(tags == ["host:a"] for _, _, tags in noted.gauges)
    stage.clock.advance(10)
    assert [name for name, _, _ in noted.gauges] == first * 2


def test_without_a_prefix_the_value_is_the_name():
    """And five seconds are the interval that nobody has written."""
    stage, noted = reporting("reporters: [{reporter: process, values: [threads, memory]}]")
    stage.clock.advance(5)
    assert [name for name, _, _ in noted.gauges] == ["threads", "memory.rss", "memory.vms"]


def test_the_sources_of_the_process_are_reported():
    """Those of the configuration, as they are at that moment."""
    ticks = "ticks: {interval: {a: {interval: 1, processor: main}}}\npipelines: {main: [wait: {delay: 7}]}"
    stage, noted = reporting("reporters: [sources]", ticks)
    stage.clock.advance(0)
    stage.clock.advance(5)
    assert {name: value for name, value, _ in noted.gauges} == {
        "sources.ticks.interval.a.running": 1,
        "sources.ticks.interval.a.open": 0,
    }


def test_reports_pause_while_the_client_is_away():
    """And stop with the process, without a timer."""
    stage, noted = reporting("reporters: [{reporter: process, values: [threads]}]")
    stage.clock.advance(5)
    stage.lose("statsd.default")
    stage.clock.advance(60)
    assert len(noted.gauges) == 1
    stage.provide("statsd.default", noted)
    stage.clock.advance(5)
    assert len(noted.gauges) == 2
    stage.environment.application.stopService()
    stage.clock.advance(60)
    assert len(noted.gauges) == 2
    assert not stage.clock.getDelayedCalls()


class Slow(RuntimeEnvironment):
    """An environment in which threads take for ever."""

    def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        return Deferred()


def test_a_report_that_takes_its_time_does_not_keep_the_stop(caplog):
    """What is being measured is given up."""
    gathered = gather_text("metrics: {enabled: true, reporters: [process]}\nstatsd: {default: }", "", environ={})
    environment = Slow(reactor=Clock())
    assert configure(check(gathered, {}), environment) == []
    [service] = [service for service in environment.application if isinstance(service, MetricsService)]
    service.startService()
    environment.reactor.advance(5)
    assert service.stopService().called
    assert not environment.reactor.getDelayedCalls()
    assert caplog.messages == []


def test_a_report_that_fails_is_logged_and_the_others_go_on(caplog):
    """With its traceback, as it is a bug; also the next time."""
    stage, noted = reporting("reporters: [sources, {reporter: process, values: [threads]}]")
    stage.environment.sources.add(object())  # type: ignore[arg-type] # it is not asked
    stage.clock.advance(5)
    stage.clock.advance(5)
    assert [name for name, _, _ in noted.gauges] == ["threads", "threads"]
    [line, _] = caplog.records
    assert line.getMessage().startswith("metrics: a report failed: AttributeError")
    assert line.exc_info


def test_metrics_are_off_unless_enabled():
    """The section may stand there without a client, and nothing is measured."""
    stage = Stage("metrics: {reporters: [process]}")
    stage.environment.application.startService()
    assert not stage.clock.getDelayedCalls()


def test_a_client_that_is_not_there_is_told():
    """One that is named at its place; the default one where the section is, with what to add."""
    text = "statsd: {other: }\nmetrics: {enabled: true, reporters: [{reporter: sources, client_name: %s}]}"
    assert told(text % "othr") == ["2:71: there is no 'statsd.othr' – did you mean 'other'?"]
    assert told(text.replace(", client_name: %s", "")) == [
        "2:1: there is no statsd client 'default' to report to – add the section statsd: {default: {host: localhost}}"
    ]
    assert Stage(text % "other")


def test_what_nobody_can_report_is_told():
    """Reporters and values at their places, with what there is."""
    assert told(
        """\
statsd: {default: {prt: 1}}
metrics:
  interval: 0
  reporters:
  - proces
  - {reporter: process, values: [memry, running]}
  - reporter: sources
    values: [open, conections]
"""
    ) == [
        "1:20: statsd.default has no option 'prt' – did you mean 'port'?",
        "3:13: option 'interval' of metrics must be a number above 0 (s), not 0",
        "5:5: an item of option 'reporters' of metrics must be 'process' or 'sources' or a mapping, not 'proces'"
        " – did you mean 'process'?",
        "6:34: the reporter 'process' knows no value 'memry' – did you mean 'memory'?",
        "6:41: the reporter 'process' knows no value 'running'"
        " – there is: connections, cpu_percent, memory, open_files, threads",
        "8:20: the reporter 'sources' knows no value 'conections' – there is: open, running",
    ]


def test_the_service_is_one_provider():
    """It has a mark: it is not started as a plugin besides."""
    stage, _ = reporting("reporters: []")
    assert stage.environment.catalog is not None
    assert [entry.section for entry in stage.environment.catalog.providers if entry.factory is MetricsService] == [
        "metrics"
    ]
    assert len([service for service in stage.environment.application if isinstance(service, MetricsService)]) == 1
