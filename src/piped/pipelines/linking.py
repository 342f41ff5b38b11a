"""Links definitions: ids are looked up, inlined pipelines copied in, parents inherited from."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from piped.config.nodes import IN_PYTHON
from piped.ground.errors import Mark, Problem, did_you_mean
from piped.ground.units import Located
from piped.pipelines.circles import circle_problems, in_order_of_need
from piped.pipelines.definitions import Definition, Element, Kind
from piped.pipelines.names import absolute, find_pipeline

Definitions = Mapping[str, Definition]
_LOOPS = "a loop is written inside one pipeline, with 'id' and 'existing'"
MOST_STEPS = 100_000  # of one pipeline: who inlines a pipeline twice, and that one twice, soon fills the memory


def link(definitions: Definitions) -> tuple[dict[str, Definition], list[Problem]]:
    """The same pipelines made of processors only, each as whole as its mistakes allow, and those mistakes.

    What is left of the elements `existing` has its target. Root error consumers stand at each source. The order of
    the pipelines is kept.
    """
    problems: list[Problem] = []
    targets = {name: dict(_targets(definition, definitions, problems)) for name, definition in definitions.items()}
    needs = {name: _places(definitions[name], targets[name]) for name in definitions}
    order, circles = in_order_of_need(needs)
    problems += circle_problems(circles, needs, "pipelines are made of each other in a circle", _LOOPS)
    linked: dict[str, Definition] = {}
    for name in order:
        definition = definitions[name]
        others = {written: linked[target] for written, target in targets[name].items() if target in linked}
        if definition.inherits is None:
            own = _with_guarded_sources(_with_existing(definition, problems))
            linked[name] = _with_copies(own, others, problems)
        else:
            linked[name] = _with_overrides(definition, others.get(definition.inherits), problems)
    return {name: linked[name] for name in definitions}, problems


def _references(definition: Definition) -> list[Located]:
    """The names of other pipelines, as they are written."""
    parent = [definition.inherits] if definition.inherits is not None else []
    return parent + [element.name for element in definition.elements if element.kind is Kind.INLINE]


def _targets(definition: Definition, known: Definitions, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    """For each name of another pipeline, as it is written, the absolute one."""
    for written in _references(definition):
        name = absolute(written, definition.name)
        target = find_pipeline(name, known)
        if target is not None:
            yield written, target
        else:
            problems.append(unknown_pipeline(written, definition.name, known))


def unknown_pipeline(written: Located, inside: str, known: Iterable[str]) -> Problem:
    """The Problem of a name that means no pipeline."""
    name = absolute(written, inside)
    relative = f" (that is {name!r})" if name != written else ""
    return Problem(f"there is no pipeline {written!r}{relative}", written.where, did_you_mean(name, known))


def _places(definition: Definition, targets: Mapping[str, str]) -> dict[str, Mark | None]:
    """Where each other pipeline is named."""
    return {targets[written]: written.where for written in _references(definition) if written in targets}


def _with_existing(definition: Definition, problems: list[Problem]) -> Definition:
    """Give every element `existing` its target; an id that is not there is a Problem, as is one given twice."""
    ids: dict[Located, int] = {}
    for index, element in enumerate(definition.elements):
        if element.id is None:
            continue
        if element.id in ids:
            given = next(id for id in ids if id == element.id)
            problems.append(_id_given_twice(given, element.id, definition.name))
        ids.setdefault(element.id, index)
    elements = list(definition.elements)
    for index, element in enumerate(elements):
        if element.kind is Kind.EXISTING:
            elements[index] = replace(element, target=ids.get(element.name))
            if element.name not in ids:
                what = f"pipeline {definition.name!r} has no processor with the id {element.name!r}"
                fix = did_you_mean(element.name, ids) or "give the processor that is meant an 'id'"
                problems.append(Problem(what, element.where, fix))
    return replace(definition, elements=tuple(elements))


def _id_given_twice(one: Located, other: Located, pipeline: str) -> Problem:
    first, second = sorted((one, other), key=lambda id: id.where or IN_PYTHON)
    what = f"the id {second!r} is given twice in pipeline {pipeline!r} (also at {first.where})"
    return Problem(what, second.where, "choose another one")


def _with_guarded_sources(definition: Definition) -> Definition:
    """Append the pipeline's own error consumers to those of each source."""
    if not definition.error_consumers:
        return definition
    elements = list(definition.elements)
    for index in _processors_at(definition, definition.sources):
        guards = elements[index].error_consumers + definition.error_consumers
        elements[index] = replace(elements[index], error_consumers=guards)
    return replace(definition, elements=tuple(elements), error_consumers=())


def _processors_at(definition: Definition, edges: Iterable[int]) -> list[int]:
    """The processors that edges lead to, each once."""
    found = dict.fromkeys(definition.processor_at(index) for index in edges)
    return [index for index in found if index is not None]


def _with_copies(definition: Definition, others: Definitions, problems: list[Problem]) -> Definition:
    """Put a copy of its target in the place of each inlined pipeline."""
    if all(element.kind is Kind.PROCESSOR for element in definition.elements):
        return definition
    # What an edge to an element leads to in the new table: the processor itself, or the sources of the copy.
    entries: dict[int, tuple[int, ...]] = {}
    kept: list[Element] = []
    for index, element in enumerate(definition.elements):
        is_kept = element.kind is not Kind.INLINE and definition.processor_at(index) is not None
        entries[index] = (len(kept),) if is_kept else ()
        kept += [element] if is_kept else []
    copies: list[tuple[Element, Definition, int]] = []
    size = len(kept)
    for index, element in enumerate(definition.elements):
        if element.kind is Kind.INLINE and (inner := others.get(element.name)) is not None:
            if size + len(inner.elements) > MOST_STEPS:
                what = f"pipeline {definition.name!r} gets more than {MOST_STEPS:,} steps by inlining {element.name!r}"
                problems.append(Problem(what, element.where, "share it with run-pipeline instead of copying it"))
                continue
            entries[index] = _moved(inner.sources, size)
            copies.append((element, inner, size))
            size += len(inner.elements)

    def follow(edges: Iterable[int]) -> tuple[int, ...]:
        return tuple(entry for index in edges for entry in entries[index])

    def followed(element: Element) -> Element:
        target = None if element.target is None else entries[element.target][0]
        consumers, error_consumers = follow(element.consumers), follow(element.error_consumers)
        return replace(element, consumers=consumers, error_consumers=error_consumers, target=target)

    table = [followed(element) for element in kept]
    for element, inner, offset in copies:
        table += _copied(inner, offset, followed(element), problems)
    return replace(definition, elements=tuple(table), sources=follow(definition.sources))


def _copied(inner: Definition, offset: int, reference: Element, problems: list[Problem]) -> Iterator[Element]:
    """The elements of a copy: what follows the reference follows every end, what guards it guards every source."""
    guarded = set(_processors_at(inner, inner.sources))
    ends = {index for index, element in enumerate(inner.elements) if _is_end(element)}
    if inner.elements and reference.consumers and not ends:
        what = f"what follows 'inline-pipeline: {reference.name}' is never reached: all its branches loop"
        problems.append(Problem(what, reference.where, "give one of its processors another branch"))
    for index, element in enumerate(inner.elements):
        consumers = reference.consumers if index in ends else _moved(element.consumers, offset)
        guards = reference.error_consumers if index in guarded else ()
        yield replace(
            element,
            consumers=consumers,
            error_consumers=_moved(element.error_consumers, offset) + guards,
            target=None if element.target is None else element.target + offset,
        )


def _is_end(element: Element) -> bool:
    return element.kind is Kind.PROCESSOR and not element.consumers


def _moved(edges: Iterable[int], offset: int) -> tuple[int, ...]:
    return tuple(index + offset for index in edges)


def _with_overrides(definition: Definition, parent: Definition | None, problems: list[Problem]) -> Definition:
    """The parent's elements with the overrides applied: a queue, whose head meets the first processor of its name."""
    if parent is None:
        return definition
    elements = list(parent.elements)
    ids = {element.id: element.id for element in elements if element.id is not None}
    waiting = deque(definition.overrides)
    order = list(_order_of_overriding(parent))
    for index in order:
        if waiting and elements[index].name == waiting[0].name:
            override = waiting.popleft()
            if override.id is not None and override.id != elements[index].id and override.id in ids:
                problems.append(_id_given_twice(override.id, ids[override.id], definition.name))
            id = override.id or elements[index].id
            ids.update({id: id} if id is not None else {})
            elements[index] = replace(elements[index], options=override.options, where=override.where, id=id)
    names = ", ".join(elements[index].name for index in order)
    for override in waiting:
        what = f"the override of {override.name!r} meets no processor of {parent.name!r}"
        fix = f"overrides meet its processors in this order: {names}"
        problems.append(Problem(what, override.where, fix))
    return replace(definition, elements=tuple(elements), sources=parent.sources)


def _order_of_overriding(definition: Definition) -> Iterator[int]:
    """Processors depth first: error consumers before consumers, the last one first, but sources in their order.

    Source: the behaviour of Piped 0.7, which configurations with several overrides of one name rely on.
    """
    seen: set[int] = set()
    todo = list(reversed(definition.sources))
    while todo:
        index = todo.pop()
        element = definition.elements[index]
        if index not in seen and element.kind is Kind.PROCESSOR:
            seen.add(index)
            yield index
            todo += element.consumers + element.error_consumers
