"""Tests of the section `status_tests`."""

from __future__ import annotations

from status_stage import ended

from piped.catalog.discovery import discover
from piped.testing import Stage
from piped_status_testing.providers import StatusTestProvider
from piped_status_testing.suites import Suite

CATALOG, _ = discover(None, None, (), built_in=["piped_status_testing"])


def test_each_suite_is_a_resource() -> None:
    """Under its name, which is all that the provider offers."""
    stage = Stage("status_tests: {a: {cases: [status_cases]}, b.c: {cases: [status_cases], at: never}}")
    offered = [path for path in stage.environment.offered if path.startswith("status_tests.")]
    assert sorted(offered) == ["status_tests.a", "status_tests.b.c"]
    for path in offered:
        suite = stage.get(path)
        assert isinstance(suite, Suite)
        assert suite.name == path


def test_the_provider_knows_its_suites() -> None:
    """By their names."""
    stage = Stage("status_tests: {a: {cases: [status_cases]}}")
    [provider] = {stage.environment.resource_manager.get_provider_or_fail("status_tests.a")}
    assert isinstance(provider, StatusTestProvider)
    assert provider.suites == {"a": stage.get("status_tests.a")}


def test_the_example_runs() -> None:
    """What the documentation shows is a suite that passes."""
    [entry] = CATALOG.providers
    [example] = entry.spec.examples
    stage = Stage(example)
    assert ended(stage.get("status_tests.smoke").run()).is_successful
