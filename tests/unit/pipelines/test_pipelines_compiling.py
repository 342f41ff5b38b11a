"""A section of pipelines becomes graphs of made processors, and every mistake in it is told at its place."""

from typing import Any

import pytest

from piped.catalog.catalog import Catalog, ProcessorEntry
from piped.config import reading
from piped.ground.errors import ConfigurationError, Problem, in_order
from piped.ground.units import PipelineName
from piped.pipelines.compiling import compile_pipelines
from piped.pipelines.graph import Graph
from piped.pipelines.processor import FunctionProcessor, Processor
from piped.spec.checking import Checker


def shout(baton: Any, *, path: str = "text", times: int = 1) -> None:
    baton[path] = baton[path].upper() * times


def need(baton: Any, *, path: str) -> Any:
    return baton[path]


class Plain(Processor):
    pass


class Keep(Processor):
    def __init__(self, list_: list[Any] | None = None, namespace: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.list, self.namespace = list_, namespace


class Run(Processor):
    def __init__(self, pipeline: PipelineName | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.pipeline = pipeline


def meet(baton: Any, *, consumer: str = "") -> None:
    baton["met"] = consumer


class NamedByItself(Processor):
    def __init__(self, label: str = "?") -> None:
        super().__init__(node_name=label)


class Refusing(Processor):
    def __init__(self, a: int = 0, b: int = 0) -> None:
        super().__init__()
        if a and b:
            raise ConfigurationError("a and b exclude each other", hint="remove b")
        if a or b:
            raise ConfigurationError(problems=[Problem(f"not {one}") for one in ("this", "that")])


class Broken(Processor):
    def __init__(self) -> None:
        raise LookupError("no luck")


class Baseless(Processor):
    def __init__(self) -> None:
        self.node_name = None


class Interrupted(Processor):
    def __init__(self) -> None:
        raise KeyboardInterrupt


PROCESSORS = {
    "interrupted": Interrupted,
    "shout": shout,
    "need": need,
    "meet": meet,
    "passthrough": Plain,
    "keep": Keep,
    "run-pipeline": Run,
    "named-by-itself": NamedByItself,
    "refusing": Refusing,
    "broken": Broken,
    "baseless": Baseless,
}


def compiled(text: str, environ: dict[str, str] | None = None) -> tuple[dict[str, Graph], list[Problem]]:
    catalog, checker = Catalog(), Checker(environ or {})
    catalog.processors = {name: ProcessorEntry(name, factory) for name, factory in PROCESSORS.items()}
    graphs = compile_pipelines(reading.read(text, "site.yml", {}).root, catalog, checker)
    return graphs, in_order(checker.problems)


def compiled_well(text: str, environ: dict[str, str] | None = None) -> dict[str, Graph]:
    graphs, problems = compiled(text, environ)
    assert problems == []
    return graphs


def ids(graph: Graph) -> list[str]:
    return [step.id for step in graph]


def test_no_pipelines():
    """A configuration without pipelines has none."""
    assert compile_pipelines(None, Catalog(), Checker({})) == {}


def test_steps_are_made_and_linked():
    """Every element is a processor of its own, with checked options, its place, its pipeline and its edges."""
    text = "web.hello:\n  - shout: {times: '2', error_consumers: [passthrough]}\n  - keep: {list: [1]}\n"
    graph = compiled_well(text)["web.hello"]
    first, second, third = graph
    assert graph.sources == (first,)
    assert isinstance(first, FunctionProcessor)
    assert first.process({"text": "hi"}) == {"text": "HIHI"}
    assert isinstance(second, Keep)
    assert second.list == [1]
    assert (first.consumers, first.error_consumers) == ([second], [third])
    assert {step.pipeline_name for step in graph} == {"web.hello"}
    assert [str(step.where) for step in graph] == ["site.yml:2:5", "site.yml:3:5", "site.yml:2:43"]
    assert (graph.name, str(graph.where)) == ("web.hello", "site.yml:1:1")


def test_options_of_copies_are_their_own():
    """No two steps share a list or mapping of their options, even where one was copied from the other."""
    graph = compiled_well("p: [inline-pipeline: i, inline-pipeline: i]\ni: [keep: {list: []}]")["p"]
    one, other = graph
    assert isinstance(one, Keep)
    assert isinstance(other, Keep)
    assert one.list == other.list == []
    assert one.list is not other.list


def test_ids():
    """A step is named by its id, or by its processor and a number in the order of the graph; no name is taken twice."""
    text = (
        "p: [passthrough, shout: {consumers: [passthrough]}, inline-pipeline: i, passthrough: {id: x},"
        " {inline-pipeline: i}, passthrough: {id: shout-1}]\ni: [passthrough: {id: x}]"
    )
    graphs = compiled_well(text)
    assert ids(graphs["p"]) == ["passthrough-1", "shout-2", "passthrough-2", "x-2", "x", "x-3", "shout-1"]
    assert ids(graphs["i"]) == ["x"]


def test_an_inherited_id_stays():
    """An override changes the id of a step only if it names one."""
    text = "base: [shout: {id: x}, need: {path: a}]\np: {inherits: base, overrides: [shout, need: {path: b, id: y}]}"
    assert ids(compiled_well(text)["p"]) == ["x", "y"]


def test_loops_and_merges_are_edges():
    """An edge to an existing processor leads to that very object."""
    text = "p: [keep: {id: top}, keep: {consumers: [passthrough: {id: m}, {existing: m}]}, existing: top]"
    top, second, merge = compiled_well(text)["p"]
    assert second.consumers == [merge, merge, top]


def test_every_step_takes_a_label():
    """`node_name` is understood by functions, by classes that pass it on, and by classes that do not."""
    text = "p: [shout: {node_name: A}, keep: {node_name: B}, named-by-itself: {node_name: C}, named-by-itself]"
    assert [step.label for step in compiled_well(text)["p"]] == ["A", "B", "C", "?"]


def test_an_option_may_look_like_a_word_of_the_notation():
    """Only what a processor does not declare is taken for a slip."""
    (step,) = compiled_well("p: [meet: {consumer: you}]")["p"]
    assert step.process({}) == {"met": "you"}


def test_variables_are_filled_in():
    """`${NAME}` is understood in options, in names of processors and of pipelines, and in ids."""
    text = "p: ['${P}', need: {path: '${X}', id: '${X}'}, inline-pipeline: '${I}']\ni: [passthrough]"
    graph = compiled_well(text, {"P": "shout", "X": "x", "I": "i"})["p"]
    assert ids(graph) == ["shout-1", "x", "passthrough-1"]


def test_called_pipelines_are_known_by_their_absolute_names():
    """A step says which pipelines it runs: relative names are looked up where it stands, `-` is found as `_`."""
    text = (
        "ns: {p: [run-pipeline: {pipeline: .q}, run-pipeline: {pipeline: t-x}, run-pipeline], q: [shout]}\nt_x: [shout]"
    )
    assert [step.calls for step in compiled_well(text)["ns.p"]] == [("ns.q",), ("t_x",), ()]


PROBLEMS = {
    "p: [shuot]": "site.yml:1:5: unknown processor 'shuot' – did you mean 'shout'?",
    "p: [shout: {tmes: 2}]": "site.yml:1:13: shout has no option 'tmes' – did you mean 'times'?",
    "p: [shout: {times: two}]": "site.yml:1:20: option 'times' of shout must be a whole number, not 'two'",
    "p: [need]": "site.yml:1:5: need needs the option 'path'",
    "p: [shout: {consumer: [passthrough]}]": "site.yml:1:13: shout has no option 'consumer' – did you mean 'consumers'",
    "p: [shout: {node_name: []}]": "site.yml:1:24: option 'node_name' of shout must be text, not a list",
    "p: ['${NONE}']": "site.yml:1:5: ",
    "p: [refusing: {a: 1, b: 1}]": "site.yml:1:5: refusing: a and b exclude each other – remove b",
    "p: [broken]": "site.yml:1:5: 'broken' cannot be made: LookupError: no luck – its constructor raised this (",
    "p: [baseless]": "site.yml:1:5: 'baseless' is no complete processor: its constructor does not call the one of its",
    "p: [run-pipeline: {pipeline: .qq}]\nqqq: [shout]": "site.yml:1:30: there is no pipeline '.qq' (that is 'qq') – ",
    "p: [run-pipeline: {pipeline: p}]": "site.yml:1:30: pipelines run each other in a circle: p (site.yml:1:30) → p –",
    "p: [shout, run-pipeline: {pipeline: q}]\nq: [run-pipeline: {pipeline: p}]\nr: [run-pipeline: {pipeline: p}]": (
        "site.yml:1:37: pipelines run each other in a circle: p (site.yml:1:37) → q (site.yml:2:30) → p – take one"
    ),
}


@pytest.mark.parametrize("text", PROBLEMS)
def test_mistakes_are_told_at_their_place(text: str):
    """What is wrong with a step is told where it is written, and once, with what to do."""
    (problem,) = compiled(text)[1]
    assert str(problem).startswith(PROBLEMS[text])


def test_every_mistake_is_told_at_once():
    """Notation, links, names, options and constructors: one round shows everything."""
    text = "p: [{}, nobody, broken, need, existing: x]\nq: [inline-pipeline: nowhere, shout: {x: 1}]\nr: 5\n"
    assert len(compiled(text)[1]) == 8


def test_a_constructors_own_problems_are_kept():
    """A constructor may tell several mistakes."""
    assert [problem.what for problem in compiled("p: [refusing: {a: 1}]")[1]] == ["not that", "not this"]


def test_a_mistake_in_a_copied_pipeline_is_told_once():
    """However often a pipeline is copied in, its mistakes are those of one text."""
    text = "p: [inline-pipeline: i, inline-pipeline: i]\nq: {inherits: i}\ni: [need, broken]"
    assert len(compiled(text)[1]) == 2


def test_a_graph_keeps_its_shape():
    """A step that cannot be made is stood in for, so that a drawing shows it in its place."""
    graphs, problems = compiled("p: [shout, broken: {id: x}, passthrough]\nq: 5")
    assert len(problems) == 2
    assert [step.label for step in graphs["p"]] == ["shout-1", "broken", "passthrough-1"]
    assert ids(graphs["p"]) == ["shout-1", "x", "passthrough-1"]
    assert len(graphs["q"]) == 0


def test_what_stops_the_process_is_no_mistake_of_the_configuration():
    """Ctrl-C while a step is made ends everything."""
    with pytest.raises(KeyboardInterrupt):
        compiled("p: [interrupted]")


def test_long_pipelines():
    """Three thousand steps in a row, and as many after each other in error consumers of one, are no problem."""
    text = "p:\n" + "  - passthrough\n" * 3_000 + "q:\n  - shout:\n      error_consumers:\n" + "      - shout\n" * 3_000
    graphs = compiled_well(text)
    assert len(graphs["p"]) == 3_000
    assert graphs["p"][-1].id == "passthrough-3000"
    assert len(graphs["q"]) == 3_001
