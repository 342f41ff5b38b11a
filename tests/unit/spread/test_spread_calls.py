"""Tests of how calls become batons, and are answered."""

from __future__ import annotations

from typing import Any

import pytest
from spread_stage import Offer, Server, name_of
from twisted.internet.defer import Deferred

from piped import Processor, Rejected, current_failure, processor
from piped.exceptions import MissingCallback

KEPT: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Any:
    yield
    KEPT.clear()


@processor("keep")
def keep(baton: Any) -> None:
    """Keep the Deferred, for somebody who fires it later."""
    KEPT.append(baton["deferred"])


@processor("note")
def note(baton: Any) -> None:
    """Note what came."""
    KEPT.append({key: value for key, value in baton.items() if key != "deferred"})


@processor("break")
def break_(baton: Any) -> None:
    """Fail."""
    raise ValueError("this step fails")


@processor("refuse")
def refuse(baton: Any) -> None:
    """Refuse what came."""
    raise Rejected("not for you")


@processor("keep-failure")
def keep_failure(baton: Any) -> None:
    """Keep what has failed, with all that it refers to."""
    KEPT.append(current_failure().type)  # type: ignore[union-attr] # there is one


class Wait(Processor):
    """Wait until the test says how to go on."""

    name = "wait-for-test"

    def process(self, baton: Any) -> Any:
        waiting: Deferred[Any] = Deferred(lambda _: KEPT.append("cancelled"))
        KEPT.append(waiting)
        return waiting.addCallback(lambda _: baton)


class Needy(Processor):
    """A step that is ready while the resource `outside` is."""

    name = "needy"

    def configure(self, runtime_environment: Any) -> None:
        runtime_environment.dependency_manager.add_dependency(self, "outside")

    def process(self, baton: Any) -> Any:
        baton["deferred"].callback("done")
        return baton


PLUGINS = (keep, note, break_, refuse, keep_failure, Wait, Needy)


def serve(pipeline: str, options: str = "processor: main", **more: Any) -> Server:
    return Server(f"main: {pipeline}", options, *PLUGINS, **more)


def test_a_call_is_a_baton_and_the_deferred_its_answer() -> None:
    """The pipeline gets name and arguments of the call, and what it fires the Deferred with is the answer."""
    server = serve("[note, callback-deferred: {result: {hello: [world]}}]")
    assert server.call("greet", 1, "two", b"three", when=None) == {"hello": ["world"]}
    assert KEPT == [{"message": "greet", "args": [1, "two", b"three"], "kwargs": {"when": None}}]


def test_the_answer_is_sent_when_the_whole_pipeline_has_ended() -> None:
    """A Deferred that is fired early is not answered while a step still works."""
    server = serve("[callback-deferred: {result: early}, wait-for-test]")
    root, told = server.root(), []
    root.callRemote("x").addBoth(told.append)
    server.pump()
    assert told == []
    KEPT[0].callback(None)
    server.pump()
    assert told == ["early"]


def test_a_deferred_that_is_kept_is_answered_whenever_it_fires() -> None:
    """Another part of the program may answer long after the pipeline."""
    server = serve("[keep]")
    root, told = server.root(), []
    root.callRemote("x").addBoth(told.append)
    server.pump()
    server.advance(1000)
    assert told == []
    KEPT.pop().callback("late")
    server.pump()
    assert told == ["late"]


def test_a_deferred_that_fails_is_a_failed_call() -> None:
    """Whoever keeps the Deferred may fail it; the caller hears type and text."""
    server = serve("[keep]")
    root, told = server.root(), []
    root.callRemote("x").addBoth(told.append)
    server.pump()
    KEPT.pop().errback(KeyError("no such job"))
    server.pump()
    assert (name_of(told[0]), told[0].value) == ("builtins.KeyError", "'no such job'")


def test_a_pipeline_that_forgets_the_answer_is_missing_callback() -> None:
    """When the pipeline has ended and nobody keeps the Deferred, the caller is told in the next turn."""
    server = serve("[passthrough]")
    root, told = server.root(), []
    root.callRemote("x").addBoth(told.append)
    server.pump()
    assert told == []  # whoever lets go may be a thread, which must not write to a connection
    server.advance(0)
    assert name_of(told[0]) == "piped.exceptions.MissingCallback"
    assert told[0].check(MissingCallback)
    assert "the pipeline has ended, and nobody keeps the deferred" in told[0].value


def test_who_lets_go_of_a_kept_deferred_is_missing_callback() -> None:
    """The same holds when it is dropped later."""
    server = serve("[keep]")
    root, told = server.root(), []
    root.callRemote("x").addBoth(told.append)
    server.pump()
    assert told == []
    KEPT.clear()
    server.advance(0)
    assert name_of(told[0]) == "piped.exceptions.MissingCallback"


def test_a_captured_failure_does_not_keep_the_deferred() -> None:
    """A failure that an error consumer has handled leaves nothing behind that would keep a caller waiting."""
    server = serve("{chained_consumers: [break], chained_error_consumers: [keep-failure]}")
    root, told = server.root(), []
    root.callRemote("x").addBoth(told.append)
    server.pump()
    server.advance(0)
    assert [ValueError] == KEPT
    assert name_of(told[0]) == "piped.exceptions.MissingCallback"


@pytest.mark.parametrize(("written", "answer"), [("null", None), ("None", "None"), ("[1]", [1])])
def test_the_default_callback_answers_for_the_pipeline(written: str, answer: Any) -> None:
    """With default_callback a forgotten answer is that; null is an answer, too."""
    server = serve("[passthrough]", f"processor: main, default_callback: {written}")
    root, told = server.root(), []
    root.callRemote("x").addBoth(told.append)
    server.pump()
    server.advance(0)
    assert told == [answer]


def test_a_failure_reaches_the_caller_with_type_and_text(caplog: Any) -> None:
    """What a pipeline fails with is raised at the caller, without a traceback; the log has one."""
    failure = serve("[break]").call("x")
    assert (name_of(failure), failure.value) == ("builtins.ValueError", "this step fails")
    assert failure.traceback == "Traceback unavailable\n"
    assert failure.check(ValueError)
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "'x' of 192.0.2.1:4000 failed: ValueError: this step fails" in record.getMessage()
    assert record.exc_info


def test_tracebacks_are_told_when_debugging() -> None:
    """With debug: true the caller also sees where it happened."""
    failure = serve("[break]", "processor: main, debug: true").call("x")
    assert "in break_" in failure.traceback


def test_a_refusal_is_no_error_of_ours(caplog: Any) -> None:
    """Rejected reaches the caller, and is no error in the log."""
    failure = serve("[refuse]").call("x")
    assert (name_of(failure), failure.value) == ("piped.exceptions.Rejected", "not for you")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_an_answer_that_cannot_be_sent_is_a_failed_call() -> None:
    """The caller hears which part of the answer it is, and does not wait in vain."""
    failure = serve("[eval-lambda: {lambda: 'b: {1: [object()]}', output_path: result}, callback-deferred]").call("x")
    assert name_of(failure) == "piped.spread.errors.CannotCross"
    assert failure.value.startswith("the result[1][0] cannot be sent over Perspective Broker: a")


def test_a_processor_that_is_not_ready_fails_the_call_at_once() -> None:
    """Without wait_for_processor, the caller is told; it works as soon as the processor is ready."""
    outside = Offer()
    server = serve("[needy]", resources={"outside": outside})
    failure = server.call("x")
    assert name_of(failure) == "piped.exceptions.NotReadyError"
    assert failure.check("piped.exceptions.UnprovidedResourceError")
    outside.deliver("there")
    assert server.call("x") == "done"


def test_calls_wait_for_the_processor_if_they_may() -> None:
    """With wait_for_processor they are processed in their order once it is ready; so many, and no more."""
    outside = Offer()
    options = "processor: main, wait_for_processor: true, max_waiting: 2"
    server = serve("[note, needy]", options, resources={"outside": outside})
    root, told = server.root(), []
    for number in range(3):
        root.callRemote("x", number).addBoth(told.append)
    server.pump()
    assert [name_of(failure) for failure in told] == ["piped.exceptions.NotReadyError"]
    assert "2 calls wait for it already" in told.pop().value
    outside.deliver("there")
    server.pump()
    assert told == ["done", "done"]
    assert [noted["args"] for noted in KEPT] == [[0], [1]]


def test_a_call_that_waits_is_forgotten_with_its_caller() -> None:
    """What was not begun when the caller leaves is never begun."""
    outside = Offer()
    server = serve("[note, needy]", "processor: main, wait_for_processor: true", resources={"outside": outside})
    server.root().callRemote("x").addErrback(lambda _: None)
    server.pump()
    server.links[0].break_off()
    outside.deliver("there")
    assert KEPT == []


def test_no_more_are_processed_than_may_be() -> None:
    """Above max_running a call fails at once, or waits for its turn."""
    server = serve("[wait-for-test, callback-deferred: {result: ok}]", "processor: main, max_running: 1")
    root, told = server.root(), []
    for _ in range(2):
        root.callRemote("x").addBoth(told.append)
    server.pump()
    assert "as many batons as allowed" in told.pop().value
    KEPT.pop().callback(None)
    server.pump()
    assert told == ["ok"]


def test_those_above_wait_for_their_turn() -> None:
    """With wait_for_processor a call above max_running is processed when another one has ended."""
    options = "processor: main, max_running: 1, wait_for_processor: true"
    server = serve("[wait-for-test, callback-deferred: {result: ok}]", options)
    root, told = server.root(), []
    for _ in range(3):
        root.callRemote("x").addBoth(told.append)
    for done in range(1, 4):
        server.pump()
        KEPT.pop().callback(None)
        server.pump()
        assert told == ["ok"] * done


def test_an_answer_may_take_as_long_as_allowed() -> None:
    """After reply_timeout the call fails, the pipeline is stopped, and the late answer is nobody's problem."""
    server = serve("[wait-for-test]", "processor: main, reply_timeout: 5")
    root, told = server.root(), []
    root.callRemote("x").addBoth(told.append)
    server.pump()
    server.advance(4.9)
    assert told == []
    server.advance(0.2)
    assert name_of(told[0]) == "piped.exceptions.TimeoutError"
    assert "pb.server.main did not answer within 5 s" in told[0].value
    assert KEPT[1:] == ["cancelled"]


def test_a_deferred_that_is_kept_for_too_long_is_cancelled() -> None:
    """Whoever keeps it may still fire it, which then does nothing."""
    server = serve("[keep]", "processor: main, reply_timeout: 5")
    root, told = server.root(), []
    root.callRemote("x").addBoth(told.append)
    server.pump()
    heard: list[Any] = []
    KEPT[0].addErrback(heard.append)
    server.advance(5.1)
    assert name_of(told[0]) == "piped.exceptions.TimeoutError"
    KEPT[0].callback("too late")
    server.pump()
    assert len(told) == 1


def test_an_answered_call_leaves_no_timer() -> None:
    """A reply_timeout costs nothing once there is an answer."""
    server = serve("[callback-deferred: {result: 1}]", "processor: main, reply_timeout: 5, keep_alive: null")
    server.call("x")
    assert server.clock.getDelayedCalls() == []


@pytest.mark.parametrize(("options", "is_cancelled"), [("", False), (", cancel_on_disconnect: true", True)])
def test_a_pipeline_goes_on_without_its_caller_unless_it_is_told_to_stop(options: str, is_cancelled: bool) -> None:
    """A job that was begun is done, also when the caller has left; cancel_on_disconnect stops it."""
    server = serve("[wait-for-test]", f"processor: main{options}")
    server.root().callRemote("x").addErrback(lambda _: None)
    server.pump()
    server.links[0].break_off()
    assert (KEPT[1:] == ["cancelled"]) is is_cancelled


def test_who_keeps_a_deferred_hears_that_the_caller_has_left() -> None:
    """A kept Deferred is cancelled with its connection."""
    server = serve("[keep]")
    root = server.root()
    root.callRemote("x").addErrback(lambda _: None)
    server.pump()
    assert not KEPT[0].called
    server.links[0].break_off()
    assert KEPT[0].called
    KEPT[0].callback("nobody hears it, and nothing breaks")


def test_arguments_may_be_named_in_bytes() -> None:
    """A program in Python 2 names its arguments in bytes."""
    server = serve("[note, callback-deferred: {result: 1}]")
    broker = server.connect()._broker
    broker.sendCall(b"message", 1, b"root", b"x", 0, [b"tuple"], [b"dictionary", [b"word", 5]])
    server.pump()
    assert KEPT[0]["kwargs"] == {"word": 5}
