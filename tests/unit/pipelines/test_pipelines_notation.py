"""Every way to write a pipeline means what it says, and nothing that is written vanishes."""

from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piped.config import reading
from piped.config.nodes import node_of
from piped.ground.errors import Problem
from piped.pipelines.definitions import Definition, Kind
from piped.pipelines.notation import read_pipelines

Edges = dict[str, tuple[list[str], list[str]]]


def read(text: str) -> tuple[dict[str, Definition], list[Problem]]:
    return read_pipelines(reading.read(text, "site.yml", {}).root)


def read_well(text: str) -> dict[str, Definition]:
    definitions, problems = read(text)
    assert problems == []
    return definitions


def told(text: str) -> list[str]:
    return [f"{problem.what} – {problem.fix}" for problem in read(text)[1]]


def edges_of(definition: Definition) -> Edges:
    """The names of the consumers and error consumers of each element by its name."""
    names = [element.name for element in definition.elements]
    return {
        element.name: ([names[i] for i in element.consumers], [names[i] for i in element.error_consumers])
        for element in definition.elements
    }


def sources_of(definition: Definition) -> list[str]:
    return [definition.elements[index].name for index in definition.sources]


def test_the_documented_order_of_consumers():
    """A chain's head comes first, then plain consumers, then the next element of the own chain."""
    definition = read_well("p: [a: {chained_consumers: [b, c], consumers: [x]}, d]")["p"]
    assert sources_of(definition) == ["a"]
    assert edges_of(definition) == {
        "a": (["b", "x", "d"], []),
        "b": (["c"], []),
        "c": ([], []),
        "x": ([], []),
        "d": ([], []),
    }


def test_error_consumers_are_linked_by_normal_edges():
    """A chain of error consumers hangs on its head; the plain ones come after it."""
    definition = read_well("p: [a: {error_consumers: [z], chained_error_consumers: [x, y]}]")["p"]
    assert edges_of(definition)["a"] == ([], ["x", "z"])
    assert edges_of(definition)["x"] == (["y"], [])


def test_error_consumers_of_a_whole_pipeline():
    """What guards every source is kept apart from the steps, its chain's head first."""
    definition = read_well("p: {consumers: [a, b], error_consumers: [z], chained_error_consumers: [x, y]}")["p"]
    assert sources_of(definition) == ["a", "b"]
    assert [definition.elements[index].name for index in definition.error_consumers] == ["x", "z"]


SPELLINGS = [
    "[set-value: {path: a, value: 1, id: x, consumers: [b]}]",
    "[{set-value: {path: a, value: 1}, id: x, consumers: [b]}]",
    "[{set-value: {path: a}, value: 1, consumers: [b], id: x}]",
    "[{__processor__: set-value, path: a, value: 1, id: x, consumers: [b]}]",
    "{chained_consumers: [set-value: {path: a, value: 1, id: x, chained_consumers: [b]}]}",
    "{consumers: [{__processor__: set-value, path: a, value: 1, id: x, consumers: [b: {}]}]}",
    "[{set-value: {path: a, value: 1, id: x}}, b: null]",
    "[{set-value: {path: a, value: 1, id: x, consumers: []}}, {b: null, consumers: []}]",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_all_spellings_are_the_same(spelling: str):
    """However a processor is written, its name, options, id and consumers are the same."""
    definition = read_well(f"ns: {{p: {spelling}}}")["ns.p"]
    (source,) = definition.sources
    element = definition.elements[source]
    assert (element.kind, element.name, element.id) == (Kind.PROCESSOR, "set-value", "x")
    assert element.options is not None
    assert element.options.plain() == {"path": "a", "value": 1}
    assert edges_of(definition) == {"set-value": (["b"], []), "b": ([], [])}


def test_names_are_the_keys_that_lead_to_a_pipeline():
    """Namespaces nest, dotted keys are names, and a pipeline may be named as if it lay below another one."""
    text = (
        "{web: {site: {hello: [a]}, other: [b]}, my_pipeline: [c], my_pipeline.inner: [d], zmq.sum: {consumers: [e]}}"
    )
    assert list(read_well(text)) == ["web.site.hello", "web.other", "my_pipeline", "my_pipeline.inner", "zmq.sum"]


def test_an_option_called_processor_is_an_option():
    """Only the words of the notation are kept from a processor's options."""
    definition = read_well("p: [for-each: {processor: x, pipeline: y}]")["p"]
    assert definition.elements[0].options is not None
    assert definition.elements[0].options.plain() == {"processor": "x", "pipeline": "y"}


def test_parents_and_overrides():
    """A pipeline may inherit, with overrides in any spelling, or with none at all."""
    definitions = read_well(
        "{plain: {inherits: base}, child: {inherits: .base, overrides: [a, b: {x: 1}, {__processor__: c, id: y}]}}"
    )
    assert definitions["plain"].inherits == "base"
    assert definitions["plain"].overrides == ()
    assert [override.name for override in definitions["child"].overrides] == ["a", "b", "c"]


MALFORMED = {
    "p: []": "pipeline 'p' has no steps – a pipeline is a list of processors",
    "p: {}": "pipeline 'p' has no steps – a pipeline is a list of processors",
    "p: null": "pipeline 'p' has no steps – a pipeline is a list of processors",
    "p: 1": "pipeline 'p' is 1 – a pipeline is a list of processors",
    "p: passthrough": "pipeline 'p' is 'passthrough' – a pipeline is a list",
    "ns: {p: {inline-pipeline: x}}": "pipeline 'ns.p.inline-pipeline' is 'x' – a pipeline is a list",
    "{a: {b: [x]}, a.b: [y]}": "pipeline 'a.b' is defined twice (also at site.yml:1:6) – give one of them",
    ".p: [a]": "'.p' is no name for a pipeline",
    "p: {chained_error_consumers: [a]}": "pipeline 'p' has no steps – write them under 'chained_consumers'",
    "p: {consumers: []}": "pipeline 'p' has no steps – write them",
    "p: {consumers: null}": "'consumers' is nothing, not a list – begin each element with '- '",
    "p: {consumers: {a: {}}}": "'consumers' is a mapping, not a list – begin each element with '- '",
    "p: {consumers: [a], chained_consumer: [b]}": "pipeline 'p' takes no 'chained_consumer' – did you mean 'chained_",
    "p: {consumer: [a]}": "'consumer' is read as the name of a pipeline, 'p.consumer' – did you mean 'consumers'?",
    "p: {chained_consumer: [a]}": "'chained_consumer' is read as the name of a pipeline, 'p.chained_consumer'",
    "p: [1]": "a processor is expected here, not 1 – put the name into quotes",
    "p: [yes]": "a processor is expected here, not True – put the name into quotes",
    "p: [null]": "a processor is expected here, not nothing",
    "p: ['']": "a name is expected here, not ''",
    "p: [[a, b]]": "a processor is expected here, not a list – a list inside a list is written with 'consumers'",
    "p: [{}]": "no processor is named here, nothing – write '__processor__: <its name>'",
    "p: [{consumers: [a]}]": "no processor is named here, only 'consumers' – write",
    "p: [{a: 1, b: 2}]": "no processor is named here, only 'a', 'b' – write",
    "p: [{a: {}, b: {}}]": "which one is the processor, 'a' or 'b'? – write '__processor__: <its name>'",
    "p: [a: []]": "the options of 'a' are an empty list, not a mapping – write '- a: {option: value}'",
    "p: [inline_pipeline: x]": "the options of 'inline_pipeline' are 'x', not a mapping – did you mean 'inline-",
    "p: [{__processor__: null, x: 1}]": "a name is expected here, not nothing",
    "p: [a: {__processor__: b}]": "'__processor__' is written twice for 'a'",
    "p: [a: {existing: b}]": "'__processor__' and 'existing' exclude each other – write two elements",
    "p: [{a: {id: x}, id: y}]": "'id' is written twice for 'a' (also at site.yml:1:18) – keep one",
    "p: [a: {id: null}]": "a name is expected here, not nothing",
    "p: [a: {consumers: b}]": "'consumers' is 'b', not a list – begin each element with '- '",
    "p: [a, {inline-pipeline: b, id: c}]": "an 'inline-pipeline' element ('b') takes no 'id'",
    "p: [a, {inline-pipeline: b, consumer: []}]": "an 'inline-pipeline' element ('b') takes no 'consumer' – did you",
    "p: [a: {id: x}, {existing: x, consumers: [b]}]": "an 'existing' element ('x') takes no 'consumers'",
    "p: [a: {id: x}, existing: x, b]": "what follows 'existing: x' in its chain is never reached – make it the last",
    "p: {inherits: a, consumers: [b]}": "pipeline 'p' inherits its steps and cannot have 'consumers' as well – inline",
    "p: {inherits: a, chained_error_consumers: [b]}": "cannot have 'chained_error_consumers' as well – inline",
    "p: {inherits: null}": "a name is expected here, not nothing",
    "p: {inherits: a, overrides: {b: {}}}": "pipeline 'p' has 'overrides' that are a mapping, not a list",
    "p: {inherits: a, overrides: [existing: b]}": "pipeline 'p' overrides more than the options of a processor",
    "p: {inherits: a, overrides: [b: {consumers: [c]}]}": "overrides more than the options of a processor with 'b'",
    "p: {consumers: [a], overrides: [b]}": "pipeline 'p' has 'overrides' but inherits nothing – add 'inherits",
    "p: {inherits: a, override: [b]}": "pipeline 'p' takes no 'override' – did you mean 'overrides'?",
}


@pytest.mark.parametrize("text", MALFORMED)
def test_nothing_malformed_vanishes(text: str):
    """Whatever cannot be a pipeline, or a part of one, is told once."""
    (problem,) = told(text)
    assert MALFORMED[text] in problem


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_malformed_element_leaves_the_others_in_place(position: int):
    """One mistake does not hide the rest of a pipeline: it is left out of its chain."""
    names = ["'a'", "'b'"]
    names.insert(position, "{}")
    definitions, problems = read(f"p: [{', '.join(names)}]")
    assert len(problems) == 1
    assert edges_of(definitions["p"]) == {"a": (["b"], []), "b": ([], [])}


def test_a_namespace_may_use_the_words_of_a_pipeline_in_other_names():
    """A warning about a likely slip stops nothing, and is not given where another name stands beside it."""
    definitions, problems = read("{amqp: {consumer: [a]}, zmq: {consumer: [a], producer: [b]}}")
    assert list(definitions) == ["amqp.consumer", "zmq.consumer", "zmq.producer"]
    assert [problem.is_warning for problem in problems] == [True]


def test_numbers_are_names():
    """A number is taken as the text it is written with, where a name is expected."""
    definition = read_well("p: [a: {id: 1}, existing: 1]")["p"]
    assert [(element.name, element.id) for element in definition.elements] == [("1", None), ("a", "1")]


def test_variables_in_names():
    """Names are filled in by whoever asks for the pipelines."""
    section = node_of({"p": ["${NAME}", {"inline-pipeline": "${NAME}"}]})
    definitions, _ = read_pipelines(section, lambda node: str(node.value).replace("${NAME}", "a"))
    assert [element.name for element in definitions["p"].elements] == ["a", "a"]


def test_a_chain_may_be_longer_than_pythons_stack():
    """A pipeline of three thousand steps is read like any other."""
    definitions, problems = read_pipelines(node_of({"p": [f"step-{number}" for number in range(3_000)]}))
    assert problems == []
    assert sources_of(definitions["p"]) == ["step-0"]
    assert edges_of(definitions["p"])["step-1711"] == (["step-1712"], [])


# An element is four lists of elements, in the order of LISTS, and the way it is spelled.
LISTS = ("chained_consumers", "consumers", "chained_error_consumers", "error_consumers")
Tree = tuple[list[Any], list[Any], list[Any], list[Any], int]
leaf: st.SearchStrategy[Tree] = st.tuples(*[st.just([])] * 4, st.integers(0, 2))
trees = st.recursive(
    leaf, lambda child: st.tuples(*[st.lists(child, max_size=2)] * 4, st.integers(0, 2)), max_leaves=12
)
chains = st.lists(trees, min_size=1, max_size=4)


class Written:
    """A random chain as a person would write it, and the edges that a plain recursion over the rules gives it."""

    def __init__(self, chain: list[Tree]) -> None:
        self.count = 0
        self.edges: Edges = {}
        self.notation, self.names = self.chain(chain)

    def chain(self, chain: list[Tree]) -> tuple[list[Any], list[str]]:
        written = [self.element(tree) for tree in chain]
        names = [name for _, name in written]
        for name, following in pairwise(names):
            self.edges[name][0].append(following)
        return [notation for notation, _ in written], names[:1]

    def element(self, tree: Tree) -> tuple[Any, str]:
        self.count += 1
        name = f"e{self.count}"
        options: dict[str, Any] = {}
        heads: dict[str, list[str]] = {}
        for word, children in zip(LISTS, tree[:4], strict=True):
            if word.startswith("chained"):
                options[word], heads[word] = self.chain(children)
            else:
                written = [self.element(child) for child in children]
                options[word], heads[word] = [one for one, _ in written], [child for _, child in written]
        self.edges[name] = (
            heads["chained_consumers"] + heads["consumers"],
            heads["chained_error_consumers"] + heads["error_consumers"],
        )
        options = {word: written for word, written in options.items() if written}
        spellings = [{"__processor__": name, **options}, {name: options}, {name: {}, **options}]
        return spellings[tree[4]] if options or tree[4] < 2 else name, name


@settings(max_examples=25, deadline=None)
@given(chains)
def test_reading_follows_the_rules(chain: list[Tree]):
    """However lists are nested, every edge is there, in the order that the rules give, and nothing else."""
    written = Written(chain)
    section = node_of({"p": written.notation})
    before = deepcopy(section.plain())
    definitions, problems = read_pipelines(section)
    assert problems == []
    assert sources_of(definitions["p"]) == written.names
    assert edges_of(definitions["p"]) == written.edges
    assert section.plain() == before


def test_places():
    """A Problem is told at the value, or at the name where a name is what is wrong."""
    text = "p:\n  - a: {consumers: 5}\n  - [b]\nq:\nr: [existing: x, c]\ns: {inherits: x, override: []}\n"
    places = [problem.where for problem in read(text)[1] if problem.where is not None]
    assert sorted((place.line, place.column) for place in places) == [(2, 20), (3, 5), (4, 1), (5, 15), (6, 18)]


def test_a_section_that_holds_no_names():
    """The section itself is a mapping of names; an empty one holds no pipelines."""
    assert read_pipelines(node_of(None)) == ({}, [])
    (problem,) = read_pipelines(node_of(["a"]))[1]
    assert problem.what == "'pipelines' is a list, not a mapping of names to pipelines"
