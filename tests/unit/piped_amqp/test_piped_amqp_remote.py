"""Tests of pipelines that are called in other processes."""

from __future__ import annotations

from typing import Any

import pytest
from calling_stage import Site
from pika import BasicProperties
from publishing_stage import outcome

from piped import ConfigurationError, PipedError, Rejected, TimeoutError, processor  # noqa: A004 - Piped's own
from piped_amqp.errors import RemoteError, UnroutableError

SERVER = """
amqp:
  connections: {{main: {{servers: 'memory://stage'}}}}
  remote_pipelines:
    double: {{{options}}}
pipelines:
  double:
    - work
"""
CLIENT = """
amqp:
  connections: {{main: {{servers: 'memory://stage'}}}}
pipelines:
  main:
    - run-pipeline-remotely: {{pipeline: double, {options}}}
"""


class Unspeakable(Exception):
    """An error whose text is long, or cannot be made."""

    def __str__(self) -> str:
        return str(self.args[0])


@processor("work")
def work(baton: Any) -> Any:
    """Do what a test asks for."""
    if baton == "reject":
        raise Rejected("not that")
    if baton == "late":
        raise TimeoutError("too late")
    if baton == "fail":
        raise KeyError("x")
    if baton == "essay":
        raise Unspeakable("x" * 100_000)
    if baton == "mute":
        raise Unspeakable
    if baton == "set":
        return {"found": {1, 2}}
    if baton == "long":
        return "x" * 1000
    return baton * 2


def pair(client: str = "", server: str = "") -> tuple[Site, Site]:
    """Two processes: one that calls, and one that is called."""
    serving = Site(SERVER.format(options=server), work)
    return Site(CLIENT.format(options=client), clock=serving.clock), serving


@pytest.mark.parametrize("baton", [5, "ab", [1, {"a": None}], 1.5, True, ""])
def test_the_output_is_the_last_result(baton: Any) -> None:
    """As if the pipeline was here; batons are JSON."""
    calling, _ = pair()
    assert calling.run(baton) == [baton * 2]


def test_input_and_output_lie_in_the_baton() -> None:
    """As with run-pipeline; all results are a list."""
    calling, _ = pair("input_path: n, output_path: all, only_last_result: false")
    assert calling.run({"n": 5, "other": object}) == [{"n": 5, "other": object, "all": [10]}]


@pytest.mark.parametrize(
    ("baton", "kind", "text"),
    [
        ("reject", Rejected, "not that"),
        ("late", TimeoutError, "too late"),
        ("fail", RemoteError, "KeyError: 'x'"),
        ("set", RemoteError, "the result has an object of the class set at 'found', which is not JSON"),
    ],
)
def test_what_fails_there_fails_here(baton: str, kind: type[PipedError], text: str) -> None:
    """With its class and its text; the request is done."""
    calling, serving = pair()
    with pytest.raises(kind) as raised:
        calling.run(baton)
    assert text in raised.value.msg
    assert serving.message("piped.pipeline.double") is None


def test_a_failure_that_is_hard_to_tell_is_told_all_the_same() -> None:
    """Cut off, or by its class; the request is done, and not tried for ever."""
    for baton in ("essay", "mute"):
        calling, serving = pair()
        with pytest.raises(RemoteError) as raised:
            calling.run(baton)
        assert raised.value.remote_type.endswith(".Unspeakable")
        assert len(raised.value.msg) < 17_000
        assert serving.message("piped.pipeline.double") is None


def test_where_a_failure_has_happened_is_told_if_the_server_wants() -> None:
    """Tracebacks show source; by default they stay where they are."""
    with pytest.raises(RemoteError) as raised:
        pair()[0].run("fail")
    assert (raised.value.remote_type, raised.value.remote_traceback) == ("KeyError", "")
    with pytest.raises(RemoteError) as raised:
        pair(server="traceback: true")[0].run("fail")
    assert 'raise KeyError("x")' in raised.value.remote_traceback


def test_what_is_not_json_is_told_with_its_path() -> None:
    """Nothing is sent."""
    calling, _ = pair("input_path: order")
    with pytest.raises(PipedError) as raised:
        calling.run({"order": {"lines": [{1}]}})
    assert raised.value.msg == "what lies at 'order' has an object of the class set at 'lines.0', which is not JSON"


def test_a_pipeline_that_nobody_offers_is_told_at_once() -> None:
    """No time is lost with waiting."""
    alone = Site(CLIENT.format(options=""))
    with pytest.raises(UnroutableError, match=r"'piped\.pipeline\.double'"):
        alone.run(1)


def test_a_call_waits_no_longer_than_it_may() -> None:
    """A request that nobody has taken by then is dropped."""
    alone = Site(CLIENT.format(options="timeout: 5"))
    alone.declare("piped.pipeline.double", durable=True)
    started = alone.start(1)
    alone.turn(5.1)
    error = outcome(started)
    assert (type(error), error.msg) == (TimeoutError, "no reply to double within 5.0 s")
    assert alone.message("piped.pipeline.double") is None


def test_bodies_that_are_too_long_are_refused() -> None:
    """On both sides, and for what goes both ways."""
    with pytest.raises(PipedError, match="the baton is too long for a request: 7 bytes, max_body is 5"):
        pair("max_body: 5")[0].run("hello")
    with pytest.raises(Rejected, match="the request is too long: 7 bytes, max_body is 5"):
        pair(server="max_body: 5")[0].run("hello")
    with pytest.raises(RemoteError, match="the result is too long: 1013 bytes, max_body is 100"):
        pair(server="max_body: 100")[0].run("long")
    with pytest.raises(PipedError, match="the reply of double is too long: 1013 bytes, max_body is 100"):
        pair("max_body: 100")[0].run("long")


NONE = [
    b"",
    b"no JSON",
    b"[]",
    b"[0]",
    b"[7]",
    b"{}",
    b"5",
    b"[" * 100_000,
    b'{"other": 3}',
    b'{"results": 3}',
    b"\xff",
]


@pytest.mark.parametrize("body", [*NONE, b'{"failure": "x"}'])
def test_a_reply_that_is_none_is_told(body: bytes) -> None:
    """Whoever serves the queue may be something else."""
    with pytest.raises(PipedError, match="the reply to double is none of a remote pipeline"):
        answered(body)


def answered(body: bytes) -> Any:
    """What becomes of a call that somebody else answers."""
    alone = Site(CLIENT.format(options=""))
    alone.declare("piped.pipeline.double")
    started = alone.start(1)
    properties, _ = alone.message("piped.pipeline.double")
    reply = BasicProperties(correlation_id=properties.correlation_id)
    alone.ended(alone.protocol.publish("", properties.reply_to, body, reply, mandatory=False))
    return alone.ended(started)


def test_other_programs_may_answer() -> None:
    """Also with all results where the last one is wanted, and with a failure of a kind that nobody knows."""
    assert answered(b'{"results": [1, 2]}') == [2]
    assert answered(b'{"results": []}') == [[]]
    with pytest.raises(RemoteError, match="no"):
        answered(b'{"failure": {"message": "no", "kind": []}}')


def test_the_name_may_lie_in_the_baton() -> None:
    """What is no name is told."""
    serving = Site(SERVER.format(options=""), work)
    text = CLIENT.format(options="").replace("pipeline: double,", "pipeline_path: name, input_path: n")
    calling = Site(text, clock=serving.clock)
    assert calling.run({"name": "double", "n": 4}) == [{"name": "double", "n": 8}]
    with pytest.raises(PipedError, match="what lies at 'name' is no name of a pipeline: 5"):
        calling.run({"name": 5, "n": 4})


def test_steps_share_a_client() -> None:
    """One for each connection, whatever the number of steps; it is gone with the process."""
    two = CLIENT.format(options="") + "    - run-pipeline-remotely: {pipeline: double}\n"
    serving = Site(SERVER.format(options=""), work)
    calling = Site(two, clock=serving.clock)
    assert calling.run(1) == [4]
    callers = [each for each in calling.environment.application if "remote_caller" in (each.name or "")]
    assert [each.name for each in callers] == ["amqp.remote_caller.main"]


def test_a_client_of_ones_own_may_call() -> None:
    """With its queue and its bounds."""
    text = CLIENT.format(options="rpc_client: own").replace("pipelines:", "  rpc_clients: {own: {}}\npipelines:", 1)
    serving = Site(SERVER.format(options=""), work)
    calling = Site(text, clock=serving.clock)
    assert calling.run(3) == [6]
    assert not [each for each in calling.environment.application if "remote_caller" in (each.name or "")]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("pipeline_path: x", "needs either pipeline or pipeline_path"),
        ("connection: main, rpc_client: x", "connection and rpc_client exclude each other"),
        ("connection: other", "amqp.connection.other"),
        ("rpc_client: other", "amqp.rpc_client.other"),
    ],
)
def test_what_does_not_go_together_is_told(options: str, told: str) -> None:
    """At the place where it is written."""
    with pytest.raises(ConfigurationError) as raised:
        Site(CLIENT.format(options=options))
    assert told in str(raised.value.problems[0])
    assert str(raised.value.problems[0]).startswith("site.yml:6:")
