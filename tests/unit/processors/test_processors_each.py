"""Tests of for-each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from processors_stage import Offer, configured, result_of
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from piped.ground.errors import AllPipelinesFailedError, ConfigurationError
from piped.ground.units import PipelineName
from piped.processors.each import ForEach
from piped.runtime.environment import RuntimeEnvironment

SiteOf = Callable[[str], Any]

#: `work` fails for negative numbers, waits for so many tenths of a second for positive ones, and not at all for 0.
CONFIGURATION = """
contexts: {{begun: [], ended: []}}
pipelines:
  work:
    - exec-code:
        dependencies: {{begun: {{provider: context.begun}}}}
        code: |
          self.dependencies.begun.append(input)
          return input
    - lambda-decider:
        lambda: "n: 0 if n == 0 else 1"
        consumers:
          - eval-lambda: {{lambda: "n: 'at once'"}}
          - exec-code:
              dependencies: {{ended: {{provider: context.ended}}}}
              namespace: {{deferLater: twisted.internet.task.deferLater}}
              code: |
                await deferLater(reactor, abs(input) / 10)
                self.dependencies.ended.append(input)
                if input < 0:
                    raise ValueError(input)
                return f"done {{input}}"
  listing: [passthrough: {{}}, eval-lambda: {{lambda: 'chunk: list(chunk)'}}]
  both:
    consumers: [passthrough, eval-lambda: {{lambda: 'n: -n'}}]
  inner:
    work: [eval-lambda: {{lambda: "n: 'inner'"}}]
    main: [for-each: {{pipeline: .work}}]
  main:
    - for-each: {{pipeline: work, {options}}}
"""


@pytest.fixture
def looping(site: SiteOf) -> Callable[[str], Any]:
    """A site whose pipeline `main` is one for-each."""

    def assemble(options: str = "") -> Any:
        return site(CONFIGURATION.format(options=options))

    return assemble


def begun(site: Any) -> list[int]:
    """The elements that were started so far."""
    return list(site.resource("context.begun"))


def ended(site: Any) -> list[int]:
    """The elements that came to their end."""
    return list(site.resource("context.ended"))


def outcome(site: Any, baton: Any) -> Any:
    """What becomes of a baton when all waits are over."""
    running = site.start(baton)
    for _ in range(20):
        site.clock.advance(0.1)
    return result_of(running)[0]


@pytest.mark.parametrize("parallel", ["false", "true", "2"])
def test_the_output_is_in_the_order_of_the_input(looping: SiteOf, parallel: str) -> None:
    """Whichever ends first, each result stands where its element stood."""
    assert outcome(looping(f"parallel: {parallel}"), [3, 0, 1, 2]) == ["done 3", "at once", "done 1", "done 2"]


@pytest.mark.parametrize(
    ("parallel", "starts"),
    [
        ("false", [[3], [3], [3], [3, 1], [3, 1, 2]]),
        ("1", [[3], [3], [3], [3, 1], [3, 1, 2]]),
        ("2", [[3, 1], [3, 1, 2], [3, 1, 2], [3, 1, 2]]),
        ("3", [[3, 1, 2], [3, 1, 2]]),
        ("true", [[3, 1, 2]]),
    ],
)
def test_only_so_many_run_at_a_time(looping: SiteOf, parallel: str, starts: list[list[int]]) -> None:
    """The next element begins when one has ended, never before."""
    site = looping(f"parallel: {parallel}")
    running = site.start([3, 1, 2])
    for expected in starts:
        assert begun(site) == expected
        site.clock.advance(0.1)
    site.clock.advance(1)
    site.clock.advance(1)
    assert running.called


@pytest.mark.parametrize("parallel", ["-1", "some"])
def test_a_number_of_none_is_refused(looping: SiteOf, parallel: str) -> None:
    """At least one element has to run at a time."""
    with pytest.raises(ConfigurationError, match="parallel"):
        looping(f"parallel: {parallel}")


@pytest.mark.parametrize("parallel", ["false", "true", "2"])
def test_a_failure_stands_at_its_position(looping: SiteOf, parallel: str) -> None:
    """Other elements go on; the failure is a Twisted Failure."""
    [first, failure, last] = outcome(looping(f"parallel: {parallel}"), [1, -1, 0])
    assert (first, last) == ("done 1", "at once")
    assert isinstance(failure, Failure)
    assert failure.check(ValueError)


@pytest.mark.parametrize("parallel", ["false", "true", "2"])
@pytest.mark.parametrize("flag", ["false", "true"])
def test_when_everything_failed_so_does_the_step(looping: SiteOf, parallel: str, flag: str) -> None:
    """The failures are all in the error, in the order of their elements."""
    with pytest.raises(AllPipelinesFailedError) as raised:
        outcome(looping(f"parallel: {parallel}, done_on_first: {flag}"), [-3, -1, -2])
    assert [failure.value.args for failure in raised.value.failures] == [(-3,), (-1,), (-2,)]  # type: ignore[attr-defined] # Failures


@pytest.mark.parametrize("parallel", ["false", "true", "2"])
def test_nothing_gives_nothing(looping: SiteOf, parallel: str) -> None:
    """An empty input is an empty output; but there is no first of nothing."""
    site = looping(f"parallel: {parallel}")
    assert outcome(site, []) == []
    assert outcome(site, {}) == {}
    with pytest.raises(AllPipelinesFailedError):
        outcome(looping(f"parallel: {parallel}, done_on_first: true"), [])


@pytest.mark.parametrize(
    ("parallel", "first", "seen", "finished"),
    [("false", "done 3", [-1, 3], [-1, 3]), ("true", "done 1", [-1, 3, 1], [-1, 1]), ("2", "done 3", [-1, 3, 5], None)],
)
def test_the_first_result_is_enough(
    looping: SiteOf, parallel: str, first: str, seen: list[int], finished: list[int] | None
) -> None:
    """The output is the first result itself; nothing is begun or kept running after it."""
    site = looping(f"parallel: {parallel}, done_on_first: true")
    elements = [-1, 3, 1] if finished else [-1, 3, 5, 1]
    assert outcome(site, elements) == first
    assert begun(site) == seen
    assert not site.clock.getDelayedCalls()
    if finished:
        assert sorted(ended(site)) == sorted(finished)


@pytest.mark.parametrize(("parallel", "seen"), [("false", [0, -1]), ("true", [0, -1, 5, 0]), ("2", [0, -1, 5])])
def test_the_first_failure_may_be_enough(looping: SiteOf, parallel: str, seen: list[int]) -> None:
    """With `fail_on_error` the step fails at once, the baton stays as it was, and nothing is kept running."""
    site = looping(f"parallel: {parallel}, fail_on_error: true, input_path: numbers")
    baton = {"numbers": [0, -1, 5, 0]}
    with pytest.raises(ValueError, match="-1"):
        outcome(site, baton)
    assert baton == {"numbers": [0, -1, 5, 0]}
    assert begun(site) == seen
    assert -5 not in ended(site)
    assert not site.clock.getDelayedCalls()


@pytest.mark.parametrize("parallel", ["false", "true", "2"])
def test_cancelling_cancels_all_that_it_started(looping: SiteOf, parallel: str) -> None:
    """A cancelled step leaves nothing running, and begins nothing more."""
    site = looping(f"parallel: {parallel}")
    running = site.start([5, 5, 5])
    started = begun(site)
    running.cancel()
    with pytest.raises(CancelledError):
        result_of(running)
    assert begun(site) == started
    assert not site.clock.getDelayedCalls()


@pytest.mark.parametrize("parallel", ["false", "true"])
def test_a_mapping_keeps_its_keys(looping: SiteOf, parallel: str) -> None:
    """The pipeline gets the values, the output has the same keys in the same order."""
    given = outcome(looping(f"parallel: {parallel}"), {"b": 2, "a": 0})
    assert list(given.items()) == [("b", "done 2"), ("a", "at once")]


def test_the_first_of_a_mapping_is_no_mapping(looping: SiteOf) -> None:
    """`done_on_first` gives the result itself."""
    assert outcome(looping("done_on_first: true"), {"b": 2, "a": 0}) == "done 2"


@pytest.mark.parametrize("elements", [[1, 2, 3, 4, 5], range(1, 6), dict.fromkeys([1, 2, 3, 4, 5])])
def test_chunks(site: SiteOf, elements: Any) -> None:
    """The pipeline gets lists of at most so many elements, in order; of a mapping those of its keys."""
    running = site(CONFIGURATION.format(options="").replace("pipeline: work, ", "pipeline: listing, chunk_size: 2"))
    assert outcome(running, elements) == [[1, 2], [3, 4], [5]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", [-1, -2]),
        ("result_processor: 'results: results', ", [[1, -1], [2, -2]]),
        ("result_processor: 'results: total(results)', namespace: {total: math.fsum}, ", [0.0, 0.0]),
        ("result_processor: 'results: self.name', ", ["for-each", "for-each"]),
    ],
)
def test_results_are_processed(site: SiteOf, options: str, expected: list[Any]) -> None:
    """The last result of the pipeline stands in the output, or whatever is made of all of them."""
    running = site(CONFIGURATION.format(options="").replace("pipeline: work, ", f"{options}pipeline: both"))
    assert outcome(running, [1, 2]) == expected


def test_a_result_that_cannot_be_processed_is_a_failure(site: SiteOf) -> None:
    """What the result processor raises stands in the place of the result."""
    options = "result_processor: 'results: 1 / (results[0] - 1)', pipeline: both"
    [first, second] = outcome(site(CONFIGURATION.format(options="").replace("pipeline: work, ", options)), [1, 2])
    assert first.check(ZeroDivisionError)
    assert second == 1.0


def test_a_dot_means_a_sibling(looping: SiteOf) -> None:
    """A relative name is relative to the pipeline that the step stands in."""
    assert looping().run([1, 2], "inner.main") == [["inner", "inner"]]


def test_what_is_replaced_is_the_input(looping: SiteOf) -> None:
    """The output takes the place of the input, or stands where it is wanted."""
    assert looping("input_path: a").run({"a": [0]}) == [{"a": ["at once"]}]
    assert looping("input_path: a, output_path: b").run({"a": [0]}) == [{"a": [0], "b": ["at once"]}]
    assert looping("input_path: gone").run({"a": [0]}) == [{"a": [0]}]


def loop(environment: RuntimeEnvironment, process: Callable[[Any], Any], elements: Any, **options: Any) -> Any:
    """A Deferred of what a for-each makes of its input, where a callable stands for the pipeline."""
    Offer(environment, "pipeline.other", process)
    step = configured(ForEach(PipelineName("other"), **options), environment)
    return Deferred.fromCoroutine(step.process(elements))


@pytest.mark.parametrize("parallel", [False, True, 10])
def test_many_elements_need_no_stack(environment: RuntimeEnvironment, parallel: Any) -> None:
    """Thousands of elements that wait for nothing, or for what is there already, are no depth."""
    for process in (lambda n: [n], lambda n: succeed([n])):
        looped = loop(RuntimeEnvironment(), process, list(range(20_000)), parallel=parallel)
        assert result_of(looped) == list(range(20_000))


@pytest.mark.parametrize("options", ["", "chunk_size: 2"])
@pytest.mark.parametrize("input", [None, 5])
def test_what_has_no_elements_is_told(looping: SiteOf, options: str, input: Any) -> None:
    """The error names the path and what is there."""
    with pytest.raises(TypeError, match=f"what lies at 'n' has no elements, it is {type(input).__name__}"):
        looping(f"input_path: n, {options}").run({"n": input})


def test_an_endless_input_is_taken_as_it_comes(environment: RuntimeEnvironment) -> None:
    """What is not asked for is never made."""
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for n in range(100):
            made.append(n)
            yield n

    assert result_of(loop(environment, lambda n: [1 // (n // 3)], numbers(), done_on_first=True)) == 1
    assert made == [0, 1, 2, 3]


def test_an_input_that_fails_fails_the_step(environment: RuntimeEnvironment) -> None:
    """An error of the input itself is no failure of one element."""

    def numbers() -> Iterator[int]:
        yield 1
        raise KeyError("no more")

    waiting: Deferred[Any] = Deferred()
    with pytest.raises(KeyError, match="no more"):
        result_of(loop(environment, lambda n: waiting, numbers(), parallel=True))
    assert waiting.called


def test_a_list_may_be_changed_meanwhile(environment: RuntimeEnvironment) -> None:
    """What the pipeline does to the list or mapping does not change what is gone through."""
    elements = [1, 2, 3]
    assert result_of(loop(environment, lambda n: [elements.remove(n)], elements)) == [None, None, None]
    mapping = {"a": "a", "b": "b"}
    assert result_of(loop(RuntimeEnvironment(), lambda key: [mapping.pop(key)], mapping)) == {"a": "a", "b": "b"}


def test_other_awaitables_will_do(environment: RuntimeEnvironment) -> None:
    """A resource that is no pipeline may give a Deferred or a coroutine."""

    async def later(n: int) -> list[int]:
        return [await succeed(n)]

    assert result_of(loop(environment, later, [1, 2])) == [1, 2]
    [failed, fine] = result_of(loop(RuntimeEnvironment(), lambda n: fail(KeyError()) if n else succeed([n]), [1, 0]))
    assert failed.check(KeyError)
    assert fine == 0


class CountingClock(Clock):
    """Counts how often somebody waits for a turn."""

    turns = 0

    def callLater(self, when: float, *call: Any, **kwargs: Any) -> Any:
        self.turns += 1
        return super().callLater(when, *call, **kwargs)


def slow_loop(clock: Clock, **options: Any) -> Any:
    """A for-each over ten elements, each of which holds the reactor for 20 ms."""

    def work(n: int) -> list[int]:
        clock.rightNow += 0.02
        return [n]

    return loop(RuntimeEnvironment(reactor=clock), work, list(range(10)), **options)


@pytest.mark.parametrize("parallel", [False, True, 3])
def test_a_long_loop_gives_the_reactor_its_turn(parallel: Any) -> None:
    """After 50 ms others get a turn, also when no element ever waits; not after every element."""
    clock = CountingClock()
    looped = slow_loop(clock, parallel=parallel)
    assert not looped.called
    clock.advance(0)
    assert clock.turns == 3
    assert result_of(looped) == list(range(10))


def test_a_loop_can_be_cancelled_in_its_turn() -> None:
    """Cancelling works between two elements too."""
    clock = Clock()
    looped = slow_loop(clock)
    looped.cancel()
    with pytest.raises(CancelledError):
        result_of(looped)
    assert not clock.getDelayedCalls()


def test_ends_while_others_have_their_turn_are_noticed() -> None:
    """What ends in a turn of the reactor is counted when the loop goes on."""
    clock = Clock()
    later: list[Deferred[list[int]]] = [Deferred() for _ in range(5)]

    def work(n: int) -> Deferred[list[int]]:
        clock.rightNow += 0.02
        return later[n]

    looped = loop(RuntimeEnvironment(reactor=clock), work, list(range(5)), parallel=2)
    later[0].callback([0])
    later[1].callback([1])
    assert clock.getDelayedCalls()
    later[2].callback([2])
    clock.advance(0)
    later[3].callback([3])
    later[4].callback([4])
    assert result_of(looped) == [0, 1, 2, 3, 4]
    assert [each.result for each in later] == [None] * 5


def test_cancelling_is_told_to_each_element_once(environment: RuntimeEnvironment) -> None:
    """All that runs is cancelled, and nothing goes wrong meanwhile."""
    later: list[Deferred[list[int]]] = [Deferred() for _ in range(3)]
    looped = loop(environment, lambda n: later[n], [0, 1, 2], parallel=True)
    looped.cancel()
    with pytest.raises(CancelledError):
        result_of(looped)
    assert [each.result for each in later] == [None] * 3


def test_the_output_waits_for_what_is_cancelled(environment: RuntimeEnvironment) -> None:
    """A loop ends when everything that it started has ended, cleaning up included."""
    cleaned: Deferred[None] = Deferred()

    async def work(n: int) -> list[int]:
        if n == 0:
            return [n]
        try:
            await Deferred()
        finally:
            await cleaned
        return []

    looped = loop(environment, work, [1, 0], parallel=True, done_on_first=True)
    assert not looped.called
    cleaned.callback(None)
    assert result_of(looped) == 0


@pytest.mark.parametrize("make", [fail, None])
def test_an_exit_is_no_failure_of_an_element(environment: RuntimeEnvironment, make: Any) -> None:
    """What ends the process is not kept as an outcome."""

    def work(n: int) -> Any:
        if make:
            return make(SystemExit(3))
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        result_of(loop(environment, work, [1, 0]))


def test_a_failing_cancelled_element_is_only_a_failure(environment: RuntimeEnvironment) -> None:
    """An element whose own work was cancelled by somebody else does not end the loop."""
    [first, second] = result_of(loop(environment, lambda n: fail(CancelledError()) if n else [n], [1, 0]))
    assert first.check(CancelledError)
    assert second == 0
