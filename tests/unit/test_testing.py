"""Tests of the stage that users test their pipelines and processors on."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from piped import ConfigurationError, NotReadyError, Processor, UnprovidedResourceError, processor
from piped.config.gathering import gather_text
from piped.runtime.assembly import check
from piped.testing import Stage


@processor("shout")
def shout(baton: Any, *, path: str = "text", marks: int = 1) -> None:
    """Make a text loud."""
    baton[path] = baton[path].upper() + "!" * marks


class Greet(Processor):
    """Greets everybody in the context `people`, and whoever the database finds."""

    name = "greet"

    def configure(self, runtime_environment: Any) -> None:
        self.dependencies = runtime_environment.create_dependency_map(self, database="database.main")

    def process(self, baton: Any) -> Any:
        return [f"Hello {name}" for name in self.dependencies.database()]


def test_the_example_of_the_readme_works() -> None:
    """A function of one's own, two lines of configuration, one comparison."""
    stage = Stage("pipelines: {loud: [{shout: {marks: 2}}]}", shout)
    assert stage.run("loud", {"text": "hello"}) == [{"text": "HELLO!!"}]


def test_a_resource_stands_for_the_outside() -> None:
    """It is there from the start, may be another one, be lost, and come back."""
    stage = Stage("pipelines: {main: [greet]}", Greet, resources={"database.main": lambda: ["Ada"]})
    assert stage.run("main", {}) == [["Hello Ada"]]
    stage.provide("database.main", lambda: ["Bob"])
    assert stage.run("main", {}) == [["Hello Bob"]]
    stage.lose("database.main", "the cable was cut")
    with pytest.raises(NotReadyError) as raised:
        stage.run("main", {})
    assert raised.value.missing == ["database.main (the cable was cut)"]
    stage.provide("database.main", lambda: ["Eve"])
    assert stage.run("main", {}) == [["Hello Eve"]]


def test_a_resource_may_be_lost_before_anybody_asks() -> None:
    """What comes later finds it lost, too."""
    stage = Stage("pipelines: {main: [fetch-context: {context: a}]}", resources={"context.a": 5})
    stage.lose("context.a")
    with pytest.raises(NotReadyError):
        stage.get("context.a")
    stage.provide("context.a", 6)
    assert stage.get("context.a") == 6
    assert stage.run("main", {}) == [{"a": 6}]


def test_who_asks_for_a_resource_gets_the_one_that_was_provided_last() -> None:
    """Also who had not asked before."""
    stage = Stage("pipelines: {}", resources={"context.a": 5})
    stage.provide("context.a", 6)
    assert stage.get("context.a") == 6


@pytest.mark.parametrize("path", ["context.users", "amqp.connection.main"])
def test_a_resource_needs_no_section(path: str) -> None:
    """What a test provides is no unknown name, whoever would own it in a real process."""
    stage = Stage(f"ticks: {{interval: {{a: {{interval: 1, processor: {path}}}}}}}", resources={path: len})
    assert stage.get(path) is len


def test_a_resource_of_the_configuration_cannot_be_replaced() -> None:
    """Both would answer for it."""
    with pytest.raises(ConfigurationError, match=r"the resource 'context\.a' is offered twice"):
        Stage("contexts: {a: 5}", resources={"context.a": 6})


@pytest.mark.parametrize("path", ["context.b", "pipeline.main"])
def test_only_what_stands_for_the_outside_comes_and_goes(path: str) -> None:
    """A slip of the pen in a test is told."""
    stage = Stage("pipelines: {main: [passthrough]}", resources={"context.a": 5})
    with pytest.raises(KeyError):
        stage.provide(path, 6)
    with pytest.raises(KeyError):
        stage.lose(path)


def test_a_pipeline_that_waits_is_driven_by_the_clock() -> None:
    """Time stands still until the test moves it."""
    stage = Stage("pipelines: {slow: [wait: {delay: 60}]}")
    outcome = stage.start("slow", "baton")
    stage.clock.advance(59)
    assert not outcome.called
    stage.clock.advance(1)
    assert outcome.result == ["baton"]


def test_run_says_that_a_pipeline_waits() -> None:
    """Rather than give a wrong result; it says what to do."""
    with pytest.raises(AssertionError, match=r"slow waits: use start\(\), and advance the clock"):
        Stage("pipelines: {slow: [wait: {delay: 60}]}").run("slow", {})


def test_a_failure_is_raised_as_it_is() -> None:
    """With its own type, and the step that it happened in."""
    with pytest.raises(KeyError) as raised:
        Stage("pipelines: {loud: [shout]}", shout).run("loud", {})
    assert raised.value.__notes__ == ["in pipeline loud, step shout-1 (<test>:1:20)"]


def test_all_problems_are_raised_together() -> None:
    """Those of the text with their places, and those of configuring."""
    with pytest.raises(ConfigurationError) as raised:
        Stage("pipelines: {a: [shuot], b: [{shout: {mark: 1}}], c: [fetch-context: {context: d}]}", shout)
    assert [str(problem.where) for problem in raised.value.problems] == ["<test>:1:17", "<test>:1:38", "<test>:1:79"]
    with pytest.raises(ConfigurationError, match="nobody provides"):
        Stage("pipelines: {a: [greet]}", Greet)


def test_variables_come_from_the_test() -> None:
    """Not from the environment of whoever runs it."""
    text = "pipelines: {a: [{set-value: {path: a, value: '${PATH}'}}]}"
    assert Stage(text, environ={"PATH": "mine"}).run("a", {}) == [{"a": "mine"}]
    with pytest.raises(ConfigurationError, match="PATH"):
        Stage(text)


def test_an_unknown_pipeline_is_told() -> None:
    """With the closest one."""
    with pytest.raises(UnprovidedResourceError) as raised:
        Stage("pipelines: {main: [passthrough]}").run("man", {})
    assert raised.value.hint == "did you mean 'pipeline.main'?"


def test_resources_of_the_configuration_can_be_looked_at() -> None:
    """The very object that the pipelines have; asking again costs nothing."""
    stage = Stage("contexts: {users: []}\npipelines: {main: [fetch-context: {context: users}]}")
    stage.get("context.users").append("Ada")
    assert stage.run("main", {}) == [{"users": ["Ada"]}]
    assert stage.get("context.users") is stage.get("context.users")


def test_services_start_when_the_test_says_so() -> None:
    """Ticks stand still until then."""
    batons: list[Any] = []
    stage = Stage(
        "ticks: {interval: {a: {interval: 10, processor: note}}}",
        resources={"note": lambda baton: batons.append(baton)},
    )
    stage.clock.advance(100)
    assert batons == []
    stage.environment.application.startService()
    stage.clock.advance(0)
    stage.clock.advance(10)
    assert [baton["delta"] for baton in batons] == [100, 10]


def test_a_stage_can_be_set_for_a_configuration_that_was_checked() -> None:
    """What stands in takes the place of what the configuration offers there; who is never asked can be told."""
    text = "contexts: {users: [Ada]}\npipelines: {main: [fetch-context: {context: users}]}"
    clock = Clock()
    clock.advance(5)
    assembly = check(gather_text(text, "site.yaml", environ={}), {})
    stage = Stage.of(assembly, clock, {"context.users": ["Bo"], "context.usrs": []})
    assert stage.run("main", {}) == [{"users": ["Bo"]}]
    assert stage.unasked() == ["context.usrs"]
    assert stage.environment.reactor is stage.clock is clock
    assert stage.environment.wall_clock() == 5
