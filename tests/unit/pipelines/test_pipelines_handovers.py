"""Hand-overs: the sequences of steps that a trace is told in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from piped.pipelines.graph import Graph
from piped.pipelines.handovers import handovers
from piped.pipelines.processor import Processor
from piped.pipelines.tracing import MOST_VISITS, Trace, Visit
from piped.runtime.running import Pipeline


class Step(Processor):
    """Adds its name to the baton, or does what it is given to do."""

    def __init__(self, name: str, function: Callable[[Any], Any] | None = None) -> None:
        super().__init__(name)
        if function is not None:
            self.process = function  # type: ignore[method-assign]

    def process(self, baton: Any) -> Any:
        return baton + self.label


def fails(baton: Any) -> Any:
    raise ValueError("no", baton)


def chain(*chained: Processor) -> Processor:
    for number, step in enumerate(chained[1:]):
        chained[number].consumers.append(step)
    return chained[0]


def pipeline(*sources: Processor, name: str = "p") -> Pipeline:
    ticks = iter(range(10**6))
    return Pipeline(Graph(name, sources), sampled=None, now=lambda: float(next(ticks)))


def label(of: Any) -> str:
    return of.label if isinstance(of, Processor) else str(of)


def told(trace: Trace) -> list[str]:
    """Each step as `source>destination:baton`, with `!` for a failure and `!!` for one that is given to be handled."""
    lines = []
    for step in handovers(trace, "out"):
        failure = step["failure"]
        sign = "" if failure is None else "!!" if step["is_error_consumer"] else "!"
        lines.append(f"{label(step['source'])}>{label(step['destination'])}{sign}:{step['baton']}")
    return lines


def traced(walked: Pipeline, baton: Any = "-") -> Trace:
    got: list[Any] = []
    walked.traced_process(baton).addCallback(got.append)
    return got[0][1]  # type: ignore[no-any-return] # it is the trace


def test_simple() -> None:
    """A baton enters, is handed on, and its result leaves; each hand-over tells what was handed over."""
    a, b = Step("a"), Step("b")
    trace = traced(pipeline(chain(a, b)))
    assert told(trace) == ["out>a:-", "a>b:-a", "b>None:-ab"]
    first, second, last = handovers(trace)
    assert (first["time_spent"], second["time_spent"], last["time_spent"]) == (None, 1.0, 1.0)
    assert (second["source"], second["destination"]) == (a, b)


def test_branches_and_sources() -> None:
    """Every consumer is handed the baton by the step that made it, also after other branches have ended."""
    a, b, c, d, e = map(Step, "abcde")
    a.consumers = [b, d]
    b.consumers = [c]
    assert told(traced(pipeline(a, e))) == [
        *("out>a:-", "a>b:-a", "b>c:-ab", "c>None:-abc", "a>d:-a", "d>None:-ad"),
        *("out>e:-", "e>None:-e"),
    ]


def test_a_failure_that_nobody_handles() -> None:
    """It climbs step by step to whoever called."""
    trace = traced(pipeline(chain(Step("a"), Step("b"), Step("c", fails))))
    assert told(trace) == ["out>a:-", "a>b:-a", "b>c:-ab", "c>b!:-ab", "b>a!:-a", "a>out!:-"]
    failure = handovers(trace)[-1]["failure"]
    assert (failure["type"], failure["args"]) == ("builtins.ValueError", ["no", "-ab"])
    assert failure["traceback"].endswith(":fails")
    assert "runs.py" not in failure["traceback"]
    assert isinstance(trace.failure, ValueError)


def test_a_failure_that_is_handled() -> None:
    """It is told once, on its way to the step with error consumers; from there on all goes well."""
    a, b, c, e, f, last = Step("a"), Step("b"), Step("c", fails), Step("e"), Step("f"), Step("z")
    a.consumers = [chain(b, c), last]
    b.error_consumers = [e, f]
    assert told(traced(pipeline(a))) == [
        *("out>a:-", "a>b:-a", "b>c:-ab", "c>b!:-ab", "b>e!!:-a", "e>None:-ae", "b>f!!:-a", "f>None:-af"),
        *("a>z:-a", "z>None:-az"),
    ]


def test_an_error_consumer_that_fails() -> None:
    """Its failure goes to the step it belongs to, whose other error consumers are passed over, and climbs on."""
    a, b, e, f, g = Step("a"), Step("b", fails), Step("e", fails), Step("f"), Step("g")
    chain(a, b)
    b.error_consumers, a.error_consumers = [e, f], [g]
    assert told(traced(pipeline(a))) == [
        *("out>a:-", "a>b:-a", "b>e!!:-a", "e>b!:-a", "b>a!:-a", "a>g!!:-", "g>None:-g"),
    ]


def test_steps_that_choose() -> None:
    """What a step chose itself is told as it was, also when it loops; a choice that fails is a failure of the step."""
    a, b, e = Step("a"), Step("b"), Step("e")
    a.consumers = [a, b]
    a.get_consumers = lambda baton: [a] if len(baton) < 3 else [b]  # type: ignore[method-assign]
    assert told(traced(pipeline(a))) == ["out>a:-", "a>a:-a", "a>b:-aa", "b>None:-aab"]
    a.get_consumers, a.error_consumers = fails, [e]  # type: ignore[method-assign]
    a.get_error_consumers = lambda baton: [e]  # type: ignore[method-assign]
    assert told(traced(pipeline(a))) == ["out>a:-", "a>e!!:-", "e>None:-e"]


def test_nested_pipelines() -> None:
    """What a called pipeline does is told between the step that calls it and what that step makes of it."""
    inner = pipeline(chain(Step("i"), Step("j")), name="inner")
    outer = pipeline(chain(Step("a"), Step("call", lambda baton: inner.run(baton)[0]), Step("z")))  # type: ignore[index]
    assert told(traced(outer)) == [
        *("out>a:-", "a>call:-a"),
        *("call>i:-a", "i>j:-ai", "j>None:-aij"),
        *("call>z:-aij", "z>None:-aijz"),
    ]


def test_a_failure_in_a_nested_pipeline() -> None:
    """One that is handled inside does not leave it; any other leaves it and goes on outside."""
    i = Step("i", fails)
    inner = pipeline(i, name="inner")
    outer = pipeline(Step("call", inner.run))
    assert told(traced(outer)) == ["out>call:-", "call>i:-", "i>call!:-", "call>out!:-"]
    i.error_consumers = [Step("e")]
    inner = pipeline(i, name="inner")
    outer = pipeline(Step("call", lambda baton: inner.run(baton)[0]))  # type: ignore[index]
    assert told(traced(outer)) == ["out>call:-", "call>i:-", "i>e!!:-", "e>None:-e", "call>None:-e"]


def test_pipelines_may_nest_deeper_than_calls() -> None:
    """Those that run themselves after a wait have no limit but that of a trace."""
    step = Step("s")
    graph = Graph("p", [step])
    outermost = trace = Trace(graph, lambda: 0.0)
    for _ in range(3000):
        visit = Visit(trace, step, 0.0)
        visit.ended = 0.0
        trace.note(visit)
        trace = Trace(graph, lambda: 0.0, visit)
    told = handovers(outermost, "out")
    assert [label(each["destination"]) for each in told] == ["s"] * 3000 + ["None"] * 3000


def test_across_waits_and_beside_others() -> None:
    """Three pipelines that wait are told as one, and what untraced batons do meanwhile is not in it."""
    waiting: list[Deferred[Any]] = []

    def waits(baton: Any) -> Deferred[Any]:
        waiting.append(Deferred())
        return waiting[-1].addCallback(lambda _: baton)

    lowest = pipeline(Step("c", waits), name="lowest")
    middle = pipeline(chain(Step("b", waits), Step("call c", lowest)), name="middle")

    async def calls(baton: Any) -> Any:
        return (await middle(baton))[0][0]

    highest, got = pipeline(chain(Step("a", waits), Step("call b", calls), Step("z"))), list[Any]()
    highest.traced_process("-").addCallback(got.append)
    highest("beside").addCallback(got.append)
    lowest("beside too").addCallback(got.append)
    while waiting:
        waiting.pop(0).callback(None)
    results, trace = got[-2] if isinstance(got[-2], tuple) else got[-1]
    assert results == ["-z"]
    assert [result for result in got if isinstance(result, list)] == [["beside too"], ["besidez"]]
    assert told(trace) == [
        *("out>a:-", "a>call b:-", "call b>b:-", "b>call c:-", "call c>c:-", "c>None:-", "call c>None:['-']"),
        *("call b>z:-", "z>None:-z"),
    ]


def test_a_trace_is_bounded() -> None:
    """A long loop fills no memory: the beginning is kept, and the trace says so."""
    a = Step("a", lambda baton: baton + 1)
    a.get_consumers = lambda baton: [a] if baton < MOST_VISITS else []  # type: ignore[method-assign]
    _, trace = pipeline(a).trace(0)
    assert trace.is_cut
    assert MOST_VISITS * 0.4 < len(trace.visits) < MOST_VISITS
    assert len(handovers(trace)) == len(trace.visits)


def test_a_walk_that_has_not_ended() -> None:
    """A trace can be read while its walk waits."""
    walked = pipeline(chain(Step("a"), Step("b", lambda baton: Deferred())))
    _, trace = walked.trace("-")
    assert [line.split(":")[0] for line in told(trace)] == ["out>a", "a>b"]
    assert trace.ended is None
