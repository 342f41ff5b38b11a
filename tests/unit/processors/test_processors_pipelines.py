"""Tests of the steps that run another pipeline."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
from processors_stage import Offer, configured
from twisted.internet.defer import CancelledError, Deferred

from piped.ground.errors import ConfigurationError, InvalidPipelineError, UnprovidedResourceError
from piped.ground.units import PipelineName
from piped.processors.pipelines import RunPipeline, RunPipelineIf
from piped.resources.dependency import ResourceDependency
from piped.runtime.environment import RuntimeEnvironment

SiteOf = Callable[[str], Any]

TARGETS = """
  double: [eval-lambda: {{lambda: 'n: 2 * n'}}]
  both:
    consumers:
      - eval-lambda: {{lambda: 'n: n + 1'}}
      - eval-lambda: {{lambda: 'n: n - 1'}}
  failing: [raise-exception: {{type: KeyError, args: never}}]
  slow: [wait: {{delay: 1}}, eval-lambda: {{lambda: 'n: -n'}}]
  under_score: [eval-lambda: {{lambda: "n: '_'"}}]
  inner:
    double: [eval-lambda: {{lambda: "n: f'inner {{n}}'"}}]
    main: [{step}: {{{options}}}]
  main: [{step}: {{{options}}}]
"""


@pytest.fixture
def running(site: SiteOf) -> Callable[..., Any]:
    """A site whose pipelines `main` and `inner.main` run others."""

    def assemble(options: str, step: str = "run-pipeline") -> Any:
        return site("pipelines:" + TARGETS.format(step=step, options=options))

    return assemble


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        ("pipeline: double", 5, 10),
        ("pipeline: double, input_path: n", {"n": 5}, {"n": 10}),
        ("pipeline: double, input_path: n, output_path: m", {"n": 5}, {"n": 5, "m": 10}),
        ("pipeline: double, input_path: n, output_path: null", {"n": 5}, {"n": 5}),
        ("pipeline: double, input_path: gone", {"n": 5}, {"n": 5}),
        ("pipeline: both", 5, 4),
        ("pipeline: both, only_last_result: false", 5, [6, 4]),
        ("pipeline: under-score", 5, "_"),
        ("pipeline: .double", 5, 10),
        ("pipeline_path: where, input_path: n, output_path: ''", {"where": "double", "n": 5}, 10),
        ("pipeline_path: where, input_path: n, output_path: ''", {"where": "..inner.double", "n": 5}, "inner 5"),
    ],
)
def test_the_input_goes_through_a_pipeline(running: SiteOf, options: str, before: Any, after: Any) -> None:
    """The output is the last result of the other pipeline, or all of them."""
    assert running(options).run(before) == [after]


@pytest.mark.parametrize(
    ("options", "baton"), [("pipeline: .double", 5), ("pipeline_path: where, input_path: n, output_path: ''",
                                                      {"where": ".double", "n": 5})]
)  # fmt: skip
def test_a_dot_means_a_sibling(running: SiteOf, options: str, baton: Any) -> None:
    """A relative name is relative to the pipeline that the step stands in."""
    assert running(options).run(baton, "inner.main") == ["inner 5"]


@pytest.mark.parametrize("options", ["pipeline: slow, input_path: n", "pipeline_path: where, input_path: n"])
def test_a_pipeline_that_waits_is_waited_for(running: SiteOf, options: str) -> None:
    """The baton goes on when the other pipeline has ended."""
    site = running(options)
    waiting = site.start({"n": 5, "where": "slow"})
    assert not waiting.called
    site.clock.advance(1)
    assert waiting.result[0]["n"] == -5


def test_cancelling_cancels_what_it_runs(running: SiteOf) -> None:
    """A cancelled step leaves nothing running."""
    site = running("pipeline: slow")
    waiting = site.start(5)
    waiting.cancel()
    assert waiting.result.check(CancelledError)
    waiting.addErrback(lambda failure: None)
    assert not site.clock.getDelayedCalls()


@pytest.mark.parametrize("options", ["", "pipeline: double, pipeline_path: where", "pipeline: double, trace_path: ''"])
@pytest.mark.parametrize("step", ["run-pipeline", "run-pipeline-if"])
def test_what_cannot_be_meant_is_refused(running: Any, options: str, step: str) -> None:
    """Neither name of the pipeline, both, or a trace in place of the baton are mistakes."""
    with pytest.raises(ConfigurationError):
        running(options, step)


@pytest.mark.parametrize("name", ["gone", "dobule", ".double.x"])
def test_an_unknown_pipeline_is_told_with_the_baton(running: SiteOf, name: str) -> None:
    """A name in a baton that is none of a pipeline fails that baton, and leaves nothing behind."""
    site = running("pipeline_path: where")
    site.resource("pipeline.main")
    before = count_dependencies()
    for _ in range(3):
        with pytest.raises(UnprovidedResourceError, match=r"nobody provides the resource 'pipeline\."):
            site.run({"where": name})
    assert count_dependencies() == before


@pytest.mark.parametrize("baton", [{}, {"where": 5}])
def test_a_baton_has_to_name_a_pipeline(running: SiteOf, baton: Any) -> None:
    """What is no name fails with what there is instead."""
    with pytest.raises(InvalidPipelineError, match="what lies at 'where' is no name of a pipeline"):
        running("pipeline_path: where").run(baton)


def test_many_batons_leave_no_dependencies_behind(running: SiteOf) -> None:
    """A name that comes with each baton costs one dependency, in whatever way it is written."""
    site = running("pipeline_path: where, output_path: null")
    site.run({"where": "under_score"})
    before = count_dependencies()
    for name in ("under_score", "under-score", ".under_score", "..under_score", "...under-score"):
        site.run({"where": name})
    assert count_dependencies() == before


def count_dependencies() -> int:
    """How many dependencies on resources there are in memory."""
    gc.collect()
    return sum(type(each) is ResourceDependency for each in gc.get_objects())


def test_a_pipeline_needs_what_it_runs(environment: RuntimeEnvironment) -> None:
    """A step is ready only while the pipeline is that it names; one named by batons does not count."""
    offer = Offer(environment, "pipeline.other", lambda baton: baton)
    static, dynamic = RunPipeline(PipelineName("other")), RunPipeline(pipeline_path="where")
    for step in (static, dynamic):
        environment.dependency_manager.add_dependency(step)
        configured(step, environment)
    dynamic.process({"where": "other"})
    assert is_ready(environment, static)
    assert is_ready(environment, dynamic)
    offer.lose()
    assert not is_ready(environment, static)
    assert is_ready(environment, dynamic)


def is_ready(environment: RuntimeEnvironment, step: Any) -> bool:
    return environment.dependency_manager.as_dependency(step).is_ready


@pytest.mark.parametrize("options", [{"pipeline": PipelineName("other")}, {"pipeline_path": "where"}])
def test_a_pipeline_that_is_not_ready_is_waited_for(environment: RuntimeEnvironment, options: Any) -> None:
    """A baton that comes too early waits."""
    offer = Offer(environment, "pipeline.other")
    step = configured(RunPipeline(**options, output_path="result"), environment)
    waiting = Deferred.fromCoroutine(step.process({"where": "other"}))
    assert not waiting.called
    offer.deliver(lambda baton: ["first", "last"])
    assert waiting.result["result"] == "last"


def test_a_pipeline_that_was_replaced_is_not_called(environment: RuntimeEnvironment) -> None:
    """While the other pipeline is lost batons wait, for the one that comes."""
    offer = Offer(environment, "pipeline.other", lambda baton: "former")
    step = configured(RunPipeline(PipelineName("other")), environment)
    assert step.process({}) == "former"
    offer.lose()
    waiting = Deferred.fromCoroutine(step.process({}))
    offer.deliver(lambda baton: "latter")
    assert waiting.result == "latter"
    assert step.process({}) == "latter"


@pytest.mark.parametrize(
    ("given", "output"), [([1, 2], 2), ((1, 2), 2), ([], []), ({"a": 1}, {"a": 1}), ("text", "text"), (None, None)]
)
def test_whatever_can_be_called_will_do(environment: RuntimeEnvironment, given: Any, output: Any) -> None:
    """A resource that is no pipeline is called; what it gives is taken as it is, unless it is a list of results."""
    Offer(environment, "pipeline.other", lambda baton: given)
    step = configured(RunPipeline(PipelineName("other")), environment)
    assert step.process({}) == output


def test_a_failure_is_the_failure_of_the_step(running: SiteOf) -> None:
    """What the other pipeline raises is raised here."""
    with pytest.raises(KeyError, match="never"):
        running("pipeline: failing").run({})


@pytest.mark.parametrize("options", ["pipeline: double", "pipeline_path: where"])
def test_a_trace_is_put_into_the_baton(running: SiteOf, options: str) -> None:
    """The trace tells who handed the baton to whom, beginning with the step that asked for it."""
    baton: dict[str, Any] = {"n": 5, "where": "double"}
    site = running(f"{options}, input_path: n, trace_path: trace.last")
    site.run(baton)
    [enter, result] = baton["trace"]["last"]
    step = site.environment.graphs["main"][0]
    assert (enter["source"], enter["destination"].label, enter["baton"]) == (step, "eval-lambda-1", 5)
    assert (result["source"], result["destination"], result["baton"]) == (enter["destination"], None, 10)


def test_a_trace_within_a_trace_has_its_batons(running: SiteOf) -> None:
    """Who asked for a trace gets all of it, also from a baton that is watched for somebody else, without batons."""
    site = running("pipeline: double, trace_path: trace, input_path: n")
    results, _ = site.resource("pipeline.main").trace({"n": 5})
    assert [step["baton"] for step in results[0]["trace"]] == [5, 10]


def test_a_pipeline_that_waits_is_traced_too(running: SiteOf) -> None:
    """The trace is complete when the pipeline has ended."""
    baton: dict[str, Any] = {"n": 5}
    site = running("pipeline: slow, input_path: n, trace_path: trace")
    site.start(baton)
    assert "trace" not in baton
    site.clock.advance(1)
    assert [handover["baton"] for handover in baton["trace"]] == [5, 5, -5]


def test_a_failed_pipeline_is_traced_too(running: SiteOf) -> None:
    """The trace stands in the baton although the step fails."""
    baton: dict[str, Any] = {}
    with pytest.raises(KeyError, match="never"):
        running("pipeline: failing, trace_path: trace").run(baton)
    assert [handover["failure"] and handover["failure"]["args"] for handover in baton["trace"]] == [None, ["never"]]


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        ("", 0, 0),
        ("", 5, 10),
        ("input_path: n, condition_input_path: go", {"n": 5}, {"n": 5}),
        ("input_path: n, condition_input_path: go", {"n": 5, "go": True}, {"n": 10, "go": True}),
        ("condition: 'n: n < limit', namespace: {limit: 5}", 4, 8),
        ("condition: 'n: n < limit', namespace: {limit: 5}", 5, 5),
        ("condition: 'n: self.name == n'", "run-pipeline-if", 2 * "run-pipeline-if"),
    ],
)
def test_a_condition_decides(running: Any, options: str, before: Any, after: Any) -> None:
    """Only batons for which the condition holds are sent; others go on untouched."""
    assert running(f"pipeline: double, {options}", "run-pipeline-if").run(before) == [after]


def test_a_condition_finds_its_dependencies(environment: RuntimeEnvironment) -> None:
    """`self.dependencies` has the resources that the step names."""
    Offer(environment, "pipeline.other", lambda baton: ["sent"])
    Offer(environment, "context.users", ["Ada"])
    step = RunPipelineIf(
        condition="name: name in self.dependencies.users",
        dependencies={"users": {"provider": "context.users"}},
        pipeline=PipelineName("other"),
    )
    configured(step, environment)
    assert step.process("Ada") == "sent"
    assert step.process("Bo") == "Bo"
