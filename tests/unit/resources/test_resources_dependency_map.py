"""DependencyMap: what one consumer needs, by names of his own."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from piped.ground import errors
from piped.resources.dependency import Dependency, ResourceDependency
from piped.resources.dependency_map import DependencyMap
from piped.resources.wiring import DependencyManager


class Consumer:
    name = "consumer"


class Offers:
    """Provides `name`, `other` and `later`; the last one only when told to."""

    def __init__(self, manager: DependencyManager) -> None:
        self.given: dict[str, ResourceDependency] = {}
        for path in ("r.name", "r.other", "r.later"):
            manager.resource_manager.register(path, self)

    def add_consumer(self, dependency: ResourceDependency) -> None:
        self.given[dependency.provider] = dependency
        if dependency.provider != "r.later":
            dependency.on_resource_ready(dependency.provider.upper())


@pytest.fixture
def manager() -> DependencyManager:
    return DependencyManager(clock=Clock())


@pytest.fixture
def offers(manager: DependencyManager) -> Offers:
    return Offers(manager)


@pytest.fixture
def members(manager: DependencyManager, offers: Offers) -> DependencyMap:
    """A map with `name`, `later` and an instance."""
    made = manager.create_dependency_map(
        Consumer(), name={"provider": "r.name"}, later={"provider": "r.later"}, instance=offers
    )
    manager.resolve_initial_states()
    return made


def test_resources_are_read_by_name(members: DependencyMap, offers: Offers) -> None:
    """What is available is read as an attribute or an item, whatever its name."""
    assert members.name == members["name"] == "R.NAME"
    assert members.instance is offers
    assert members.is_available("name")


def test_what_is_not_available_says_so(members: DependencyMap) -> None:
    """A declared member that is not ready is told as unsatisfied, with what it waits for."""
    for read in (lambda: members.later, lambda: members["later"]):
        with pytest.raises(errors.UnsatisfiedDependencyError, match=r"later is not available: r\.later is not ready"):
            read()
    assert not members.is_available("later")


def test_what_was_not_declared_is_a_usual_error(members: DependencyMap) -> None:
    """An unknown name is an AttributeError as an attribute, a KeyError as an item."""
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = members.nothing
    for ask in (
        lambda: members["nothing"],
        lambda: members.get_dependency("nothing"),
        lambda: members.wait_for_resource("nothing"),
        lambda: members.remove_dependency("nothing"),
    ):
        with pytest.raises(KeyError):
            ask()
    with pytest.raises(AttributeError):
        del members.nothing
    assert not members.is_available("nothing")
    assert not hasattr(members, "__wrapped__")


def test_in_means_declared_and_iterating_means_available(members: DependencyMap, offers: Offers) -> None:
    """`in` asks for what is declared; iterating, and handing on with **, gives what is there."""
    assert "later" in members
    assert "nothing" not in members
    assert list(members) == list(members.keys()) == ["name", "instance"]
    assert dict(members.items()) == dict(**members) == {"name": "R.NAME", "instance": offers}


def test_the_map_is_ready_when_all_are(members: DependencyMap, offers: Offers, manager: DependencyManager) -> None:
    """The map, and its consumer with it, are ready exactly while all members are; each change is told."""
    told: list[str] = []
    members.on_ready += lambda _: told.append("ready")
    members.on_lost += lambda _, reason: told.append(f"lost: {reason}")
    members.on_dependency_ready += lambda need: told.append(f"+{need.name}")
    members.on_dependency_lost += lambda need, reason: told.append(f"-{need.name}")
    assert not members.is_ready
    offers.given["r.later"].on_resource_ready("here")
    assert members.is_ready
    assert members.later == "here"
    offers.given["r.later"].on_resource_lost("gone")
    assert not members.is_ready
    with pytest.raises(errors.UnsatisfiedDependencyError):
        _ = members.later
    offers.given["r.later"].on_resource_ready("back")
    assert members.later == "back"
    assert told == ["+r.later", "ready", "-r.later", "lost: gone", "+r.later", "ready"]


def test_a_new_member_needs_a_resolve(members: DependencyMap, manager: DependencyManager) -> None:
    """A member that is added later is available once it was resolved; so is one that was removed and added again."""
    members["other"] = {"provider": "r.other"}
    assert "other" in members
    assert not members.is_available("other")
    manager.resolve_initial_states()
    assert members.other == "R.OTHER"
    del members["other"]
    assert "other" not in members
    members.add_dependency("other", "r.other")
    assert not members.is_available("other")
    manager.resolve_initial_states()
    assert members.other == "R.OTHER"


def test_a_name_is_declared_once(members: DependencyMap) -> None:
    """A name that is taken cannot be declared again."""
    with pytest.raises(errors.KeyAlreadyExists, match="'name'"):
        members["name"] = {"provider": "r.other"}


def test_a_member_can_be_removed_while_it_is_not_available(members: DependencyMap) -> None:
    """What is not there can be given up, and then is not waited for."""
    del members.later
    assert "later" not in members
    assert members.is_ready


def test_members_can_be_waited_for(members: DependencyMap, offers: Offers) -> None:
    """One can wait for a member, or for its dependency; both give the resource."""
    waited: list[Any] = []
    assert isinstance(members.get_dependency("later"), Dependency)
    members.wait_for_resource("later", timeout=5).addCallback(waited.append)
    members.get_dependency("later").wait_for_resource().addCallback(waited.append)
    assert waited == []
    offers.given["r.later"].on_resource_ready("here")
    members.wait_for_resource("later").addCallback(waited.append)
    assert waited == ["here"] * 3


def test_the_consumer_needs_the_map(members: DependencyMap, manager: DependencyManager) -> None:
    """What the members wait for, the consumer waits for, and is told by name."""
    assert manager.waiting() == [("consumer", ["r.later"])]
    (node,) = manager.consumers_of(members.get_dependency("later"))
    assert node.name == "the dependencies of consumer"
    assert manager.as_dependency(members) is node


def test_a_map_that_is_given_up_leaves_with_its_members(members: DependencyMap, manager: DependencyManager) -> None:
    """When the consumer needs the map no more, nothing of it stays in the graph."""
    (consumer,) = manager.consumers_of(members)
    manager.remove_dependency(consumer, members)
    assert consumer.is_ready
    assert manager.get_dot().count("label") == 2  # the consumer, and the instance that others may need


def test_a_map_without_members_is_ready(manager: DependencyManager) -> None:
    """Who needs nothing waits for nothing."""
    members = manager.create_dependency_map(Consumer())
    manager.resolve_initial_states()
    assert members.is_ready
