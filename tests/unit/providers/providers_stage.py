"""What the tests of providers stand on: a configuration in an environment whose clocks stand still."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from twisted.internet.task import Clock

from piped import ConfigurationError, Processor, RuntimeEnvironment, processor
from piped.config.gathering import gather_text
from piped.runtime.assembly import check, configure


class Offer:
    """A provider of one resource, which comes and goes as a test says."""

    def __init__(self, *resource: Any) -> None:
        self._resource = resource
        self._consumers: list[Any] = []

    def add_consumer(self, dependency: Any) -> None:
        self._consumers.append(dependency)
        for resource in self._resource:
            dependency.on_resource_ready(resource)

    def deliver(self, resource: Any) -> None:
        for consumer in self._consumers:
            consumer.on_resource_ready(resource)

    def lose(self) -> None:
        for consumer in self._consumers:
            consumer.on_resource_lost("it went away")


class Needy(Processor):
    """A step that is ready while the resource `outside` is."""

    name = "needy"

    def configure(self, runtime_environment: RuntimeEnvironment) -> None:
        runtime_environment.dependency_manager.add_dependency(self, "outside")

    def process(self, baton: Any) -> Any:
        return baton


def recorder() -> tuple[Callable[..., Any], list[Any]]:
    """A processor `record`, and the batons that came to it."""
    batons: list[Any] = []

    @processor("record")
    def record(baton: Any) -> None:
        batons.append(dict(baton))

    return record, batons


@processor("fail")
def fail(baton: Any) -> None:
    """A step that fails."""
    raise ValueError("this step fails")


def environment() -> RuntimeEnvironment:
    """An environment with a Clock for what waits, and 1000 seconds since 1970 on the wall."""
    return RuntimeEnvironment(reactor=Clock(), wall_clock=lambda: 1000.0)


def assembled(
    text: str,
    *plugins: Callable[..., Any],
    offers: Mapping[str, Offer] = MappingProxyType({}),
    into: RuntimeEnvironment | None = None,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> RuntimeEnvironment:
    """The environment of a configuration that is checked, configured and resolved; nothing has been started."""
    into = into or environment()
    gathered = gather_text(textwrap.dedent(text), "site.yml", environ=environ)
    assembly = check(gathered, environ, plugins, offers)
    for path, offer in offers.items():
        into.resource_manager.register(path, offer)
    if problems := assembly.errors or configure(assembly, into):
        raise ConfigurationError(problems=problems)
    return into


def resource(environment: RuntimeEnvironment, path: str) -> Any:
    """The resource at a path, for a consumer of its own."""
    manager = environment.dependency_manager
    dependency = manager.add_dependency(manager.as_dependency(path))
    manager.resolve_initial_states()
    return dependency.get_resource()
