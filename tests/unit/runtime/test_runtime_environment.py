"""Tests of what a component is given in `configure`."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import pytest
from twisted.internet.task import Clock

from piped import ConfigurationError, Mark, ProcessorPath, RuntimeEnvironment, provider
from piped.config.document import Document
from piped.config.gathering import gather_text
from piped.ground.errors import ResourceError, UnprovidedResourceError
from piped.pipelines.graph import Graph


@dataclass(frozen=True)
class Options:
    """One animal."""

    legs: int = 4


@provider("zoo.animals", dict[str, Options])
class Animals:
    """Reads a section."""


@provider("zoo.opening", Options)
class Opening:
    """Reads a section of one object."""


class Undeclared:
    """Reads what it likes."""


def configured(text: str, **environ: str) -> RuntimeEnvironment:
    return RuntimeEnvironment(Document(gather_text(text, "site.yml", environ=environ).root, environ=environ))


def with_pipelines(*names: str) -> RuntimeEnvironment:
    made = RuntimeEnvironment()
    made.graphs = {name: Graph(name, []) for name in names}
    return made


def test_it_needs_nothing() -> None:
    """A test makes one without a file, sets what it needs, and works without a reactor."""
    environment = RuntimeEnvironment()
    assert isinstance(environment.reactor, Clock)
    assert environment.get_configuration_value("a.b", "nothing") == "nothing"
    environment.configuration_manager.set("a.b", 5)
    assert environment.get_configuration_value("a.b") == 5
    dependencies = environment.create_dependency_map(object(), thing=Undeclared())
    environment.dependency_manager.resolve_initial_states()
    assert isinstance(dependencies.thing, Undeclared)


def test_values_of_the_configuration_are_copies() -> None:
    """Whoever changes one changes it for himself; `${NAME}` is filled in."""
    environment = configured("a: {b: ['${WHO}']}", WHO="Ada")
    environment.get_configuration_value("a")["b"].append(1)
    assert environment.get_configuration_value("a") == {"b": ["Ada"]}


# The section of a provider


def test_a_provider_gets_its_section_checked() -> None:
    """As the shape that it declares, the same object each time."""
    environment = configured("zoo: {animals: {cat: {}, bird: {legs: '${LEGS}'}}}", LEGS="2")
    animals = Animals()
    assert environment.get_options(animals) == {"cat": Options(4), "bird": Options(2)}
    assert environment.get_options(animals) is environment.get_options(Animals())


def test_without_a_section_a_provider_gets_what_null_would_give() -> None:
    """An empty mapping, or an object with its defaults; nothing for one that declares no section."""
    environment = RuntimeEnvironment()
    assert environment.get_options(Animals()) == {}
    assert environment.get_options(Opening()) == Options()
    assert environment.get_options(Undeclared()) is None


def test_mistakes_in_a_section_are_raised_where_nobody_checked_before() -> None:
    """All of them, with their places."""
    environment = configured("zoo: {animals: {cat: {legs: four}, dog: {leg: 4}}}")
    with pytest.raises(ConfigurationError) as raised:
        environment.get_options(Animals())
    assert [str(problem.where) for problem in raised.value.problems] == ["site.yml:1:29", "site.yml:1:42"]


def test_what_was_checked_before_is_not_checked_again() -> None:
    """An assembly says what stands in the sections."""
    environment = configured("zoo: {animals: {cat: {legs: four}}}")
    environment.options[Animals] = {"cat": Options(3)}
    assert environment.get_options(Animals()) == {"cat": Options(3)}


# What `processor:` means


@pytest.mark.parametrize("written", ["a_b", "pipeline.a_b", "a-b", "pipeline.a-b"])
def test_a_processor_is_a_pipeline_by_its_path_or_its_bare_name(written: str) -> None:
    """`-` may stand for `_` in it."""
    assert with_pipelines("a_b").resource_path(written) == {"provider": "pipeline.a_b"}


def test_a_processor_may_be_a_mapping() -> None:
    """What else stands in it reaches the provider; what was written is not changed."""
    written = {"provider": "main", "timeout": 5}
    spec = with_pipelines("main").resource_path(written)
    assert spec == {"provider": "pipeline.main", "timeout": 5}
    assert written == {"provider": "main", "timeout": 5}


@pytest.mark.parametrize("path", ["web.site", "main2", "context.main"])
def test_any_other_processor_is_the_resource_of_that_path(path: str) -> None:
    """Anything that can be called with a baton may process batons."""
    assert with_pipelines("main").resource_path(path) == {"provider": path}


def test_a_resource_comes_before_a_pipeline_of_that_name() -> None:
    """Whether its provider has registered it, or says that it will."""
    environment = with_pipelines("registered", "offered", "neither")
    environment.resource_manager.register("registered", Offer())
    environment.offered = {"offered"}
    paths = [environment.resource_path(name)["provider"] for name in environment.graphs]
    assert paths == ["registered", "offered", "pipeline.neither"]


def test_the_place_of_a_processor_is_kept() -> None:
    """What cannot be resolved is told where it is written."""
    environment = with_pipelines("main")
    environment.add_processor(object(), ProcessorPath("main", Mark("site.yml", 3, 7)))
    with pytest.raises(UnprovidedResourceError, match=r"site\.yml:3:7: nobody provides the resource 'pipeline\.main'"):
        environment.dependency_manager.resolve_initial_states()


def test_a_mapping_without_a_provider_is_refused() -> None:
    """It says what to write."""
    with pytest.raises(ResourceError) as raised:
        RuntimeEnvironment().add_processor(object(), {"provder": "main"})
    assert "{'provder': 'main'}" in raised.value.msg
    assert raised.value.hint == "write {provider: <resource path>}"


class Offer:
    """A provider of one callable."""

    def add_consumer(self, dependency: Any) -> None:
        dependency.on_resource_ready(len)


def test_a_consumer_waits_for_its_processor() -> None:
    """What it gets is the dependency, ready once all is resolved."""
    environment = RuntimeEnvironment()
    environment.resource_manager.register("length", Offer())
    dependency = environment.add_processor(object(), "length")
    assert not dependency.is_ready
    environment.dependency_manager.resolve_initial_states()
    assert dependency.get_resource() is len


# Threads and stops


def test_where_nothing_runs_a_thread_is_a_call() -> None:
    """With a Clock it has happened when it returns; what it raises is in the Deferred."""
    environment = RuntimeEnvironment()
    assert environment.in_thread(threading.get_ident).result == threading.get_ident()
    failed = environment.in_thread(int, "no number")
    assert failed.result.check(ValueError)
    failed.addErrback(lambda _: None)


class Pool:
    """A thread pool that runs what it is given when a test says so."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def callInThreadWithCallback(self, on_result: Any, function: Any, *args: Any, **kwargs: Any) -> None:
        self.calls.append(lambda: on_result(True, function(*args, **kwargs)))


class Threads:
    """A reactor with threads."""

    def __init__(self) -> None:
        self.pool = Pool()

    def getThreadPool(self) -> Pool:
        return self.pool

    def callFromThread(self, function: Any, *args: Any) -> None:
        function(*args)


def test_what_blocks_runs_in_a_thread_of_the_reactor() -> None:
    """Not before the thread has done it is there a result."""
    reactor = Threads()
    waiting = RuntimeEnvironment(reactor=reactor).in_thread(max, 1, 2)
    assert not waiting.called
    reactor.pool.calls[0]()
    assert waiting.result == 2


def test_a_component_can_ask_for_the_stop() -> None:
    """Where nobody runs a process, that stops the services."""
    environment = RuntimeEnvironment()
    environment.application.startService()
    environment.ask_for_stop()
    assert not environment.application.running


def test_a_listener_waits_for_its_turn() -> None:
    """A port that is asked for is not opened yet."""
    environment = RuntimeEnvironment()
    listener = environment.add_listener("web.site", "http", object(), object(), Mark("site.yml", 1, 1))
    assert environment.listeners.members == [listener]
    assert (listener.port, str(listener)) == (None, "web.site on http")
