"""Tests of the steps that put shared data into a baton."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from processors_stage import Offer, configured

from piped.ground.errors import UnprovidedResourceError
from piped.ground.units import ContextName, PersistedContextName
from piped.processors.contexts import FetchContext, FetchPersistedContext
from piped.runtime.environment import RuntimeEnvironment

SiteOf = Callable[[str], Any]


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda output: FetchContext(ContextName("a"), *output), "context.a"),
        (lambda output: FetchPersistedContext(PersistedContextName("a"), *output), "persisted_context.a"),
    ],
)
def test_a_context_is_fetched(environment: RuntimeEnvironment, make: Any, path: str) -> None:
    """The shared object itself stands under its name, or where it is wanted."""
    shared: list[Any] = []
    Offer(environment, path, shared)
    assert configured(make([]), environment).process({})["a"] is shared


@pytest.mark.parametrize(("output", "after"), [("", 5), ("b.c", {"b": {"c": 5}})])
def test_a_context_is_put_where_it_is_wanted(environment: RuntimeEnvironment, output: str, after: Any) -> None:
    """'' makes it the baton."""
    Offer(environment, "context.a", 5)
    assert configured(FetchContext(ContextName("a"), output), environment).process({}) == after


def test_names_with_dots_are_names(environment: RuntimeEnvironment) -> None:
    """A context may be called `a.b`."""
    Offer(environment, "context.a.b", 5)
    assert configured(FetchContext(ContextName("a.b")), environment).process({}) == {"a": {"b": 5}}


def test_a_context_that_is_not_there_yet_is_told(environment: RuntimeEnvironment) -> None:
    """Until a persisted context is loaded the step fails, and says why."""
    offer = Offer(environment, "persisted_context.a")
    step = configured(FetchPersistedContext(PersistedContextName("a")), environment)
    with pytest.raises(UnprovidedResourceError, match=r"persisted_context\.a is not ready"):
        step.process({})
    offer.deliver(5)
    assert step.process({}) == {"a": 5}


def test_an_unknown_context_is_told_at_the_start(site: SiteOf) -> None:
    """A name of no context is a mistake of the configuration."""
    with pytest.raises(UnprovidedResourceError, match=r"context\.user'"):
        site("contexts: {users: 5}\npipelines: {main: [fetch-context: {context: user}]}")


def test_a_pipeline_needs_its_context(site: SiteOf) -> None:
    """A context of the configuration is there for its pipelines."""
    running = site("contexts: {users: [Ada]}\npipelines: {main: [fetch-context: {context: users}]}")
    assert running.run({}) == [{"users": ["Ada"]}]
