"""Tests of clients that call over queues."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from calling_stage import Site
from pika import BasicProperties
from pika.spec import Basic
from publishing_stage import outcome
from twisted.internet.defer import CancelledError, Deferred

from piped import ConfigurationError, NotReadyError, TimeoutError  # noqa: A004 - Piped's own
from piped.spec.spec import Spec
from piped_amqp.errors import NoReplyError, UnroutableError
from piped_amqp.rpc import RPCClientBase
from piped_amqp.rpc_options import RPCClientOptions

TEXT = """
amqp:
  connections: {{main: {{servers: 'memory://stage'}}}}
  rpc_clients:
    calls: {{{options}}}
"""
CLIENT = "amqp.rpc_client.calls"


class Calculator(RPCClientBase):
    """A client with methods of its own.

    Args:
        unit: what it counts.
    """

    def __init__(self, unit: str, **client: Any) -> None:
        super().__init__(**client)
        self.unit = unit

    async def add(self, *numbers: int) -> str:
        response = await self.call("server", json.dumps(numbers).encode())
        return f"{response.body.decode()} {self.unit}"


class Picky(RPCClientBase):
    """A client that sees replies itself."""

    seen: tuple[bytes, ...] = ()

    def process_response(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self.seen += (body,)
        if body == b"bad":
            raise ValueError("a bad reply")
        super().process_response(channel, method, properties, body)


class Later(RPCClientBase):
    """A client that takes its time with replies."""

    waits: tuple[Deferred[None], ...] = ()

    async def process_response(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self.waits += (Deferred(),)
        await self.waits[-1]
        super().process_response(channel, method, properties, body)


class Old(RPCClientBase):
    """A client as they were written for Piped 0.7: without types."""

    def __init__(self, name, connection, reopen_consumer_channel_interval=1, consumer=None):  # type: ignore[no-untyped-def] # see above
        super().__init__(name, connection, reopen_consumer_channel_interval, consumer)
        self.written = consumer
        self.got: list[bytes] = []

    def process_response(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self.got.append(body)


class NotOne:
    pass


class Nameless(RPCClientBase):
    def __init__(self) -> None:
        super().__init__("nobody")


def site(options: str = "") -> Site:
    """A client whose requests go to the queue `server`, which a test serves."""
    one = Site(TEXT.format(options=options))
    one.declare("server")
    one.wanted(CLIENT)
    return one


def asked(one: Site) -> tuple[Any, bytes]:
    """The next request that waits for the server."""
    one.turn()
    found = one.message("server")
    assert found is not None
    return found


def answer(one: Site, properties: Any, body: bytes) -> None:
    reply = BasicProperties(correlation_id=properties.correlation_id)
    one.ended(one.protocol.publish("", properties.reply_to, body, reply, mandatory=False))
    one.turn()


QUEUES = ["", "consumer: {queue: amq.rabbitmq.reply-to}", "consumer: {no_ack: false, queue: {queue: mine}}"]


@pytest.mark.parametrize("options", QUEUES, ids=["anonymous", "direct", "own"])
def test_replies_come_to_whom_they_are_for(options: str) -> None:
    """In any order, on any kind of queue; nothing is left unacknowledged."""
    one = site(options)
    client = one.get(CLIENT)
    calls = [client.call("server", bytes([n])) for n in range(3)]
    for properties, body in reversed([asked(one) for _ in calls]):
        answer(one, properties, b"re:" + body)
    assert [one.ended(call).body for call in calls] == [b"re:\0", b"re:\1", b"re:\2"]
    assert (client.waiting, client.late_replies) == (0, 0)
    assert [channel.tags for channel in one.protocol._impl._channels.values() if len(channel.tags)] == []


def test_a_subclass_has_only_its_own_methods_to_write() -> None:
    """Its arguments stand beside those of the base."""
    one = site("type: test_piped_amqp_rpc.Calculator, unit: apples, timeout: 7")
    sum_of = Deferred.fromCoroutine(one.get(CLIENT).add(1, 2))
    properties, body = asked(one)
    assert (body, properties.expiration) == (b"[1, 2]", "7000")
    answer(one, properties, b"3")
    assert one.ended(sum_of) == "3 apples"


def test_a_request_has_properties_and_headers() -> None:
    """Those of the caller stay as they are; the correlation id cannot be guessed."""
    one = site()
    own = BasicProperties(content_type="text/plain", headers={"a": 1})
    for _ in range(2):
        one.get(CLIENT).call("server", b"", properties=own, headers={"b": 2})
    (first, _), (second, _) = asked(one), asked(one)
    assert (first.content_type, first.headers) == ("text/plain", {"a": 1, "b": 2})
    assert (own.headers, own.reply_to) == ({"a": 1}, None)
    assert len(first.correlation_id) == 32
    assert first.correlation_id != second.correlation_id


def test_a_request_that_no_queue_takes_fails_at_once() -> None:
    """Nobody serves it: no reply will ever come."""
    one = site()
    with pytest.raises(UnroutableError, match="'nobody'"):
        one.ended(one.get(CLIENT).call("nobody", b""))
    assert one.get(CLIENT).waiting == 0


@pytest.mark.parametrize(("options", "timeout"), [("timeout: 5", {}), ("", {"timeout": 5})])
def test_a_call_waits_no_longer_than_it_may(options: str, timeout: Any) -> None:
    """The request is not left to a server either; a reply that comes later is counted and dropped."""
    one = site(options)
    call = one.get(CLIENT).call("server", b"", **timeout)
    properties, _ = asked(one)
    one.turn(4.9)
    assert not call.called
    one.turn(0.2)
    error = outcome(call)
    assert (type(error), error.msg) == (TimeoutError, "amqp.rpc_client.calls has got no reply within 5 s")
    answer(one, properties, b"late")
    assert (one.get(CLIENT).late_replies, one.get(CLIENT).waiting) == (1, 0)
    forgotten = one.get(CLIENT).call("server", b"", **timeout)
    one.turn()
    one.turn(5.1)
    assert (type(outcome(forgotten)), one.message("server")) == (TimeoutError, None)


def test_a_call_can_be_cancelled() -> None:
    """It waits for nothing any more, and leaves nothing behind."""
    one = site()
    call = one.get(CLIENT).call("server", b"")
    call.cancel()
    assert (type(outcome(call)), one.get(CLIENT).waiting) == (CancelledError, 0)
    one.turn()
    one.message("server")
    one.protocol.is_blocked = True
    call = one.get(CLIENT).call("server", b"")
    call.cancel()
    assert type(outcome(call)) is CancelledError
    one.protocol.is_blocked = False
    one.protocol.on_unblocked()
    one.turn()
    assert one.message("server") is None


def test_only_so_many_calls_wait() -> None:
    """Others fail at once, and say why."""
    one = site("max_calls: 1")
    client = one.get(CLIENT)
    client.call("server", b"")
    error = outcome(client.call("server", b""))
    assert (type(error), error.msg) == (NoReplyError, "amqp.rpc_client.calls: 1 calls wait already")
    answer(one, asked(one)[0], b"")
    assert not client.call("server", b"").called


def test_a_lost_connection_fails_all_who_wait() -> None:
    """At once; the client is lost as well, and there again with the next connection."""
    one = site()
    client = one.get(CLIENT)
    call = client.call("server", b"")
    asked(one)
    one.protocol.transport.abortConnection()
    for _ in range(5):
        one.clock.advance(0)
    error = outcome(call)
    assert type(error) is NoReplyError
    assert error.msg.startswith("amqp.rpc_client.calls waits no longer for a reply: ")
    assert (one.wanted(CLIENT).is_ready, client.waiting) == (False, 0)
    with pytest.raises(NotReadyError):
        one.get(CLIENT)
    assert type(outcome(client.call("server", b""))) is NoReplyError
    one.turn(2)
    again = one.get(CLIENT).call("server", b"")
    answer(one, asked(one)[0], b"pong")
    assert one.ended(again).body == b"pong"


@pytest.mark.parametrize("options", QUEUES, ids=["anonymous", "direct", "own"])
def test_a_lost_channel_is_opened_again(options: str) -> None:
    """What waits fails, as its reply may have been lost; the next call works."""
    one = site(options)
    client = one.get(CLIENT)
    call = client.call("server", b"")
    asked(one)
    listening = len(one.protocol.on_unblocked)
    [channel] = [each for each in one.protocol._impl._channels.values() if each.consumer_tags]
    channel.close()
    one.turn()
    assert type(outcome(call)) is NoReplyError
    assert not one.wanted(CLIENT).is_ready
    one.turn(2)
    again = one.get(CLIENT).call("server", b"")
    answer(one, asked(one)[0], b"pong")
    assert one.ended(again).body == b"pong"
    assert len(one.protocol.on_unblocked) <= max(listening, 2)


def test_a_queue_that_was_deleted_is_declared_again() -> None:
    """The broker says so to whoever consumes from it."""
    one = site("consumer: {queue: {queue: mine}}")
    one.ended(one.ended(one.protocol.open_channel()).queue_delete("mine"))
    assert not one.wanted(CLIENT).is_ready
    one.turn(2)
    assert one.get(CLIENT).reply_to == "mine"


def test_a_queue_that_cannot_be_used_is_told_once_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    """And is tried again until it can."""
    with caplog.at_level(logging.WARNING):
        one = site("consumer: {queue: missing}")
        for _ in range(5):
            one.turn(2)
    [line] = [record.message for record in caplog.records if "cannot get replies" in record.message]
    assert "site.yml:5:31: cannot use the queue 'missing': the broker says NOT_FOUND" in line
    one.declare("missing")
    one.turn(20)
    assert one.get(CLIENT).reply_to == "missing"


def test_a_client_can_see_replies_itself(caplog: pytest.LogCaptureFixture) -> None:
    """One that it cannot process is logged, and the next one is processed."""
    one = site("type: test_piped_amqp_rpc.Picky")
    client = one.get(CLIENT)
    first, second = client.call("server", b""), client.call("server", b"")
    answer(one, asked(one)[0], b"bad")
    assert "ValueError: a bad reply" in caplog.text
    answer(one, asked(one)[0], b"good")
    assert (first.called, one.ended(second).body, client.seen) == (False, b"good", (b"bad", b"good"))


def test_a_client_may_take_its_time_with_a_reply(caplog: pytest.LogCaptureFixture) -> None:
    """It is acknowledged after that, also if it fails; that is logged."""
    one = site("type: test_piped_amqp_rpc.Later, consumer: {no_ack: false, queue: {queue: mine}}")
    client = one.get(CLIENT)
    first, second = client.call("server", b""), client.call("server", b"")
    answer(one, asked(one)[0], b"1")
    answer(one, asked(one)[0], b"2")
    [channel] = [each for each in one.protocol._impl._channels.values() if each.consumer_tags]
    assert (first.called, len(channel.tags)) == (False, 2)
    client.waits[0].callback(None)
    client.waits[1].errback(ValueError("a bad reply"))
    one.turn()
    assert (one.ended(first).body, second.called, len(channel.tags)) == (b"1", False, 0)
    assert "ValueError: a bad reply" in caplog.text


def test_a_client_of_piped_0_7_works_as_it_was() -> None:
    """Without types, with a connection that it has to be told of, but which may be left out of the configuration."""
    one = site("type: test_piped_amqp_rpc.Old, consumer: {queue: {queue: mine, exclusive: true}}")
    client = one.get(CLIENT)
    assert (client.reply_to, client.written) == ("mine", {"queue": {"queue": "mine", "exclusive": True}})
    one.ended(one.protocol.publish("", "mine", b"hello"))
    one.turn()
    assert client.got == [b"hello"]


def test_a_request_that_was_not_sent_is_not_sent_when_its_reply_is_lost() -> None:
    """Nobody waits for it any more."""
    one = site()
    one.protocol.is_blocked = True
    call = one.get(CLIENT).call("server", b"")
    [channel] = [each for each in one.protocol._impl._channels.values() if each.consumer_tags]
    channel.close()
    one.turn()
    assert type(outcome(call)) is NoReplyError
    one.protocol.is_blocked = False
    one.protocol.on_unblocked()
    one.turn(2)
    assert one.message("server") is None


def test_a_stop_fails_all_who_wait() -> None:
    """Nothing is left of the client: no timer, no channel."""
    one = site()
    call = one.get(CLIENT).call("server", b"")
    one.turn()
    stopping = one.environment.application.stopService()
    one.turn(10)
    assert outcome(stopping) is None
    assert type(outcome(call)) is NoReplyError
    assert [each for each in one.clock.getDelayedCalls() if "memory" not in each.func.__module__] == []


def test_a_service_that_is_started_again_calls_again() -> None:
    """A stop of the client alone loses the resource."""
    one = site()
    client = one.get(CLIENT)
    assert client.stopService() is not None
    one.turn()
    assert not one.wanted(CLIENT).is_ready
    client.startService()
    one.turn(2)
    assert one.get(CLIENT) is client


@pytest.mark.parametrize(
    ("options", "place", "told"),
    [
        ("type: test_piped_amqp_rpc.NotOne", "5:19", "'test_piped_amqp_rpc.NotOne' is no class of RPC clients"),
        ("type: test_piped_amqp_rpc.Nothing", "5:19", "Nothing"),
        ("type: test_piped_amqp_rpc.Nameless", "5:19", "'test_piped_amqp_rpc.Nameless' cannot be told its name"),
        ("type: test_piped_amqp_rpc.Old, consumer: {queue: {queu: x}}", "5:63", "did you mean 'queue'?"),
        ("type: test_piped_amqp_rpc.Old, consumer: 5", "5:54", "must be a mapping"),
        ("type: test_piped_amqp_rpc.Old, reopen_consumer_channel_interval: 0", "5:78", "must be a number above 0"),
        ("type: test_piped_amqp_rpc.Old, connection: other", "5:56", "there is: main"),
        ("type: test_piped_amqp_rpc.Calculator", "5:5", "needs the option 'unit'"),
        ("unit: x", "5:13", "has no option 'unit'"),
        ("conection: x", "5:13", "did you mean 'connection'?"),
        ("timeout: soon", "5:22", "must be a number"),
        ("connection: other", "5:25", "amqp.connection.other"),
        ("consumer: {queue: amq.rabbitmq.reply-to, no_ack: false}", "5:13", "knows no acknowledgements"),
        ("name: x", "5:13", "has no option 'name'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(options: str, place: str, told: str) -> None:
    """The check finds it, before anything is connected."""
    with pytest.raises(ConfigurationError) as raised:
        site(options)
    problem = raised.value.problems[0]
    assert str(problem).startswith(f"site.yml:{place}: ")
    assert told in str(problem)


def test_a_configuration_may_leave_everything_out() -> None:
    """A client without options uses the only connection."""
    one = Site("amqp: {connections: {main: {servers: 'memory://stage'}}, rpc_clients: {calls: }}")
    one.wanted(CLIENT)
    one.turn()
    assert type(one.get(CLIENT)) is RPCClientBase


def test_the_reference_shows_what_the_base_takes() -> None:
    """What is told of the options is what they are, but for `type`, which says the class."""
    told = set(RPCClientOptions.__shape__) - {..., "type"}
    assert told == {parameter.name for parameter in Spec.of(RPCClientBase).without("name").parameters}


def test_a_client_can_be_made_in_python() -> None:
    """With a name, a mapping or nothing for its queue."""
    one = Site("amqp: {connections: {main: {servers: 'memory://stage'}}}")
    for consumer, queue in (
        ({"queue": "q"}, "q"),
        ({"queue": {"queue": "own"}, "no_ack": False}, "own"),
        (None, "amq.gen"),
    ):
        one.declare("q")
        client = RPCClientBase("made", "main", 1, consumer)  # type: ignore[arg-type] # the types are those of the check
        client.configure(one.environment)
        client.setServiceParent(one.environment.application)
        one.environment.dependency_manager.resolve_initial_states()
        one.turn()
        assert client.reply_to.startswith(queue)
        client.disownServiceParent()
        one.turn()


def test_a_reply_without_a_correlation_id_is_dropped() -> None:
    """It is for nobody."""
    one = site()
    client = one.get(CLIENT)
    client.process_response(None, Basic.Deliver(), BasicProperties(), b"")
    assert client.late_replies == 1
