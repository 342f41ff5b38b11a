"""Names in a configuration that stand for nothing: sections that nobody reads, resources that nobody offers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from piped.catalog.catalog import Catalog, ProviderEntry
from piped.config.nodes import Node, kind_of
from piped.ground.errors import Problem, did_you_mean
from piped.ground.units import Located, ProcessorPath, ResourcePath
from piped.pipelines.graph import Graph
from piped.pipelines.names import find_pipeline


def unknown_sections(
    root: Node, catalog: Catalog, framework: Collection[str], used: Collection[str]
) -> Iterator[Problem]:
    """Keys that nobody reads: a mistake when it looks like a slip of the pen, else a warning.

    Args:
        framework: the top-level keys that the framework itself reads.
        used: those that aliases and includes have read.
    """
    closed = {section: house for house in catalog.closed for section in house.sections}
    read = {entry.section for entry in catalog.providers if entry.section} | set(framework)
    known = catalog.sections() | set(framework)
    # A provider that declares no section may read any.
    is_all_declared = all(entry.section is not None for entry in catalog.providers)
    for key, node in root.value.items():
        if key in closed:
            house = closed[key]
            yield Problem(f"the section {key!r} cannot be used: {house.why}", node.key_where, house.install)
        elif key in known:
            yield from _unknown_parts(key, node, read, is_all_declared)
        elif key.startswith("x-") or key in used:
            continue
        elif _looks_like_a_slip(key, known):
            yield Problem(f"unknown section {key!r}", node.key_where, did_you_mean(key, known))
        elif is_all_declared:
            fix = "remove it, or call it x-… if it is your own"
            yield Problem(f"nothing reads the section {key!r}", node.key_where, fix, is_warning=True)


def _unknown_parts(path: str, node: Node, read: Collection[str], is_all_declared: bool) -> Iterator[Problem]:
    """Keys between a top-level section and the sections that providers read below it."""
    if path in read or node.value is None:
        return
    parts = {section[len(path) + 1 :].split(".")[0] for section in read if section.startswith(path + ".")}
    if not node.is_mapping:
        what = f"{path} must be a mapping, not {kind_of(node)}"
        yield Problem(what, node.where, f"it may have: {', '.join(sorted(parts))}")
        return
    for key, member in node.value.items():
        if key in parts:
            yield from _unknown_parts(f"{path}.{key}", member, read, is_all_declared)
        elif is_all_declared or _looks_like_a_slip(key, parts):
            yield Problem(f"{path} has no section {key!r}", member.key_where, did_you_mean(key, parts))


def _looks_like_a_slip(key: str, known: Collection[str]) -> bool:
    # Closer than for advice: it keeps a configuration from running, and somebody's code may read the key.
    return bool(get_close_matches(key, known, n=1, cutoff=0.75))


def unknown_resources(
    references: Iterable[Located],
    options: Mapping[ProviderEntry, Any],
    offered: Collection[str],
    catalog: Catalog,
    graphs: Mapping[str, Graph],
) -> Iterator[Problem]:
    """Resource paths that nobody will provide, as far as providers say what they offer.

    Args:
        options: the checked section of each provider that is used; None for one that has a Problem.
        offered: the paths that there will be.
    """
    owned = _prefixes(catalog.providers)
    broken = _prefixes(entry for entry, value in options.items() if value is None)
    is_all_said = all(_says_what_it_offers(entry, options) for entry in catalog.providers)
    for reference in references:
        if not isinstance(reference, ResourcePath):
            continue
        path = reference.prefix + reference
        # Other components ask for the path as it is written.
        may_be_bare = isinstance(reference, ProcessorPath) or path.startswith("pipeline.")
        if path in offered or path.startswith(broken):
            continue
        if may_be_bare and means_pipeline(path, graphs) is not None:
            continue
        if is_all_said or path.startswith(owned):
            yield Problem(f"there is no {path!r}", reference.where, _advice(reference, offered, graphs))


def _advice(reference: ResourcePath, offered: Collection[str], graphs: Mapping[str, Graph]) -> str:
    """What may have been meant, as it would be written there."""
    names = {known.removeprefix(reference.prefix) for known in offered if known.startswith(reference.prefix)}
    if isinstance(reference, ProcessorPath):
        prefix = "pipeline." if reference.startswith("pipeline.") else ""
        names = {f"{prefix}{name}" for name in graphs} | {name for name in names if not name.startswith("pipeline")}
    return did_you_mean(reference, names)


def _says_what_it_offers(entry: ProviderEntry, options: Mapping[ProviderEntry, Any]) -> bool:
    """Whether what a provider will offer is known; one of which it is not might offer anything."""
    if entry.section is not None and entry not in options:
        return True  # it is not used
    # With a Problem in its section it is known as far as the prefixes go.
    is_broken = entry in options and options[entry] is None
    return hasattr(entry.factory, "prefixes" if is_broken else "offers")


def _prefixes(entries: Iterable[ProviderEntry]) -> tuple[str, ...]:
    return tuple(prefix for entry in entries for prefix in getattr(entry.factory, "prefixes", ()))


def offered_resources(options: Mapping[ProviderEntry, Any]) -> Iterator[str]:
    """The resource paths that providers say they will offer.

    Args:
        options: the checked section of each provider that is used; None for one that has a Problem.
    """
    for entry, value in options.items():
        if value is not None and (offers := getattr(entry.factory, "offers", None)):
            yield from offers(value)


def means_pipeline(path: str, graphs: Mapping[str, Graph]) -> str | None:
    """The pipeline that a `processor:` means: by its resource path, or by its bare name."""
    return find_pipeline(path.removeprefix("pipeline."), graphs)
