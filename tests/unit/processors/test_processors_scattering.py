"""Tests of scatter-gather."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
from processors_stage import Offer, configured, result_of
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import globalLogPublisher

from piped.ground.errors import ConfigurationError
from piped.ground.units import PipelineName
from piped.processors.scattering import ScatterGather, Target
from piped.runtime.environment import RuntimeEnvironment

SiteOf = Callable[[str], Any]

TARGETS = """
pipelines:
  double: [eval-lambda: {{lambda: 'n: 2 * n'}}]
  negate: [eval-lambda: {{lambda: 'n: -n'}}]
  both:
    consumers:
      - eval-lambda: {{lambda: 'n: n + 1'}}
      - eval-lambda: {{lambda: 'n: n - 1'}}
  mark: [set-value: {{path: marked, value: true}}]
  failing: [raise-exception: {{type: KeyError, args: first}}]
  same: [passthrough]
  slow: [wait: {{delay: 2}}, passthrough]
  failing_late: [wait: {{delay: 1}}, raise-exception: {{type: ValueError, args: late}}]
  wrong: [raise-exception: {{type: SystemExit, args: 3}}]
  inner:
    double: [eval-lambda: {{lambda: "n: f'inner {{n}}'"}}]
    main: [scatter-gather: {{{options}}}]
  main: [scatter-gather: {{{options}}}]
"""


@pytest.fixture
def running(site: SiteOf) -> SiteOf:
    """A site whose pipelines `main` and `inner.main` scatter and gather."""
    return lambda options: site(TARGETS.format(options=options))


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        ("mapping: [{pipeline: double, output_path: ''}]", 5, 10),
        ("mapping: [{pipeline: double, input_path: n}]", {"n": 5}, {"n": 5, "double": 10}),
        ("mapping: [{pipeline: .double, input_path: n}]", {"n": 5}, {"n": 5, "double": 10}),
        ("mapping: [{pipeline: inner.double, input_path: n}]", {"n": 5}, {"n": 5, "inner": {"double": "inner 5"}}),
        ("mapping: [{pipeline: both, input_path: n, output_path: a.b}]", {"n": 5}, {"n": 5, "a": {"b": 4}}),
        ("mapping: [{pipeline: both, input_path: n, output_path: ''}]", {"n": 5}, 4),
        ("mapping: [{pipeline: both, input_path: n, output_path: null}]", {"n": 5}, {"n": 5}),
        ("mapping: [{pipeline: double, input_path: gone}]", {"n": 5}, {"n": 5}),
        ("mapping: []", {"n": 5}, {"n": 5}),
        (
            "mapping: [{pipeline: double, input_path: a}, {pipeline: negate, input_path: b}]",
            {"a": 1, "b": 2},
            {"a": 1, "b": 2, "double": 2, "negate": -2},
        ),
        (
            "mapping: [{pipeline: double, input_path: n, output_path: m}], input_path_prefix: a., "
            "output_path_prefix: b.",
            {"a": {"n": 5}},
            {"a": {"n": 5}, "b": {"m": 10}},
        ),
        (
            "mapping: [{pipeline: double, input_path: n}], output_path_prefix: b.",
            {"n": 5},
            {"n": 5, "b": {"double": 10}},
        ),
    ],
)
def test_the_last_results_are_gathered(running: SiteOf, options: str, before: Any, after: Any) -> None:
    """Each pipeline gets its part, and its last result stands where it was told, else under its own name."""
    assert running(options).run(before) == [after]


def test_a_dot_means_a_sibling(running: SiteOf) -> None:
    """A relative name is relative to the pipeline that the step stands in, and its result has the name's last part."""
    site = running("mapping: [{pipeline: .double, input_path: n}]")
    assert site.run({"n": 5}, "inner.main") == [{"n": 5, "double": "inner 5"}]


def test_all_run_at_the_same_time(running: SiteOf) -> None:
    """The step takes as long as the slowest, and the results stand in the order of the list."""
    both = "{pipeline: slow, input_path: a, output_path: x}, {pipeline: slow, input_path: b, output_path: y}"
    site = running(f"mapping: [{both}, {{pipeline: double, input_path: a}}]")
    waiting = site.start({"a": 1, "b": 2})
    site.clock.advance(1.9)
    assert not waiting.called
    site.clock.advance(0.1)
    assert list(waiting.result[0].items()) == [("a", 1), ("b", 2), ("x", 1), ("y", 2), ("double", 2)]


def test_the_first_failure_in_the_list_counts(running: SiteOf) -> None:
    """Whichever comes first; nothing is gathered then, and whatever still runs is waited for."""
    site = running("mapping: [{pipeline: double, input_path: n}, {pipeline: failing_late}, {pipeline: failing},"
                   " {pipeline: slow}]")  # fmt: skip
    baton = {"n": 1}
    waiting = site.start(baton)
    site.clock.advance(1)
    assert not waiting.called
    site.clock.advance(1)
    failure = waiting.result
    waiting.addErrback(lambda failure: None)
    assert failure.check(ValueError)
    assert baton == {"n": 1}


def test_the_other_failures_are_not_left_unhandled(running: SiteOf) -> None:
    """A step fails once, even where everything fails: nothing is logged of the others."""
    site = running("mapping: [{pipeline: failing}, {pipeline: failing_late}]")
    logged: list[Any] = []
    globalLogPublisher.addObserver(logged.append)
    try:
        waiting = site.start({})
        site.clock.advance(1)
        with pytest.raises(KeyError):
            result_of(waiting)
        del waiting
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert logged == []


def test_an_exit_is_an_exit(running: SiteOf) -> None:
    """What is to end the process does so, once the others have ended."""
    site = running("mapping: [{pipeline: wrong}, {pipeline: slow}]")
    waiting = site.start({})
    site.clock.advance(2)
    with pytest.raises(SystemExit):
        result_of(waiting)


def test_cancelling_cancels_all(running: SiteOf) -> None:
    """A cancelled step leaves nothing running."""
    site = running("mapping: [{pipeline: slow}, {pipeline: failing_late}, {pipeline: slow, output_path: other}]")
    waiting = site.start({})
    assert len(site.clock.getDelayedCalls()) == 3
    waiting.cancel()
    assert waiting.result.check(CancelledError)
    waiting.addErrback(lambda failure: None)
    assert not site.clock.getDelayedCalls()


def test_each_pipeline_gets_a_copy(running: SiteOf) -> None:
    """What a pipeline puts in its baton is not in ours, unless that is asked for."""
    before: dict[str, Any] = {"a": {}}
    assert running("mapping: [{pipeline: mark, input_path: a}]").run(before) == [{"a": {}, "mark": {"marked": True}}]
    before = {"a": {}}
    [after] = running("mapping: [{pipeline: mark, input_path: a}], copy: false").run(before)
    assert after["a"] is after["mark"]
    assert after["a"] == {"marked": True}


class Thing:
    """A value that has no method `copy`."""

    marked = False


@pytest.mark.parametrize("value", [5, "text", (1, 2), None, Thing()])
def test_values_without_a_method_to_copy_them(running: SiteOf, value: Any) -> None:
    """Anything can be scattered that Python can copy."""
    [after] = running("mapping: [{pipeline: same, input_path: a, output_path: b}]").run({"a": value})
    assert type(after["b"]) is type(value)
    assert isinstance(value, Thing) is (after["b"] is not value)


def test_what_cannot_be_copied_is_told(running: SiteOf) -> None:
    """The error says where it lies, and what to do about it."""
    with pytest.raises(TypeError, match="cannot pickle") as raised:
        running("mapping: [{pipeline: mark, input_path: a}]").run({"a": threading.Lock()})
    assert raised.value.__notes__[0] == "what lies at 'a' cannot be copied for mark: say `copy: false`"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("mapping: [{pipeline: duoble}]", r"duoble.*did you mean 'double'"),
        ("mapping: [{pipeline: ..double}], input_path_prefix: a.", r"'a\.' ends with a dot"),
        ("mapping: [{pipeline: double, output_path: ''}], output_path_prefix: a.", r"'a\.' ends with a dot"),
        ("mapping: [{input_path: a}]", "needs the option 'pipeline'"),
        ("copy: true", "needs the option 'mapping'"),
        ("mapping: [{pipeline: main}]", "in a circle"),
    ],
)
def test_what_cannot_be_meant_is_told(running: SiteOf, options: str, told: str) -> None:
    """A name of nothing, a path that ends nowhere, a pipeline that waits for itself: told before anything runs."""
    with pytest.raises(ConfigurationError, match=told):
        running(options)


async def one_less(n: int) -> list[int]:
    return [n - 1]


def test_waits_for_pipelines_that_are_not_ready(environment: RuntimeEnvironment) -> None:
    """A target that is lost for a moment is waited for; one that has nothing to do is not."""
    Offer(environment, "pipeline.there", lambda n: [n + 1])
    Offer(environment, "pipeline.idle")
    away = Offer(environment, "pipeline.away")
    paths = {"there": "n", "away": "n", "idle": "nothing"}
    step = configured(ScatterGather([Target(PipelineName(name), paths[name]) for name in paths]), environment)
    waiting = Deferred.fromCoroutine(step.process({"n": 5}))
    assert not waiting.called
    away.deliver(one_less)
    assert waiting.result == {"n": 5, "there": 6, "away": 4}
