"""ResourceManager: which provider answers for a resource path."""

from __future__ import annotations

import pytest

from piped.ground.errors import ProviderConflict, UnprovidedResourceError
from piped.resources.dependency import ResourceDependency
from piped.resources.offers import ResourceManager


class Provider:
    def __init__(self) -> None:
        self.consumers: list[ResourceDependency] = []

    def add_consumer(self, dependency: ResourceDependency) -> None:
        self.consumers.append(dependency)


class Named(Provider):
    name = "web"


def test_paths_are_independent() -> None:
    """A path and one below it may be offered by different providers; names with dots are one text."""
    resources, one, two = ResourceManager(), Provider(), Provider()
    resources.register("a", one)
    resources.register("a.b", provider=two)
    resources.register("ticks.interval.my.tick", two)
    assert resources.get_provider_or_fail("a") is one
    assert resources.get_provider_or_fail("a.b") is two
    assert resources.get_provider_or_fail("ticks.interval.my.tick") is two


def test_a_path_is_offered_once() -> None:
    """A second offer of a path is refused, also from the same provider, and names both."""
    resources, provider = ResourceManager(), Provider()
    resources.register("a", provider)
    for again in (provider, Named()):
        with pytest.raises(ProviderConflict, match="'a' is offered twice") as caught:
            resources.register("a", again)
    assert "Provider and by" in caught.value.detail
    assert "Named 'web'" in caught.value.detail


def test_the_list_of_offers_is_a_copy() -> None:
    """Whoever asks for all offers cannot change them by accident."""
    resources, provider = ResourceManager(), Provider()
    resources.register("a", provider)
    assert "a" in resources
    assert "nowhere" not in resources
    listed = resources.get_registered_resources()
    assert listed == {"a": provider}
    listed.clear()
    assert resources.get_provider_or_fail("a") is provider


def test_an_unknown_path_is_told_with_all_that_is_offered() -> None:
    """What is not offered is told with everything that is, in order, and advice."""
    resources = ResourceManager()
    with pytest.raises(UnprovidedResourceError, match="nobody provides the resource 'x'") as caught:
        resources.get_provider_or_fail("x")
    assert caught.value.detail == "provided are: nothing"
    assert "bundle" in caught.value.hint
    resources.register("context.b", Provider())
    resources.register("context.a", Provider())
    with pytest.raises(UnprovidedResourceError) as caught:
        resources.get_provider_or_fail("context.aa")
    assert caught.value.detail == "provided are: context.a, context.b"
    assert caught.value.hint == "did you mean 'context.a'?"


def test_resolving_hands_the_dependency_to_its_provider() -> None:
    """The provider is told who needs the resource."""
    resources, provider = ResourceManager(), Provider()
    resources.register("a", provider)
    dependency = ResourceDependency("a")
    resources.resolve(dependency)
    assert provider.consumers == [dependency]
    resources.release(dependency)  # a provider need not want to know


def test_an_offer_can_be_withdrawn() -> None:
    """What is no longer offered is not found, and may be offered anew."""
    resources = ResourceManager()
    resources.register("a", Provider())
    resources.unregister("a")
    with pytest.raises(UnprovidedResourceError):
        resources.unregister("a")
    resources.register("a", Provider())
