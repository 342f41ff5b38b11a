"""Inlined, inherited and referenced processors stand where a person would have written them by hand."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piped.config import reading
from piped.config.nodes import node_of
from piped.ground.errors import Problem
from piped.pipelines.definitions import Definition, Kind
from piped.pipelines.linking import link
from piped.pipelines.notation import read_pipelines


def linked(text: str) -> tuple[dict[str, Definition], list[Problem]]:
    definitions, malformed = read_pipelines(reading.read(text, "site.yml", {}).root)
    assert malformed == []
    return link(definitions)


def linked_well(text: str, name: str) -> list[str]:
    definitions, problems = linked(text)
    assert problems == []
    return drawn(definitions[name])


def told(text: str) -> list[str]:
    return [str(problem) for problem in linked(text)[1]]


def drawn(definition: Definition) -> list[str]:
    """All edges, depth first: `>a` is a source, `a→b` a consumer, `a!b` an error consumer; a second `a` is `a'`."""
    titles: dict[int, str] = {}

    def title(edge: int) -> tuple[int, str]:
        index = definition.processor_at(edge)
        assert index is not None
        name = str(definition.elements[index].name)
        if index not in titles:
            titles[index] = name + "'" * sum(other.rstrip("'") == name for other in titles.values())
        return index, titles[index]

    lines: list[str] = []
    todo: list[int] = []
    for source in definition.sources:
        index, name = title(source)
        lines.append(f">{name}")
        todo.insert(0, index)
    seen: set[int] = set()
    while todo:
        index = todo.pop()
        if index in seen:
            continue
        seen.add(index)
        element = definition.elements[index]
        assert element.kind is Kind.PROCESSOR
        below = [("→", edge) for edge in element.consumers] + [("!", edge) for edge in element.error_consumers]
        ends = [(mark, *title(edge)) for mark, edge in below]
        lines += [f"{titles[index]}{mark}{name}" for mark, _, name in ends]
        todo += [end for _, end, _ in reversed(ends)]
    return lines


def test_an_inlined_pipeline_stands_in_the_chain():
    """What is written before an inlined pipeline leads into it, and what is written after it follows it."""
    text = "ns: {outer: [first, inline-pipeline: .inner, last], inner: [x, y]}"
    assert linked_well(text, "ns.outer") == [">first", "first→x", "x→y", "y→last"]
    assert linked_well(text, "ns.inner") == [">x", "x→y"]


def test_what_follows_is_attached_to_every_end():
    """An inlined pipeline with several ends sends a baton from each of them to the same follower."""
    text = "outer: [{inline-pipeline: inner}, last, end]\ninner: [a: {consumers: [b, c]}]"
    assert linked_well(text, "outer") == [">a", "a→b", "a→c", "b→last", "last→end", "c→last"]


def test_an_end_with_error_consumers_is_an_end():
    """What follows runs after success as well as after a handled error."""
    text = "outer: [{inline-pipeline: inner}, last]\ninner: [a: {error_consumers: [e: {error_consumers: [f]}]}]"
    assert linked_well(text, "outer") == [">a", "a→last", "a!e", "e→last", "e!f", "f→last"]


def test_an_inlined_pipeline_below_error_consumers():
    """An error consumer may be a pipeline that is copied in, at any depth."""
    text = "outer: [a: {chained_error_consumers: [inline-pipeline: i, e]}]\ni: [x, {inline-pipeline: j}]\nj: [y, z]"
    assert linked_well(text, "outer") == [">a", "a!x", "x→y", "y→z", "z→e"]


def test_guards_of_an_inlined_pipeline():
    """The reference's error consumers come after those of each source of the copy, and guard nothing else."""
    text = (
        "outer: [{inline-pipeline: i, error_consumers: [o]}]\n"
        "i: {consumers: [a: {error_consumers: [b]}, c], error_consumers: [d]}"
    )
    assert linked_well(text, "outer") == [">a", ">c", "a!b", "a!d", "a!o", "c!d", "c!o"]


def test_guards_of_a_pipeline_may_be_inlined():
    """A pipeline copied in as error consumer of several sources is copied once, and guards each of them."""
    text = "p: {consumers: [a, b], error_consumers: [inline-pipeline: i]}\ni: {consumers: [x, y]}"
    assert linked_well(text, "p") == [">a", ">b", "a!x", "a!y", "b!x", "b!y"]


def test_an_inlined_source():
    """A pipeline that begins with an inlined one has its sources, guarded by its own error consumers."""
    text = "p: {chained_consumers: [inline-pipeline: i, z], error_consumers: [e]}\ni: {consumers: [x, y]}"
    assert linked_well(text, "p") == [">x", ">y", "x→z", "x!e", "y→z", "y!e"]


def test_an_alias_of_a_pipeline():
    """A pipeline may be nothing but another one."""
    assert linked_well("p: [inline-pipeline: i]\ni: [x, y]", "p") == [">x", "x→y"]


def test_every_reference_is_a_copy():
    """A pipeline that is inlined twice stands there twice."""
    text = "p: [inline-pipeline: i, inline-pipeline: i]\ni: [x, y]"
    assert linked_well(text, "p") == [">x", "x→y", "y→x'", "x'→y'"]


def test_inlining_a_pipeline_that_inherits():
    """It does not matter how the pipeline that is copied in came to its steps."""
    text = "p: [a, inline-pipeline: child]\nchild: {inherits: base, overrides: [x: {o: 1}]}\nbase: [x, y]"
    assert linked_well(text, "p") == [">a", "a→x", "x→y"]


@pytest.mark.parametrize("name", [".x", "..b.x", "...a.b.x", ".....a.b.x", "a.b.x"])
def test_relative_names(name: str):
    """A dot names a sibling, each further one goes a namespace up, and too many end at the root."""
    assert linked_well(f"a: {{b: {{p: [inline-pipeline: {name}], x: [ok]}}}}", "a.b.p") == [">ok"]


def test_a_dash_for_an_underscore():
    """A pipeline is found with `-` where its key has `_`."""
    assert linked_well("p: [inline-pipeline: nested-pipe.li-ne]\nnested_pipe: {li-ne: [a]}", "p") == [">a"]


def test_branches_merge_in_an_existing_processor():
    """An edge to an existing processor keeps its kind and its place among its siblings."""
    text = "p: [a: {consumers: [b: {consumers: [m: {id: m}]}, {existing: m}, c: {error_consumers: [existing: m]}]}]"
    assert linked_well(text, "p") == [">a", "a→b", "a→m", "a→c", "b→m", "c!m"]


def test_loops():
    """An edge may lead back, to a source too."""
    assert linked_well("p: [a: {id: top}, b, existing: top]", "p") == [">a", "a→b", "b→a"]


def test_ids_belong_to_one_copy():
    """Each copy of a pipeline loops within itself, whatever ids are written around it."""
    text = (
        "p: [i: {id: x}, inline-pipeline: l, inline-pipeline: l, existing: x]\n"
        "l: [a: {id: x}, b: {consumers: [c, existing: x]}]"
    )
    assert linked_well(text, "p") == [
        *[">i", "i→a", "a→b", "b→c", "b→a", "c→a'"],
        *["a'→b'", "b'→c'", "b'→a'", "c'→i"],
    ]


OVERRIDDEN = "{consumers: [A: {consumers: [D, C: {chained_consumers: [E, F]}]}, C]}"


def overridden(text: str, name: str) -> list[str]:
    """The names of the elements whose options are not `old`, with those options; in the order of the graph."""
    definitions, problems = linked(text)
    assert problems == []
    return [f"{element.name}{element.options.plain()}" for element in definitions[name].elements if element.options]


def test_overrides_are_met_in_the_documented_order():
    """A queue: its head meets the next processor of its name, where the last child is visited first."""
    text = (
        f"base: {OVERRIDDEN}\np: {{inherits: base, overrides: [C: {{n: 1}}, F: {{n: 2}}, {{__processor__: C, n: 3}}]}}"
    )
    definitions, problems = linked(text)
    assert problems == []
    table = definitions["p"]
    options = {index: element.options.plain() for index, element in enumerate(table.elements) if element.options}
    a, c2 = table.sources
    d, c1 = table.elements[a].consumers
    (e,) = table.elements[c1].consumers
    (f,) = table.elements[e].consumers
    assert options == {a: {}, d: {}, c1: {"n": 1}, e: {}, f: {"n": 2}, c2: {"n": 3}}


def test_overrides_pass_by_references():
    """An edge to an existing processor is no place where an override could meet it."""
    text = (
        "base: [a: {consumers: [x: {chained_consumers: [m: {id: m}, n]}, y: {consumers: [existing: m]}]}]\n"
        "p: {inherits: base, overrides: [m: {o: 1}]}\nq: {inherits: base, overrides: [x: {o: 1}, m: {o: 2}]}"
    )
    definitions, problems = linked(text)
    assert problems == []
    for name, expected in (("p", {"m": {"o": 1}}), ("q", {"x": {"o": 1}, "m": {"o": 2}})):
        elements = [one for one in definitions[name].elements if one.kind is Kind.PROCESSOR and one.options]
        assert {one.name: one.options.plain() for one in elements if one.options.plain()} == expected


def test_an_override_replaces_all_options_and_keeps_the_edges():
    """Options that the override does not name are gone; consumers stay, and so does the id."""
    text = (
        "base: [u: {o: a, gone: 1, id: x, error_consumers: [e]}, r: {consumers: [existing: x]}]\n"
        "p: {inherits: base, overrides: [u: {o: b}]}\nq: {inherits: p, overrides: [u: {id: y}]}"
    )
    definitions, problems = linked(text)
    assert problems == []
    for name, options, id in (("base", {"o": "a", "gone": 1}, "x"), ("p", {"o": "b"}, "x"), ("q", {}, "y")):
        definition = definitions[name]
        source = definition.elements[definition.sources[0]]
        assert source.options is not None
        assert (source.options.plain(), source.id) == (options, id)
        assert drawn(definition) == [">u", "u→r", "u!e", "r→u"]


PROBLEMS = {
    "p: [a, inline-pipeline: .ineer]\ninner: [b]": (
        "site.yml:1:25: there is no pipeline '.ineer' (that is 'ineer') – did you mean 'inner'?"
    ),
    "p: {inherits: basee}\nbase: [b]": "site.yml:1:15: there is no pipeline 'basee' – did you mean 'base'?",
    "p: [inline-pipeline: p]": "site.yml:1:22: pipelines are made of each other in a circle: p (site.yml:1:22) → p",
    "a: [inline-pipeline: b]\nb: [x, inline-pipeline: c]\nc: {inherits: a}\nd: [inline-pipeline: a]": (
        "site.yml:1:22: pipelines are made of each other in a circle: "
        "a (site.yml:1:22) → b (site.yml:2:25) → c (site.yml:3:15) → a – a loop is written"
    ),
    "p: [a: {id: here}, existing: there]": "pipeline 'p' has no processor with the id 'there' – did you mean 'here'?",
    "p: [a, existing: there]": "has no processor with the id 'there' – give the processor that is meant an 'id'",
    "p: [inline-pipeline: i, existing: x]\ni: [a: {id: x}]": "pipeline 'p' has no processor with the id 'x'",
    "p: [a: {id: x}, b: {id: x}]": "1:25: the id 'x' is given twice in pipeline 'p' (also at site.yml:1:13)",
    "p: [a: {id: x}, b]\nq: {inherits: p, overrides: [b: {id: x}]}": "the id 'x' is given twice in pipeline 'q' (also",
    "p: [a, b]\nq: {inherits: p, overrides: [a: {id: x}, b: {id: x}]}": "the id 'x' is given twice in pipeline 'q'",
    "p: [a, b]\nq: {inherits: p, overrides: [c]}": (
        "2:30: the override of 'c' meets no processor of 'p' – overrides meet its processors in this order: a, b"
    ),
    "p: [inline-pipeline: i, last]\ni: [a: {id: x}, existing: x]": "what follows 'inline-pipeline: i' is never reached",
}


@pytest.mark.parametrize("text", PROBLEMS)
def test_what_cannot_be_linked_is_told_once(text: str):
    """Names and ids that mean nothing, circles, and steps that no baton could reach: each with its place."""
    (problem,) = told(text)
    assert PROBLEMS[text] in problem


def test_every_left_over_override_is_told():
    """An override that comes too late in the queue is as wrong as one that names nothing."""
    assert len(told("p: [a, b]\nq: {inherits: p, overrides: [b, a]}")) == 1
    assert len(told("p: [a, b]\nq: {inherits: p, overrides: [c, b, a]}")) == 3


def test_pipelines_may_be_defined_in_any_order():
    """A chain of parents and inlined pipelines may be as long as it likes, and stand in any order."""
    section: dict[str, Any] = {f"p{number}": [{"inline-pipeline": f"p{number + 1}"}] for number in range(2000)}
    section |= {f"p{number}": {"inherits": f"p{number + 1}"} for number in range(500, 1500)}
    section["p2000"] = ["a"]
    definitions, problems = link(read_pipelines(node_of(section))[0])
    assert problems == []
    assert list(definitions) == list(section)
    assert drawn(definitions["p0"]) == [">a"]


# A pipeline as plain lists: an element is its name's number and four lists, in the order of LISTS.
LISTS = ("chained_consumers", "consumers", "chained_error_consumers", "error_consumers")
Tree = tuple[int, list[Any], list[Any], list[Any], list[Any]]
names = st.integers(0, 3)
leaf: st.SearchStrategy[Tree] = st.tuples(names, *[st.just([])] * 4)
trees = st.recursive(leaf, lambda child: st.tuples(names, *[st.lists(child, max_size=2)] * 4), max_leaves=12)
chains = st.lists(trees, min_size=1, max_size=3)


class Step:
    """A processor of the reference: what a person would have written by hand."""

    def __init__(self, name: str) -> None:
        self.name, self.consumers, self.errors, self.options = name, list[Step](), list[Step](), -1

    def __iter__(self) -> "Iterator[Step]":
        """In the order of a graph: consumers before error consumers."""
        yield self
        for step in self.consumers + self.errors:
            yield from step

    def reversed(self) -> "Iterator[Step]":
        """In the order of overriding: error consumers before consumers, the last ones first."""
        yield self
        for step in reversed(self.consumers + self.errors):
            yield from step.reversed()


def chained(chain: list[Tree]) -> list[Step]:
    """The head of a chain of steps."""
    steps = [step_of(tree) for tree in chain]
    for step, following in pairwise(steps):
        step.consumers.append(following)
    return steps[:1]


def step_of(tree: Tree) -> Step:
    number, chained_consumers, consumers, chained_errors, errors = tree
    step = Step(f"n{number}")
    step.consumers = chained(chained_consumers) + [step_of(child) for child in consumers]
    step.errors = chained(chained_errors) + [step_of(child) for child in errors]
    return step


def notation_of(tree: Tree) -> dict[str, Any]:
    lists = {word: [notation_of(child) for child in children] for word, children in zip(LISTS, tree[1:], strict=True)}
    return {f"n{tree[0]}": lists}


def written(definition: Definition) -> dict[str, Any]:
    """The steps as plain values: position in the order of the graph -> name, options and edges."""
    order: dict[int, None] = {}

    def visit(index: int) -> None:
        if index not in order:
            order[index] = None
            for edge in definition.elements[index].consumers + definition.elements[index].error_consumers:
                visit(edge)

    for source in definition.sources:
        visit(source)
    numbers = {index: number for number, index in enumerate(order)}
    found = {}
    for index, number in numbers.items():
        element = definition.elements[index]
        options = element.options.plain().get("n", -1) if element.options else -1
        edges = [numbers[edge] for edge in element.consumers], [numbers[edge] for edge in element.error_consumers]
        found[number] = (element.name, options, *edges)
    return found


def by_hand(sources: list[Step]) -> dict[int, Any]:
    numbers: dict[Step, int] = {}
    for source in sources:
        for step in source:
            numbers.setdefault(step, len(numbers))
    return {
        number: (
            step.name,
            step.options,
            [numbers[one] for one in step.consumers],
            [numbers[one] for one in step.errors],
        )
        for step, number in numbers.items()
    }


@settings(max_examples=25, deadline=None)
@given(chains, chains, chains, st.booleans())
def test_inlining_is_copying_by_hand(chain: list[Tree], guards: list[Tree], around: list[Tree], is_guarded: bool):
    """Whatever is inlined, the graph is the one that was written by hand with the steps in place."""
    reference = {"inline-pipeline": "inner", "error_consumers": [notation_of(tree) for tree in guards]}
    inner: dict[str, Any] = {"chained_consumers": [notation_of(tree) for tree in chain]}
    if is_guarded:
        inner["chained_error_consumers"] = [notation_of(tree) for tree in guards]
    section = {"outer": [{"n9": {}}, reference, *map(notation_of, around)], "inner": inner}
    definitions, problems = link(read_pipelines(node_of(section))[0])
    assert problems == []

    (copy,) = chained(chain)
    copy.errors += chained(guards) if is_guarded else []
    followers = chained(around)
    for step in list(copy):
        step.consumers += [] if step.consumers else followers
    copy.errors += [step_of(tree) for tree in guards]
    first = Step("n9")
    first.consumers = [copy]
    assert written(definitions["outer"]) == by_hand([first])


@settings(max_examples=25, deadline=None)
@given(st.lists(chains, min_size=1, max_size=2), st.lists(names, max_size=6))
def test_overriding_follows_the_queue(roots: list[list[Tree]], overrides: list[int]):
    """Each override meets the processor that a plain recursion over the documented order finds, or is told."""
    lists = [{"n9": {"chained_consumers": [notation_of(tree) for tree in chain]}} for chain in roots]
    queue: list[Any] = [{f"n{number}": {"n": position}} for position, number in enumerate(overrides)]
    section = {"child": {"inherits": "base", "overrides": queue}, "base": {"consumers": lists}}
    definitions, problems = link(read_pipelines(node_of(section))[0])

    sources = [Step("n9") for _ in roots]
    waiting = list(enumerate(overrides))
    for source, chain in zip(sources, roots, strict=True):
        source.consumers = chained(chain)
        for step in source.reversed():
            if waiting and step.name == f"n{waiting[0][1]}":
                step.options = waiting.pop(0)[0]
    assert written(definitions["child"]) == by_hand(sources)
    assert len(problems) == len(waiting)


def test_inlining_that_doubles_again_and_again_is_told() -> None:
    """Twenty short lines that would make a million steps are a Problem at the first one that makes too many."""
    text = "p0: [passthrough]\n" + "".join(
        f"p{n}: {{consumers: [inline-pipeline: p{n - 1}, inline-pipeline: p{n - 1}]}}\n" for n in range(1, 21)
    )
    first, *_ = told(text)
    assert first.startswith("site.yml:18:")
    assert "pipeline 'p17' gets more than 100,000 steps by inlining 'p16'" in first
