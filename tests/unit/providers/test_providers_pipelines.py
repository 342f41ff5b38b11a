"""Tests of pipelines as resources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from providers_stage import Needy, Offer, assembled, recorder, resource
from twisted.internet import defer

from piped import ConfigurationError, InvalidPipelineError, NotReadyError, Pipeline, Processor, UnprovidedResourceError
from piped.exceptions import ResourceError
from piped.providers.pipeline_provider import PipelineProvider

TWO = """
    pipelines:
        my_pipeline:
            - set-value: {path: by, value: my_pipeline}
        another:
            nested_pipeline:
                - set-value: {path: by, value: nested}
"""


def test_each_pipeline_is_a_resource() -> None:
    """A pipeline stands at `pipeline.<name>`, a nested one with the names above it, and is called with a baton."""
    site = assembled(TWO)
    assert resource(site, "pipeline.my_pipeline")({}).result == [{"by": "my_pipeline"}]
    assert resource(site, "pipeline.another.nested_pipeline")({}).result == [{"by": "nested"}]


@pytest.mark.parametrize("path", ["pipeline.another.nested-pipeline", "pipeline.my-pipeline"])
def test_a_hyphen_may_stand_for_an_underscore(path: str) -> None:
    """The reference page asks for `nested_pipeline` as `pipeline.another.nested-pipeline`: it is the same pipeline."""
    site = assembled(TWO)
    assert resource(site, path) is resource(site, path.replace("-", "_"))


def test_a_pipeline_whose_name_has_the_hyphen_comes_first() -> None:
    """Two names that differ only in that are two pipelines, in whatever order they are written."""
    text = "pipelines:\n  a_b: [set-value: {path: by, value: '_'}]\n  a-b: [set-value: {path: by, value: '-'}]"
    site = assembled(text)
    assert resource(site, "pipeline.a-b")({}).result == [{"by": "-"}]
    assert resource(site, "pipeline.a_b")({}).result == [{"by": "_"}]


def test_a_pipeline_is_one_object_for_everybody() -> None:
    """All consumers share its steps and its counters."""
    site = assembled(TWO)
    assert resource(site, "pipeline.my_pipeline") is resource(site, "pipeline.my_pipeline")


def test_the_provider_is_a_resource_too() -> None:
    """`pipeline_provider` finds pipelines by their names; a wrong one is told with the closest."""
    site = assembled(TWO)
    provider = resource(site, "pipeline_provider")
    assert isinstance(provider, PipelineProvider)
    assert list(provider) == ["my_pipeline", "another.nested_pipeline"]
    assert isinstance(provider["my_pipeline"], Pipeline)
    assert provider["another.nested-pipeline"] is provider["another.nested_pipeline"]
    with pytest.raises(InvalidPipelineError) as raised:
        provider["my_pipelin"]
    assert raised.value.hint == "did you mean 'my_pipeline'?"


class Calls(Processor):
    """The processor of the reference page, which processes another baton for every baton."""

    name = "calls"

    def configure(self, runtime_environment: Any) -> None:
        dm = runtime_environment.dependency_manager
        self.pipeline_dependency = dm.add_dependency(self, dict(provider="pipeline.my_pipeline"))  # noqa: C408 - as it is printed there

    @defer.inlineCallbacks
    def process(self, baton: Any) -> Any:
        pipeline = self.pipeline_dependency.get_resource()
        baton_to_process = dict(foo="bar")  # noqa: C408 - as it is printed there
        yield pipeline(baton_to_process)
        defer.returnValue(baton)


@pytest.mark.filterwarnings("ignore:.*returnValue")  # Twisted would rather have `return`
def test_the_processor_of_the_reference_page_works() -> None:
    """A step calls another pipeline with a baton of its own, and passes on the one that it got."""
    record, batons = recorder()
    text = "pipelines: {my_pipeline: [record], main: [calls]}"
    site = assembled(text, Calls, record)
    assert resource(site, "pipeline.main")({"its": "own"}).result == [{"its": "own"}]
    assert batons == [{"foo": "bar"}]


def test_a_pipeline_is_ready_while_its_steps_are() -> None:
    """What one step needs makes the pipeline come and go, and with it those that run it."""
    outside = Offer()
    text = "pipelines: {inner: [needy], outer: [run-pipeline: {pipeline: inner}], other: [passthrough]}"
    site = assembled(text, Needy, offers={"outside": outside})
    manager = site.dependency_manager
    waiting = {name: manager.add_dependency(object(), f"pipeline.{name}") for name in ("inner", "outer", "other")}
    manager.resolve_initial_states()

    def ready() -> list[str]:
        return [name for name, dependency in waiting.items() if dependency.is_ready]

    assert ready() == ["other"]
    with pytest.raises(NotReadyError, match="outside"):
        raise waiting["outer"].not_ready()
    outside.deliver(1)
    assert ready() == ["inner", "outer", "other"]
    outside.lose()
    assert ready() == ["other"]


def test_an_unknown_pipeline_is_told_when_it_is_asked_for() -> None:
    """Who asks for a pipeline while running hears which ones there are."""
    with pytest.raises(UnprovidedResourceError) as raised:
        resource(assembled(TWO), "pipeline.my_pipelin")
    assert raised.value.hint == "did you mean 'pipeline.my_pipeline'?"


class Refuses(Processor):
    """A step that cannot be configured."""

    name = "refuses"

    def __init__(self, with_what: str) -> None:
        super().__init__()
        self.with_what = with_what

    def configure(self, runtime_environment: Any) -> None:
        if self.with_what == "problem":
            raise ConfigurationError("this cannot be", hint="do that")
        if self.with_what == "resource":
            raise ResourceError("this is no resource", hint="name one")
        raise LookupError("what is this")


def test_every_step_that_cannot_be_configured_is_told_at_its_place() -> None:
    """All of them at once; an exception of the step's own with the line of Python that raised it."""
    text = """
        pipelines:
            a:
                - refuses: {with_what: problem}
                - refuses: {with_what: resource}
            b:
                - refuses: {with_what: bug}
    """
    with pytest.raises(ConfigurationError) as raised:
        assembled(text, Refuses)
    problem, no_resource, bug = map(str, raised.value.problems)
    assert problem == "site.yml:4:11: step refuses-1 of pipeline a: this cannot be – do that"
    assert no_resource.startswith(
        "site.yml:5:11: step refuses-2 of pipeline a cannot be configured: this is no resource"
    )
    assert no_resource.endswith("– name one")
    assert bug.startswith("site.yml:7:11: step refuses-1 of pipeline b cannot be configured: LookupError: what is this")
    line = Path(__file__).read_text().split("\n").index('        raise LookupError("what is this")') + 1
    assert bug.endswith(f"test_providers_pipelines.py:{line}")
