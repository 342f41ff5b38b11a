"""Tests of the steps that decide whether, when and where a baton goes on."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure, NoCurrentExceptionError

from piped.ground.code import DottedName
from piped.ground.errors import ConfigurationError
from piped.processors.flow import RaiseException, TrapFailure
from piped.runtime.environment import RuntimeEnvironment

Main = Callable[[str], Any]


def test_passthrough_changes_nothing(main: Main) -> None:
    """The baton comes out as it went in."""
    baton = {"a": 1}
    assert main("- passthrough").run(baton)[0] is baton


@pytest.mark.parametrize(
    ("options", "baton", "is_stopped"),
    [
        ("", True, True),
        ("", {}, False),
        ("input_path: n", {"n": 1}, True),
        ("input_path: n", {"n": 0}, False),
        ("input_path: n", {}, False),
        ("{input_path: n, decider: 'n: n > 2'}", {"n": 2}, False),
        ("{input_path: n, decider: 'n: n > 2'}", {"n": 3}, True),
        ("{decider: 'baton: limit(baton) == 3', namespace: {limit: len}}", [1, 2, 3], True),
        ("decider: 'baton: self.name == baton'", "stop", True),
    ],
)
def test_stop_stops(main: Main, options: str, baton: Any, is_stopped: bool) -> None:
    """A stopped baton is a result; any other goes on."""
    options = options if options.startswith("{") or not options else f"{{{options}}}"
    results = main(f"- stop: {options or '{}'}\n- set-value: {{path: '', value: went on}}").run(baton)
    assert results == ([baton] if is_stopped else ["went on"])


DECIDER = """
- lambda-decider:
    lambda: 'value: {0}'
    input_path: n
  consumers:
    - eval-lambda: {{lambda: "baton: 'a'"}}
    - eval-lambda: {{lambda: "baton: 'b'"}}
    - eval-lambda: {{lambda: "baton: 'c'"}}
  error_consumers:
    - eval-lambda: {{lambda: "baton: 'error'"}}
"""


@pytest.mark.parametrize(
    ("chosen", "results"),
    [
        (0, ["a"]),
        (2, ["c"]),
        (-1, ["c"]),
        (True, ["b"]),
        ([2, 0, 2], ["c", "a", "c"]),
        ((), [{"n": ()}]),
        (3, ["error"]),
        (-4, ["error"]),
        ([0, 3], ["error"]),
        (None, ["error"]),
    ],
)
def test_the_decider_decides(main: Main, chosen: Any, results: list[Any]) -> None:
    """Indices choose consumers in their order; one that there is not goes to the error consumers."""
    assert main(DECIDER.format("value")).run({"n": chosen}) == results


@pytest.mark.parametrize(
    ("chosen", "kind", "told"),
    [(3, IndexError, "[3]"), ([0, 3], IndexError, "[0, 3]"), (None, TypeError, "[None]"), ("0", TypeError, "['0']")],
)
def test_what_chooses_no_consumer_is_told(main: Main, chosen: Any, kind: type[Exception], told: str) -> None:
    """The error says what the lambda gave, and how many consumers there are."""
    steps = DECIDER.format("value").partition("  error_consumers")[0]
    with pytest.raises(kind, match=re.escape(f"{told} are no indices of 3 consumers")):
        main(steps).run({"n": chosen})


def test_the_decider_sees_what_is_missing_as_none(main: Main) -> None:
    """A baton without the input is decided on too."""
    assert main(DECIDER.format("0 if value is None else 1")).run({}) == ["a"]


def test_a_decider_takes_an_iterator(main: Main) -> None:
    """Whatever gives indices will do."""
    assert main(DECIDER.format("(i for i in value)")).run({"n": [1, 1]}) == ["b", "b"]


def test_wait_holds_the_baton(main: Main) -> None:
    """The baton goes on when the delay is over, not before."""
    site = main("- wait: {delay: 0.5}")
    waiting = site.start("baton")
    site.clock.advance(0.4)
    assert not waiting.called
    site.clock.advance(0.1)
    assert waiting.result == ["baton"]


def test_a_wait_can_be_cancelled(main: Main) -> None:
    """Whoever gives up leaves no timer behind."""
    site = main("- wait: {delay: 5}")
    waiting = site.start("baton")
    waiting.cancel()
    assert waiting.result.check(CancelledError)
    waiting.addErrback(lambda failure: None)
    assert not site.clock.getDelayedCalls()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, Exception()),
        ({"type_": DottedName("ValueError"), "args": "no"}, ValueError("no")),
        ({"type_": DottedName("exceptions.KeyError"), "args": [1, [2]]}, KeyError(1, [2])),
        ({"type_": DottedName("piped.ground.errors.Rejected"), "kwargs": {"msg": "no"}}, None),
    ],
)
def test_raises_what_it_is_told(environment: RuntimeEnvironment, options: Any, expected: Exception | None) -> None:
    """The exception has the configured type and arguments."""
    step = RaiseException(**options)
    step.configure(environment)
    with pytest.raises(Exception) as raised:  # noqa: PT011 -- which one is what is tested
        step.process({})
    if expected is None:
        assert raised.value.msg == "no"
    else:
        assert (type(raised.value), raised.value.args) == (type(expected), expected.args)


def test_each_exception_is_its_own(environment: RuntimeEnvironment) -> None:
    """What a handler does to one exception's arguments is not seen in the next."""
    step = RaiseException(args=[[1]])
    step.configure(environment)
    for _ in range(2):
        with pytest.raises(Exception, match=r"\[1\]") as raised:
            step.process({})
        raised.value.args[0].append(2)


@pytest.mark.parametrize("name", ["json.loads", "nowhere.Error", "ValueEror"])
@pytest.mark.parametrize("step", [lambda name: RaiseException(type_=name), lambda name: TrapFailure(error_types=name)])
def test_a_name_of_no_exception_is_told_at_the_start(environment: RuntimeEnvironment, step: Any, name: str) -> None:
    """What is no exception is a mistake before any baton."""
    with pytest.raises(ConfigurationError, match=name):
        step(DottedName(name)).configure(environment)


TRAP = """
- passthrough:
    error_consumers:
      - wait: {{delay: {delay}}}
      - trap-failure:
          error_types: {types}
          output_path: {path}
- raise-exception: {{type: KeyError, args: lost}}
"""


@pytest.mark.parametrize("types", ["KeyError", "exceptions.LookupError", "[ValueError, KeyError]"])
def test_a_trapped_failure_is_handled(main: Main, types: str) -> None:
    """A failure of one of the types ends there, and stands in the baton as a Twisted Failure."""
    [first, baton] = run_waiting(main(TRAP.format(delay=0, types=types, path="failure")), {})
    assert first is baton
    assert isinstance(baton["failure"], Failure)
    assert baton["failure"].value.args == ("lost",)


def test_a_trapped_failure_may_be_discarded(main: Main) -> None:
    """Without an output path the baton stays as it was."""
    assert run_waiting(main(TRAP.format(delay=0, types="KeyError", path="null")), {}) == [{}, {}]


def test_another_failure_is_raised_again(main: Main) -> None:
    """What is not trapped goes on as it was, with its own traceback."""
    with pytest.raises(KeyError, match="lost") as raised:
        run_waiting(main(TRAP.format(delay=0, types="ValueError", path="null")), {})
    assert "flow.py" in str(raised.traceback[-1].path)


def test_a_failure_as_the_baton_fails(main: Main) -> None:
    """With '' the Failure becomes the baton, which is raised like any Failure."""
    with pytest.raises(KeyError, match="lost"):
        run_waiting(main(TRAP.format(delay=0, types="KeyError", path="''")), {})


def test_there_has_to_be_a_failure(main: Main) -> None:
    """Outside of error consumers there is nothing to trap."""
    with pytest.raises(NoCurrentExceptionError):
        main("- trap-failure: {error_types: ValueError}").run({})


def test_shutdown_asks_and_goes_on(main: Main) -> None:
    """The stop is asked for once, and the baton does not wait for it."""
    site = main("- shutdown\n- set-value: {path: went, value: further}")
    asked: list[bool] = []
    site.environment.ask_for_stop = lambda: asked.append(True)
    assert site.run({}) == [{"went": "further"}]
    assert asked == [True]


def run_waiting(site: Any, baton: Any) -> Any:
    """The results of a pipeline whose waits are short."""
    ended: list[Any] = []
    site.start(baton).addBoth(ended.append)
    site.clock.advance(1)
    if isinstance(ended[0], Failure):
        ended[0].raiseException()
    return ended[0]
