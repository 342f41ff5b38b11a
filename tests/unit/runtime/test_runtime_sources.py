"""Source: takes batons while what processes them is ready, and settles each once; Sources come to rest."""

from __future__ import annotations

import gc
import weakref
from contextvars import ContextVar
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from piped.pipelines.graph import Graph
from piped.pipelines.processor import Processor
from piped.resources.dependency import ResourceDependency
from piped.resources.intake import Refusal, Ticket
from piped.resources.wiring import DependencyManager
from piped.runtime.draining import Sources, drain
from piped.runtime.running import Pipeline
from piped.runtime.signing import current_baton
from piped.runtime.sources import Source


class Step(Processor):
    """A step that does what it is told."""

    def __init__(self, does: Any, *consumers: Processor) -> None:
        super().__init__()
        self.does = does
        self.consumers = list(consumers)
        self.id = self.pipeline_name = "step"

    def process(self, baton: Any) -> Any:
        return self.does(baton)


class Stage:
    """A source with a processor that comes and goes."""

    def __init__(self, max_running: int | None = 10) -> None:
        self.manager = DependencyManager()
        self.manager.resource_manager.register("pipeline.x", self)
        self.dependency = self.manager.add_dependency(self, {"provider": "pipeline.x"})
        self.source = Source("web.site", self.dependency, max_running=max_running)
        self.flips: list[str] = []
        self.source.on_open += lambda: self.flips.append("open")
        self.source.on_closed += lambda: self.flips.append("closed")
        self.manager.resolve_initial_states()
        self.settled: list[Any] = []
        self.waiting: list[Deferred[Any]] = []

    def add_consumer(self, dependency: ResourceDependency) -> None:
        self.given = dependency

    def process_with(self, processor: Any) -> Stage:
        self.given.on_resource_ready(processor)
        return self

    def process_later(self) -> Stage:
        """Let a pipeline with two branches process, of which one waits."""
        branches = Step(lambda baton: baton, Step(self.wait), Step(lambda baton: f"{baton} at once"))
        return self.process_with(Pipeline(Graph("x", [branches])))

    def wait(self, _: Any) -> Deferred[Any]:
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def take(self, baton: Any = "baton") -> Any:
        return self.source.take(baton, self.settled.append)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_nothing_is_taken_before_the_processor_is_ready(stage: Stage) -> None:
    """A source refuses while its processor is not there, takes when it is, and refuses again when it is lost."""
    assert stage.take() is Refusal.NOT_READY
    assert not stage.source.is_open
    stage.process_with(Pipeline(Graph("x", [Step(str.upper)])))
    assert isinstance(stage.take(), Ticket)
    stage.given.on_resource_lost("gone")
    assert stage.take() is Refusal.NOT_READY
    assert stage.settled == [["BATON"]]
    assert stage.flips == ["open", "closed"]


def test_a_baton_is_settled_before_take_returns_if_nothing_waits(stage: Stage) -> None:
    """What needs no waiting is done at once."""
    stage.process_with(Pipeline(Graph("x", [Step(str.upper, Step(str.title), Step(str.lower))])))
    assert stage.take().is_settled
    assert stage.settled == [["Baton", "baton"]]
    assert stage.source.running == 0


def test_a_baton_is_settled_once_every_branch_has_ended(stage: Stage) -> None:
    """An outcome is told once, with all results, after the last branch."""
    stage.process_later()
    ticket = stage.take()
    assert (stage.settled, stage.source.running, ticket.is_settled) == ([], 1, False)
    stage.waiting[0].callback("waited")
    assert stage.settled == [["waited", "baton at once"]]
    assert (stage.source.running, ticket.is_settled) == (0, True)


def test_a_failure_is_told_as_a_failure(stage: Stage) -> None:
    """What no error consumer handled is told to the source, at once or later; nothing is raised at whoever sent it."""
    stage.process_with(Pipeline(Graph("x", [Step(lambda baton: 1 // 0)])))
    assert stage.take()
    stage.process_later()
    stage.take()
    stage.waiting[0].errback(ValueError("no"))
    assert [type(outcome) for outcome in stage.settled] == [Failure, Failure]
    assert [outcome.type for outcome in stage.settled] == [ZeroDivisionError, ValueError]
    assert stage.source.running == 0


def test_anything_callable_can_process(stage: Stage) -> None:
    """A processor may be any callable that gives a value, a Deferred or a coroutine."""

    async def coroutine(baton: str) -> str:
        return f"{baton} from a coroutine"

    stage.process_with(str.upper).take()
    stage.process_with(coroutine).take()
    stage.process_with(stage.wait).take()
    stage.waiting[0].callback("from a Deferred")
    assert stage.settled == [["BATON"], ["baton from a coroutine"], ["from a Deferred"]]


def test_a_replaced_processor_takes_over(stage: Stage) -> None:
    """Batons taken after a replacement go to the new processor; those under way end where they began."""
    stage.process_later().take()
    stage.process_with(str.upper).take()
    stage.waiting[0].callback("old")
    assert stage.settled == [["BATON"], ["old", "baton at once"]]


def test_what_is_running_goes_on_when_the_processor_is_lost(stage: Stage) -> None:
    """A loss refuses new batons and lets those that were taken end."""
    stage.process_later().take()
    stage.given.on_resource_lost("gone")
    stage.waiting[0].callback("waited")
    assert stage.settled == [["waited", "baton at once"]]


def test_a_lost_processor_is_let_go(stage: Stage) -> None:
    """What processed batons once is not kept alive by the source."""
    pipeline = Pipeline(Graph("x", [Step(str.upper)]))
    reference = weakref.ref(pipeline)
    stage.process_with(pipeline)
    stage.given.on_resource_lost("gone")
    del pipeline
    gc.collect()
    assert reference() is None


def test_no_more_than_allowed_are_running() -> None:
    """A full source says so, closes, and opens again when a baton has ended."""
    stage = Stage(max_running=2).process_later()
    assert stage.take()
    assert stage.source.is_open
    assert stage.take()
    assert stage.take() is Refusal.FULL
    stage.waiting[1].callback("done")
    assert stage.flips == ["open", "closed", "open"]
    assert stage.take()


def test_a_source_of_one_at_a_time_does_not_flicker() -> None:
    """Batons that never wait do not close a source, however few it may take at a time."""
    stage = Stage(max_running=1).process_with(str.upper)
    for _ in range(3):
        stage.take()
    assert stage.flips == ["open"]
    assert len(stage.settled) == 3


def test_the_next_baton_may_be_taken_while_settling() -> None:
    """Whoever settles the last of its batons may send the next one right away."""
    stage = Stage(max_running=1).process_with(str.upper)
    more = ["second", "third"]

    def settle(outcome: Any) -> None:
        stage.settled.append(outcome)
        if more:
            assert stage.source.take(more.pop(0), settle)

    stage.source.take("first", settle)
    assert stage.settled == [["FIRST"], ["SECOND"], ["THIRD"]]
    assert stage.source.running == 0


def test_code_knows_which_baton_it_works_for(stage: Stage) -> None:
    """Everything that a baton runs, also after a wait, can tell its source and number; others are not touched."""
    seen: list[str] = []

    def note(baton: Any) -> Any:
        seen.append(str(current_baton.get()))
        return baton

    stage.process_with(Pipeline(Graph("x", [Step(note, Step(stage.wait, Step(note)))])))
    stage.take()
    stage.take()
    assert current_baton.get() is None
    stage.waiting[1].callback("b")
    stage.waiting[0].callback("a")
    assert seen == ["web.site-1", "web.site-2", "web.site-2", "web.site-1"]


def test_what_settling_logs_is_signed_as_well() -> None:
    """A source that tells of a failure tells it in the name of the baton, whether a step waited or not."""
    stage = Stage().process_with(lambda baton: stage.waiting.pop() if stage.waiting else baton)
    settled: list[str] = []
    waiting: Deferred[Any] = Deferred()
    for stage.waiting in ([], [waiting]):
        stage.source.take({}, lambda outcome: settled.append(str(current_baton.get())))
    waiting.callback({})
    assert settled == ["web.site-1", "web.site-2"]
    assert current_baton.get() is None


def test_a_running_baton_can_be_cancelled(stage: Stage) -> None:
    """A cancelled baton stops what it waits for and is settled with the failure; one that has ended is left alone."""
    stage.process_later()
    first, second = stage.take(), stage.take()
    stage.source.cancel(first)
    assert [outcome.type for outcome in stage.settled] == [CancelledError]
    assert stage.source.running == 1
    stage.waiting[1].callback("done")
    stage.source.cancel(first)
    stage.source.cancel(second)
    assert len(stage.settled) == 2


def test_a_failure_to_settle_is_logged_and_counted_as_settled(stage: Stage) -> None:
    """A source that fails to settle takes the next baton all the same; the error is in the log with the number."""
    stage.process_with(str.upper)
    with capturedLogs() as logged:
        stage.source.take("baton", lambda outcome: 1 // 0)
    assert logged[0]["log_failure"].type is ZeroDivisionError
    assert (logged[0]["source"], logged[0]["number"]) == ("web.site", 1)
    assert stage.source.running == 0


def test_a_step_that_exits_ends_only_its_baton(stage: Stage) -> None:
    """SystemExit in a step, also after a wait, is a failure of its baton; the process and the source go on."""

    def leave(baton: Any) -> Any:
        raise SystemExit(3)

    async def leave_later(baton: Any) -> Any:
        await stage.wait(baton)
        raise SystemExit(4)

    for step in (leave, leave_later):
        stage.process_with(Pipeline(Graph("x", [Step(step)])))
        stage.take()
    stage.waiting[0].callback("b")
    assert stage.source.running == 0
    assert [outcome.value.code for outcome in stage.settled] == [3, 4]


def test_a_source_can_pause(stage: Stage) -> None:
    """A paused source takes nothing, says so, and goes on when told."""
    stage.process_with(str.upper)
    stage.source.pause()
    assert stage.take() is Refusal.PAUSED
    stage.source.resume()
    assert stage.take()
    assert stage.flips == ["open", "closed", "open"]


def test_a_source_may_feed_many_processors() -> None:
    """A source without a processor of its own names one with each baton, and hears what is not ready."""
    stage = Stage()
    source = Source("web.site", max_running=1)
    other = stage.manager.add_dependency(stage, {"provider": "pipeline.x"})
    for dependency in (stage.dependency, other):
        source.feed(dependency)
    assert source.is_open
    assert source.take("baton", stage.settled.append, stage.dependency) is Refusal.NOT_READY
    stage.process_with(stage.wait)
    assert source.take("baton", stage.settled.append, other) is Refusal.NOT_READY
    assert source.take("baton", stage.settled.append, stage.dependency)
    assert source.take("baton", stage.settled.append, stage.dependency) is Refusal.FULL
    stage.waiting[0].callback("done")
    assert stage.settled == [["done"]]
    stage.given.on_resource_lost("gone")
    assert source.take("baton", stage.settled.append, stage.dependency) is Refusal.NOT_READY


def test_a_source_made_after_its_processor_is_open_at_once(stage: Stage) -> None:
    """A processor that is ready already needs no further news."""
    stage.process_with(str.upper)
    source = Source("late", stage.dependency, max_running=1)
    assert source.is_open
    assert source.take("baton", stage.settled.append)


def test_a_baton_without_a_processor_is_a_mistake() -> None:
    """A source that feeds many has to be told which one; it does not wait for an answer that never comes."""
    source = Source("web.site", max_running=1)
    with pytest.raises(ValueError, match=r"web\.site"):
        source.take("baton", print)
    assert source.running == 0


# Draining


def fired(deferred: Deferred[Any]) -> list[Any]:
    found: list[Any] = []
    deferred.addCallback(found.append)
    return found


def test_a_drain_waits_for_what_is_running(stage: Stage) -> None:
    """A draining source takes nothing more, and is drained when the last baton has been settled."""
    stage.process_later().take()
    drained = fired(stage.source.drain())
    assert (stage.take(), drained, stage.flips) == (Refusal.DRAINING, [], ["open", "closed"])
    stage.waiting[0].callback("done")
    assert (len(stage.settled), drained) == (1, [None])
    assert fired(stage.source.drain()) == [None]
    stage.source.reopen()
    assert stage.take()


def test_a_drain_that_nobody_waits_for_any_more_may_be_cancelled(stage: Stage) -> None:
    """Giving up waiting for a drain harms nobody else who waits."""
    stage.process_later().take()
    given_up, drained = stage.source.drain(), fired(stage.source.drain())
    given_up.addErrback(lambda failure: failure.trap(CancelledError))
    given_up.cancel()
    stage.waiting[0].callback("done")
    assert drained == [None]


def test_a_process_rests_when_all_sources_do() -> None:
    """Stopping tells all sources at once, waits for all, and names nobody when all have finished."""
    clock, stages = Clock(), [Stage().process_later(), Stage().process_later()]
    sources = Sources()
    for stage in stages:
        stage.take()
        sources.add(stage.source)
    finished = fired(drain(sources, 20, clock))
    assert [stage.take() for stage in stages] == [Refusal.DRAINING] * 2
    stages[0].waiting[0].callback("done")
    assert finished == []
    stages[1].waiting[0].callback("done")
    assert finished == [[]]
    assert clock.getDelayedCalls() == []


def test_after_the_deadline_the_rest_is_cancelled_and_named() -> None:
    """What has not finished in time is cancelled, settled as such, and told by name."""
    clock, quick, slow = Clock(), Stage().process_later(), Stage().process_later()
    for stage in (quick, slow):
        stage.take()
    quick.source.name = "quick"
    finished = fired(drain([quick.source, slow.source], 20, clock))
    clock.advance(10)
    quick.waiting[0].callback("done")
    clock.advance(9.9)
    assert finished == []
    with capturedLogs() as logged:
        clock.advance(0.1)
    assert finished == [["web.site"]]
    assert (logged[0]["source"], logged[0]["n"]) == ("web.site", 1)
    assert [outcome.type for outcome in slow.settled] == [CancelledError]
    assert slow.source.running == 0


def test_a_process_without_work_rests_at_once(stage: Stage) -> None:
    """Idle sources need no deadline, and none is set."""
    clock, sources = Clock(), Sources()
    assert sources.add(stage.source) is stage.source
    assert len(sources) == 1
    assert fired(drain(sources, 20, clock)) == [[]]
    assert clock.getDelayedCalls() == []
    sources.discard(stage.source)
    assert list(sources) == []


def test_nothing_of_a_baton_s_context_reaches_what_settles_it(stage: Stage) -> None:
    """What a step has set for its own baton is not there where a source settles it, and may take the next one."""
    mine: ContextVar[str] = ContextVar("mine", default="nobody's")

    def claim(baton: Any) -> Any:
        mine.set("the baton's")
        return stage.wait(baton)

    seen: list[str] = []
    stage.process_with(Pipeline(Graph("x", [Step(claim)])))
    stage.source.take({}, lambda outcome: seen.append(mine.get()))
    stage.waiting[0].callback({})
    assert seen == ["nobody's"]
