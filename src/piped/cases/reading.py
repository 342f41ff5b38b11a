"""Reading: the section `tests` of a configuration, checked against the pipelines and steps that there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from piped import Problem, Processor, did_you_mean
from piped.cases.notation import Case
from piped.config.nodes import Node
from piped.ground.errors import in_order
from piped.pipelines.names import find_pipeline
from piped.pipelines.processor import FunctionProcessor
from piped.runtime.assembly import TESTS, Assembly
from piped.spec.checking import Checker


def read_cases(assembly: Assembly) -> tuple[list[Case], list[Problem]]:
    """The cases of a configuration, and everything that is wrong with them."""
    section = assembly.document.node(TESTS)
    checker = Checker(assembly.document.environ)
    if section is None or not section.is_list:
        if section is not None:
            checker.value(list[Case], section, owner=TESTS)
        return [], checker.problems
    read = (checker.value(Case, node, owner=_called(node, number)) for number, node in enumerate(section.value, 1))
    cases = [case for case in read if case is not None]
    problems = [*checker.problems, *_same_names(cases)]
    problems += chain.from_iterable(_problems_of(case, assembly) for case in cases)
    return cases, in_order(problems)


def _called(node: Node, number: int) -> str:
    """How messages call a case."""
    name = node.at(("name",))
    return f"the test {name.value!r}" if name is not None and isinstance(name.value, str) else f"test {number}"


def _same_names(cases: Sequence[Case]) -> Iterator[Problem]:
    first: dict[str, Case] = {}
    for case in cases:
        if (other := first.setdefault(case.name, case)) is not case:
            what = f"two tests are called {str(case.name)!r}; the first is at {other.name.where}"
            yield Problem(what, case.name.where, "give each a name of its own")


def _problems_of(case: Case, assembly: Assembly) -> Iterator[Problem]:
    """What the names in a case stand for, where that is nothing."""
    own = find_pipeline(case.pipeline, assembly.graphs)
    named = [case.pipeline, *(stand_in.pipeline for stand_in in case.resources.values() if stand_in.pipeline)]
    for name in named:
        if find_pipeline(name, assembly.graphs) is None:
            yield Problem(f"there is no pipeline {str(name)!r}", name.where, _advice(name, assembly))
    for path in case.resources:
        if own is not None and path in (f"pipeline.{case.pipeline}", f"pipeline.{own}"):
            yield Problem(f"{str(path)!r} is what is tested", path.where, "stand in for what it needs")
    for step in case.processors:
        if own is not None and not steps_named(step, own, assembly):
            what = f"no step and no processor used here is called {str(step)!r}"
            yield Problem(what, step.where, did_you_mean(step, _names_of_steps(own, assembly)))


def _advice(name: str, assembly: Assembly) -> str:
    return did_you_mean(name, assembly.graphs) or "does this file include the configuration that it tests?"


def steps_named(name: str, pipeline: str, assembly: Assembly) -> list[Processor]:
    """The steps that a stand-in of a case is for: the meaning that is nearest to the pipeline wins.

    Args:
        name: the id or node_name of a step, after the name of its pipeline and a dot if that is another one, for that
            step wherever its pipeline is inlined; or the name of a processor, for all the steps that it makes.
        pipeline: which the case tests.
    """
    if found := [step for step in assembly.graphs[pipeline] if name in _labels(step)]:
        return found
    steps = [step for graph in assembly.graphs.values() for step in graph]
    if found := [step for step in steps if name in (f"{step.pipeline_name}.{label}" for label in _labels(step))]:
        written = {step.where for step in found if step.where is not None}
        return found + [step for step in steps if step.where in written and step not in found]
    entry = assembly.catalog.processors.get(name)
    return [step for step in steps if entry is not None and _factory_of(step) is entry.factory]


def _labels(step: Processor) -> set[str]:
    return {step.id, step.node_name or step.id}


def _factory_of(step: Processor) -> object:
    return step.function if isinstance(step, FunctionProcessor) else type(step)


def _names_of_steps(pipeline: str, assembly: Assembly) -> Iterator[str]:
    """Everything that a stand-in may be called."""
    steps = [step for graph in assembly.graphs.values() for step in graph]
    used = {_factory_of(step) for step in steps}
    for step in assembly.graphs[pipeline]:
        yield from _labels(step)
    for step in steps:
        yield from (f"{step.pipeline_name}.{label}" for label in _labels(step))
    yield from (name for name, entry in assembly.catalog.processors.items() if entry.factory in used)
