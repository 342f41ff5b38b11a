"""The sections `statsd` and `metrics`: clients, and the service that reports regularly."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from annotated_types import Gt, Le
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from piped import (
    ConfigurationError,
    PipedDependencyService,
    Problem,
    ResourcePath,
    RuntimeEnvironment,
    did_you_mean,
    provider,
    told,
)
from piped.ground.units import Located, Meaning, Unit
from piped_statsd.clients import StatsdClient, configured
from piped_statsd.measuring import PROCESS, SOURCES, ProcessReporter, SourcesReporter

logger = logging.getLogger(__name__)

UDPPort = Annotated[int, Meaning("a UDP port"), Gt(0), Le(65535)]
ReporterName = Literal["process", "sources"]
#: What each reporter is made of, and the values that it knows.
REPORTERS: Final[Mapping[str, tuple[type[ProcessReporter] | type[SourcesReporter], Iterable[str]]]] = {
    "process": (ProcessReporter, PROCESS),
    "sources": (SourcesReporter, SOURCES),
}


@dataclass(frozen=True)
class ClientOptions:
    """One server of statsd.

    Args:
        host: its name or address.
        port: its UDP port.
    """

    host: str = "localhost"
    port: UDPPort = 8125

    def __post_init__(self) -> None:
        try:
            is_name = self.host.encode("idna") != b""
        except UnicodeError:
            is_name = False
        if not is_name:
            raise ConfigurationError(f"{self.host!r} is no name of a host", hint="write its name, or its address")


@provider("statsd", dict[str, ClientOptions])
class StatsdProvider:
    """Clients of statsd servers, for counters, gauges, histograms, sets and timings; tags are those of DogStatsD.

    In Python, `piped_statsd.clients.client(name)` gives a client, the one called `default` if no name is given. What it
    is told is sent by UDP a moment later; nothing ever waits for it, and what cannot be sent is dropped.

    Resources: `statsd.<name>`, ready from the start.

    Example:
        statsd:
            default:
                host: localhost
                port: 8125
    """

    prefixes = ("statsd.",)

    def __init__(self) -> None:
        self.clients: dict[str, StatsdClient] = {}

    @staticmethod
    def offers(options: dict[str, ClientOptions]) -> Iterable[str]:
        return (f"statsd.{name}" for name in options)

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        for name, options in runtime_environment.get_options(self).items():
            client = self.clients[name] = StatsdClient(name, options.host, options.port)
            client.configure(runtime_environment)
            client.setServiceParent(runtime_environment.application)
            runtime_environment.resource_manager.register(f"statsd.{name}", self)
        configured(self.clients)

    def add_consumer(self, dependency: Any) -> None:
        dependency.on_resource_ready(self.clients[dependency.provider.removeprefix("statsd.")])


class ClientName(ResourcePath):
    """The name of a statsd client."""

    prefix = "statsd."


class ValueName(Located):
    """The name of a value that can be measured."""


@dataclass(frozen=True)
class ReporterOptions:
    """What one reporter reports.

    Args:
        reporter: `process` for what the process uses of the machine, `sources` for the sources of batons.
        values: of `process`: connections, open_files, memory (as memory.rss and memory.vms, in bytes), cpu_percent and
            threads; of `sources`: running (how many batons) and open (1 or 0). Left out, all of them.
        client_name: where to.
    """

    reporter: ReporterName
    values: list[ValueName] = field(default_factory=list)
    client_name: ClientName = field(default_factory=lambda: ClientName("default"))

    def __post_init__(self) -> None:
        known = REPORTERS[self.reporter][1]
        if unknown := [value for value in self.values if value not in known]:
            what = "the reporter {!r} knows no value {!r}"
            problems = [
                Problem(what.format(self.reporter, str(one)), one.where, did_you_mean(one, known)) for one in unknown
            ]
            raise ConfigurationError(problems=problems)


@dataclass(frozen=True)
class MetricsOptions:
    """What the process reports about itself.

    Args:
        enabled: report at all.
        prefix: what the names of all metrics begin with, before a dot.
        tags: of all metrics, such as `host:a1`.
        interval: from one report to the next.
        reporters: names of reporters, or mappings that say more.
    """

    enabled: bool = False
    prefix: str = ""
    tags: list[str] = field(default_factory=list)
    interval: Annotated[float, Unit("s"), Gt(0)] = 5
    reporters: list[ReporterName | ReporterOptions] = field(default_factory=list)


@provider("metrics", MetricsOptions)
class MetricsService(PipedDependencyService):
    """Gauges that a process sends regularly about itself, by clients of the section `statsd`.

    Each is called `<prefix>.<value>`. A value that cannot be read is logged, and the others are sent.

    Example:
        statsd:
            default: {host: localhost}
        metrics:
            enabled: true
            prefix: my_service
            reporters:
                - sources
                - reporter: process
                  values: [memory, cpu_percent]
    """

    #: It offers no resources.
    prefixes = ()

    @staticmethod
    def offers(options: MetricsOptions) -> Iterable[str]:
        return ()

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        super().configure(runtime_environment)
        self.options: MetricsOptions = runtime_environment.get_options(self)
        self._reporters: list[tuple[Any, ProcessReporter | SourcesReporter]] = []
        if not self.options.enabled:
            return  # a client that is not there is nobody's concern
        for each in self.options.reporters:
            written = each if isinstance(each, ReporterOptions) else ReporterOptions(each)
            name = written.client_name
            if name.prefix + name not in runtime_environment.offered:
                hint = f"add the section statsd: {{{name}: {{host: localhost}}}}"
                raise ConfigurationError(f"there is no statsd client {str(name)!r} to report to", hint=hint)
            client = runtime_environment.dependency_manager.add_dependency(self, name)
            reporter = REPORTERS[written.reporter][0](written.values, runtime_environment)
            self._reporters.append((client, reporter))

    def is_enabled(self) -> bool:
        return self.options.enabled

    async def run_with_dependencies(self) -> None:
        """Report until it is stopped; first after an interval, as some values are about the time since the start."""
        while True:
            await deferLater(self.runtime_environment.reactor, self.options.interval)
            for client, reporter in self._reporters:
                try:
                    self._send(client.get_resource(), await reporter.read())
                except CancelledError:
                    raise
                except Exception as error:  # whatever it is, the next report may go well
                    logger.error("metrics: a report failed: %s", told(error), exc_info=error)

    def _send(self, client: StatsdClient, gauges: Mapping[str, float]) -> None:
        prefix = f"{self.options.prefix}." if self.options.prefix else ""
        for name, value in gauges.items():
            client.gauge(prefix + name, value, self.options.tags)
