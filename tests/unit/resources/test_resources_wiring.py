"""DependencyManager: who needs what, and what is told of it."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Any

import pytest
from twisted.internet.task import Clock

from piped.ground import errors
from piped.ground.errors import Mark
from piped.ground.units import ContextName, ResourcePath
from piped.resources.dependency import Dependency, InstanceDependency, ResourceDependency
from piped.resources.wiring import DependencyManager


class Thing:
    """Something that needs or is needed."""

    def __init__(self, name: str) -> None:
        self.name = name


class Provider:
    """Offers paths, each with a resource that it delivers at once, later or never."""

    def __init__(self, manager: DependencyManager, **resources: Any) -> None:
        self.resources = resources
        self.consumers: list[ResourceDependency] = []
        self.removed: list[ResourceDependency] = []
        for path in resources:
            manager.resource_manager.register(path, provider=self)

    def add_consumer(self, resource_dependency: ResourceDependency) -> None:
        self.consumers.append(resource_dependency)
        resource = self.resources[resource_dependency.provider]
        if resource is not None:
            resource_dependency.on_resource_ready(resource)

    def remove_consumer(self, resource_dependency: ResourceDependency) -> None:
        self.removed.append(resource_dependency)


@pytest.fixture
def manager() -> DependencyManager:
    return DependencyManager(clock=Clock())


def told_of(*dependencies: Dependency) -> list[str]:
    """A list that grows with what is told of these from now on."""
    told: list[str] = []
    for dependency in dependencies:
        dependency.on_ready += lambda each: told.append(f"+{each.name}")
        dependency.on_lost += lambda each, reason: told.append(f"-{each.name}")
    return told


def chain(manager: DependencyManager, *edges: str) -> dict[str, Dependency]:
    """Things by name, from edges such as 'a b' for: a needs b."""
    things: dict[str, Thing] = {}
    for edge in edges:
        consumer, needed = (things.setdefault(name, Thing(name)) for name in edge.split())
        manager.add_dependency(consumer, needed)
    return {name: manager.as_dependency(thing) for name, thing in things.items()}


# What stands for what


def test_an_object_has_one_dependency() -> None:
    """Everybody who needs an object needs the same dependency; equal objects share, unhashable ones do not."""
    manager = DependencyManager()
    thing = Thing("a")
    assert manager.as_dependency(thing) is manager.as_dependency(thing)
    assert manager.as_dependency(("x", 1)) is manager.as_dependency(("x", 1))
    one, two = [1], [1]
    assert manager.as_dependency(one) is manager.as_dependency(one) is not manager.as_dependency(two)
    assert manager.as_dependency(thing).get_resource() is thing


def test_a_specification_is_a_new_dependency_each_time() -> None:
    """Two specifications of one path are independent; what else they say is kept, and the mapping left alone."""
    manager = DependencyManager()
    spec = {"provider": "a.b", "size": 3}
    first, second = manager.as_dependency(spec), manager.as_dependency(spec)
    assert isinstance(first, ResourceDependency)
    assert first is not second
    assert (first.provider, first.configuration) == ("a.b", {"size": 3})
    assert spec == {"provider": "a.b", "size": 3}


def test_a_text_is_a_resource_path() -> None:
    """A path may be written without a mapping; one with a known place and prefix keeps them."""
    manager = DependencyManager()
    plain, located = manager.as_dependency("a.b"), manager.as_dependency(ContextName("users", Mark("x.yml", 3, 5)))
    assert (plain.name, plain.where) == ("a.b", None)
    assert (located.name, located.where) == ("context.users", Mark("x.yml", 3, 5))


def test_a_dependency_stands_for_itself() -> None:
    """What is a dependency already is used as it is."""
    dependency = ResourceDependency("a")
    assert DependencyManager().as_dependency(dependency) is dependency


@pytest.mark.parametrize("spec", [{}, {"size": 3}, {"provider": None}])
def test_a_mapping_without_provider_is_an_error(spec: dict[str, Any]) -> None:
    """A specification has to name a provider."""
    with pytest.raises(errors.ResourceError, match="names no provider"):
        DependencyManager().as_dependency(spec)


def test_a_dependency_belongs_to_one_manager(manager: DependencyManager) -> None:
    """A dependency that is wired elsewhere is refused with words, not with an assertion."""
    dependency = DependencyManager().add_dependency(Thing("a"))
    with pytest.raises(errors.ResourceError, match="another dependency manager"):
        manager.add_dependency(Thing("b"), dependency)
    manager.remove_dependency(dependency)
    assert dependency.manager is not None


# The graph


def test_direct_dependencies_are_listed(manager: DependencyManager) -> None:
    """One can ask what something needs directly, and who needs it."""
    nodes = chain(manager, "a b", "a c", "b d")
    assert manager.get_dependencies_of(nodes["a"]) == [nodes["b"], nodes["c"]]
    assert manager.get_dependencies_of(nodes["d"]) == []
    assert manager.consumers_of(nodes["d"]) == [nodes["b"]]


def test_the_same_edge_twice_is_an_error(manager: DependencyManager) -> None:
    """A consumer cannot need the same dependency twice."""
    nodes = chain(manager, "a b")
    with pytest.raises(errors.AlreadyExistingDependency, match="a needs b already"):
        manager.add_dependency(nodes["a"], nodes["b"])


def test_without_a_second_argument_the_consumer_itself_joins(manager: DependencyManager) -> None:
    """Something may be in the graph that needs nothing yet."""
    thing = Thing("a")
    dependency = manager.add_dependency(thing)
    assert dependency is manager.as_dependency(thing)
    manager.resolve_initial_states()
    assert dependency.is_ready


@pytest.mark.parametrize("edges", [["a a"], ["a b", "b a"], ["a b", "b c", "c a"], ["a b", "b c", "c d", "d a"]])
def test_circles_are_refused(manager: DependencyManager, edges: list[str]) -> None:
    """Things that need each other in a circle are named, in the order of their needs."""
    chain(manager, *edges)
    for _ in range(2):
        with pytest.raises(errors.CircularDependencyGraph) as caught:
            manager.resolve_initial_states()
        circle = caught.value.msg.removeprefix("these need each other in a circle: ").split("→")
        assert [f"{one} {other}" for one, other in sorted(pairwise(circle))] == edges


def test_a_circle_made_later_is_refused(manager: DependencyManager) -> None:
    """A circle is found also when its last edge comes after everything was resolved."""
    nodes = chain(manager, "a b", "b c")
    manager.resolve_initial_states()
    manager.add_dependency(nodes["c"], nodes["a"])
    with pytest.raises(errors.CircularDependencyGraph, match=r"c→a→b→c|a→b→c→a|b→c→a→b"):
        manager.resolve_initial_states()


def test_a_circle_made_by_a_provider_is_refused(manager: DependencyManager) -> None:
    """A circle that appears while resolving is told like any other."""
    thing = Thing("a")

    class Circular:
        def add_consumer(self, resource_dependency: ResourceDependency) -> None:
            manager.add_dependency(resource_dependency, thing)

    manager.resource_manager.register("circular", Circular())
    manager.add_dependency(thing, "circular")
    with pytest.raises(errors.CircularDependencyGraph, match="circular"):
        manager.resolve_initial_states()


# Resolving


def test_nothing_is_told_before_resolving(manager: DependencyManager) -> None:
    """Adding changes nothing; resolving tells everybody once, needs first, and again nothing."""
    nodes = chain(manager, "top mid", "mid leaf")
    told = told_of(*nodes.values())
    assert not nodes["leaf"].is_ready
    assert not manager.has_resolved(nodes["leaf"])
    manager.resolve_initial_states()
    manager.resolve_initial_states()
    assert told == ["+leaf", "+mid", "+top"]
    assert manager.has_resolved(nodes["leaf"])


def test_what_a_provider_does_not_deliver_is_lost_initially(manager: DependencyManager) -> None:
    """A resource that does not come keeps its consumer, and nobody else, from being ready."""
    Provider(manager, never=None, ready="r")
    a, b = Thing("a"), Thing("b")
    never = manager.add_dependency(a, {"provider": "never"})
    manager.add_dependency(b, {"provider": "ready"})
    reasons: list[object] = []
    never.on_lost += lambda dependency, reason: reasons.append(reason)
    manager.resolve_initial_states()
    assert [type(reason) for reason in reasons] == [errors.InitiallyLost]
    assert not manager.as_dependency(a).is_ready
    assert manager.as_dependency(b).is_ready
    assert manager.has_all_dependencies_provided(b)
    assert not manager.has_all_dependencies_provided(a)


def test_the_provider_gets_the_very_dependency(manager: DependencyManager) -> None:
    """The provider is given the dependency itself, once, and its resource is there at once."""
    provider = Provider(manager, path=["resource"])
    dependency = manager.add_dependency(Thing("a"), {"provider": "path"})
    manager.resolve_initial_states()
    assert provider.consumers == [dependency]
    assert dependency.get_resource() is provider.resources["path"]


def test_a_resource_may_come_later(manager: DependencyManager) -> None:
    """What is delivered after resolving makes ready all the way up."""
    provider = Provider(manager, path=None)
    top, thing = Thing("top"), Thing("thing")
    manager.add_dependency(top, thing)
    dependency = manager.add_dependency(thing, {"provider": "path"})
    manager.resolve_initial_states()
    told = told_of(dependency, manager.as_dependency(thing), manager.as_dependency(top))
    provider.consumers[0].on_resource_ready("late")
    assert told == ["+path", "+thing", "+top"]
    provider.consumers[0].on_resource_lost("gone")
    assert told[3:] == ["-path", "-thing", "-top"]


def test_dependencies_added_by_a_provider_count(manager: DependencyManager) -> None:
    """A provider may add needs to the dependency it is given; it is ready when they are."""
    provider = Provider(manager, connection=None)

    class Layered:
        def add_consumer(self, resource_dependency: ResourceDependency) -> None:
            manager.add_dependency(resource_dependency, {"provider": "connection"})
            resource_dependency.on_resource_ready("layered")

    manager.resource_manager.register("layer", Layered())
    dependency = manager.add_dependency(Thing("a"), {"provider": "layer"})
    told = told_of(dependency)
    manager.resolve_initial_states()
    assert [each.name for each in manager.get_dependencies_of(dependency)] == ["connection"]
    assert told == ["-layer"]
    assert dependency.get_resource() == "layered"
    provider.consumers[0].on_resource_ready("c")
    assert told == ["-layer", "+layer"]


def test_an_unknown_path_is_told_with_advice(manager: DependencyManager) -> None:
    """A path that nobody provides is told with who needs it, what is provided, and what it may be."""
    Provider(manager, **{"pipeline.hello": 1, "context.users": 2})
    path = ResourcePath("pipeline.helo", Mark("site.yml", 4, 9))
    manager.add_dependency(Thing("my site"), {"provider": path})
    other = manager.add_dependency(Thing("b"), "context.users")
    with pytest.raises(errors.UnprovidedResourceError) as caught:
        manager.resolve_initial_states()
    assert caught.value.msg == "site.yml:4:9: nobody provides the resource 'pipeline.helo'"
    assert caught.value.detail == "needed by my site; provided are: context.users, pipeline.hello"
    assert caught.value.hint == "did you mean 'pipeline.hello'?"
    assert other.is_ready
    manager.resolve_initial_states()


def test_all_unknown_paths_are_told_at_once(manager: DependencyManager) -> None:
    """Nobody mends one path to be told of the next."""
    manager.add_dependency(Thing("a"), "one")
    manager.add_dependency(Thing("a"), "two")
    with pytest.raises(errors.UnprovidedResourceError, match=r"(?s)'one'.*'two'"):
        manager.resolve_initial_states()


# Changes


def test_losing_a_leaf_takes_down_all_who_need_it(manager: DependencyManager) -> None:
    """A shared leaf takes down its transitive consumers, not its siblings; regaining it restores them."""
    nodes = chain(manager, "top left", "top right", "left leaf", "right leaf", "right other")
    manager.resolve_initial_states()
    told = told_of(*nodes.values())
    nodes["leaf"].fire_on_lost("broken")
    assert told == ["-leaf", "-left", "-right", "-top"]
    assert nodes["other"].is_ready
    nodes["leaf"].fire_on_ready()
    assert told[4:] == ["+leaf", "+left", "+right", "+top"]


@pytest.mark.parametrize("lost", list(permutations("xyz")))
@pytest.mark.parametrize("regained", list(permutations("xyz")))
def test_each_change_is_told_once(manager: DependencyManager, lost: tuple[str], regained: tuple[str]) -> None:
    """In whatever order needs go and come, a consumer is told once of each, and once of its own loss and return."""
    nodes = chain(manager, "a x", "a y", "a z")
    manager.resolve_initial_states()
    told = told_of(nodes["a"])
    nodes["a"].on_dependency_ready += lambda need: told.append(f"+{need.name}")
    nodes["a"].on_dependency_lost += lambda need, reason: told.append(f"-{need.name} {reason}")
    for name in lost:
        nodes[name].fire_on_lost("no")
        nodes[name].fire_on_lost("again")
    x, y, z = lost
    assert told == [f"-{x} no", "-a", f"-{y} no", f"-{z} no"]
    del told[:]
    for name in regained:
        nodes[name].fire_on_ready()
        nodes[name].fire_on_ready()
    x, y, z = regained
    assert told == [f"+{x}", f"+{y}", f"+{z}", "+a"]


def test_a_consumer_is_told_of_its_needs_when_it_is_resolved(manager: DependencyManager) -> None:
    """What is ready when a consumer comes in is told to it as well, once."""
    thing, told = Thing("a"), []
    manager.as_dependency(thing).on_dependency_ready += lambda need: told.append(need.name)
    manager.add_dependency(thing, Thing("x"))
    assert told == []
    manager.resolve_initial_states()
    assert told == ["x"]


def test_an_unresolved_consumer_is_told_nothing(manager: DependencyManager) -> None:
    """What goes on before a consumer is resolved is not told to it; how things stand is, when it is."""
    need = manager.add_dependency(Thing("x"))
    manager.resolve_initial_states()
    consumer, told = manager.as_dependency(Thing("a")), []
    consumer.on_dependency_ready += lambda each: told.append(f"+{each.name}")
    consumer.on_dependency_lost += lambda each, reason: told.append(f"-{each.name}")
    manager.add_dependency(consumer, need)
    need.fire_on_lost("x")
    need.fire_on_ready()
    assert told == []
    manager.resolve_initial_states()
    assert told == ["+x"]


def test_a_consumer_hears_once_of_a_need_that_it_gets_amid_the_news(manager: DependencyManager) -> None:
    """A need added while the news of its readiness are under way is told once; given up and added again, anew."""
    need, consumer = manager.add_dependency(Thing("x")), manager.add_dependency(Thing("a"))
    told: list[str] = []
    consumer.on_dependency_ready += lambda each: told.append(each.name)
    manager.resolve_initial_states()
    need.fire_on_lost("x")

    def add(_: Dependency) -> None:
        need.on_ready -= add
        manager.add_dependency(consumer, need)

    need.on_ready += add
    need.fire_on_ready()
    assert told == ["x"]
    manager.remove_dependency(consumer, need)
    manager.add_dependency(consumer, need)
    assert told == ["x", "x"]


def test_the_reason_is_told_all_the_way_up(manager: DependencyManager) -> None:
    """Whoever is lost with something else is told the reason of that."""
    provider = Provider(manager, path="r")
    thing = Thing("a")
    manager.add_dependency(thing, "path")
    manager.resolve_initial_states()
    reasons: list[object] = []
    manager.as_dependency(thing).on_lost += lambda dependency, reason: reasons.append(reason)
    provider.consumers[0].on_resource_lost(reason := ConnectionError("refused"))
    assert reasons == [reason]


def test_a_replaced_resource_is_lost_and_ready(manager: DependencyManager) -> None:
    """Whoever holds the former resource hears that it is gone, and of the new one; the same one again is no news."""
    provider = Provider(manager, path="old")
    thing = Thing("a")
    dependency = manager.add_dependency(thing, "path")
    manager.resolve_initial_states()
    told = told_of(dependency, manager.as_dependency(thing))
    provider.consumers[0].on_resource_ready("old")
    assert told == []
    provider.consumers[0].on_resource_ready("new")
    assert told == ["-path", "-a", "+path", "+a"]
    assert dependency.get_resource() == "new"


def test_news_are_delivered_one_after_another(manager: DependencyManager) -> None:
    """What a handler changes is told after everything that was to be told already; no handler within another."""
    nodes = chain(manager, "top leaf")
    manager.resolve_initial_states()
    told = told_of(nodes["leaf"])
    is_telling = False

    def revive(dependency: Dependency, reason: object) -> None:
        nonlocal is_telling
        is_telling = True
        dependency.fire_on_ready()
        assert dependency.is_ready
        is_telling = False

    nodes["leaf"].on_lost += revive
    nodes["leaf"].on_ready += lambda _: told.append("within" if is_telling else "after")
    nodes["top"].on_lost += lambda *_: told.append("-top")
    nodes["top"].on_ready += lambda *_: told.append("+top")
    nodes["leaf"].fire_on_lost("x")
    assert told == ["-leaf", "-top", "+leaf", "after", "+top"]


def test_a_handler_that_fails_keeps_no_news_back(manager: DependencyManager) -> None:
    """One broken listener does not leave others with old news."""
    nodes = chain(manager, "top leaf")
    nodes["leaf"].on_ready += lambda _: 1 // 0
    told = told_of(nodes["top"])
    manager.resolve_initial_states()
    assert told == ["+top"]


# Late comers


def test_a_late_need_counts_once_it_is_resolved(manager: DependencyManager) -> None:
    """A new need leaves a ready consumer alone until it is resolved; then the consumer follows it."""
    provider = Provider(manager, late=None)
    thing = Thing("a")
    consumer = manager.add_dependency(thing)
    manager.resolve_initial_states()
    late = manager.add_dependency(thing, "late")
    assert consumer.is_ready
    manager.resolve_initial_states()
    assert not consumer.is_ready
    provider.consumers[0].on_resource_ready("r")
    assert consumer.is_ready
    late.fire_on_lost("x")
    assert not consumer.is_ready


def test_a_late_consumer_is_told_the_state_of_what_it_needs(manager: DependencyManager) -> None:
    """Whoever comes late starts with what is: ready, or lost and then recovering."""
    nodes = chain(manager, "a leaf")
    manager.resolve_initial_states()
    late = manager.add_dependency(Thing("late"))
    manager.add_dependency(late, nodes["leaf"])
    manager.resolve_initial_states()
    assert late.is_ready
    nodes["leaf"].fire_on_lost("x")
    later = manager.add_dependency(Thing("later"))
    manager.add_dependency(later, nodes["leaf"])
    told = told_of(later)
    manager.resolve_initial_states()
    assert told == ["-later"]
    nodes["leaf"].fire_on_ready()
    assert told == ["-later", "+later"]


def test_a_ready_consumer_of_something_lost_is_lost_with_a_reason(manager: DependencyManager) -> None:
    """Needing something that is lost already is told as such."""
    leaf, thing = manager.add_dependency(Thing("leaf")), manager.add_dependency(Thing("a"))
    manager.resolve_initial_states()
    leaf.fire_on_lost("x")
    reasons: list[object] = []
    thing.on_lost += lambda dependency, reason: reasons.append(reason)
    manager.add_dependency(thing, leaf)
    assert [type(reason) for reason in reasons] == [errors.ReplayedLost]
    manager.remove_dependency(thing, leaf)
    assert thing.is_ready


# By hand


def test_readiness_stops_where_it_does_not_cascade(manager: DependencyManager) -> None:
    """A node that is made ready by hand holds up those above until then, and after each loss anew."""
    nodes = chain(manager, "top mid", "mid leaf")
    nodes["mid"].cascade_ready = False
    manager.resolve_initial_states()
    assert (nodes["leaf"].is_ready, nodes["mid"].is_ready, nodes["top"].is_ready) == (True, False, False)
    nodes["mid"].fire_on_ready()
    assert nodes["top"].is_ready
    nodes["leaf"].fire_on_lost("x")
    nodes["leaf"].fire_on_ready()
    assert not nodes["mid"].is_ready
    nodes["mid"].fire_on_ready()
    assert nodes["top"].is_ready


def test_fired_by_hand_too_early_it_waits_for_what_it_needs(manager: DependencyManager) -> None:
    """Nothing is ready before what it needs."""
    nodes = chain(manager, "mid leaf")
    nodes["mid"].cascade_ready = False
    manager.resolve_initial_states()
    nodes["leaf"].fire_on_lost("x")
    nodes["mid"].fire_on_ready()
    assert not nodes["mid"].is_ready
    nodes["leaf"].fire_on_ready()
    assert nodes["mid"].is_ready


def test_a_loss_stops_where_it_does_not_cascade(manager: DependencyManager) -> None:
    """A node that is lost by hand stays ready without its needs; lost for them, it comes back with them."""
    nodes = chain(manager, "top mid", "mid leaf")
    nodes["mid"].cascade_lost = False
    told = told_of(nodes["mid"])
    nodes["leaf"].cascade_ready = False
    manager.resolve_initial_states()
    assert told == []
    nodes["leaf"].cascade_ready = True
    nodes["leaf"].fire_on_ready()
    nodes["leaf"].fire_on_lost("x")
    assert nodes["top"].is_ready
    nodes["mid"].fire_on_lost("now")
    assert not nodes["top"].is_ready
    nodes["leaf"].fire_on_ready()
    assert nodes["top"].is_ready


# Leaving


def test_a_resource_that_nobody_needs_leaves(manager: DependencyManager) -> None:
    """A dependency made for one run leaves nothing behind, and the provider is told."""
    provider = Provider(manager, **{f"pipeline.{number}": number + 1 for number in range(10)})
    thing = Thing("run-pipeline")
    consumer = manager.add_dependency(thing)
    manager.resolve_initial_states()
    told = told_of(consumer)
    before = len(manager.get_dot())
    for number in range(10):
        dependency = manager.add_dependency(thing, {"provider": f"pipeline.{number}"})
        manager.resolve_initial_states()
        assert dependency.get_resource() == number + 1
        manager.remove_dependency(thing, dependency)
    assert len(manager.get_dot()) == before
    assert manager.get_dependencies_of(thing) == []
    assert provider.removed == provider.consumers
    assert told == []


def test_what_left_takes_its_own_needs_along(manager: DependencyManager) -> None:
    """Resources that were needed only by what left, leave too; what others need stays."""
    provider = Provider(manager, shared="s", own="o")

    class Layered:
        def add_consumer(self, resource_dependency: ResourceDependency) -> None:
            manager.add_dependency(resource_dependency, shared)
            manager.add_dependency(resource_dependency, "own")

    manager.resource_manager.register("layer", Layered())
    shared = manager.add_dependency(Thing("other"), "shared")
    thing = Thing("a")
    layer = manager.add_dependency(thing, "layer")
    manager.resolve_initial_states()
    manager.remove_dependency(thing, layer)
    assert [each.provider for each in provider.removed] == ["own"]
    assert shared.is_ready


def test_a_dependency_without_a_consumer_can_be_borrowed(manager: DependencyManager) -> None:
    """A resource may be looked up for a moment without anybody's needing it."""
    provider = Provider(manager, path="r")
    dependency = manager.add_dependency({"provider": "path"})
    manager.resolve_initial_states()
    assert dependency.get_resource() == "r"
    for _ in range(2):
        manager.remove_dependency(dependency)
        assert provider.removed == [dependency]
    assert "path" not in manager.get_dot()


def test_what_leaves_before_it_was_resolved_is_forgotten(manager: DependencyManager) -> None:
    """A need that was given up at once is not asked for."""
    provider = Provider(manager, path="r")
    thing = Thing("a")
    dependency = manager.add_dependency(thing, "path")
    manager.remove_dependency(thing, dependency)
    manager.resolve_initial_states()
    assert provider.consumers == provider.removed == []


def test_an_object_may_leave_and_come_again(manager: DependencyManager) -> None:
    """What has left is not remembered, and whatever comes again is resolved and told anew."""
    thing, need = Thing("a"), manager.add_dependency(Thing("x"))
    node = manager.add_dependency(thing)
    told: list[str] = []
    node.on_dependency_ready += lambda each: told.append(each.name)
    for _ in range(2):
        manager.add_dependency(node, need)
        assert not node.is_resolved
        manager.resolve_initial_states()
        assert node.is_ready
        manager.remove_dependency(node)
        assert not node.is_ready
    assert told == ["x", "x"]
    assert manager.as_dependency(thing) is not node
    assert manager.consumers_of(need) == []


def test_a_provider_may_resolve_while_it_is_asked(manager: DependencyManager) -> None:
    """Resolving within resolving resolves everything once."""
    provider = Provider(manager, path="r")

    class Eager:
        def add_consumer(self, resource_dependency: ResourceDependency) -> None:
            manager.resolve_initial_states()
            resource_dependency.on_resource_ready("eager")

    manager.resource_manager.register("eager", Eager())
    thing = Thing("a")
    for path in ("eager", "path"):
        manager.add_dependency(thing, path)
    manager.resolve_initial_states()
    assert manager.as_dependency(thing).is_ready
    assert len(provider.consumers) == 1


def test_a_removed_need_is_not_missed(manager: DependencyManager) -> None:
    """A consumer that no longer needs what it lost is ready again."""
    provider = Provider(manager, path="r")
    thing = Thing("a")
    consumer = manager.add_dependency(thing)
    manager.resolve_initial_states()
    dependency = manager.add_dependency(thing, "path")
    manager.resolve_initial_states()
    provider.consumers[0].on_resource_lost("x")
    assert not consumer.is_ready
    manager.remove_dependency(thing, dependency)
    assert consumer.is_ready
    with pytest.raises(errors.ResourceError, match="a does not need path"):
        manager.remove_dependency(thing, dependency)


def test_a_provider_that_speaks_to_what_has_left_disturbs_nobody(manager: DependencyManager) -> None:
    """A late delivery to a dependency that has left only reaches the dependency."""
    provider = Provider(manager, path=None)
    thing = Thing("a")
    dependency = manager.add_dependency(thing, "path")
    manager.resolve_initial_states()
    manager.remove_dependency(thing, dependency)
    provider.consumers[0].on_resource_ready("late")
    provider.consumers[0].on_resource_lost("late")
    assert not dependency.is_ready


# Questions


def test_what_is_waited_for_is_told_by_its_first_causes(manager: DependencyManager) -> None:
    """A person is told which services wait, and for what at the bottom of it, with the reason."""
    provider = Provider(manager, **{"amqp.connection.main": None, "pipeline.orders": None})
    pipeline, consumer = Thing("orders"), Thing("amqp consumer 'orders'")
    manager.add_dependency(pipeline, "amqp.connection.main")
    manager.add_dependency(consumer, pipeline)
    manager.add_dependency(Thing("ready"))
    manager.resolve_initial_states()
    assert manager.waiting() == [("amqp consumer 'orders'", ["amqp.connection.main"])]
    provider.consumers[0].on_resource_lost(ConnectionError("connection refused"))
    assert manager.missing(consumer) == ["amqp.connection.main (connection refused)"]
    provider.consumers[0].on_resource_ready("c")
    assert manager.waiting() == []


def test_the_graph_can_be_drawn(manager: DependencyManager) -> None:
    """The drawing shows who is ready, resolved and needed by whom."""
    Provider(manager, path="r")
    manager.add_dependency(Thing("a"), "path")
    manager.resolve_initial_states()
    manager.add_dependency(Thing('say "b"'))
    assert manager.get_dot().splitlines() == [
        "digraph dependencies {",
        "    rankdir=BT;",
        '    n0 [label="a", shape=ellipse, color=green];',
        '    n1 [label="path", shape=ellipse, color=green];',
        '    n2 [label="say \\"b\\"", shape=doublecircle, color=red];',
        "    n1 -> n0 [color=green, style=solid];",
        "}",
    ]


def test_what_is_missing_is_drawn_red_and_dotted(manager: DependencyManager) -> None:
    """One sees at a glance what holds up what."""
    Provider(manager, path=None)
    manager.add_dependency(Thing("a"), "path")
    manager.resolve_initial_states()
    dot = manager.get_dot()
    assert 'label="path", shape=ellipse, color=red' in dot
    assert "n1 -> n0 [color=red, style=dotted];" in dot


def test_names_of_things_without_a_name_are_their_short_text() -> None:
    """Whatever an object is, messages can call it something."""
    assert InstanceDependency([1, 2]).name == "[1, 2]"
    assert len(InstanceDependency(list(range(1000))).name) < 60
