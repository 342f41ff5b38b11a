"""Tests of names in a configuration that stand for nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest

from piped import ContextName, Problem, ProcessorPath, ResourcePath, provider
from piped.catalog.catalog import Catalog, ProviderEntry
from piped.catalog.houses import Closed
from piped.catalog.marking import mark_of
from piped.config.gathering import gather_text
from piped.ground.errors import Mark
from piped.ground.units import Located, PipelineName
from piped.pipelines.graph import Graph
from piped.runtime.unknown import means_pipeline, offered_resources, unknown_resources, unknown_sections

HERE = Mark("site.yml", 1, 1)


@provider("zoo.animals", dict[str, Any])
class Animals:
    """Offers what its section names."""

    prefixes = ("animal.",)

    @staticmethod
    def offers(options: dict[str, Any]) -> list[str]:
        return [f"animal.{name}" for name in options]


@provider("web", dict[str, Any])
class Web:
    """Offers nothing, and says so."""

    @staticmethod
    def offers(options: dict[str, Any]) -> list[str]:
        return []


@provider("secrets", dict[str, Any])
class Secretive:
    """Does not say what it offers."""


class Undeclared:
    """A provider in the manner of Piped 0.7, which may read any section."""


def entry_of(cls: Any) -> ProviderEntry:
    mark: Any = mark_of(cls)
    return ProviderEntry(None, Any, cls) if mark is None else ProviderEntry(mark.section, mark.shape, cls)


def catalog_of(*classes: Any) -> Catalog:
    catalog = Catalog()
    catalog.providers += map(entry_of, classes)
    return catalog


# Sections


def told_of(text: str, *classes: Any, used: Collection[str] = (), closed: Collection[Closed] = ()) -> list[Problem]:
    catalog = catalog_of(*(classes or (Animals, Web)))
    catalog.closed += closed
    root = gather_text(text, "site.yml", environ={}).root
    return list(unknown_sections(root, catalog, {"includes", "drain", "service_name"}, used))


@pytest.mark.parametrize(
    "text", ["web: {}", "includes: []\ndrain: 5", "x-mine: 5\nx-web: 5", "zoo: {animals: {}}", "zoo:", "{}"]
)
def test_what_somebody_reads_is_no_mistake(text: str) -> None:
    """Sections of providers and of the framework, and those beginning with x-, which are free for users."""
    assert told_of(text) == []


def test_a_slip_of_the_pen_is_a_mistake() -> None:
    """A section that looks like one that is read keeps the configuration from running."""
    [problem] = told_of("web: {}\nwebb: {}")
    assert str(problem) == "site.yml:2:1: unknown section 'webb' – did you mean 'web'?"
    assert not problem.is_warning


@pytest.mark.parametrize("name", ["twitter", "services", "wb-x"])
def test_what_looks_like_nothing_known_is_a_warning(name: str) -> None:
    """It may be what a component reads while it is configured; the warning says how to silence it."""
    [problem] = told_of(f"{name}: {{}}")
    assert str(problem).startswith(
        f"site.yml:1:1: warning: nothing reads the section '{name}' – remove it, or call it x-"
    )


def test_what_an_alias_or_include_has_read_is_no_mistake() -> None:
    """Not even where it looks like a slip."""
    assert told_of("webs: {a: 5}", used={"webs"}) == []


def test_a_provider_without_a_section_may_read_any() -> None:
    """Then only slips of the pen are told, also below a section."""
    told = told_of("twitter: {}\nwebb: {}\nzoo: {plants: 1, animal: 2}", Animals, Web, Undeclared)
    assert [problem.what for problem in told] == ["unknown section 'webb'", "zoo has no section 'animal'"]


def test_what_stands_beside_the_parts_of_a_section_is_told() -> None:
    """`zoo` is known because `zoo.animals` is; nothing else may stand in it."""
    [problem] = told_of("zoo: {animals: {}, animls: {}}")
    assert str(problem) == "site.yml:1:20: zoo has no section 'animls' – did you mean 'animals'?"


def test_a_section_of_parts_must_be_a_mapping() -> None:
    """Otherwise nothing would be read of it, and nobody would know."""
    [problem] = told_of("zoo: [animals]")
    assert str(problem) == "site.yml:1:6: zoo must be a mapping, not a list – it may have: animals"


def test_the_section_of_a_closed_house_says_what_to_install() -> None:
    """It is not unknown: its library is missing."""
    closed = Closed("piped_zmq", ("zmq",), needs=("zmq",), install="pip install 'piped[zmq]'")
    [problem] = told_of("zmq: {queues: {}}", closed=[closed])
    assert str(problem).startswith("site.yml:1:1: the section 'zmq' cannot be used: ")
    assert problem.fix == "pip install 'piped[zmq]'"


# Resources


def unknown(
    *references: Located,
    options: dict[Any, Any] | None = None,
    graphs: Collection[str] = (),
    catalog: Catalog | None = None,
    besides: Collection[str] = (),
) -> list[str]:
    """What is told of references, where `options` are the sections of providers that are used."""
    catalog = catalog or catalog_of(Animals, Web)
    used = {entry: options[entry.factory] for entry in catalog.providers if options and entry.factory in options}
    offered = {*besides, *offered_resources(used)}
    made = {name: Graph(name, []) for name in graphs}
    return [str(problem) for problem in unknown_resources(references, used, offered, catalog, made)]


def test_what_is_offered_is_known() -> None:
    """By a provider, or by whoever registers it besides."""
    paths = [ResourcePath("animal.cat", HERE), ProcessorPath("outside", HERE)]
    assert unknown(*paths, options={Animals: {"cat": 1}}, besides=["outside"]) == []


@pytest.mark.parametrize("path", ["animal.cta", "nobody.knows"])
def test_what_nobody_offers_is_told(path: str) -> None:
    """When all providers say what they offer, everything else is a mistake."""
    [told] = unknown(ResourcePath(path, HERE), options={Animals: {"cat": 1}, Web: {}})
    assert told.startswith(f"site.yml:1:1: there is no '{path}'")


def test_the_closest_name_is_offered_as_it_would_be_written() -> None:
    """Without what stands before the name in the whole path."""

    class AnimalName(ResourcePath):
        prefix = "animal."

    [told] = unknown(AnimalName("cta", HERE), options={Animals: {"cat": 1, "horse": 2}})
    assert told == "site.yml:1:1: there is no 'animal.cta' – did you mean 'cat'?"


def test_a_processor_is_a_pipeline_by_its_path_or_its_bare_name() -> None:
    """Dots in a name are part of it, and `-` may stand for `_`."""
    names = ["a_b", "pipeline.a_b", "a-b", "pipeline.a-b", "web.hello", "pipeline.web.hello"]
    assert unknown(*(ProcessorPath(name, HERE) for name in names), graphs=["a_b", "web.hello"]) == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [("web.helo", "web.hello"), ("man", "main"), ("pipeline.man", "pipeline.main")],
)
def test_a_wrong_processor_is_told_with_the_closest_pipeline(written: str, meant: str) -> None:
    """Bare or with its prefix, as it was written."""
    [told] = unknown(ProcessorPath(written, HERE), graphs=["main", "web.hello"])
    assert told.endswith(f"did you mean '{meant}'?")


def test_the_bare_name_of_a_pipeline_means_it_only_as_a_processor() -> None:
    """A context is not there because a pipeline has its name."""
    assert unknown(ContextName("a", HERE), graphs=["context.a"]) != []
    assert unknown(ResourcePath("main", HERE), graphs=["main"]) != []
    assert unknown(ResourcePath("pipeline.main", HERE), graphs=["main"]) == []


def test_what_is_no_resource_is_left_to_others() -> None:
    """Names of pipelines are looked up where pipelines are compiled."""
    assert unknown(PipelineName("nobody", HERE)) == []


def test_a_section_with_a_problem_has_no_followers() -> None:
    """What it would have offered is not told as missing; everything else is, so that one round is enough."""
    references = [ResourcePath("animal.cat", HERE), ResourcePath("nobody.knows", HERE)]
    [told] = unknown(*references, options={Animals: None})
    assert "nobody.knows" in told


def test_a_provider_without_prefixes_whose_section_has_a_problem_might_offer_anything() -> None:
    """Nothing is told as missing then, but what another provider owns."""
    references = [ResourcePath("nobody.knows", HERE), ResourcePath("animal.cat", HERE)]
    [told] = unknown(*references, options={Web: None})
    assert "animal.cat" in told


@pytest.mark.parametrize(("cls", "options"), [(Secretive, {Secretive: {}}), (Undeclared, {})])
def test_a_provider_that_does_not_say_what_it_offers_might_offer_anything(cls: Any, options: dict[Any, Any]) -> None:
    """Only what another provider owns is told then."""
    references = [ResourcePath("anything.at.all", HERE), ResourcePath("animal.cat", HERE)]
    [told] = unknown(*references, options=options, catalog=catalog_of(Animals, cls))
    assert "animal.cat" in told


def test_a_provider_that_is_not_used_offers_nothing() -> None:
    """That a provider exists which does not say what it offers is no excuse while its section is missing."""
    assert unknown(ResourcePath("anything", HERE), catalog=catalog_of(Secretive)) != []


@pytest.mark.parametrize(
    ("path", "meant"),
    [("a_b", "a_b"), ("pipeline.a_b", "a_b"), ("pipeline.a-b", "a_b"), ("a", None), ("context.a_b", None)],
)
def test_what_a_processor_means(path: str, meant: str | None) -> None:
    """A path or a bare name; nothing else."""
    graphs = {"a_b": Graph("a_b", [])}
    find: Callable[..., str | None] = means_pipeline
    assert find(path, graphs) == meant
