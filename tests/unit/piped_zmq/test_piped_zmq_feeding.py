"""Tests of messages that become batons, and of replies."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import zmq
from twisted.internet.defer import Deferred
from zmq_stage import ZMQStage, received, staged

from piped import Rejected, processor

SITE = """
zmq:
  maximum_batch_size: 3
  queues:
    q: {type: %s, binds: [inproc://q], processor: p%s}
pipelines:
  p: [%s]
"""


def site(kind: str, more: str = "", steps: str = "record") -> str:
    return SITE % (kind, f", {more}" if more else "", steps)


class Recorder:
    """A step that keeps batons, and lets those wait that a test has not let go."""

    def __init__(self, waits: bool = False) -> None:
        self.batons: list[Any] = []
        self.waiting: list[Deferred[Any]] = []
        self._waits = waits

    @property
    def step(self) -> Any:
        @processor("record")
        def record(baton: Any) -> Any:
            self.batons.append(baton)
            if self._waits:
                self.waiting.append(Deferred())
                return self.waiting[-1]
            return None

        return record


@processor("fail")
def fail(baton: Any) -> None:
    raise ValueError("this step fails")


@processor("reject")
def reject(baton: Any) -> None:
    raise Rejected("not this one")


@processor("half")
def half(baton: Any) -> None:
    baton["reply"] = "\ud800"


@processor("never")
def never(baton: Any) -> Any:
    return Deferred()


def test_the_baton_is_the_message():
    """Bytes, in the order in which they came."""
    recorder = Recorder()
    with staged(site("PULL"), recorder.step) as stage:
        peer = stage.peer(zmq.PUSH, "inproc://q")
        for number in range(10):
            peer.send(b"%d" % number)
        stage.settle()
        assert recorder.batons == [b"%d" % number for number in range(10)]


def test_others_have_their_turn_between_batches():
    """No more than maximum_batch_size messages are taken at once."""
    recorder = Recorder()
    with staged(site("PULL"), recorder.step) as stage:
        peer = stage.peer(zmq.PUSH, "inproc://q")
        for number in range(10):
            peer.send(b"%d" % number)
        counts = []
        while len(recorder.batons) < 10:
            stage.reactor.turn()
            counts.append(len(recorder.batons))
        steps = [later - former for former, later in zip([0, *counts], counts, strict=False)]
        assert max(steps) <= 6  # what the bell and the plan have each taken in one turn of this reactor
        assert len([step for step in steps if step]) >= 2


def test_what_is_not_taken_stays_in_the_socket_and_with_who_sends_it():
    """One message at a time by default; above the high-water marks the peer cannot send."""
    recorder = Recorder(waits=True)
    with staged(site("PULL", "sockopts: [{key: HWM, value: 2}]"), recorder.step) as stage:
        peer = stage.peer(zmq.PUSH, "inproc://q", high_water=2)
        sent = 0
        while peer.poll(0, zmq.POLLOUT):
            peer.send(b"%d" % sent)
            sent += 1
            stage.settle()
        assert (recorder.batons, sent <= 6) == ([b"0"], True)
        for number in range(sent):
            recorder.waiting[number].callback(None)
            stage.settle()
        assert recorder.batons == [b"%d" % number for number in range(sent)]
        assert peer.poll(0, zmq.POLLOUT)


def test_several_messages_are_processed_at_once_where_that_is_wanted():
    """As many as max_running."""
    recorder = Recorder(waits=True)
    with staged(site("PULL", "max_running: 5"), recorder.step) as stage:
        peer = stage.peer(zmq.PUSH, "inproc://q")
        for number in range(9):
            peer.send(b"%d" % number)
        stage.settle()
        assert len(recorder.batons) == 5
        recorder.waiting[2].callback(None)
        stage.settle()
        assert len(recorder.batons) == 6


def test_a_message_that_fails_is_told_and_the_next_one_comes(caplog: pytest.LogCaptureFixture):
    """With its traceback; one that is rejected is no more than a warning."""
    with staged(site("PULL", steps="fail"), fail) as stage:
        peer = stage.peer(zmq.PUSH, "inproc://q")
        peer.send(b"1")
        peer.send(b"2")
        stage.settle()
    with staged(site("PULL", steps="reject"), reject) as stage:
        stage.peer(zmq.PUSH, "inproc://q").send(b"1")
        stage.settle()
    told = [(record.levelno, record.getMessage().split(" (")[0]) for record in caplog.records]
    failed = "zmq.queues.q: a message failed: ValueError: this step fails"
    rejected = "zmq.queues.q: a message was not processed: Rejected: not this one"
    assert told == [(logging.ERROR, failed), (logging.ERROR, failed), (logging.WARNING, rejected)]


def test_a_req_feeds_the_replies_that_it_gets():
    """One after the other: before it has asked again, there is nothing to receive."""
    recorder = Recorder()
    with staged(site("REQ") + "  ask: [{send-zmq-message: {queue_name: q}}]\n", recorder.step) as stage:
        peer = stage.peer(zmq.REP, "inproc://q")
        for question, answer in ((b"1", b"one"), (b"2", b"two")):
            stage.run(question, "ask")
            stage.settle()
            assert received(peer) == [question]
            peer.send(answer)
            stage.settle()
        assert recorder.batons == [b"one", b"two"]


def test_parts_are_a_list_where_that_is_wanted():
    """Also for a message of one part."""
    recorder = Recorder()
    with staged(site("PULL", "multipart: true"), recorder.step) as stage:
        peer = stage.peer(zmq.PUSH, "inproc://q")
        peer.send_multipart([b"topic", b"", b"x"])
        peer.send(b"y")
        stage.settle()
        assert recorder.batons == [[b"topic", b"", b"x"], [b"y"]]


def test_parts_that_nobody_expects_are_told(caplog: pytest.LogCaptureFixture):
    """The message is not cut; the log says what to write, and the next one comes."""
    recorder = Recorder()
    with staged(site("PULL"), recorder.step) as stage:
        peer = stage.peer(zmq.PUSH, "inproc://q")
        peer.send_multipart([b"topic", b"x"])
        peer.send(b"y")
        stage.settle()
        assert recorder.batons == [b"y"]
        assert "multipart: true" in caplog.text


def test_nothing_is_taken_while_the_processor_is_not_ready():
    """It stays in the socket until it is."""
    recorder = Recorder()
    with staged(site("PULL"), recorder.step) as stage:
        peer = stage.peer(zmq.PUSH, "inproc://q")
        [source] = stage.environment.sources
        source._dependency.fire_on_lost("a test")
        stage.settle()
        peer.send(b"1")
        stage.settle()
        assert recorder.batons == []
        source._dependency.fire_on_ready()
        stage.settle()
        assert recorder.batons == [b"1"]


def test_the_poller_can_be_stopped_and_started_again():
    """What comes meanwhile waits."""
    recorder = Recorder()
    with staged(site("PULL"), recorder.step) as stage:
        peer, poller = stage.peer(zmq.PUSH, "inproc://q"), stage.resource("zmq.poller")
        poller.stopService()
        peer.send(b"1")
        stage.settle()
        assert recorder.batons == []
        poller.startService()
        stage.settle()
        assert recorder.batons == [b"1"]


def test_a_stop_lets_what_was_taken_end_and_takes_nothing_more():
    """The drain waits for it; the others stay in the socket."""
    recorder = Recorder(waits=True)
    with staged(site("PULL"), recorder.step) as stage:
        peer = stage.peer(zmq.PUSH, "inproc://q")
        peer.send(b"1")
        peer.send(b"2")
        stage.settle()
        [source] = stage.environment.sources
        drained = source.drain()
        assert not drained.called
        recorder.waiting[0].callback(None)
        stage.settle()
        assert (drained.called, recorder.batons) == (True, [b"1"])


UPPER = "{eval-lambda: {lambda: 'message: message.upper()', input_path: message, output_path: reply}}"


def asked(stage: ZMQStage, *messages: Any, kind: int = zmq.REQ) -> list[Any]:
    """What a peer hears, one after the other."""
    peer = stage.peer(kind, "inproc://q")
    answers = []
    for message in messages:
        peer.send_multipart(message if isinstance(message, list) else [message])
        stage.settle()
        answers += received(peer)
    return answers


def test_a_rep_answers_with_the_reply_in_the_baton():
    """One after the other."""
    with staged(site("REP", steps=UPPER)) as stage:
        assert asked(stage, b"a", b"b") == [b"A", b"B"]


def test_a_result_of_its_own_may_have_the_reply():
    """The last result of the pipeline counts before the baton that came."""
    with staged(site("REP", steps="{eval-lambda: {lambda: 'baton: dict(reply=[42, baton[\"message\"]])'}}")) as stage:
        assert asked(stage, b"a") == [[b"42", b"a"]]


@pytest.mark.parametrize("steps", ["fail", "record", "half", "{set-value: {path: reply, value: {}}}"])
def test_a_rep_answers_whatever_happens(steps: str, caplog: pytest.LogCaptureFixture):
    """An empty message, when the pipeline has failed, or put no reply there, or none that can be sent; it is told."""
    with staged(site("REP", steps=steps), fail, half, Recorder().step) as stage:
        assert asked(stage, b"a", b"b") == [b"", b""]
    assert len(caplog.records) == 2


def test_what_a_rep_answers_then_can_be_written():
    """`error_reply`, also for what has more parts than expected."""
    with staged(site("REP", "error_reply: sorry", "fail"), fail) as stage:
        assert asked(stage, b"a", [b"b", b"c"]) == [b"sorry", b"sorry"]


def test_a_pipeline_that_hangs_is_stopped_where_that_is_wanted(caplog: pytest.LogCaptureFixture):
    """So that a REP goes on; a message that ends in time is left alone."""
    steps = "{run-pipeline-if: {condition: \"baton: baton['message'] == b'hang'\", pipeline: hang}}, " + UPPER
    text = site("REP", "processing_timeout: 5", steps) + "  hang: [never]\n"
    with staged(text, never) as stage:
        peer = stage.peer(zmq.REQ, "inproc://q")
        peer.send(b"hang")
        stage.settle()
        stage.reactor.advance(4.9)
        assert received(peer) == []
        stage.reactor.advance(0.2)
        stage.settle()
        assert received(peer) == [b""]
        assert "it took longer than 5 s" in caplog.text
        peer.send(b"a")
        stage.settle()
        assert received(peer) == [b"A"]
        assert not stage.reactor.getDelayedCalls()


def test_a_step_may_answer_by_itself(caplog: pytest.LogCaptureFixture):
    """As in Piped 0.7: then nothing else is sent, also when the pipeline fails behind it."""
    send = "{send-zmq-message: {queue_name: q, message_path: message}}"
    for steps in (send, f"{send}, fail"):
        with staged(site("REP", "error_reply: sorry", steps), fail) as stage:
            assert asked(stage, b"a", b"b") == [b"a", b"b"]
    assert all("this step fails" in record.getMessage() for record in caplog.records)


def test_a_router_replies_to_whom_has_asked():
    """Its identity is in the baton; the empty part that a REQ puts behind it is taken off, and put back."""
    recorder = Recorder()
    with staged(site("ROUTER", steps=f"record, {UPPER}"), recorder.step) as stage:
        assert asked(stage, b"a") == [b"A"]
        assert asked(stage, b"b", kind=zmq.DEALER) == [b"B"]
        assert [baton["message"] for baton in recorder.batons] == [b"a", b"b"]
        identities = [baton["identity"] for baton in recorder.batons]
        assert len(set(identities)) == 2
        assert all(isinstance(identity, bytes) and len(identity) == 5 for identity in identities)


def test_a_router_need_not_reply(caplog: pytest.LogCaptureFixture):
    """Without a reply nothing is sent and nothing told; a failure is told, and answered with `error_reply` only."""
    with staged(site("ROUTER", steps="record"), Recorder().step) as stage:
        assert asked(stage, b"a", b"b", kind=zmq.DEALER) == []
    assert caplog.records == []
    with staged(site("ROUTER", steps="fail"), fail) as stage:
        assert asked(stage, b"a", kind=zmq.DEALER) == []
    with staged(site("ROUTER", "error_reply: sorry", "fail"), fail) as stage:
        assert asked(stage, b"a") == [b"sorry"]
    assert len(caplog.records) == 2


def test_a_router_gives_and_takes_several_parts():
    """With multipart the message is a list, and so may be the reply of any queue."""
    steps = "{eval-lambda: {lambda: 'parts: parts[::-1]', input_path: message, output_path: reply}}"
    with staged(site("ROUTER", "multipart: true", steps)) as stage:
        assert asked(stage, [b"a", b"b"], [b"c"]) == [[b"b", b"a"], b"c"]


def test_a_rep_takes_one_request_at_a_time_whatever_is_written():
    """It gives no other one before the reply."""
    recorder = Recorder(waits=True)
    with staged(site("REP", "max_running: 5, processing_timeout: 5"), recorder.step) as stage:
        one, two = stage.peer(zmq.REQ, "inproc://q"), stage.peer(zmq.REQ, "inproc://q")
        one.send(b"1")
        two.send(b"2")
        stage.settle()
        assert len(recorder.batons) == 1
        for number in range(2):
            recorder.waiting[number].callback({"reply": number})
            stage.settle()
        assert {*received(one), *received(two)} == {b"0", b"1"}
        assert not stage.reactor.getDelayedCalls()
