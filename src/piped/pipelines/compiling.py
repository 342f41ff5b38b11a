"""Compiles the section `pipelines`: every pipeline becomes a graph of made processors, or its mistakes are told."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from itertools import count
from typing import Any

from piped.catalog.catalog import Catalog, ProcessorEntry
from piped.config.nodes import Node
from piped.ground.errors import ConfigurationError, Mark, Problem
from piped.ground.units import Located, PipelineName
from piped.pipelines.circles import circle_problems, in_order_of_need
from piped.pipelines.definitions import Definition, Element, Kind
from piped.pipelines.elements import RESERVED
from piped.pipelines.graph import Graph
from piped.pipelines.linking import link, unknown_pipeline
from piped.pipelines.names import absolute, find_pipeline
from piped.pipelines.notation import read_pipelines
from piped.pipelines.processor import FunctionProcessor, Processor
from piped.spec.checking import Checker

#: An option of every step, whether its processor declares it or not.
_NODE_NAME = "node_name"


def compile_pipelines(section: Node | None, catalog: Catalog, checker: Checker) -> dict[str, Graph]:
    """All pipelines by name, in the order in which they are written; their processors are made, none is configured.

    Every mistake goes to `checker.problems`. A processor that could not be made is stood in for by a bare one, so
    that a graph has its shape even then.
    """
    if section is None:
        return {}
    definitions, malformed = read_pipelines(section, checker.filled)
    linked, unlinked = link(definitions)
    checker.problems += malformed + unlinked
    compiler = _Compiler(catalog, checker, linked)
    graphs = {name: compiler.graph(definition) for name, definition in linked.items()}
    checker.problems += compiler.circles()
    return graphs


class _Compiler:
    def __init__(self, catalog: Catalog, checker: Checker, known: Collection[str]) -> None:
        self.catalog, self.checker, self.known = catalog, checker, known
        #: For each pipeline those that its steps run, and where they say so.
        self.calls: dict[str, dict[str, Mark | None]] = {name: {} for name in known}

    def graph(self, definition: Definition) -> Graph:
        made: dict[int, Processor] = {}
        for index, element in enumerate(definition.elements):
            if element.kind is Kind.PROCESSOR:
                made[index] = self._step(element, definition.name)

        def steps(edges: Iterable[int]) -> list[Processor]:
            return [made[index] for edge in edges if (index := definition.processor_at(edge)) is not None]

        for index, step in made.items():
            step.consumers = steps(definition.elements[index].consumers)
            step.error_consumers = steps(definition.elements[index].error_consumers)
        graph = Graph(definition.name, steps(definition.sources), definition.where)
        _give_ids(graph, {step: definition.elements[index] for index, step in made.items()})
        return graph

    def circles(self) -> list[Problem]:
        """Pipelines that wait for each other, so that none of them could ever become ready."""
        what, fix = "pipelines run each other in a circle", "take one of these steps out, or loop inside one pipeline"
        return circle_problems(in_order_of_need(self.calls)[1], self.calls, what, fix)

    def _step(self, element: Element, inside: str) -> Processor:
        """The made processor of an element, or a bare one in its place."""
        met = len(self.checker.references)
        step = self._made(element)
        if step is None:
            step = Processor(node_name=str(element.name))
        step.pipeline_name, step.where = inside, element.where
        step.calls = tuple(self._called(self.checker.references[met:], inside))
        return step

    def _made(self, element: Element) -> Processor | None:
        name = str(element.name)
        entry = self.catalog.find_processor(name)
        if entry is None:
            self._problem(f"unknown processor {name!r}", element.where, self.catalog.advice(name))
            return None
        ours = self._own_options(entry, element)
        is_node_name_ours = _NODE_NAME in ours
        options = self.checker.options(entry.spec, element.options, owner=name, where=element.where, ignore=ours)
        if options is None:
            return None
        step = self._constructed(entry, options, element.where)
        if step is not None and is_node_name_ours:
            step.node_name = self.checker.value(str | None, ours[_NODE_NAME], owner=f"option {_NODE_NAME!r} of {name}")
        return step

    def _own_options(self, entry: ProcessorEntry, element: Element) -> dict[str, Node]:
        """The options that are not the processor's: a universal one, and slips of the words of the notation."""
        given: dict[str, Node] = element.options.value if element.options is not None else {}
        ours = {}
        for key, node in given.items():
            if key in entry.spec.by_name:
                continue
            if key == _NODE_NAME:
                ours[key] = node
            elif not entry.spec.takes_any and (close := get_close_matches(key, RESERVED, n=1, cutoff=0.8)):
                ours[key] = node
                self._problem(f"{element.name} has no option {key!r}", node.named_at, f"did you mean {close[0]!r}?")
        return ours

    def _constructed(self, entry: ProcessorEntry, options: dict[str, Any], where: Mark) -> Processor | None:
        """The new processor; whatever its constructor raises is told at the step."""
        try:
            step: Processor = (
                FunctionProcessor(entry.factory, options) if entry.is_function else entry.factory(**options)
            )
        except ConfigurationError as error:
            self.checker.problems += error.problems or [_told(entry.name, error, where)]
            return None
        except Exception as error:
            what = f"{entry.name!r} cannot be made: {type(error).__name__}: {error}"
            self._problem(what, where, f"its constructor raised this ({entry.origin})")
            return None
        if not hasattr(step, "consumers"):
            what = f"{entry.name!r} is no complete processor: its constructor does not call the one of its base"
            self._problem(what, where, f"write 'super().__init__(**options)' in it ({entry.origin})")
            return None
        return step

    def _called(self, references: Iterable[Located], inside: str) -> Iterable[str]:
        """The pipelines that a step's options name, each once; a name that means none is a Problem."""
        calls: dict[str, None] = {}
        for reference in references:
            if not isinstance(reference, PipelineName):
                continue
            name = find_pipeline(absolute(reference, inside), self.known)
            if name is None:
                self.checker.problems.append(unknown_pipeline(reference, inside, self.known))
            else:
                calls[name] = None
                self.calls[inside][name] = reference.where
        return calls

    def _problem(self, what: str, where: Mark, fix: str) -> None:
        self.checker.problems.append(Problem(what, where, fix))


def _told(name: str, error: ConfigurationError, where: Mark) -> Problem:
    detail = f" ({error.detail})" if error.detail else ""
    who = "" if error.msg.startswith(f"{name} ") else f"{name}: "
    return Problem(f"{who}{error.msg}{detail}", where, error.hint)


def _give_ids(graph: Graph, elements: dict[Processor, Element]) -> None:
    """Name every step: by its own id, or by its processor and a number that counts in the order of the graph.

    Where pipelines that were copied in bring the same id, the first element of that id keeps it; a number is
    appended to those of the others.
    """
    owners: dict[str, Processor] = {}
    for step, element in elements.items():
        if element.id is not None:
            owners.setdefault(element.id, step)
    taken = set(owners)
    numbers: dict[tuple[str, bool], Iterator[int]] = {}
    for step in graph:
        given = elements[step].id
        if given is not None and owners[given] is step:
            step.id = str(given)
            continue
        name = given or elements[step].name
        free = numbers.setdefault((name, given is None), count(1 if given is None else 2))
        step.id = next(id for number in free if (id := f"{name}-{number}") not in taken)
        taken.add(step.id)
