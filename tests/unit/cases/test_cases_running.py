"""Tests of playing cases."""

import asyncio
import logging
from typing import Any

import pytest
from cases_stage import begun, cases_of, checked, found, played
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from piped import PipedService, Processor, processor, provider
from piped.cases.running import MOST_LINES, MOST_STEPS, play

SLOW = "pipelines: {p: [{wait: {delay: 10}}, {wait: {delay: 0.1}}, {wait: {delay: 0.2}}]}\n"


@processor("sleep")
async def sleep(baton: Any) -> None:
    """Waits as asyncio does."""
    await asyncio.sleep(0.01)


@processor("hang")
def hang(baton: Any) -> Any:
    """Waits for ever."""
    return Deferred()


@processor("say")
def say(baton: Any, *, times: int = 1) -> None:
    """Logs."""
    for number in range(times):
        logging.getLogger("saying").info("word %d", number)


@provider("never")
class Never(PipedService):
    """Offers what never comes."""

    def configure(self, runtime_environment: Any) -> None:
        runtime_environment.resource_manager.register("never.thing", self)

    def add_consumer(self, dependency: Any) -> None:
        pass

    def run(self) -> None:
        raise AssertionError("nobody starts it")


class Needy(Processor):
    """Needs what never comes."""

    name = "needy"

    def configure(self, runtime_environment: Any) -> None:
        runtime_environment.dependency_manager.add_dependency(self, "never.thing")


def case(case: str) -> str:
    return f"tests: [{{name: one, pipeline: p, {case}}}]"


def test_a_case_passes_when_all_is_as_expected() -> None:
    """With everything that can be expected at once."""
    site = "pipelines: {p: [{set-value: {path: a, value: 1}}]}\n"
    text = "baton: {b: 2}, result: {a: 1, b: 2}, results: [{a: 1, b: 2}], contains: {a: 1}"
    assert played(site + case(text)).has_passed


def test_differences_are_told_at_the_expectation() -> None:
    """Each with its place, of the last result and of all results."""
    site = "pipelines: {p: {consumers: [{set-value: {path: a, value: 1}}, {set-value: {path: a, value: 2}}]}}\n"
    text = "result: {a: 1}, results: [{a: 0}, {a: 2}], contains: {c: 3}"
    assert found(site + case(text)) == [
        "site.yaml:2:64: results.0.a is 2, expected 0",
        "site.yaml:2:46: result.a is 2, expected 1",
        "site.yaml:2:88: result.c is missing, expected 3 – there is: a",
    ]


def test_the_time_moves_as_the_case_says() -> None:
    """Through waits that follow each other, to the last of them, and no further."""
    assert found(SLOW + case("advance: 10.3, result: {}")) == []
    playing = begun(SLOW + case("advance: 10.29, timeout: 2, result: {}"), reactor=(clock := Clock()))
    clock.advance(1.9)
    assert not playing.called
    clock.advance(0.1)
    [problem] = playing.result.found
    assert str(problem) == (
        "site.yaml:2:70: p still waits after 2 s, while the time moved 10.29 s: step wait-3 (site.yaml:1:61)"
        " – 'advance: 10.3' lets the next thing happen"
    )


def test_roundings_do_not_hold_the_time() -> None:
    """Sums of decimal fractions are seldom what they are on paper."""
    site = "pipelines: {p: [{wait: {delay: 0.2}}, {wait: {delay: 0.2}}, {wait: {delay: 0.2}}]}\n"
    assert found(site + case("now: 1770000000, advance: 0.6, timeout: 0, result: {}")) == []


def test_what_waits_in_another_pipeline_is_named_there() -> None:
    """The innermost step, as that is what has to be mended."""
    site = "pipelines: {p: [{run-pipeline: {pipeline: inner}}], inner: [hang]}\n"
    playing = begun(site + case("result: {}"), hang, reactor=(clock := Clock()))
    clock.advance(5)
    [problem] = playing.result.found
    assert problem.what.endswith("step hang-1 (site.yaml:1:61)")
    assert problem.fix == ""


def test_a_case_begins_at_its_time() -> None:
    """For whoever asks the wall clock."""

    class Tell(Processor):
        name = "tell"

        def configure(self, runtime_environment: Any) -> None:
            self.environment = runtime_environment

        def process(self, baton: Any) -> Any:
            return self.environment.wall_clock()

    site = "pipelines: {p: [{wait: {delay: 1}}, tell]}\n"
    assert found(site + case("now: '1970-01-02', advance: 1, result: 86401"), Tell) == []
    assert found(site + case("advance: 1, result: 1"), Tell) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("KeyError", None),
        ("LookupError", None),
        ("{type: KeyError, message: a.y}", None),
        ("{message: any}", None),
        ("OSError", "'any' (in pipeline p, step raise-exception-1 (site.yaml:1:18)), expected OSError"),
        ("{message: other}", "expected Exception with a text like 'other'"),
    ],
)
def test_a_failure_is_expected_by_type_and_text(error: str, told: str | None) -> None:
    """By a base of its type as well, and by a part of its text."""
    problems = found("pipelines: {p: [{raise-exception: {type: KeyError, args: any}}]}\n" + case(f"error: {error}"))
    assert problems == [] if told is None else told in problems[0]


def test_a_failure_that_nobody_expected_is_shown_with_its_traceback() -> None:
    """But one of Piped's own says it all."""
    outcome = played("pipelines: {p: [{exec-code: {code: raise OSError(5)}}]}\n" + case("result: 1"))
    assert outcome.found[0].what.startswith("it failed with OSError: 5 (in pipeline p, step exec-code-1")
    assert 'File "site.yaml", line 1' in outcome.traceback
    outcome = played("pipelines: {p: [{raise-exception: {type: piped.Rejected}}]}\n" + case("result: 1"))
    assert outcome.found[0].what.startswith("it failed with Rejected")
    assert outcome.traceback == ""


def test_advice_is_given_once() -> None:
    """What Piped's own errors say is a part of what is told about them."""
    site = "pipelines: {p: [{run-pipeline: {pipeline_path: x}}], good: [passthrough]}\n"
    assert found(site + case("baton: {x: goood}, result: 1"))[0].count("did you mean") == 1


@pytest.mark.parametrize("waits", ["", "{wait: {delay: 1}}, "])
def test_a_step_that_ends_the_process_ends_its_case_only(waits: str) -> None:
    """Otherwise a step that calls exit(0) would let all cases after it count as passed."""
    site = f"pipelines: {{p: [{waits}{{eval-lambda: {{lambda: 'baton: exit(0)'}}}}]}}\n"
    [told] = found(site + case("advance: 1, result: 1"))
    assert "it failed with SystemExit: 0" in told
    assert found(site + case("advance: 1, error: SystemExit")) == []


def test_a_case_that_fails_tells_what_came_and_on_which_way() -> None:
    """The first questions of whoever looks at it; one that passes tells nothing."""
    site = "pipelines: {p: [{set-value: {path: a, value: 1, node_name: first}}, passthrough], q: [passthrough]}\n"
    outcome = played(site + case("contains: {a: 2}, processors: {passthrough-1: {}, q.passthrough-1: {returns: 1}}"))
    assert outcome.asides == [
        "its results: [{'a': 1}]",
        "its steps: first, passthrough-1",
        "stand-ins of steps that it did not come to: 'q.passthrough-1'",
    ]
    assert played(site + case("contains: {a: 1}")).asides == []
    many = f"pipelines: {{p: [{', '.join(['passthrough'] * (MOST_STEPS + 2))}]}}\n"
    assert played(many + case("result: 1")).asides[1].endswith(f"passthrough-{MOST_STEPS}, and 2 more")


def test_a_failure_that_does_not_come_is_told_with_the_results() -> None:
    """What came instead is the first question."""
    [told] = found("pipelines: {p: [passthrough]}\n" + case("baton: {a: 1}, error: KeyError"))
    assert told == "site.yaml:2:56: it did not fail, expected KeyError: its results are [{'a': 1}]"


def test_what_is_not_there_fails_the_case_at_once() -> None:
    """With what the pipeline waits for, and what to do; nothing was started."""
    text = "never: {}\npipelines: {p: [needy]}\n" + case("result: 1")
    [told] = found(text, Never, Needy)
    assert "NotReadyError: pipeline.p is not ready" in told
    assert told.endswith("waits for never.thing – stand in for what it needs in 'resources'")
    assert found(text.replace("result: 1", "result: {}, processors: {needy: {}}"), Never, Needy) == []


def test_a_stand_in_that_nobody_asks_for_is_a_slip_of_the_pen() -> None:
    """With the closest path that there is."""
    site = "contexts: {users: 1}\npipelines: {p: [{fetch-context: {context: users}}]}\n"
    [told] = found(site + case("resources: {context.usrs: {value: 2}}, result: {users: 1}"))
    assert told == "site.yaml:3:46: nobody asks for the resource 'context.usrs' – did you mean 'context.users'?"


def test_cases_do_not_see_what_others_have_changed() -> None:
    """Contexts, persisted ones, and steps are made anew for each; files are neither read nor written."""
    site = """\
contexts: {seen: []}
persisted_contexts: {kept: {file: /nowhere/kept.json, initial_data: []}}
pipelines:
  p:
    - fetch-context: {context: seen}
    - fetch-persisted-context: {context: kept}
    - eval-lambda: {lambda: "baton: baton['seen'].append(1) or baton['kept'].append(2)", output_path: null}
    - set-value: {path: list, value: []}
tests:
  - {name: one, pipeline: p, result: &what {seen: [1], kept: [2], list: []}}
  - {name: two, pipeline: p, result: *what}
"""
    assembly = checked(site)
    for case in cases_of(assembly):
        outcomes: list[Any] = []
        Deferred.fromCoroutine(play(case, assembly, Clock())).addBoth(outcomes.append)
        assert outcomes[0].found == []


def test_the_log_is_kept_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Its latest lines; afterwards the log goes where it went before."""
    logging.getLogger("saying").setLevel(logging.INFO)
    outcome = played(f"pipelines: {{p: [{{say: {{times: {MOST_LINES + 5}}}}}]}}\n" + case("result: {}"), say)
    assert len(outcome.log) == MOST_LINES
    assert outcome.log[-1].endswith(f"[saying] word {MOST_LINES + 4}")
    assert caplog.records == []
    say({})
    assert len(caplog.records) == 1


def test_a_case_can_be_cancelled() -> None:
    """It does not count as failed, and what it runs is cancelled with it."""
    cancelled: list[Any] = []

    @processor("wait-for")
    def wait_for(baton: Any) -> Any:
        return Deferred(cancelled.append)

    playing = begun("pipelines: {p: [wait-for]}\n" + case("result: {}"), wait_for)
    playing.cancel()
    assert len(cancelled) == 1
    outcomes: list[Any] = []
    playing.addErrback(outcomes.append)
    assert outcomes[0].check(CancelledError)


class WithAsyncio(TestCase):
    """Steps that wait for something real."""

    async def test_a_step_may_wait_for_asyncio(self) -> None:
        """It gets its turns of the reactor, before and after the time has moved."""
        site = "pipelines: {p: [sleep, {wait: {delay: 3600}}, sleep]}\n"
        await deferLater(reactor, 0)  # asyncio's loop runs from here on
        outcome = await begun(site + case("advance: 3600, result: {}"), sleep, reactor=reactor)
        assert outcome.found == []
        assert outcome.seconds < 5

    async def test_a_time_that_never_ends_has_its_limit(self) -> None:
        """Waits of no length, one after the other."""

        @processor("spin")
        async def spin(baton: Any) -> None:
            clock = baton["clock"]
            while True:
                await deferLater(clock, 0)

        class Clocked(Processor):
            name = "clocked"

            def configure(self, runtime_environment: Any) -> None:
                self.clock = runtime_environment.reactor

            def process(self, baton: Any) -> Any:
                return {"clock": self.clock}

        text = "pipelines: {p: [clocked, spin]}\n" + case("timeout: 0.02, result: {}")
        outcome = await begun(text, spin, Clocked, reactor=reactor)
        assert "p still waits after 0.02 s" in outcome.found[0].what

    async def test_a_real_wait_has_its_limit(self) -> None:
        """So that a test that hangs ends."""
        text = "pipelines: {p: [hang]}\n" + case("timeout: 0.01, result: {}")
        outcome = await begun(text, hang, reactor=reactor)
        assert "p still waits after 0.01 s" in outcome.found[0].what
