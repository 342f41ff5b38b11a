"""Standing in: steps and resources that do what a case says in place of the real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import execute

from piped import Processor, set_path
from piped.cases.notation import Answer, CallStandIn, ResourceStandIn, StepStandIn
from piped.pipelines.graph import Graph
from piped.pipelines.processor import Baton


class Answers:
    """What a stand-in gives, call by call.

    Args:
        who: how messages call the stand-in.
    """

    def __init__(self, answer: Answer, who: str) -> None:
        self._answer, self._who = answer, who
        self._each = answer.returns_each.items()
        #: How often it was called.
        self.calls = 0

    def next(self, otherwise: Any = None) -> Any:
        """What this call gives: `otherwise` where the stand-in does not say.

        Raises:
            AssertionError: it was called more often than it says.
        """
        answer, number = self._answer, self.calls
        self.calls += 1
        if answer.raised:
            raise answer.raised.made()
        if answer.returns_each.is_written:
            if number >= len(self._each):
                raise AssertionError(f"{self._who} was called more often than returns_each says, {len(self._each)}")
            return self._each[number].value()
        return answer.returns.value() if answer.returns.is_written else otherwise


class StandInStep(Processor):
    """A step in the place of another one, with its name and its consumers."""

    def __init__(self, step: Processor, stand_in: StepStandIn, answers: Answers) -> None:
        super().__init__(step.node_name)
        self.id, self.pipeline_name, self.where = step.id, step.pipeline_name, step.where
        self.consumers, self.error_consumers = step.consumers, step.error_consumers
        self._values, self._answers = stand_in.set, answers

    def process(self, baton: Baton) -> Baton:
        for path, value in self._values.items():
            set_path(baton, path, value.value())
        return self._answers.next(baton)


def with_stand_ins(graph: Graph, stand_ins: Mapping[Processor, Processor]) -> Graph:
    """The graph with other steps in the place of some; the others are the same objects."""
    if not any(step in stand_ins for step in graph):
        return graph
    for step in (stand_ins.get(step, step) for step in graph):
        step.consumers = [stand_ins.get(each, each) for each in step.consumers]
        step.error_consumers = [stand_ins.get(each, each) for each in step.error_consumers]
    return Graph(graph.name, [stand_ins.get(each, each) for each in graph.sources], graph.where)


class StandInObject:
    """A resource with the methods that a case gives it, and no others."""

    def __init__(self, path: str, methods: Mapping[str, Callable[..., Any]]) -> None:
        self._path = path
        vars(self).update(methods)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the stand-in of {self._path} has no {name!r}: add it to its 'methods'")

    def __repr__(self) -> str:
        return f"<the stand-in of {self._path}>"


def stand_in_for(path: str, stand_in: ResourceStandIn, send: Callable[[str, Baton], Any]) -> Any:
    """The object that stands in for the resource at a path.

    Args:
        send: sends a baton into the pipeline of a name.
    """
    pipeline = stand_in.pipeline
    if pipeline is not None:
        return lambda baton: send(pipeline, baton)
    if stand_in.methods:
        methods = {name: _called(f"the stand-in of {path}.{name}", call) for name, call in stand_in.methods.items()}
        return StandInObject(path, methods)
    return stand_in.value.value() if stand_in.value.is_written else _called(f"the stand-in of {path}", stand_in)


def _called(who: str, stand_in: CallStandIn) -> Callable[..., Any]:
    answers = Answers(stand_in, who)

    def call(*_: Any, **__: Any) -> Any:
        return execute(answers.next) if stand_in.is_awaited else answers.next()

    return call
