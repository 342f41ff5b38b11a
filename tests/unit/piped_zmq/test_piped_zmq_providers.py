"""Tests of the section `zmq`: sockets on demand, and their order."""

from __future__ import annotations

import pytest
import zmq
from zmq_stage import ZMQStage, received, staged

from piped.config.gathering import gather_text
from piped.runtime.assembly import check
from piped_zmq.channels import SocketError

SEND = "{send-zmq-message: {queue_name: %s}}"


def test_sockets_that_nobody_uses_are_not_made():
    """So that a file of queues may be shared; those that somebody uses are one and the same for all."""
    text = """
    zmq: {queues: {a: {type: PUB, binds: [inproc://a]}, b: {type: PUSH, binds: ['tcp://256.0.0.1:1']}}}
    pipelines: {p: [{send-zmq-message: {queue_name: a}}], q: [{send-zmq-message: {queue_name: a}}]}
    """
    with staged(text) as stage:
        context = stage.resource("zmq.context")
        assert len(context._sockets) == 1
        assert stage.resource("zmq.socket.a") is stage.resource("zmq.socket.a")


def test_a_check_opens_nothing():
    """Neither a socket nor an address."""
    text = "zmq: {queues: {a: {type: PULL, binds: ['tcp://256.0.0.1:1'], processor: p}}}\npipelines: {p: [passthrough]}"
    assert check(gather_text(text, "site.yml", environ={}), {}).problems == []


def test_all_sockets_bind_before_any_connects():
    """Whatever their order: one that must find the other at once does."""
    text = f"""
    zmq:
      queues:
        first: {{type: PUSH, connects: [inproc://second]}}
        second: {{type: PULL, binds: [inproc://second]}}
    pipelines: {{p: [{SEND % "first"}]}}
    """
    order: list[tuple[str, str]] = []
    stage = ZMQStage(text)
    made = stage.environment.resource_manager.get_provider_or_fail("zmq.context")._sockets
    for name in ("first", "second"):
        made[name] = _Noting(stage.resource(f"zmq.socket.{name}"), order)
    stage.environment.listeners.members[0].endpoint._socket = stage.resource("zmq.socket.second")
    assert stage.start() == []
    assert [what for what, _ in order] == ["bind", "connect"]
    stage.run(b"1", "p")
    stage.settle()
    assert received(stage.resource("zmq.socket.second")) == [b"1"]
    stage.environment.application.stopService()


class _Noting:
    """A socket that notes in which order it is bound and connected."""

    def __init__(self, socket: zmq.Socket[bytes], order: list[tuple[str, str]]) -> None:
        self._socket, self._order = socket, order

    def bind(self, address: str) -> None:
        self._order.append(("bind", address))
        self._socket.bind(address)

    def connect(self, address: str) -> None:
        self._order.append(("connect", address))
        self._socket.connect(address)

    def __getattr__(self, name: str) -> object:
        return getattr(self._socket, name)


def test_an_address_in_use_is_told_where_it_is_written():
    """When the process starts, as with any port."""
    text = """
    zmq:
      queues:
        a: {type: PULL, binds: [inproc://a], processor: p}
        b: {type: PULL, binds: [inproc://a], processor: p}
    pipelines: {p: [passthrough]}
    """
    stage = ZMQStage(text)
    assert stage.start() == [
        "site.yml:5:29: zmq.socket.b cannot bind inproc://a: address already in use – "
        "stop what is listening there, or choose another address"
    ]
    stage.environment.application.stopService()


def test_a_socket_that_is_asked_for_later_is_opened_at_once():
    """From the manhole, for example."""
    with staged("zmq: {queues: {late: {type: PULL, binds: [inproc://late]}}}") as stage:
        socket = stage.resource("zmq.socket.late")
        stage.peer(zmq.PUSH, "inproc://late").send(b"1")
        assert received(socket) == [b"1"]


def test_there_is_a_poller_only_where_something_is_fed():
    """Nobody waits for one that has nothing to do."""
    text = "zmq: {queues: {a: {type: PULL%s}}}\npipelines: {p: [passthrough]}"
    for more, offered in (("", False), (", processor: p", True)):
        with staged(text % more) as stage:
            assert ("zmq.poller" in stage.environment.offered) is offered


@pytest.mark.parametrize("written", [None, -1, 50])
def test_a_stop_ends_though_nobody_receives(written: int | None):
    """What a socket holds has no longer than its LINGER to be sent, and never for ever."""
    option = f", sockopts: [{{key: LINGER, value: {written}}}]" if written is not None else ""
    text = f"zmq: {{queues: {{a: {{type: PUSH{option}}}}}}}\npipelines: {{p: [{SEND % 'a'}]}}"
    stage = ZMQStage(text)
    stage.start()
    socket = stage.resource("zmq.socket.a")
    lingered: list[int] = []
    close = socket.channel.close
    socket.channel.close = lambda linger: (lingered.append(linger), close(0))
    failures: list[object] = []
    stage.run(b"1", "p").addErrback(lambda failure: failures.append(failure.type))
    stage.environment.application.stopService()
    assert lingered == [{None: 1000, -1: 20000, 50: 50}[written]]
    assert (failures, socket.closed) == ([SocketError], True)


def test_a_subscriber_without_a_subscription_is_told(caplog: pytest.LogCaptureFixture):
    """Nothing would come, and nothing else would say why."""
    text = "zmq: {queues: {a: {type: SUB%s, processor: p}}}\npipelines: {p: [passthrough]}"
    with staged(text % ""):
        assert "zmq.socket.a has no option SUBSCRIBE, so that nothing comes" in caplog.text
    caplog.clear()
    with staged(text % ", sockopts: [{key: SUBSCRIBE, value: ''}]"):
        assert caplog.text == ""
