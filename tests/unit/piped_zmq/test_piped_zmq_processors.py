"""Tests of the step that sends."""

from __future__ import annotations

from typing import Any

import pytest
import zmq
from twisted.internet.defer import CancelledError
from zmq_stage import ZMQStage, received, staged

from piped import TimeoutError as PipedTimeoutError
from piped.catalog.discovery import discover
from piped_zmq.processors import SendZMQMessage

SITE = """
zmq:
  queues:
    out: {type: %s, sockopts: [{key: HWM, value: 1}], binds: [inproc://out]}
pipelines:
  p:
    - send-zmq-message: {queue_name: out%s}
"""


def run(stage: ZMQStage, baton: Any) -> list[Any]:
    """What comes of a baton: filled in as it happens."""
    ended: list[Any] = []
    stage.run(baton, "p").addCallbacks(ended.extend, lambda failure: ended.append(failure.type))
    return ended


def test_a_message_is_sent_and_the_baton_goes_on():
    """What lies at the path, in the form that its type has."""
    with staged(SITE % ("PUSH", ", message_path: text")) as stage:
        peer = stage.peer(zmq.PULL, "inproc://out")
        for message, sent in (("né", "né".encode()), (b"\xff", b"\xff"), (7, b"7"), (["a", b"b"], [b"a", b"b"])):
            baton = {"text": message}
            ended = run(stage, baton)
            assert ended == [baton]
            assert received(peer) == [sent]


def test_it_waits_for_a_receiver():
    """As long as it takes."""
    with staged(SITE % ("PUSH", "")) as stage:
        ended = run(stage, b"1")
        stage.reactor.advance(100_000)
        assert ended == []
        peer = stage.peer(zmq.PULL, "inproc://out")
        assert (ended, received(peer)) == ([b"1"], [b"1"])


@pytest.mark.parametrize(
    ("options", "wait"),
    [
        (", retries: 5", 0.5),
        (", retries: 3, retry_wait: 2", 6),
        (", timeout: 4", 4),
        (", retries: 3, retry_wait: 2, timeout: 4", 4),
        (", retries: 1, retry_wait: 2, timeout: 4", 2),
        (", retries: 0, timeout: 4", 0),
    ],
)
def test_it_waits_no_longer_than_it_may(options: str, wait: float):
    """`retries` times `retry_wait`, or `timeout`; then it fails, and the message is not sent later."""
    with staged(SITE % ("PUSH", options)) as stage:
        ended = run(stage, b"1")
        if wait:
            stage.reactor.advance(wait - 0.01)
            assert ended == []
        stage.reactor.advance(0.02)
        assert ended == [PipedTimeoutError]
        assert received(stage.peer(zmq.PULL, "inproc://out")) == []


def test_a_baton_that_is_cancelled_sends_nothing():
    """It waits no more."""
    with staged(SITE % ("PUSH", "")) as stage:
        ended: list[Any] = []
        running = stage.run(b"1", "p").addErrback(lambda failure: ended.append(failure.check(CancelledError)))
        running.cancel()
        assert ended == [CancelledError]
        assert received(stage.peer(zmq.PULL, "inproc://out")) == []


def test_what_is_no_message_fails():
    """It says what to do."""
    with staged(SITE % ("PUSH", "")) as stage:
        assert run(stage, {"a": 1}) == [TypeError]


def test_a_publisher_waits_for_nobody():
    """As ever with ZeroMQ: who has not subscribed misses it."""
    with staged(SITE % ("PUB", "")) as stage:
        assert run(stage, b"1") == [b"1"]


CATALOG, _ = discover(None, None, (), built_in=["piped_zmq"])
OURS = {name: entry for name, entry in CATALOG.processors.items() if entry.origin.startswith("piped_zmq.")}
SURROUNDINGS = """
zmq: {queues: {results: {type: PUB}, replies: {type: PUB}}}
pipelines:
  p:
"""


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_example_runs(name: str):
    """What the documentation shows can be copied into a pipeline, and a baton goes through it."""
    spec = OURS[name].spec
    assert spec.summary
    assert [parameter.name for parameter in spec.parameters if not parameter.text] == []
    [example] = spec.examples
    text = SURROUNDINGS + "".join(f"    {line}\n" for line in example.splitlines())
    with staged(text) as stage:
        ended = run(stage, {})
        assert len(ended) == 1
        assert not isinstance(ended[0], type), ended


def test_the_step_has_its_documented_address():
    """For those who derive from it."""
    assert SendZMQMessage.name == "send-zmq-message"
