"""Tests of pipelines that other processes may call."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from calling_stage import Site
from pika import BasicProperties
from twisted.internet.defer import Deferred

from piped import ConfigurationError, processor

SERVER = """
amqp:
  connections: {{main: {{servers: 'memory://stage'}}}}
  remote_pipelines:
    public: {{{options}}}
pipelines:
  public: [hold]
  inner.other: [hold]
"""


class Server(Site):
    """A pipeline that waits for a test with each baton."""

    def __init__(self, options: str = "", clock: Any = None) -> None:
        self.batons: list[Any] = []
        self.waits: list[Deferred[Any]] = []

        @processor("hold")
        def hold(baton: Any) -> Any:
            self.batons.append(baton)
            self.waits.append(Deferred())
            return self.waits[-1]

        super().__init__(SERVER.format(options=options), hold, clock=clock)

    def ask(self, body: bytes, queue: str = "piped.pipeline.public", reply_to: str | None = "answers") -> None:
        if reply_to == "answers":
            self.declare("answers")
        self.ended(self.protocol.publish("", queue, body, BasicProperties(reply_to=reply_to, correlation_id="17")))
        self.turn()

    def answer(self) -> Any:
        self.turn()
        found = self.message("answers")
        return None if found is None else (found[0].correlation_id, json.loads(found[1]))


def test_a_request_is_acknowledged_after_its_reply() -> None:
    """When the process is lost before, another one does it."""
    one = Server()
    one.ask(b'{"a": 1}')
    assert (one.batons, one.answer()) == ([{"a": 1}], None)
    one.lose_connection()
    one.turn(2)
    assert one.batons == [{"a": 1}, {"a": 1}]
    one.waits[1].callback("done")
    assert one.answer() == ("17", {"results": ["done"]})
    one.lose_connection()
    one.turn(2)
    assert len(one.batons) == 2


def test_several_processes_share_the_work() -> None:
    """Requests go to whoever has a place free."""
    first = Server("qos: {prefetch_count: 1}")
    second = Server("qos: {prefetch_count: 1}", clock=first.clock)
    for n in range(3):
        first.ask(str(n).encode())
    assert sorted(first.batons + second.batons) == [0, 1]
    second.waits[0].callback(None)
    first.turn()
    assert len(second.batons) == 2


def test_another_pipeline_may_stand_behind_a_name() -> None:
    """And another queue."""
    one = Server("pipeline: inner.other, queue: {queue: orders}")
    one.ask(b"5", "orders")
    one.waits[0].callback(6)
    assert one.answer() == ("17", {"results": [6]})


def test_a_request_that_is_not_json_is_rejected() -> None:
    """The pipeline is not troubled with it."""
    one = Server()
    one.ask(b"hello")
    (_, reply), batons = one.answer(), one.batons
    assert (reply["failure"]["kind"], batons) == ("rejected", [])
    assert reply["failure"]["message"].startswith("the request is not JSON: ")


def test_a_caller_that_is_gone_is_told_of_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """What was asked for is done, and not done again."""
    one = Server()
    one.ask(b"5", reply_to="gone")
    with caplog.at_level(logging.INFO):
        one.waits[0].callback(None)
        one.turn()
    assert "amqp.remote_pipeline.public: the caller is gone before its reply" in caplog.text
    one.lose_connection()
    one.turn(2)
    assert len(one.batons) == 1


def test_a_request_without_a_reply_is_done() -> None:
    """If it fails it is given back to the broker, and done once more."""
    one = Server()
    one.ask(b"5", reply_to=None)
    one.waits[0].errback(ValueError("no"))
    one.turn(2)
    assert one.batons == [5, 5]


def test_what_is_cancelled_is_done_by_another_process() -> None:
    """A stop that does not wait for the end gives the request back; the caller hears nothing of it."""
    one = Server()
    one.ask(b"5")
    [source] = one.environment.sources
    source.drain()
    source.stop_running()
    one.turn()
    assert one.answer() is None
    one.environment.application.stopService()
    one.turn(1)
    other = Server(clock=one.clock)
    assert other.batons == [5]


def test_a_pipeline_that_is_not_there_is_told_with_its_place() -> None:
    """Where it is named, or where the name stands that it is offered by."""
    for options, place in (("pipeline: inner", "5:24"), ("", "5:5")):
        text = (
            SERVER.format(options=options)
            .replace("  public: [hold]", "  privat: [passthrough]")
            .replace("[hold]", "[passthrough]")
        )
        with pytest.raises(ConfigurationError) as raised:
            Site(text)
        assert str(raised.value.problems[0]).startswith(f"site.yml:{place}: ")
